//! What goes upstream: the client's own bytes, but for the edits that the contract allows.

use serde_json::json;

use super::house::{Chat, Dialect, House, Messages};
use crate::harness::client::{HttpClient, Response};
use crate::harness::process::{Provider, text};

/// What no serialiser would write: odd order and spacing, numbers in every spelling, escapes, members that nobody knows.
const ODD: &str = "{ \"zebra\" : 1.0,\"messages\":[ {\"role\":\"user\",\"content\":\"\\u00fc \\/ up/m-small \u{e9}\"} ],\r\n\t\
                   \"temperature\":1e3,\"n\":1 , \"a\":{\"model\":\"up/m-small\",\"b\":[1.50,-0,1E+2,12345678901234567890]},\
                   \"model\":\"MODEL\",\"max_tokens\":500,\"\u{e9}\":null , \"logit_bias\":{ } }  \n";

fn odd(model: &str) -> String {
    ODD.replace("MODEL", model)
}

#[track_caller]
fn goes_upstream(house: &House, dialect: Dialect, sent: &str, expected: &str) -> Response {
    let answer = house.user().post_bytes(dialect.path(), sent.as_bytes());
    answer.assert_status(200);
    assert_eq!(
        String::from_utf8_lossy(&house.upstream.last_request().body),
        expected
    );
    house.booked().ends("ok", &[]).costs(10, 20);
    answer
}

#[test]
fn p01_a_request_goes_upstream_byte_for_byte() {
    let house = House::opens();
    goes_upstream(&house, Chat, &odd("m-small"), &odd("m-small"));
    goes_upstream(&house, Messages, &odd("c-small"), &odd("c-small"));
    let streamed = odd("c-small").replace("\"n\":1 ", "\"stream\":true ");
    goes_upstream(&house, Messages, &streamed, &streamed);
}

#[test]
fn p01_only_the_top_level_model_is_replaced_by_its_bare_name() {
    let house = House::opens();
    goes_upstream(&house, Chat, &odd("up/m-small"), &odd("m-small"));
    goes_upstream(&house, Messages, &odd("ant/c-small"), &odd("c-small"));
    let escaped = "{\"mod\\u0065l\":\"\\u0075p/m-small\",\"messages\":[]}";
    goes_upstream(
        &house,
        Chat,
        escaped,
        "{\"mod\\u0065l\":\"m-small\",\"messages\":[]}",
    );
    let unlisted = "{\"model\":\"up/org/some-model\",\"messages\":[]}";
    goes_upstream(
        &house,
        Chat,
        unlisted,
        "{\"model\":\"org/some-model\",\"messages\":[]}",
    );
}

#[test]
fn p01_a_chat_stream_gets_its_usage_option_last_and_nothing_else() {
    let house = House::opens();
    let streamed = odd("m-small").replace("\"n\":1 ", "\"stream\": true ");
    let expected = streamed.replace("{ }", "{ },\"stream_options\":{\"include_usage\":true}");
    goes_upstream(&house, Chat, &streamed, &expected);
}

#[test]
fn without_a_budget_that_blocks_no_output_cap_is_added() {
    let mut house = House::opens();
    let budgets = json!([{"limit": "1", "period": "total", "action": "warn"}]);
    let warned = house
        .gatekeeper
        .team(&json!({"name": "warned", "models": ["*"], "budgets": budgets}));
    let warned = house.gatekeeper.key_of(&warned);
    for person in [house.user(), house.gatekeeper.user(&warned)] {
        let body = r#"{"model":"m-small","messages":[]}"#;
        let answer = person.post_bytes(Chat.path(), body.as_bytes());
        assert_eq!(
            answer.assert_status(200).header("x-gatekeeper-output-cap"),
            None
        );
        assert_eq!(house.upstream.last_request().body, body.as_bytes());
        assert!(house.booked().ends("ok", &[]).0["output_cap"].is_null());
    }
}

