//! One request that is larger than what is left: refused before the upstream hears of it, or its output cap lowered to what
//! is left. Where the client names no cap, the gateway's own is sent, shown and recorded.

use serde_json::json;

use super::call::Call;
use crate::harness::process::{Gatekeeper, Provider, text};
use crate::harness::upstream::{ReceivedRequest, Upstream};
use crate::harness::{model, pico};

/// The cap that the upstream was sent, under whichever name.
fn cap_seen(seen: &ReceivedRequest) -> Option<u64> {
    let body = seen.json();
    ["max_completion_tokens", "max_tokens"]
        .iter()
        .find_map(|name| body[*name].as_u64())
}

fn house(upstream: &Upstream, ledger: &str) -> Gatekeeper {
    Gatekeeper::with_upstream(upstream)
        .provider(&Provider::anthropic("claude", upstream))
        .ledger(ledger)
        .start()
}

#[test]
fn a_request_larger_than_the_remainder_is_refused_and_the_upstream_hears_nothing() {
    let upstream = Upstream::start();
    let mut gatekeeper = house(&upstream, "");
    let team = gatekeeper.team_with_budget("small", "0.002");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let refused = user.chat(&Call::chat().at_most(400).body());
    assert_eq!(
        (
            refused.assert_status(402).error_type(),
            upstream.request_count()
        ),
        ("budget_exceeded".to_owned(), 0)
    );
    let message = refused.error_message();
    for part in [
        "total budget",
        "of this team",
        "$0.002",
        "up/m-small",
        "400 output tokens",
        "max_tokens",
    ] {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
    let refused = user.messages(&Call::messages().at_most(400).body());
    assert_eq!(
        (
            refused.assert_status(402).error_type(),
            upstream.request_count()
        ),
        ("billing_error".to_owned(), 0)
    );
    user.chat(&Call::chat().at_most(300).body())
        .assert_status(200);
    assert_eq!(
        cap_seen(&upstream.last_request()),
        Some(300),
        "what the client named and what fits is not touched"
    );
}

#[test]
fn clamp_lowers_the_named_cap_to_what_is_left() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 2_000));
    let mut gatekeeper = house(&upstream, "budget_overrun = \"clamp\"");
    for (number, call) in [Call::chat().at_most(9_000), Call::messages().at_most(9_000)]
        .into_iter()
        .enumerate()
    {
        let team = gatekeeper.team_with_budget(&format!("clamped-{number}"), "0.002");
        let user = gatekeeper.user(&gatekeeper.key_of(&team));
        let answer = call.by(&mut user.connect());
        answer.assert_status(200);
        let cap = cap_seen(&upstream.last_request()).expect("a cap is sent");
        // 2,000 micro-dollars less a micro-dollar a byte buy this much at 5 a token
        let affordable = (2_000 - call.body().to_string().len() as u64) / 5;
        assert_eq!(cap, affordable);
        assert_eq!(
            answer.header("x-gatekeeper-output-cap"),
            Some(&*cap.to_string())
        );
        assert_eq!(gatekeeper.usage()["total"]["requests"], json!(number + 1));
        let row = gatekeeper.requests().remove(0);
        assert_eq!(
            (&row["output_cap"], &row["flags"]),
            (&json!(cap), &json!([]))
        );
        // nothing sensible is left now
        assert_eq!(call.by(&mut user.connect()).status, 402);
    }
}

#[test]
fn a_clamp_never_goes_below_the_thinking_budget_and_1024() {
    let upstream = Upstream::start();
    let mut gatekeeper = house(&upstream, "budget_overrun = \"clamp\"");
    let team = gatekeeper.team_with_budget("thinking", "0.02");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let mut body = Call::messages().at_most(9_000).body();
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 2_000});
    user.messages(&body).assert_status(200);
    let cap = cap_seen(&upstream.last_request()).expect("a cap is sent");
    assert!((3_024..4_000).contains(&cap), "{cap}");
    assert_eq!(upstream.last_request().json()["thinking"], body["thinking"]);
    body["thinking"]["budget_tokens"] = json!(3_500);
    assert_eq!(
        user.messages(&body).assert_status(402).error_type(),
        "billing_error"
    );
    assert_eq!(upstream.request_count(), 1);
}

