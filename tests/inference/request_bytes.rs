//! Request bytes upstream: the client's own bytes except the edits that the contract allows.

use serde_json::json;

use super::fixture::{Chat, Dialect, Fixture, Messages};
use crate::harness::client::{HttpClient, Response};
use crate::harness::process::{Provider, text};

/// Body that no serializer writes: unusual order and spacing, numbers in every notation, escapes, unknown fields.
const ODD: &str = "{ \"zebra\" : 1.0,\"messages\":[ {\"role\":\"user\",\"content\":\"\\u00fc \\/ up/m-small \u{e9}\"} ],\r\n\t\
                   \"temperature\":1e3,\"n\":1 , \"a\":{\"model\":\"up/m-small\",\"b\":[1.50,-0,1E+2,12345678901234567890]},\
                   \"model\":\"MODEL\",\"max_tokens\":500,\"\u{e9}\":null , \"logit_bias\":{ } }  \n";

fn odd(model: &str) -> String {
    ODD.replace("MODEL", model)
}

/// Fixture whose vendors take unknown members: of what a client writes to a vendor of its own dialect, the vendor is the judge.
fn accepting() -> Fixture {
    let fixture = Fixture::new();
    fixture.upstream.accepting();
    fixture
}

#[track_caller]
fn assert_upstream_body(
    fixture: &Fixture,
    dialect: Dialect,
    sent: &str,
    expected: &str,
) -> Response {
    let response = fixture.user().post_bytes(dialect.path(), sent.as_bytes());
    response.assert_status(200);
    assert_eq!(
        String::from_utf8_lossy(&fixture.upstream.last_request().body),
        expected
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 20);
    response
}

#[test]
fn p01_request_passes_through_byte_for_byte() {
    let fixture = accepting();
    assert_upstream_body(&fixture, Chat, &odd("m-small"), &odd("m-small"));
    assert_upstream_body(&fixture, Messages, &odd("c-small"), &odd("c-small"));
    let streamed = odd("c-small").replace("\"n\":1 ", "\"stream\":true ");
    assert_upstream_body(&fixture, Messages, &streamed, &streamed);
}

#[test]
fn p01_qualified_model_is_replaced_at_top_level_only() {
    let fixture = accepting();
    assert_upstream_body(&fixture, Chat, &odd("up/m-small"), &odd("m-small"));
    assert_upstream_body(&fixture, Messages, &odd("ant/c-small"), &odd("c-small"));
    let escaped = "{\"mod\\u0065l\":\"\\u0075p/m-small\",\"messages\":[]}";
    assert_upstream_body(
        &fixture,
        Chat,
        escaped,
        "{\"mod\\u0065l\":\"m-small\",\"messages\":[]}",
    );
    // a model without a price of its own
    let unlisted = "{\"model\":\"up/org/some-model\",\"messages\":[]}";
    let response = fixture.user().post_bytes(Chat.path(), unlisted.as_bytes());
    response.assert_status(200);
    let sent = fixture.upstream.last_request();
    assert_eq!(
        String::from_utf8_lossy(&sent.body),
        "{\"model\":\"org/some-model\",\"messages\":[]}"
    );
    fixture.assert_recorded().assert_ended("ok", &["unpriced"]);
}

#[test]
fn p01_chat_stream_appends_usage_option_only() {
    let fixture = Fixture::new();
    let streamed = odd("m-small").replace("\"n\":1 ", "\"stream\": true ");
    let expected = streamed.replace("{ }", "{ },\"stream_options\":{\"include_usage\":true}");
    assert_upstream_body(&fixture, Chat, &streamed, &expected);
}

#[test]
fn output_cap_without_blocking_budget_is_not_added() {
    let mut fixture = Fixture::new();
    let budgets = json!([{"limit": "1", "period": "total", "action": "warn"}]);
    let warned = fixture
        .gatekeeper
        .team(&json!({"name": "warned", "models": ["*"], "budgets": budgets}));
    let warned = fixture.gatekeeper.key_of(&warned);
    for caller in [fixture.user(), fixture.gatekeeper.user(&warned)] {
        let body = r#"{"model":"m-small","messages":[]}"#;
        let response = caller.post_bytes(Chat.path(), body.as_bytes());
        assert_eq!(
            response
                .assert_status(200)
                .header("x-gatekeeper-output-cap"),
            None
        );
        assert_eq!(fixture.upstream.last_request().body, body.as_bytes());
        assert!(fixture.assert_recorded().assert_ended("ok", &[]).0["output_cap"].is_null());
    }
}

/// User of a team with a blocking budget.
fn bounded(fixture: &mut Fixture, limit_usd: &str) -> HttpClient {
    let team = fixture.gatekeeper.team_with_budget("bounded", limit_usd);
    let key = fixture.gatekeeper.key_of(&team);
    fixture.gatekeeper.user(&key)
}