/// A user whose team has a budget that blocks.
fn bounded(house: &mut House, limit_usd: &str) -> HttpClient {
    let team = house.gatekeeper.team_with_budget("bounded", limit_usd);
    let key = house.gatekeeper.key_of(&team);
    house.gatekeeper.user(&key)
}

/// The cap that an answer names; the upstream's body and the record must name it too.
#[track_caller]
fn cap_of(house: &House, answer: &Response, member: &str, base: &str) -> u64 {
    let cap = answer
        .assert_status(200)
        .header("x-gatekeeper-output-cap")
        .expect("a cap was chosen")
        .to_owned();
    let open = base.strip_suffix('}').expect("an object");
    assert_eq!(
        String::from_utf8_lossy(&house.upstream.last_request().body),
        format!("{open},\"{member}\":{cap}}}")
    );
    assert_eq!(text(&house.booked().ends("ok", &[]).0, "output_cap"), cap);
    cap.parse().expect("a cap is a number")
}

#[test]
fn under_a_budget_that_blocks_a_cap_is_chosen_added_last_and_told() {
    let mut house = House::opens();
    let rich = bounded(&mut house, "1");
    let body = r#"{"model":"m-small","messages":[]}"#;
    let cap = cap_of(
        &house,
        &rich.post_bytes(Chat.path(), body.as_bytes()),
        "max_tokens",
        body,
    );
    assert_eq!(
        cap, 4_096,
        "the longest answer of a model that nobody knows"
    );
    let again = rich.post_bytes(Chat.path(), body.as_bytes());
    assert_eq!(
        cap_of(&house, &again, "max_tokens", body),
        cap,
        "equal requests stay equal bytes"
    );
}

#[test]
fn a_small_budget_makes_a_small_cap() {
    let mut house = House::opens();
    let poor = bounded(&mut house, "0.01");
    let body = r#"{"model":"m-small","messages":[]}"#;
    let cap = cap_of(
        &house,
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
fn a_vendor_that_refuses_the_old_name_of_the_cap_gets_the_new_one() {
    let upstream = crate::harness::upstream::Upstream::start();
    let vendor = Provider::openai("oa", &upstream)
        .preset("openai")
        .models(&["o-small"]);
    let mut house = House::before(upstream, |setup| setup.provider(&vendor));
    let rich = bounded(&mut house, "1");
    let body = r#"{"model":"o-small","messages":[]}"#;
    cap_of(
        &house,
        &rich.post_bytes(Chat.path(), body.as_bytes()),
        "max_completion_tokens",
        body,
    );
}

#[test]
fn a_cap_that_the_client_named_stands() {
    let mut house = House::opens();
    let rich = bounded(&mut house, "1");
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
        let answer = rich.post_bytes(dialect.path(), body.as_bytes());
        assert_eq!(
            answer.assert_status(200).header("x-gatekeeper-output-cap"),
            None
        );
        assert_eq!(house.upstream.last_request().body, body.as_bytes());
        assert_eq!(house.booked().ends("ok", &[]).0["output_cap"], 77);
    }
}

#[test]
fn with_clamp_a_cap_that_is_too_dear_is_lowered_where_it_stands() {
    let mut house = House::with(|setup| setup.ledger("budget_overrun = \"clamp\""));
    let poor = bounded(&mut house, "0.01");
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
        let answer = poor.post_bytes(dialect.path(), body.as_bytes());
        let cap = answer
            .assert_status(200)
            .header("x-gatekeeper-output-cap")
            .expect("the cap was lowered")
            .to_owned();
        assert_eq!(
            String::from_utf8_lossy(&house.upstream.last_request().body),
            body.replace("9000", &cap)
        );
        assert!(
            (256..2_000).contains(&cap.parse::<u64>().expect("a number")),
            "{cap}"
        );
        house.booked().ends("ok", &[]);
    }
}