/// A client of the chat dialect names an effort, the vendor wants a number of tokens: beside whatever cap the gateway chooses the
/// model is left room to think and to answer.
#[test]
fn an_effort_that_becomes_a_number_leaves_1024_of_a_cap_of_ours_for_the_answer() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let claude = Provider::anthropic("claude", &upstream)
        .preset("anthropic")
        .priced_by("sheet")
        .models(&["claude-haiku-4-5"]);
    let mut gatekeeper = Gatekeeper::without_providers()
        .provider(&claude)
        .ledger("budget_overrun = \"clamp\"")
        .start();
    let mut asks = |limit: &str, cap: Option<u64>| {
        let team = gatekeeper.team_with_budget(limit, limit);
        let mut body = json!({"model": "claude-haiku-4-5", "reasoning_effort": "high",
            "messages": [{"role": "user", "content": "What does it cost?"}]});
        if let Some(cap) = cap {
            body["max_tokens"] = json!(cap);
        }
        gatekeeper
            .user(&gatekeeper.key_of(&team))
            .chat(&body)
            .assert_status(200);
        let sent = upstream.last_request().json();
        let number = |value: &serde_json::Value| value.as_u64().expect("a number");
        (
            number(&sent["max_tokens"]),
            number(&sent["thinking"]["budget_tokens"]),
        )
    };
    assert_eq!(asks("0.03", None), (4_096, 3_072));
    let (cap, thinking) = asks("0.031", Some(60_000));
    assert!(cap < 7_000 && thinking == cap - 1_024, "{cap} {thinking}");
    assert_eq!(asks("10", None), (64_000, 16_384));
    // less than the least that the model can think with would be no thinking at all
    let team = gatekeeper.team_with_budget("least", "0.0104");
    let body = json!({"model": "claude-haiku-4-5", "reasoning_effort": "high", "max_tokens": 60_000,
        "messages": [{"role": "user", "content": "What does it cost?"}]});
    let refused = gatekeeper.user(&gatekeeper.key_of(&team)).chat(&body);
    assert!(
        refused
            .assert_status(402)
            .error_message()
            .contains("with up to 2048 output tokens"),
        "{}",
        refused.error_message()
    );
}

#[test]
fn where_no_cap_is_named_the_gateways_own_is_sent_shown_and_recorded() {
    let upstream = Upstream::start();
    let mut gatekeeper = house(&upstream, "");
    for (name, limit, streamed) in [
        ("tight", "0.002", false),
        ("wide", "0.05", true),
        ("vast", "1000", false),
    ] {
        let team = gatekeeper.team_with_budget(name, limit);
        let user = gatekeeper.user(&gatekeeper.key_of(&team));
        let call = Call::chat().streamed(streamed);
        let answer = call.by(&mut user.connect());
        answer.assert_status(200);
        let cap = cap_seen(&upstream.last_request()).expect("a cap is sent");
        assert_eq!(
            answer.header("x-gatekeeper-output-cap"),
            Some(&*cap.to_string())
        );
        gatekeeper.usage();
        let row = gatekeeper.requests().remove(0);
        assert_eq!(row["output_cap"], json!(cap));
        let quarter =
            (pico(limit) - call.body().to_string().len() as i128 * 1_000_000) / 4 / 5_000_000;
        let expected = quarter.clamp(256, 4_096);
        assert_eq!(i128::from(cap), expected, "{name}");
        assert!(pico(&text(&row, "ceiling_usd")) <= pico(limit));
    }
}

#[test]
fn without_a_budget_that_blocks_the_clients_bytes_are_not_touched() {
    let upstream = Upstream::start();
    let mut gatekeeper = house(&upstream, "");
    let team = gatekeeper
        .team(&json!({"name": "free", "budgets": [{"limit": "0.0001", "action": "warn"}]}));
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let answer = user.chat(&Call::chat().body());
    assert_eq!(
        answer.assert_status(200).header("x-gatekeeper-output-cap"),
        None
    );
    assert_eq!(
        upstream.last_request().body,
        Call::chat().body().to_string().as_bytes()
    );
}
