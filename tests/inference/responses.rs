//! Responses as Codex, OpenAI's SDKs and the AI SDK speak it: to OpenAI and Azure byte for byte, to everybody else through the
//! hub. Requests are those that Codex 0.169 sent, recorded.

use serde_json::{Value, json};

use super::fixture::{Chat, Fixture, assert_refusal_at};
use crate::harness::client::{Response, SseEvent};
use crate::harness::golden;
use crate::harness::process::{Provider, UPSTREAM_KEY};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const PATH: &str = "/v1/responses";
/// What the recording comes to at 1 and 5 dollars per million tokens.
const COST: &str = ": x-gatekeeper-cost-usd 0.0026\n\n";

/// A gateway in front of one account at this vendor, as provider `v` with the model `m`.
fn fixture(vendor: &str) -> Fixture {
    let upstream = Upstream::start();
    let provider = Provider::openai("v", &upstream)
        .preset(vendor)
        .models(&["m"]);
    let provider = if vendor == "azure" {
        provider.base_url(&upstream.url())
    } else {
        provider
    };
    Fixture::with_upstream(upstream, |setup| setup.provider(&provider))
}

/// A small request, with more members.
fn request_body(more: &str) -> String {
    format!(r#"{{"model":"m","input":"say it"{more}}}"#)
}

/// What Codex sent, with the model of these tests.
fn codex(recording: &str) -> String {
    let body = golden(&format!("codex/{recording}.json"));
    let asked = body.find(r#""model":""#).map(|at| at + 9).expect("a model");
    let end = body[asked..].find('"').expect("its end") + asked;
    format!("{}m{}", &body[..asked], &body[end..])
}

/// The recording as the client must see it.
fn shown(recording: &str, line_end: &str) -> String {
    let mut events: Vec<String> = recording
        .split_inclusive("\n\n")
        .map(|event| event.replace('\n', line_end))
        .collect();
    events.insert(events.len() - 1, COST.to_owned());
    events.concat()
}

/// The events of a translated stream: numbered without a gap, and each under its own name.
#[track_caller]
fn events(response: &Response) -> Vec<Value> {
    let events = response.text();
    let data = events
        .split("\n\n")
        .filter(|event| event.starts_with("event: "));
    let events: Vec<Value> = data
        .map(|event| {
            let (name, data) = event.split_once("\ndata: ").expect("data");
            let json: Value = serde_json::from_str(data).expect("JSON on one line");
            assert_eq!(json["type"], json!(name.trim_start_matches("event: ")));
            json
        })
        .collect();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], json!(number), "{event}");
    }
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["type"].as_str()?.strip_prefix("response."))
        .collect()
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
            assert_eq!(
                row.0["usage"],
                json!({"input_tokens": 2_000, "cached_tokens": 1_500, "cache_write_tokens": 300, "output_tokens": 120, "reasoning_tokens": 64})
            );
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
    // and what nothing bounds is refused: Codex brings a search of its vendor's
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

/// Before `openai_compatible` (chat) and `anthropic` (messages).
fn translated() -> Fixture {
    Fixture::new()
}

