//! Requests larger than the remaining budget: refused before the upstream, or sent with a lower output cap. Without a cap
//! from the client, the gateway's cap is sent, returned and recorded.

use serde_json::json;

use super::call::Call;
use crate::harness::process::{Gatekeeper, Provider, text};
use crate::harness::upstream::{ReceivedRequest, Upstream};
use crate::harness::{model, pico};

/// Output cap of an upstream request, under either name.
fn sent_cap(seen: &ReceivedRequest) -> Option<u64> {
    let body = seen.json();
    ["max_completion_tokens", "max_tokens"]
        .iter()
        .find_map(|name| body[*name].as_u64())
}

fn start_gateway(upstream: &Upstream, ledger: &str) -> Gatekeeper {
    Gatekeeper::with_upstream(upstream)
        .provider(&Provider::anthropic("claude", upstream))
        .ledger(ledger)
        .start()
}

#[test]
fn request_over_remaining_budget_is_refused_before_upstream() {
    let upstream = Upstream::start();
    let mut gatekeeper = start_gateway(&upstream, "");
    let team = gatekeeper.team_with_budget("small", "0.002");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let refusal = user.chat(&Call::chat().at_most(400).body());
    assert_eq!(
        (
            refusal.assert_status(402).error_type(),
            upstream.request_count()
        ),
        ("budget_exceeded".to_owned(), 0)
    );
    let message = refusal.error_message();
    for part in [
        "total budget",
        "team small has used",
        "$0.002",
        "up/m-small",
        "400 output tokens",
        "max_tokens",
    ] {
        assert!(message.contains(part), "`{part}` missing in: {message}");
    }
    let refusal = user.messages(&Call::messages().at_most(400).body());
    assert_eq!(
        (
            refusal.assert_status(402).error_type(),
            upstream.request_count()
        ),
        ("billing_error".to_owned(), 0)
    );
    user.chat(&Call::chat().at_most(300).body())
        .assert_status(200);
    assert_eq!(
        sent_cap(&upstream.last_request()),
        Some(300),
        "a cap of the client that fits is unchanged"
    );
}

#[test]
fn overrun_clamp_lowers_named_cap_to_remaining_budget() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 2_000));
    let mut gatekeeper = start_gateway(&upstream, "budget_overrun = \"clamp\"");
    for (number, call) in [Call::chat().at_most(9_000), Call::messages().at_most(9_000)]
        .into_iter()
        .enumerate()
    {
        let team = gatekeeper.team_with_budget(&format!("clamped-{number}"), "0.002");
        let user = gatekeeper.user(&gatekeeper.key_of(&team));
        let response = call.by(&mut user.connect());
        response.assert_status(200);
        let cap = sent_cap(&upstream.last_request()).expect("a cap is sent");
        // 2,000 micro-dollars minus 1 per byte of input buy this many tokens at 5
        let affordable = (2_000 - call.body().to_string().len() as u64) / 5;
        assert_eq!(cap, affordable);
        assert_eq!(
            response.header("x-gatekeeper-output-cap"),
            Some(&*cap.to_string())
        );
        assert_eq!(gatekeeper.usage()["total"]["requests"], json!(number + 1));
        let row = gatekeeper.requests().remove(0);
        assert_eq!(
            (&row["output_cap"], &row["flags"]),
            (&json!(cap), &json!([]))
        );
        // the remainder is below the smallest cap
        assert_eq!(call.by(&mut user.connect()).status, 402);
    }
}

#[test]
fn overrun_clamp_keeps_thinking_budget_plus_1024() {
    let upstream = Upstream::start();
    let mut gatekeeper = start_gateway(&upstream, "budget_overrun = \"clamp\"");
    let team = gatekeeper.team_with_budget("thinking", "0.02");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let mut body = Call::messages().at_most(9_000).body();
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 2_000});
    user.messages(&body).assert_status(200);
    let cap = sent_cap(&upstream.last_request()).expect("a cap is sent");
    assert!((3_024..4_000).contains(&cap), "{cap}");
    assert_eq!(upstream.last_request().json()["thinking"], body["thinking"]);
    body["thinking"]["budget_tokens"] = json!(3_500);
    assert_eq!(
        user.messages(&body).assert_status(402).error_type(),
        "billing_error"
    );
    assert_eq!(upstream.request_count(), 1);
}

/// An effort of the chat dialect becomes a token budget at the vendor; any cap chosen by the gateway leaves tokens for
/// thinking and for the answer.
#[test]
fn reasoning_effort_as_token_budget_leaves_1024_tokens_for_answer() {
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
    let mut sent_caps = |limit: &str, cap: Option<u64>| {
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
    assert_eq!(sent_caps("0.03", None), (4_096, 3_072));
    let (cap, thinking) = sent_caps("0.031", Some(60_000));
    assert!(cap < 7_000 && thinking == cap - 1_024, "{cap} {thinking}");
    assert_eq!(sent_caps("10", None), (64_000, 16_384));
    // a cap below the model's smallest thinking budget would disable thinking
    let team = gatekeeper.team_with_budget("least", "0.0104");
    let body = json!({"model": "claude-haiku-4-5", "reasoning_effort": "high", "max_tokens": 60_000,
        "messages": [{"role": "user", "content": "What does it cost?"}]});
    let refusal = gatekeeper.user(&gatekeeper.key_of(&team)).chat(&body);
    assert!(
        refusal
            .assert_status(402)
            .error_message()
            .contains("with up to 2048 output tokens"),
        "{}",
        refusal.error_message()
    );
}

#[test]
fn request_without_cap_gets_gateway_cap_sent_and_recorded() {
    let upstream = Upstream::start();
    let mut gatekeeper = start_gateway(&upstream, "");
    for (name, limit, streamed) in [
        ("tight", "0.002", false),
        ("wide", "0.05", true),
        ("vast", "1000", false),
    ] {
        let team = gatekeeper.team_with_budget(name, limit);
        let user = gatekeeper.user(&gatekeeper.key_of(&team));
        let call = Call::chat().streamed(streamed);
        let response = call.by(&mut user.connect());
        response.assert_status(200);
        let cap = sent_cap(&upstream.last_request()).expect("a cap is sent");
        assert_eq!(
            response.header("x-gatekeeper-output-cap"),
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
fn request_without_block_budget_is_forwarded_unchanged() {
    let upstream = Upstream::start();
    let mut gatekeeper = start_gateway(&upstream, "");
    let team = gatekeeper
        .team(&json!({"name": "free", "budgets": [{"limit": "0.0001", "action": "warn"}]}));
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let response = user.chat(&Call::chat().body());
    assert_eq!(
        response
            .assert_status(200)
            .header("x-gatekeeper-output-cap"),
        None
    );
    assert_eq!(
        upstream.last_request().body,
        Call::chat().body().to_string().as_bytes()
    );
}
