//! Pass-through: requests and responses reach OpenAI and Azure byte for byte, except the output cap of a budget.

use serde_json::{Value, json};

use super::{PATH, codex, events, fixture, kinds, request_body, translated};
use crate::harness::golden;
use crate::harness::process::UPSTREAM_KEY;
use crate::harness::script::Script;
use crate::inference::fixture::{Chat, assert_refusal_at};

/// Cost of the recording at 1 and 5 dollars per million tokens.
const COST: &str = ": x-gatekeeper-cost-usd 0.0026\n";

/// Recording as the client receives it.
fn shown(recording: &str, line_end: &str) -> String {
    let mut events: Vec<String> = recording
        .split_inclusive("\n\n")
        .map(|event| event.replace('\n', line_end))
        .collect();
    events.insert(events.len() - 1, COST.to_owned());
    events.concat()
}

#[test]
fn b07_codex_request_passes_through_to_openai() {
    let fixture = fixture("openai");
    fixture
        .upstream
        .respond_with(Script::stream([golden("openai/responses.sse")]));
    for recording in ["tools-1", "tools-2", "additional-tools-1"] {
        let body = codex(recording);
        for path in [PATH, "/responses", "/v1/v1/responses"] {
            fixture
                .user()
                .post_bytes(path, body.as_bytes())
                .assert_status(200);
            let sent = fixture.upstream.last_request();
            assert_eq!(
                (sent.path(), String::from_utf8_lossy(&sent.body)),
                ("/v1/responses", body.as_str().into())
            );
            assert_eq!(
                sent.header("authorization"),
                Some(format!("Bearer {UPSTREAM_KEY}").as_str())
            );
            fixture
                .assert_recorded()
                .assert_ended("ok", &[])
                .assert_usage(2_000, 120);
        }
    }
}