fn asks(fixture: &Fixture, model: &str, streamed: bool, more: &str) -> Response {
    let body = format!(r#"{{"model":"{model}","input":"say it","stream":{streamed}{more}}}"#);
    fixture.user().post_bytes(PATH, body.as_bytes())
}

#[test]
fn t03_translated_text_has_full_responses_event_sequence() {
    let fixture = translated();
    for (dialect, model) in [
        (super::fixture::Chat, "m-small"),
        (super::fixture::Messages, "c-small"),
    ] {
        for script in [
            Script::stream(dialect.stream(3)),
            Script::stream(dialect.stream(3)).one_byte_per_write(),
        ] {
            fixture.upstream.respond_with(script);
            let response = asks(&fixture, model, true, "");
            let parsed = events(response.assert_status(200));
            assert_eq!(
                kinds(&parsed),
                [
                    "created",
                    "in_progress",
                    "output_item.added",
                    "content_part.added",
                    "output_text.delta",
                    "output_text.delta",
                    "output_text.delta",
                    "output_text.done",
                    "content_part.done",
                    "output_item.done",
                    "completed",
                ]
            );
            let last = &parsed[10]["response"];
            assert_eq!(last["output"][0]["content"][0]["text"], json!("w0 w1 w2 "));
            assert_eq!(
                (
                    &last["usage"]["input_tokens"],
                    &last["usage"]["output_tokens"]
                ),
                (&json!(10), &json!(3))
            );
            fixture
                .assert_recorded()
                .assert_ended("ok", &[])
                .assert_usage(10, 3);
        }
        fixture.upstream.respond_with(
            Script::stream(dialect.stream(3))
                .only(4)
                .pause_ms_between(20),
        );
        let parsed = events(asks(&fixture, model, true, "").assert_status(200));
        assert_eq!(
            parsed.last().expect("an end")["type"],
            json!("response.failed"),
            "{parsed:?}"
        );
        assert_eq!(fixture.assert_recorded().0["status"], json!("truncated"));
    }
}

#[test]
fn t03_responses_body_on_chat_path_gets_responses_events() {
    let fixture = translated();
    fixture
        .upstream
        .respond_with(Script::stream(Chat.stream(1)));
    let response = fixture
        .user()
        .chat(&json!({"model": "m-small", "input": "say it", "stream": true}));
    assert_eq!(
        kinds(&events(response.assert_status(200))).last(),
        Some(&"completed")
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 1);
}

/// An answer of Anthropic's: thoughts with a signature, and a call of this tool.
fn messages_call(name: &str, arguments: &str) -> Vec<String> {
    let event = |data: Value| {
        format!(
            "event: {}\ndata: {data}\n\n",
            data["type"].as_str().expect("a type")
        )
    };
    let delta = |index: u64, delta: Value| {
        event(json!({"type": "content_block_delta", "index": index, "delta": delta}))
    };
    let start = |index: u64, block: Value| {
        event(json!({"type": "content_block_start", "index": index, "content_block": block}))
    };
    let stop = |index: u64| event(json!({"type": "content_block_stop", "index": index}));
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "c-small", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 40, "output_tokens": 1}});
    let (half, rest) = arguments.split_at(arguments.len() / 2);
    vec![
        event(json!({"type": "message_start", "message": message})),
        start(
            0,
            json!({"type": "thinking", "thinking": "", "signature": ""}),
        ),
        delta(
            0,
            json!({"type": "thinking_delta", "thinking": "I shall run it."}),
        ),
        delta(
            0,
            json!({"type": "signature_delta", "signature": "EqQBCgIYAhIM+/="}),
        ),
        stop(0),
        start(
            1,
            json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}),
        ),
        delta(1, json!({"type": "input_json_delta", "partial_json": half})),
        delta(1, json!({"type": "input_json_delta", "partial_json": rest})),
        stop(1),
        event(
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
            "usage": {"output_tokens": 30}}),
        ),
        event(json!({"type": "message_stop"})),
    ]
}

/// Sends a body, streamed, and gives the items of the answer.
#[track_caller]
fn items(fixture: &Fixture, body: &Value, script: Script) -> Vec<Value> {
    fixture.upstream.respond_with(script);
    let response = fixture.user().post(PATH, body);
    let parsed = events(response.assert_status(200));
    fixture.assert_recorded().assert_ended("ok", &[]);
    parsed.last().expect("the end")["response"]["output"]
        .as_array()
        .expect("items")
        .clone()
}

