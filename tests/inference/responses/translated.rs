//! Translation: other vendors' responses become the full event sequence, tools and signed reasoning round-trip.

use serde_json::{Value, json};

use super::{PATH, codex, events, kinds, translated};
use crate::harness::client::{Response, SseEvent};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::inference::fixture::{Chat, Fixture, assert_refusal_at};

fn send(fixture: &Fixture, model: &str, streamed: bool, more: &str) -> Response {
    let body = format!(r#"{{"model":"{model}","input":"say it","stream":{streamed}{more}}}"#);
    fixture.user().post_bytes(PATH, body.as_bytes())
}

#[test]
fn t03_translated_text_has_full_responses_event_sequence() {
    let fixture = translated();
    for (dialect, model) in [
        (crate::inference::fixture::Chat, "m-small"),
        (crate::inference::fixture::Messages, "c-small"),
    ] {
        for script in [
            Script::stream(dialect.stream(3)),
            Script::stream(dialect.stream(3)).one_byte_per_write(),
        ] {
            fixture.upstream.respond_with(script);
            let response = send(&fixture, model, true, "");
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
        let parsed = events(send(&fixture, model, true, "").assert_status(200));
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

/// Stream of Anthropic: signed thinking and a call of this tool.
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

/// Sends a streamed request and returns the output items of the response.
#[track_caller]
fn output_items(fixture: &Fixture, body: &Value, script: Script) -> Vec<Value> {
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
    let parsed = output_items(&fixture, &body, script);
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
    let dialect = crate::inference::fixture::Messages;
    let parsed = output_items(&fixture, &body, Script::stream(dialect.stream(2)));
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
    let parsed = output_items(
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
            &send(&fixture, "c-small", false, more),
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