#[test]
fn b11_ai_sdk_default_request_is_served_by_openai_and_translated() {
    let body = r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"hello"}]}],"tools":[{"type":"function","name":"get_weather","description":"w","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}],"tool_choice":"auto","stream":true}"#;
    let fixture = fixture("openai");
    fixture
        .upstream
        .respond_with(Script::stream([golden("openai/responses.sse")]));
    fixture
        .user()
        .post_bytes(PATH, body.as_bytes())
        .assert_status(200);
    assert_eq!(
        String::from_utf8_lossy(&fixture.upstream.last_request().body),
        body
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(2_000, 120);

    let fixture = translated();
    fixture
        .upstream
        .respond_with(Script::stream(Chat.stream(2)));
    let response = fixture
        .user()
        .post_bytes(PATH, body.replace(r#""m""#, r#""m-small""#).as_bytes());
    assert_eq!(
        kinds(&events(response.assert_status(200))).last(),
        Some(&"completed")
    );
    assert_eq!(
        fixture.upstream.last_request().json()["tools"][0]["function"]["name"],
        json!("get_weather")
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 2);
}

#[test]
fn p07_responses_stream_passes_through_in_any_chunking() {
    let fixture = fixture("openai");
    let recording = golden("openai/responses.sse");
    for line_end in ["\n", "\r\n"] {
        let sent = recording.replace('\n', line_end);
        let crab = sent.find('🦀').expect("a letter of four bytes") + 2;
        let (head, tail) = sent.as_bytes().split_at(crab);
        for script in [
            Script::stream([&sent]),
            Script::stream([&sent]).one_byte_per_write(),
            Script::stream(sent.bytes().map(|byte| [byte])),
            Script::stream([head, tail]).pause_ms_between(20),
        ] {
            fixture.upstream.respond_with(script);
            let response = fixture
                .user()
                .post_bytes(PATH, request_body(r#","stream":true"#).as_bytes());
            assert_eq!(
                response.assert_status(200).text(),
                shown(&recording, line_end)
            );
            let row = fixture.assert_recorded();
            row.assert_ended("ok", &[]).assert_usage(2_000, 120);
            let expected = json!({"input_tokens": 2_000, "cached_tokens": 1_500, "cache_write_tokens": 300, "output_tokens": 120, "reasoning_tokens": 64});
            for (name, count) in expected.as_object().expect("counts") {
                assert_eq!(&row.0["usage"][name], count, "{name}");
            }
        }
    }
}

#[test]
fn p07_responses_unary_passes_through_byte_for_byte() {
    let fixture = fixture("openai");
    let recording = golden("openai/responses.json");
    for script in [
        Script::unary(200, &recording),
        Script::unary(200, &recording)
            .chunked()
            .one_byte_per_write(),
    ] {
        fixture.upstream.respond_with(script);
        let response = fixture.user().post_bytes(PATH, request_body("").as_bytes());
        assert_eq!(response.assert_status(200).text(), recording);
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(2_000, 120);
    }
}

#[test]
fn p07_encrypted_reasoning_and_calls_pass_through_upstream() {
    let fixture = fixture("openai");
    // the vendor is the judge of a member that only it may know
    fixture.upstream.accepting();
    let response: Value = serde_json::from_str(&golden("openai/responses.json")).expect("JSON");
    let body = format!(
        r#"{{"model":"m","input":{} , "store":false,"tools":[{{"type":"custom","name":"apply_patch"}}],"include":["reasoning.encrypted_content"],"x_new":1.0}}"#,
        response["output"]
    );
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("openai/responses.json")));
    fixture
        .user()
        .post_bytes(PATH, body.as_bytes())
        .assert_status(200);
    assert_eq!(
        String::from_utf8_lossy(&fixture.upstream.last_request().body),
        body
    );
    fixture.assert_recorded().assert_ended("ok", &[]);
}

#[test]
fn responses_on_azure_uses_its_path_and_header() {
    let fixture = fixture("azure");
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("openai/responses.json")));
    fixture
        .user()
        .post_bytes(PATH, request_body("").as_bytes())
        .assert_status(200);
    let sent = fixture.upstream.last_request();
    assert_eq!(
        (sent.path(), sent.header("api-key")),
        ("/openai/v1/responses", Some(UPSTREAM_KEY))
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(2_000, 120);
}

#[test]
fn responses_stream_failure_ends_in_error_and_failed_events() {
    let fixture = fixture("openai");
    let recording = golden("openai/responses-failed.sse");
    let failure = recording
        .find("event: response.failed")
        .expect("the failure");
    for (sent, word, status) in [
        (&recording[..], "upstream_error", "broken"),
        (&recording[..failure], "upstream_error", "truncated"),
    ] {
        fixture.upstream.respond_with(
            Script::stream([&recording[..failure], &sent[failure..]]).pause_ms_between(50),
        );
        let response = fixture
            .user()
            .post_bytes(PATH, request_body(r#","stream":true"#).as_bytes());
        let text = response.assert_status(200).text();
        assert!(text.starts_with(&recording[..failure]), "{text}");
        let parsed = events(&response);
        let (error, failed) = (&parsed[parsed.len() - 2], &parsed[parsed.len() - 1]);
        assert_eq!(
            (&error["error"]["code"], &error["error"]["message"]),
            (&json!(word), &error["message"]),
            "{error}"
        );
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("error"), &json!(word)),
            "{error}"
        );
        assert_eq!(
            failed["response"]["error"]["message"], error["message"],
            "{failed}"
        );
        assert_eq!(
            (&failed["response"]["id"], &failed["response"]["status"]),
            (&json!("resp_0a51"), &json!("failed"))
        );
        fixture
            .assert_recorded()
            .assert_ended(status, &["estimated"]);
    }
}

#[test]
fn responses_output_cap_is_max_output_tokens() {
    let mut fixture = fixture("openai");
    let team = fixture.gatekeeper.team_with_budget("spare", "0.01");
    let key = fixture.gatekeeper.key_of(&team);
    let small = json!({"id": "resp_1", "object": "response", "status": "completed", "error": null, "output": [],
        "usage": {"input_tokens": 5, "output_tokens": 3}});
    fixture.upstream.respond_with(Script::json(200, &small));
    let response = fixture
        .gatekeeper
        .user(&key)
        .post_bytes(PATH, request_body("").as_bytes());
    let cap = response
        .assert_status(200)
        .header("x-gatekeeper-output-cap")
        .expect("a cap")
        .to_owned();
    let body = String::from_utf8_lossy(&fixture.upstream.last_request().body).into_owned();
    assert_eq!(
        body,
        request_body(&format!(r#","max_output_tokens":{cap}"#))
    );
    fixture.assert_recorded().assert_ended("ok", &[]);
    // an unbounded cost is refused: Codex declares a hosted search tool
    let response = fixture
        .gatekeeper
        .user(&key)
        .post_bytes(PATH, codex("tools-1").as_bytes());
    let message = assert_refusal_at(Chat, &response, 402, "cost_unbounded", "model");
    assert!(message.contains("hosted tool web_search"), "{message}");
    fixture.assert_no_call();
}

#[test]
fn responses_background_or_invalid_input_is_refused() {
    let fixture = fixture("openai");
    for (more, status, word, param) in [
        (r#","background":true"#, 501, "not_supported", "background"),
        (r#","input":7"#, 400, "invalid_request_error", "input"),
        (
            r#","max_output_tokens":"many""#,
            400,
            "invalid_request_error",
            "max_output_tokens",
        ),
    ] {
        let body = request_body(more);
        let body = if param == "input" {
            r#"{"model":"m","input":7}"#.to_owned()
        } else {
            body
        };
        assert_refusal_at(
            Chat,
            &fixture.user().post_bytes(PATH, body.as_bytes()),
            status,
            word,
            param,
        );
    }
    fixture.assert_no_call();
}