/// Output cap in the response header; asserts the same cap in the upstream's body and in the record.
#[track_caller]
fn cap_of(fixture: &Fixture, response: &Response, member: &str, base: &str) -> u64 {
    let cap = response
        .assert_status(200)
        .header("x-gatekeeper-output-cap")
        .expect("a cap was chosen")
        .to_owned();
    let open = base.strip_suffix('}').expect("an object");
    assert_eq!(
        String::from_utf8_lossy(&fixture.upstream.last_request().body),
        format!("{open},\"{member}\":{cap}}}")
    );
    assert_eq!(
        text(
            &fixture.assert_recorded().assert_ended("ok", &[]).0,
            "output_cap"
        ),
        cap
    );
    cap.parse().expect("a cap is a number")
}

#[test]
fn output_cap_under_blocking_budget_is_appended_and_reported() {
    let mut fixture = Fixture::new();
    let rich = bounded(&mut fixture, "1");
    let body = r#"{"model":"m-small","messages":[]}"#;
    let cap = cap_of(
        &fixture,
        &rich.post_bytes(Chat.path(), body.as_bytes()),
        "max_tokens",
        body,
    );
    assert_eq!(cap, 4_096, "the longest response of an unknown model");
    let again = rich.post_bytes(Chat.path(), body.as_bytes());
    assert_eq!(
        cap_of(&fixture, &again, "max_tokens", body),
        cap,
        "equal requests give equal bytes"
    );
}

#[test]
fn output_cap_follows_remaining_budget() {
    let mut fixture = Fixture::new();
    let poor = bounded(&mut fixture, "0.01");
    let body = r#"{"model":"m-small","messages":[]}"#;
    let cap = cap_of(
        &fixture,
        &poor.post_bytes(Chat.path(), body.as_bytes()),
        "max_tokens",
        body,
    );
    assert!(
        (256..=500).contains(&cap),
        "a quarter of a cent buys at most 500 tokens: {cap}"
    );
}

#[test]
fn output_cap_is_renamed_for_openai() {
    let upstream = crate::harness::upstream::Upstream::start();
    let vendor = Provider::openai("oa", &upstream)
        .preset("openai")
        .models(&["o-small"]);
    let mut fixture = Fixture::with_upstream(upstream, |setup| setup.provider(&vendor));
    let rich = bounded(&mut fixture, "1");
    let body = r#"{"model":"o-small","messages":[{"role":"user","content":"a"}]}"#;
    cap_of(
        &fixture,
        &rich.post_bytes(Chat.path(), body.as_bytes()),
        "max_completion_tokens",
        body,
    );
}

#[test]
fn output_cap_of_client_is_kept() {
    let mut fixture = Fixture::new();
    let rich = bounded(&mut fixture, "1");
    for (dialect, body) in [
        (Chat, r#"{"max_tokens":77,"model":"m-small","messages":[]}"#),
        (
            Chat,
            r#"{"max_completion_tokens":77,"model":"m-small","messages":[]}"#,
        ),
        (
            Messages,
            r#"{"max_tokens":77,"model":"c-small","messages":[]}"#,
        ),
    ] {
        let response = rich.post_bytes(dialect.path(), body.as_bytes());
        assert_eq!(
            response
                .assert_status(200)
                .header("x-gatekeeper-output-cap"),
            None
        );
        assert_eq!(fixture.upstream.last_request().body, body.as_bytes());
        assert_eq!(
            fixture.assert_recorded().assert_ended("ok", &[]).0["output_cap"],
            77
        );
    }
}

#[test]
fn output_cap_over_budget_is_clamped_in_place() {
    let mut fixture = Fixture::with_setup(|setup| setup.ledger("budget_overrun = \"clamp\""));
    let poor = bounded(&mut fixture, "0.01");
    for (dialect, body) in [
        (
            Chat,
            r#"{"model":"m-small","max_tokens":9000,"messages":[] }"#,
        ),
        (
            Messages,
            r#"{"model":"c-small","max_tokens":9000,"messages":[] }"#,
        ),
    ] {
        let response = poor.post_bytes(dialect.path(), body.as_bytes());
        let cap = response
            .assert_status(200)
            .header("x-gatekeeper-output-cap")
            .expect("the cap was lowered")
            .to_owned();
        assert_eq!(
            String::from_utf8_lossy(&fixture.upstream.last_request().body),
            body.replace("9000", &cap)
        );
        assert!(
            (256..2_000).contains(&cap.parse::<u64>().expect("a number")),
            "{cap}"
        );
        fixture.assert_recorded().assert_ended("ok", &[]);
    }
}
