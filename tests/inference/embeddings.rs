//! `POST /v1/embeddings`: input in, vectors out, and only the input is held and billed.

use serde_json::{Value, json};

use super::house::{Chat, House, Messages, refused, refused_at};
use crate::harness::golden;
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const PATH: &str = "/v1/embeddings";

/// A gateway in front of one account at this vendor, priced by its sheet or else at 1 and 5 dollars per million.
fn house(vendor: &str, by_sheet: bool) -> House {
    let upstream = Upstream::start();
    let provider = Provider::openai("v", &upstream)
        .preset(vendor)
        .models(&["e-small"]);
    let provider = if vendor == "azure" {
        provider.base_url(&upstream.url())
    } else {
        provider
    };
    let provider = if by_sheet {
        provider.priced_by("sheet")
    } else {
        provider
    };
    House::before(upstream, |setup| setup.provider(&provider))
}

fn asking(input: Value) -> Value {
    json!({"model": "e-small", "input": input})
}

#[test]
fn c10_three_texts_are_billed_by_their_prompt_tokens_and_nothing_else() {
    let house = house("openai", true);
    let recording = golden("openai/embeddings-base64.json");
    house.upstream.respond_with(Script::unary(200, &recording));
    let body = r#"{"input":["a","b","c"], "model":"text-embedding-3-small","encoding_format":"base64","dimensions":3}"#;
    let answer = house.user().post_bytes(PATH, body.as_bytes());
    assert_eq!(answer.assert_status(200).text(), recording);
    // 24 at $0.02 per million
    assert_eq!(answer.header("x-gatekeeper-cost-usd"), Some("0.00000048"));
    let seen = house.upstream.last_request();
    assert_eq!(
        (seen.target(), seen.body.as_slice()),
        ("/v1/embeddings", body.as_bytes())
    );
    let row = house.booked();
    assert_eq!((row.ends("ok", &[]).input(), row.output()), (24, 0));
    assert_eq!(
        (&row.0["cost_usd"], &row.0["dialect"]),
        (&json!("0.00000048"), &json!("embeddings")),
        "{}",
        row.0
    );
}

#[test]
fn every_vendors_vectors_are_passed_on_byte_for_byte() {
    for (vendor, recording, path, tokens) in [
        (
            "openai",
            "openai/embeddings-float.json",
            "/v1/embeddings",
            8,
        ),
        (
            "openai_compatible",
            "openai/embeddings-base64.json",
            "/v1/embeddings",
            24,
        ),
        ("azure", "azure/embeddings.json", "/openai/v1/embeddings", 8),
        ("mistral", "mistral/embeddings.json", "/v1/embeddings", 15),
        ("ollama", "ollama/embeddings.json", "/v1/embeddings", 8),
    ] {
        let house = house(vendor, false);
        let recording = golden(recording);
        for script in [
            Script::unary(200, &recording),
            Script::unary(200, &recording)
                .chunked()
                .one_byte_per_write(),
        ] {
            house.upstream.respond_with(script);
            let answer = house.user().post(PATH, &asking(json!(["a", "b"])));
            assert_eq!(answer.assert_status(200).text(), recording, "{vendor}");
            assert_eq!(house.upstream.last_request().target(), path);
            house.booked().ends("ok", &[]).costs(tokens, 0);
        }
    }
}

#[test]
fn an_answer_without_usage_is_estimated_from_the_input() {
    let house = house("together", false);
    house
        .upstream
        .respond_with(Script::unary(200, golden("together/embeddings.json")));
    house
        .user()
        .post(
            PATH,
            &asking(json!("Our solar system orbits the Milky Way galaxy")),
        )
        .assert_status(200);
    house.booked().ends("ok", &["estimated"]).is_about(10, 0);
}

#[test]
fn mistral_has_its_own_name_for_dimensions() {
    let house = house("mistral", false);
    house
        .upstream
        .respond_with(Script::unary(200, golden("mistral/embeddings.json")));
    let answer = house.user().post_bytes(
        PATH,
        br#"{"model":"e-small","input":"a","dimensions":2,"user":"u"}"#,
    );
    assert_eq!(
        answer
            .assert_status(200)
            .header("x-gatekeeper-dropped-params"),
        Some("dimensions, user")
    );
    assert_eq!(
        house.upstream.last_request().body,
        br#"{"model":"e-small","input":"a","output_dimension":2}"#
    );
    house.booked().ends("ok", &[]);
}