#[test]
fn t06_r06_codex_tool_round_trip_on_anthropic_keeps_signed_thinking() {
    let fixture = translated();
    let mut body: Value = serde_json::from_str(&codex("tools-1")).expect("JSON");
    body["model"] = json!("c-small");
    let script = Script::stream(messages_call("exec_command", r#"{"cmd":"echo hi"}"#));
    let parsed = items(&fixture, &body, script);
    assert_eq!(
        parsed[0]["summary"],
        json!([{"type": "summary_text", "text": "I shall run it."}])
    );
    assert_eq!(
        (&parsed[1]["type"], &parsed[1]["call_id"]),
        (&json!("function_call"), &json!("toolu_1"))
    );
    assert_eq!(parsed[1]["arguments"], json!(r#"{"cmd":"echo hi"}"#));

    let input = body["input"].as_array_mut().expect("items");
    input.extend(parsed);
    input.push(json!({"type": "function_call_output", "call_id": "toolu_1", "output": "hi\n"}));
    let dialect = super::fixture::Messages;
    let parsed = items(&fixture, &body, Script::stream(dialect.stream(2)));
    assert_eq!(parsed[0]["content"][0]["text"], json!("w0 w1 "));
    let sent: Value = serde_json::from_slice(&fixture.upstream.last_request().body).expect("JSON");
    let turns = sent["messages"].as_array().expect("turns");
    let (call, result) = (
        &turns[turns.len() - 2]["content"],
        &turns[turns.len() - 1]["content"],
    );
    assert_eq!(
        call[0],
        json!({"type": "thinking", "thinking": "I shall run it.", "signature": "EqQBCgIYAhIM+/="}),
        "{call}"
    );
    assert_eq!(
        (&call[1]["id"], &call[1]["input"]),
        (&json!("toolu_1"), &json!({"cmd": "echo hi"})),
        "{call}"
    );
    assert_eq!(
        (&result[0]["type"], &result[0]["tool_use_id"]),
        (&json!("tool_result"), &json!("toolu_1")),
        "{result}"
    );
    let tools: Vec<&str> = sent["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .collect();
    assert!(
        tools.contains(&"apply_patch")
            && tools.contains(&"tool_search")
            && !tools.contains(&"web_search"),
        "{tools:?}"
    );
    assert!(!sent.to_string().contains("gk1."), "the seal is opened");
}

#[test]
fn e27_namespaced_custom_tool_call_is_restored() {
    let fixture = translated();
    let mut body: Value = serde_json::from_str(&codex("additional-tools-1")).expect("JSON");
    body["model"] = json!("c-small");
    let parsed = items(
        &fixture,
        &body,
        Script::stream(messages_call(
            "functions__exec",
            r#"{"input":"text(\"hi\")"}"#,
        )),
    );
    let call = &parsed[1];
    assert_eq!(
        (&call["type"], &call["namespace"], &call["name"]),
        (
            &json!("custom_tool_call"),
            &json!("functions"),
            &json!("exec")
        )
    );
    assert_eq!(call["input"], json!("text(\"hi\")"));
}

#[test]
fn hosted_tools_dropped_in_translation_do_not_unbound_cost() {
    let mut fixture = translated();
    let team = fixture.gatekeeper.team_with_budget("spare", "1");
    let key = fixture.gatekeeper.key_of(&team);
    fixture.upstream.respond_with(Script::unary(200, r#"{"id":"c1","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":3}}"#));
    let body = r#"{"model":"m-small","input":"hi","tools":[{"type":"web_search"},{"type":"function","name":"f","parameters":{}}]}"#;
    let response = fixture
        .gatekeeper
        .user(&key)
        .post_bytes(PATH, body.as_bytes());
    assert_eq!(
        response
            .assert_status(200)
            .header("x-gatekeeper-dropped-params"),
        Some("tools.web_search")
    );
    let whole = response.json();
    assert_eq!(
        (&whole["status"], &whole["output"][0]["content"][0]["text"]),
        (&json!("completed"), &json!("yes"))
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 3);
}

#[test]
fn responses_server_state_is_refused_in_translation() {
    let fixture = translated();
    for (more, param) in [
        (
            r#","previous_response_id":"resp_1""#,
            "previous_response_id",
        ),
        (r#","conversation":"conv_1""#, "conversation"),
        (
            r#","tools":[{"type":"web_search"}],"tool_choice":{"type":"web_search"}"#,
            "tool_choice",
        ),
    ] {
        assert_refusal_at(
            Chat,
            &asks(&fixture, "c-small", false, more),
            400,
            "invalid_request_error",
            param,
        );
    }
    let reference = r#"{"model":"c-small","input":[{"type":"item_reference","id":"rs_1"}]}"#;
    let message = assert_refusal_at(
        Chat,
        &fixture.user().post_bytes(PATH, reference.as_bytes()),
        400,
        "invalid_request_error",
        "input",
    );
    assert!(message.contains("store: false"), "{message}");
    fixture.assert_no_call();
}

#[test]
fn responses_stream_silent_upstream_gets_ping_comments() {
    let upstream = Upstream::start();
    let fixture = Fixture::with_upstream(upstream, |setup| setup.setting("[limits]\nping_s = 1"));
    let [before, content, after] = Chat.events(1);
    fixture.upstream.respond_with(
        Script::stream([before.concat() + &content.concat(), after.concat()])
            .pause_ms_between(1_500),
    );
    let stream = fixture.user().open_stream(
        PATH,
        &json!({"model": "m-small", "input": "say it", "stream": true}),
    );
    let (parsed, _) = stream.read_events();
    let is_ping = |event: &SseEvent| event.raw.starts_with(b": ping");
    assert!(parsed.iter().any(is_ping), "{}", parsed.len());
    fixture.assert_recorded().assert_ended("ok", &[]);
}