#[test]
fn texts_tokens_and_arrays_of_both_are_taken_and_all_else_is_not() {
    let house = house("openai", false);
    house
        .upstream
        .respond_with(Script::unary(200, golden("openai/embeddings-float.json")));
    for input in [
        json!("a"),
        json!(["a", "b"]),
        json!([1, 2, 3]),
        json!([[1, 2], [3]]),
    ] {
        for path in [PATH, "/embeddings", "/v1/v1/embeddings"] {
            house
                .user()
                .post(path, &asking(input.clone()))
                .assert_status(200);
            house.booked().ends("ok", &[]).costs(8, 0);
        }
    }
    for input in [
        json!([]),
        json!(7),
        json!(["a", 1]),
        json!({"text": "a"}),
        json!([{"image": "https://x.y"}]),
        Value::Null,
    ] {
        refused_at(
            Chat,
            &house.user().post(PATH, &asking(input)),
            400,
            "invalid_request_error",
            "input",
        );
    }
    let answer = house.user().post(PATH, &json!({"model": "e-small"}));
    refused_at(Chat, &answer, 400, "invalid_request_error", "input");
    house.nothing_happened();
}

#[test]
fn a_budget_holds_the_worst_case_of_the_input_and_no_output() {
    let mut house = house("openai", false);
    house
        .upstream
        .respond_with(Script::unary(200, golden("openai/embeddings-float.json")));
    let team = house.gatekeeper.team_with_budget("small", "0.001");
    let person = house.gatekeeper.user(&house.gatekeeper.key_of(&team));
    // some 40 bytes at a dollar per million fit; output at 5 dollars would not, if there were any
    let answer = person.post(PATH, &asking(json!("a")));
    answer.assert_status(200);
    assert_eq!(
        house.upstream.last_request().json(),
        asking(json!("a")),
        "no cap is written"
    );
    assert_eq!(
        answer.header("x-gatekeeper-budget-remaining-usd"),
        Some("0.000992")
    );
    house.booked().ends("ok", &[]).costs(8, 0);
    refused(
        Chat,
        &person.post(PATH, &asking(json!("a".repeat(2_000)))),
        402,
        "budget_exceeded",
    );
    house.nothing_happened();
}

#[test]
fn models_of_the_other_kind_are_refused_before_they_are_called() {
    let mut house = house("openai", true);
    let answer = house.user().post(
        "/v1/chat/completions",
        &json!({"model": "text-embedding-3-small", "messages": []}),
    );
    assert!(
        refused_at(Chat, &answer, 400, "invalid_request_error", "model")
            .contains("POST /v1/embeddings")
    );
    let answer = house
        .user()
        .post(PATH, &json!({"model": "gpt-5.1", "input": "a"}));
    refused_at(Chat, &answer, 400, "invalid_request_error", "model");
    refused_at(
        Chat,
        &house
            .user()
            .post(PATH, &json!({"model": "c-small", "input": "a"})),
        501,
        "not_supported",
        "model",
    );
    let team = house
        .gatekeeper
        .team(&json!({"name": "chatters", "models": ["gpt-*"]}));
    let person = house.gatekeeper.user(&house.gatekeeper.key_of(&team));
    let answer = person.post(
        PATH,
        &json!({"model": "text-embedding-3-small", "input": "a"}),
    );
    refused_at(Chat, &answer, 403, "model_not_allowed", "model");
    house.nothing_happened();
    assert!(
        house
            .user()
            .get("/v1/models")
            .text()
            .contains("text-embedding-3-small")
    );
    assert!(
        !person
            .get("/v1/models")
            .text()
            .contains("text-embedding-3-small")
    );
    refused(
        Messages,
        &house.user().post("/v1/messages/embeddings", &json!({})),
        501,
        "not_supported",
    );
}

#[test]
fn an_upstreams_refusal_and_a_broken_answer_are_told_and_cost_nothing_that_was_not_served() {
    let house = house("openai", false);
    let refusal = Chat.refusal("invalid_request_error", "maximum context length");
    house.upstream.respond_with(Script::json(400, &refusal));
    assert_eq!(
        house
            .user()
            .post(PATH, &asking(json!("a")))
            .assert_status(400)
            .json(),
        refusal
    );
    house.booked().ends("upstream_error", &[]).costs(0, 0);
    house.upstream.respond_with(
        Script::unary(200, golden("openai/embeddings-float.json")).truncated_after(100),
    );
    house
        .user()
        .post(PATH, &asking(json!("a")))
        .assert_status(502);
    house.booked().ends("broken", &["estimated"]);
}
