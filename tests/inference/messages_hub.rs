//! Chat clients before Anthropic, and clients of the messages dialect before vendors that speak chat: what the vendor is sent, and
//! that recordings of what it answers reach the client with the same content and the same record however the network cuts them.

use serde_json::{Value, json};

use super::fixture::{Chat, Fixture, Messages, assert_error};
use crate::harness::client::{Response, SseEvent};
use crate::harness::golden;
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const SONNET: &str = "claude-sonnet-4-5";
const OPUS: &str = "claude-opus-5-5";
/// The signature in the recording.
const SIGNATURE: &str = "EqoBCkgIARABGAIiQL2UoU0b1OHYi+yCHpBY7U6FQW8";

/// A house whose provider `claude` has models of two generations.
fn fixture() -> Fixture {
    let upstream = Upstream::start();
    let claude = Provider::anthropic("claude", &upstream).models(&[SONNET, OPUS]);
    Fixture::with_upstream(upstream, |setup| setup.provider(&claude))
}

/// Every way to deliver a recording.
fn deliveries(recording: &str) -> Vec<Script> {
    let cut = |recording: &str| {
        let crab = recording.find('🦀').expect("a letter of four bytes") + 2;
        let (head, tail) = recording.as_bytes().split_at(crab);
        Script::stream([head, tail]).pause_ms_between(20)
    };
    let other_ends = recording.replace('\n', "\r\n");
    vec![
        Script::stream([recording]),
        Script::stream([recording]).one_byte_per_write(),
        cut(recording),
        Script::stream([&other_ends]),
        Script::stream([&other_ends]).one_byte_per_write(),
        cut(&other_ends),
    ]
}

fn chat(model: &str, more: Value) -> Value {
    with(
        json!({"model": model, "messages": [{"role": "user", "content": "say it"}]}),
        more,
    )
}

fn messages(more: Value) -> Value {
    with(
        json!({"model": "m-small", "max_tokens": 500, "messages": [{"role": "user", "content": "say it"}]}),
        more,
    )
}

fn with(mut body: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("members") {
        body[name] = value.clone();
    }
    body
}

fn tool() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "description": "d",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}])
}

/// What the upstream was sent; the call has a record.
#[track_caller]
fn sent(fixture: &Fixture, path: &str, body: &Value) -> (Value, Response) {
    let response = fixture.user().post(path, body);
    response.assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    (fixture.upstream.last_request().json(), response)
}

#[track_caller]
fn sent_to_anthropic(fixture: &Fixture, body: &Value) -> Value {
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    sent(fixture, Chat.path(), body).0
}

#[track_caller]
fn sent_to_openai(fixture: &Fixture, body: &Value) -> Value {
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("openai/answer.json")));
    sent(fixture, Messages.path(), body).0
}

/// A chat stream as clients put it together: content, thoughts, calls by index, finish reason, usage.
fn chat_answer(events: &[SseEvent]) -> Value {
    let (mut content, mut reasoning, mut finish, mut usage) =
        (String::new(), String::new(), Value::Null, Value::Null);
    let mut calls: Vec<(Value, Value, String)> = Vec::new();
    for chunk in events.iter().map(SseEvent::json) {
        let choice = &chunk["choices"][0];
        content.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        reasoning.push_str(
            choice["delta"]["reasoning_content"]
                .as_str()
                .unwrap_or_default(),
        );
        for call in choice["delta"]["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let index = call["index"].as_u64().expect("an index") as usize;
            if index == calls.len() {
                calls.push((
                    call["id"].clone(),
                    call["function"]["name"].clone(),
                    String::new(),
                ));
            }
            calls[index]
                .2
                .push_str(call["function"]["arguments"].as_str().unwrap_or_default());
        }
        for (place, value) in [
            (&mut finish, &choice["finish_reason"]),
            (&mut usage, &chunk["usage"]),
        ] {
            if !value.is_null() {
                *place = value.clone();
            }
        }
    }
    assert_eq!(
        events.last().map(|event| event.data.as_str()),
        Some("[DONE]")
    );
    json!({"content": content, "reasoning": reasoning, "calls": calls, "finish": finish, "usage": usage})
}

/// A messages stream as the SDK's accumulator puts it together, its order checked.
fn message(events: &[SseEvent]) -> Value {
    let mut message = Value::Null;
    let mut open: Option<usize> = None;
    for event in events.iter().filter(|event| !event.data.is_empty()) {
        let data = event.json();
        assert_eq!(data["type"], json!(event.name));
        let index = data["index"].as_u64().map(|index| index as usize);
        match event.name.as_str() {
            "message_start" => message = data["message"].clone(),
            "content_block_start" => {
                let content = message["content"]
                    .as_array_mut()
                    .expect("a start comes first");
                assert_eq!((open, index), (None, Some(content.len())));
                content.push(data["content_block"].clone());
                open = index;
            }
            "content_block_delta" => {
                assert_eq!(open, index);
                let block = &mut message["content"][index.expect("an index")];
                for (delta, member) in [
                    ("text", "text"),
                    ("thinking", "thinking"),
                    ("signature", "signature"),
                    ("partial_json", "json"),
                ] {
                    if let Some(more) = data["delta"][delta].as_str() {
                        block[member] = json!(format!(
                            "{}{more}",
                            block[member].as_str().unwrap_or_default()
                        ));
                    }
                }
            }
            "content_block_stop" => assert_eq!(open.take(), index),
            "message_delta" => {
                message["stop_reason"] = data["delta"]["stop_reason"].clone();
                message["usage"] = data["usage"].clone();
            }
            _ => {}
        }
    }
    assert_eq!(
        events.last().map(|event| event.name.as_str()),
        Some("message_stop")
    );
    message
}

#[test]
fn t01_chat_client_on_anthropic_gets_text_and_usage() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    let response = fixture
        .user()
        .post(Chat.path(), &chat(SONNET, json!({})))
        .json();
    assert_eq!(response["choices"][0]["message"]["content"], "Hello 🦀!");
    assert_eq!(response["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        fixture.assert_recorded().assert_ended("ok", &[]).output(),
        5
    );
    for script in deliveries(&golden("anthropic/text.sse")) {
        fixture.upstream.respond_with(script);
        let body = chat(
            SONNET,
            json!({"stream": true, "stream_options": {"include_usage": true}}),
        );
        let parsed = chat_answer(
            &fixture
                .user()
                .open_stream(Chat.path(), &body)
                .read_events()
                .0,
        );
        assert_eq!(
            (&parsed["content"], &parsed["finish"]),
            (&json!("Hello 🦀!"), &json!("stop"))
        );
        assert_eq!(
            (
                &parsed["usage"]["prompt_tokens"],
                &parsed["usage"]["completion_tokens"]
            ),
            (&json!(10), &json!(5))
        );
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 5);
    }
    let request = fixture.upstream.last_request();
    assert_eq!(
        (request.target(), request.header("anthropic-version")),
        ("/v1/messages", Some("2023-06-01"))
    );
}

#[test]
fn t02_messages_client_on_openai_gets_ordered_events_and_usage() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("openai/answer.json")));
    let response = fixture
        .user()
        .post(Messages.path(), &messages(json!({})))
        .json();
    assert_eq!(
        response["content"],
        json!([{"type": "text", "text": "Hello 🦀!"}])
    );
    assert_eq!(
        (
            &response["stop_reason"],
            &response["role"],
            &response["type"]
        ),
        (&json!("end_turn"), &json!("assistant"), &json!("message"))
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(26, 7);
    let mut ids = vec![response["id"].clone()];
    for script in deliveries(&golden("openai/text.sse")) {
        fixture.upstream.respond_with(script);
        let message = message(
            &fixture
                .user()
                .open_stream(Messages.path(), &messages(json!({"stream": true})))
                .read_events()
                .0,
        );
        assert_eq!(
            message["content"],
            json!([{"type": "text", "text": "Hello 🦀!"}])
        );
        assert_eq!(message["stop_reason"], "end_turn");
        assert_eq!(message["usage"]["output_tokens"], 7);
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(26, 7);
        ids.push(message["id"].clone());
    }
    let count = ids.len();
    ids.sort_by_key(Value::to_string);
    ids.dedup();
    assert_eq!(ids.len(), count, "every response has an id of its own");
}

#[test]
fn u01_chat_client_on_anthropic_gets_tool_call_from_partial_json() {
    let fixture = fixture();
    for script in deliveries(&golden("anthropic/thinking_tool.sse")) {
        fixture.upstream.respond_with(script);
        let body = chat(
            SONNET,
            json!({"stream": true, "tools": tool(), "stream_options": {"include_usage": true}}),
        );
        let parsed = chat_answer(
            &fixture
                .user()
                .open_stream(Chat.path(), &body)
                .read_events()
                .0,
        );
        let call = json!([
            "toolu_01T1x1fJ34qAmk2tNTrN7Up6",
            "weather",
            "{\"city\":\"Köln 🦀\",\"unit\":\"c\"}"
        ]);
        assert_eq!(
            (&parsed["calls"], &parsed["finish"]),
            (&json!([call]), &json!("tool_calls"))
        );
        assert_eq!(
            (&parsed["content"], &parsed["reasoning"]),
            (
                &json!("Let me look."),
                &json!("They ask for the weather 🦀.")
            )
        );
        // 14 uncached, 30 written to the cache, 200 read from it
        assert_eq!(
            (
                &parsed["usage"]["prompt_tokens"],
                &parsed["usage"]["completion_tokens"]
            ),
            (&json!(244), &json!(89))
        );
        assert_eq!(
            parsed["usage"]["prompt_tokens_details"]["cached_tokens"],
            200
        );
        fixture.assert_recorded().assert_ended("ok", &[]);
    }
}

#[test]
fn c01_cache_tokens_count_as_prompt_and_are_charged_by_class() {
    let upstream = Upstream::start();
    let claude = Provider::anthropic("claude", &upstream)
        .models(&[SONNET])
        .priced_by("sheet");
    let fixture = Fixture::with_upstream(upstream, |setup| setup.provider(&claude));
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    let response = fixture
        .user()
        .post(Chat.path(), &chat(SONNET, json!({})))
        .json();
    assert_eq!(response["usage"]["prompt_tokens"], 244);
    assert_eq!(
        response["usage"]["prompt_tokens_details"]["cached_tokens"],
        200
    );
    let row = fixture.assert_recorded();
    row.assert_ended("ok", &[]);
    // 14 at $3, 10 at $3.75, 20 at $6, 200 at $0.30, 5 at $15 per million, and three searches at a cent
    let tokens = 14 * 3_000_000 + 10 * 3_750_000 + 20 * 6_000_000 + 200 * 300_000 + 5 * 15_000_000;
    assert_eq!(row.cost(), tokens + 3 * 10_000_000_000, "{}", row.0);
}

#[test]
fn c02_messages_input_tokens_exclude_cached_tokens() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("openai/answer.json")));
    let usage = fixture
        .user()
        .post(Messages.path(), &messages(json!({})))
        .json()["usage"]
        .clone();
    assert_eq!(
        (
            &usage["input_tokens"],
            &usage["cache_read_input_tokens"],
            &usage["output_tokens"]
        ),
        (&json!(5), &json!(21), &json!(7))
    );
    fixture.assert_recorded().assert_ended("ok", &[]);
}

#[test]
fn e02_interleaved_parallel_calls_become_consecutive_blocks() {
    let fixture = fixture();
    for script in deliveries(&golden("openai/parallel_tools.sse")) {
        fixture.upstream.respond_with(script);
        let message = message(
            &fixture
                .user()
                .open_stream(Messages.path(), &messages(json!({"stream": true})))
                .read_events()
                .0,
        );
        assert_eq!(message["stop_reason"], "tool_use");
        let calls: Vec<(&Value, &Value)> = message["content"]
            .as_array()
            .expect("blocks")
            .iter()
            .map(|block| (&block["name"], &block["json"]))
            .collect();
        assert_eq!(
            calls,
            [
                (&json!("weather"), &json!("{\"city\":\"Köln 🦀\"}")),
                (&json!("time"), &json!("{\"zone\":\"CET\"}"))
            ]
        );
        fixture.assert_recorded().assert_ended("ok", &[]);
    }
}

#[test]
fn u04_failed_tool_result_with_image_is_kept() {
    let fixture = fixture();
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}});
    let body = messages(json!({"messages": [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true,
            "content": [{"type": "text", "text": "no such file"}, image]}]}]}));
    let sent = sent_to_openai(&fixture, &body);
    let messages = sent["messages"].as_array().expect("messages");
    let result = messages
        .iter()
        .find(|message| message["role"] == "tool")
        .expect("a result");
    assert_eq!(result["tool_call_id"], "toolu_1");
    let parsed = result["content"].to_string();
    assert!(
        parsed.contains("no such file") && parsed.to_lowercase().contains("error"),
        "{parsed}"
    );
    assert!(
        sent.to_string()
            .contains("data:image/png;base64,iVBORw0KGgo="),
        "{sent}"
    );
}

#[test]
fn u05_tool_choice_is_encoded_for_anthropic() {
    let fixture = fixture();
    for (choice, expected) in [
        (json!("none"), json!({"type": "none"})),
        (json!("auto"), Value::Null),
        (json!("required"), json!({"type": "any"})),
        (
            json!({"type": "function", "function": {"name": "weather"}}),
            json!({"type": "tool", "name": "weather"}),
        ),
    ] {
        let sent = sent_to_anthropic(
            &fixture,
            &chat(SONNET, json!({"tools": tool(), "tool_choice": choice})),
        );
        assert_eq!(sent["tool_choice"], expected);
        assert_eq!(
            sent["tools"][0]["input_schema"]["properties"]["city"]["type"],
            "string"
        );
    }
    let sent = sent_to_anthropic(
        &fixture,
        &chat(
            SONNET,
            json!({"tools": tool(), "parallel_tool_calls": false}),
        ),
    );
    assert_eq!(
        sent["tool_choice"],
        json!({"type": "auto", "disable_parallel_tool_use": true})
    );
}

#[test]
fn u09_long_tool_name_is_shortened_and_restored() {
    let fixture = fixture();
    let long = format!("mcp__server__{}", "x".repeat(87));
    fixture.upstream.respond_with(Script::from_request(|request| {
        let name = request.json()["tools"][0]["function"]["name"].clone();
        let call = json!({"id": "call_1", "type": "function", "function": {"name": name, "arguments": "{}"}});
        let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
        Script::json(
            200,
            &json!({"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5}}),
        )
    }));
    let body = messages(json!({"tools": [{"name": long, "input_schema": {"type": "object"}}]}));
    let (sent, response) = sent(&fixture, Messages.path(), &body);
    assert!(
        sent["tools"][0]["function"]["name"]
            .as_str()
            .is_some_and(|name| name.len() <= 64),
        "{sent}"
    );
    assert_eq!(response.json()["content"][0]["name"], json!(long));
}

#[test]
fn r01_effort_becomes_thinking_budget_below_output_cap() {
    let fixture = fixture();
    let high = |model, cap: u64| {
        chat(
            model,
            json!({"reasoning_effort": "high", "max_tokens": cap}),
        )
    };
    let thinking = |body: &Value| {
        let sent = sent_to_anthropic(&fixture, body);
        (
            sent["thinking"].clone(),
            sent["output_config"].clone(),
            sent["max_tokens"].clone(),
        )
    };
    assert_eq!(
        thinking(&high(SONNET, 800)),
        (Value::Null, Value::Null, json!(800))
    );
    assert_eq!(
        thinking(&high(SONNET, 2_000)).0,
        json!({"type": "enabled", "budget_tokens": 1_999})
    );
    assert_eq!(
        thinking(&high(OPUS, 800)),
        (
            json!({"type": "adaptive"}),
            json!({"effort": "high"}),
            json!(800)
        )
    );
}

#[test]
fn r02_adaptive_thinking_becomes_nearest_effort() {
    let fixture = fixture();
    let body =
        messages(json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}));
    let sent = sent_to_openai(&fixture, &body);
    assert_eq!(sent["reasoning_effort"], "high");
    assert!(
        sent.get("thinking").is_none() && sent.get("output_config").is_none(),
        "{sent}"
    );
}

#[test]
fn r03_chat_reasoning_becomes_unsigned_thinking_block() {
    let fixture = fixture();
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!(
            "data: {}\n\n",
            json!({"id": "c", "object": "chat.completion.chunk", "choices": [choice]})
        )
    };
    let usage =
        json!({"id": "c", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
    fixture.upstream.respond_with(Script::stream([
        chunk(json!({"role": "assistant", "reasoning": "hm"}), Value::Null),
        chunk(json!({"reasoning": " so"}), Value::Null),
        chunk(json!({"content": "It is."}), Value::Null),
        chunk(json!({}), json!("stop")),
        format!("data: {usage}\n\n"),
        "data: [DONE]\n\n".to_owned(),
    ]));
    let message = message(
        &fixture
            .user()
            .open_stream(Messages.path(), &messages(json!({"stream": true})))
            .read_events()
            .0,
    );
    assert_eq!(
        message["content"],
        json!([{"type": "thinking", "thinking": "hm so", "signature": ""}, {"type": "text", "text": "It is."}])
    );
    fixture
        .assert_recorded()
        .assert_ended("ok", &[])
        .assert_usage(10, 5);
}

#[test]
fn m01_data_url_image_becomes_anthropic_base64() {
    let fixture = fixture();
    let image =
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}});
    let body = chat(
        SONNET,
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "what is it"}, image]}]}),
    );
    assert_eq!(
        sent_to_anthropic(&fixture, &body)["messages"][0]["content"][1],
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}})
    );
}

#[test]
fn m04_document_becomes_openai_file() {
    let fixture = fixture();
    let document = json!({"type": "document", "title": "report.pdf",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}});
    let body = messages(
        json!({"messages": [{"role": "user", "content": [document, {"type": "text", "text": "sum up"}]}]}),
    );
    let sent = sent_to_openai(&fixture, &body);
    assert_eq!(
        sent["messages"][0]["content"][0]["file"]["file_data"],
        "data:application/pdf;base64,JVBERi0=",
        "{sent}"
    );
}

#[test]
fn m05_response_schema_becomes_anthropic_output_config() {
    let fixture = fixture();
    let schema =
        json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
    let sent = sent_to_anthropic(&fixture, &chat(SONNET, json!({"response_format": format})));
    let format = &sent["output_config"]["format"];
    assert_eq!(
        (&format["type"], &format["schema"]["additionalProperties"]),
        (&json!("json_schema"), &json!(false))
    );
}

#[test]
fn m06_stop_becomes_anthropic_stop_sequences() {
    let fixture = fixture();
    for (stop, expected) in [
        (json!("END"), json!(["END"])),
        (json!(["a", "b", "c"]), json!(["a", "b", "c"])),
    ] {
        fixture
            .upstream
            .respond_with(Script::unary(200, golden("anthropic/answer.json")));
        let (sent, response) = sent(&fixture, Chat.path(), &chat(SONNET, json!({"stop": stop})));
        assert_eq!(sent["stop_sequences"], expected);
        assert_eq!(response.json()["choices"][0]["finish_reason"], "stop");
    }
}

#[test]
fn e21_unsupported_sampling_is_dropped_and_reported() {
    let fixture = fixture();
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    let (body, response) = sent(
        &fixture,
        Chat.path(),
        &chat(OPUS, json!({"temperature": 0.5, "seed": 7})),
    );
    assert!(
        body.get("temperature").is_none() && body.get("seed").is_none(),
        "{body}"
    );
    assert_eq!(
        response.header("x-gatekeeper-dropped-params"),
        Some("seed, temperature")
    );
    assert_eq!(
        sent_to_anthropic(&fixture, &chat(SONNET, json!({"temperature": 0.5})))["temperature"],
        json!(0.5)
    );
}

#[test]
fn p06_claude_code_request_on_chat_vendor_has_no_anthropic_fields() {
    let fixture = fixture();
    let body = messages(json!({
        "system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197; cch=0"},
            {"type": "text", "text": "You are Claude Code", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "say OK", "cache_control": {"type": "ephemeral"}}]},
            {"role": "system", "content": "be brief"}],
        "tools": [{"name": "Bash", "description": "d", "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object", "properties": {}, "additionalProperties": false}}],
        "metadata": {"user_id": "{\"device_id\":\"d\"}"}, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}));
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("openai/answer.json")));
    let caller = fixture
        .user()
        .with("anthropic-version", "2023-06-01")
        .with("anthropic-beta", "mid-conversation-system-2026-04-07");
    let response = caller.post("/v1/messages?beta=true", &body);
    response.assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    let request = fixture.upstream.last_request();
    let sent = request.json().to_string();
    for word in [
        "anthropic",
        "cache_control",
        "context_management",
        "thinking",
        "output_config",
        "input_schema",
        "metadata",
    ] {
        assert!(!sent.contains(word), "{word} in {sent}");
    }
    assert_eq!(
        (
            request.header("anthropic-beta"),
            request.header("anthropic-version")
        ),
        (None, None)
    );
    let texts: Vec<Value> = request.json()["messages"]
        .as_array()
        .expect("messages")
        .clone();
    assert!(
        texts
            .last()
            .expect("a message")
            .to_string()
            .contains("be brief"),
        "the late instruction stays last: {sent}"
    );
    let dropped = response
        .header("x-gatekeeper-dropped-params")
        .expect("named");
    assert!(
        dropped.contains("context_management") && dropped.contains("x-anthropic-billing-header"),
        "{dropped}"
    );
}

#[test]
fn e08_foreign_reasoning_is_removed_for_anthropic() {
    let fixture = fixture();
    let own = json!({"type": "thinking", "thinking": "mine", "signature": SIGNATURE});
    let foreign = json!({"type": "thinking", "thinking": "theirs", "signature": ""});
    let said = |text: &str| json!({"type": "text", "text": text});
    let turn = |role: &str, content: Value| json!({"role": role, "content": content});
    let turns = |first: Value| {
        json!([
            turn("user", json!("one")),
            first,
            turn("user", json!("two")),
            turn("assistant", json!([own, said("b")])),
            turn("user", json!("three"))
        ])
    };
    let body = |turns: Value| {
        with(
            messages(json!({"messages": turns})),
            json!({"model": SONNET}),
        )
    };
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    let (sent, response) = sent(
        &fixture,
        Messages.path(),
        &body(turns(turn("assistant", json!([foreign, said("a")])))),
    );
    assert_eq!(
        sent["messages"],
        turns(turn("assistant", json!([said("a")])))
    );
    assert_eq!(response.text(), golden("anthropic/answer.json"));
}

#[test]
fn p04_signed_and_redacted_thinking_pass_through_both_ways() {
    let fixture = fixture();
    let recording = golden("anthropic/thinking_tool.sse");
    for script in deliveries(&recording) {
        fixture.upstream.respond_with(script);
        let body = with(messages(json!({"stream": true})), json!({"model": SONNET}));
        let (bytes, _) = fixture
            .user()
            .open_stream(Messages.path(), &body)
            .read_bytes();
        let parsed = String::from_utf8(bytes).expect("UTF-8").replace('\r', "");
        let parsed: Vec<&str> = parsed
            .split_inclusive("\n\n")
            .filter(|event| !event.starts_with(": x-gatekeeper-cost"))
            .collect();
        assert_eq!(parsed.concat(), recording);
        fixture.assert_recorded().assert_ended("ok", &[]);
    }
    let text = format!(
        r#"{{"model":"{SONNET}","max_tokens":500, "messages":[{{"role":"user","content":"one"}},{{"role":"assistant","content":[{{"type":"thinking","thinking":"hm","signature":"{SIGNATURE}"}}, {{"type":"redacted_thinking","data":"cmVk"}},{{"type":"text","text":"a"}}]}},{{"role":"user","content":"two"}}]}}"#
    );
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    fixture
        .user()
        .post_bytes(Messages.path(), text.as_bytes())
        .assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    assert_eq!(
        String::from_utf8_lossy(&fixture.upstream.last_request().body),
        text
    );
}

#[test]
fn x01_anthropic_overloaded_is_reported_in_chat_shape() {
    let fixture = fixture();
    let refusal = Messages.rejection("overloaded_error", "Overloaded");
    fixture
        .upstream
        .respond_with(Script::json(529, &refusal).header("retry-after", "7"));
    let response = fixture.user().post(Chat.path(), &chat(SONNET, json!({})));
    assert!([503, 529].contains(&response.status), "{}", response.text());
    assert_eq!(response.header("retry-after"), Some("7"));
    let error = &response.json()["error"];
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| message.contains("Overloaded"))
            && error["type"].is_string()
    );
    fixture
        .assert_recorded()
        .assert_ended("upstream_error", &[]);
    let event = Messages.error_event("overloaded_error", "Overloaded");
    let head: Vec<String> = Messages.events(3)[..2].concat();
    fixture
        .upstream
        .respond_with(Script::stream(head.into_iter().chain([event])).pause_ms_between(50));
    let response = fixture
        .user()
        .post(Chat.path(), &chat(SONNET, json!({"stream": true})));
    let text = response.assert_status(200).text();
    assert!(
        text.contains("Overloaded") && !text.contains("[DONE]"),
        "{text}"
    );
    fixture.assert_recorded();
}

#[test]
fn x04_context_length_exceeded_is_invalid_request_for_messages_client() {
    let fixture = fixture();
    fixture.upstream.respond_with(Script::json(
        400,
        &Chat.rejection(
            "context_length_exceeded",
            "maximum context length is 8192 tokens",
        ),
    ));
    let response = fixture.user().post(Messages.path(), &messages(json!({})));
    response.assert_status(400);
    assert_error(Messages, &response.json(), "invalid_request_error");
    assert!(
        response.text().contains("maximum context length"),
        "{}",
        response.text()
    );
    assert_eq!(fixture.upstream.request_count(), 1, "not tried again");
    fixture
        .assert_recorded()
        .assert_ended("upstream_error", &[]);
}

#[test]
fn translated_stream_truncated_ends_in_error_event() {
    let fixture = fixture();
    let cut = |recording: &str, end: &str| {
        let recording = golden(recording);
        let end = recording.find(end).expect("an end");
        Script::stream([&recording[..end]])
    };
    fixture
        .upstream
        .respond_with(cut("anthropic/text.sse", "event: message_stop"));
    let text = fixture
        .user()
        .post(Chat.path(), &chat(SONNET, json!({"stream": true})))
        .text();
    assert!(
        text.contains("broke off") && !text.contains("[DONE]"),
        "{text}"
    );
    fixture.assert_recorded().assert_ended("truncated", &[]);
    fixture
        .upstream
        .respond_with(cut("openai/text.sse", "data: [DONE]"));
    let text = fixture
        .user()
        .post(Messages.path(), &messages(json!({"stream": true})))
        .text();
    assert!(
        text.contains("event: error") && !text.contains("message_stop"),
        "{text}"
    );
    fixture.assert_recorded().assert_ended("truncated", &[]);
}

#[test]
fn reasoning_memory_purge_removes_entries() {
    let fixture = fixture();
    first_turn(&fixture, true);
    assert_eq!(thoughts(&fixture, None)[0]["type"], "thinking");
    let purged = fixture.gatekeeper.admin().delete("/v1/reasoning-memory");
    assert_eq!(
        purged.assert_status(200).json(),
        json!({"object": "purge", "entries": 1})
    );
    assert_eq!(thoughts(&fixture, None)[0]["type"], "text");
    first_turn(&fixture, true);
    let parsed = fixture.gatekeeper.run(&["memory", "purge"]);
    assert!(
        String::from_utf8_lossy(&parsed.stdout).starts_with("1 entries"),
        "{parsed:?}"
    );
    assert_eq!(thoughts(&fixture, None)[0]["type"], "text");
}

/// A chat client's second turn after a call.
fn second_turn(model: &str, id: &str, more: Value) -> Value {
    let call = json!({"id": id, "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Köln\"}"}});
    let turns = json!([
        {"role": "user", "content": "how is the weather"},
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": id, "content": "sunny"}]);
    with(
        json!({"model": model, "messages": turns, "tools": tool()}),
        more,
    )
}

const CALL: &str = "toolu_01T1x1fJ34qAmk2tNTrN7Up6";

/// A chat client calls the tool once, whole or in a stream.
#[track_caller]
fn first_turn(fixture: &Fixture, streamed: bool) {
    fixture
        .upstream
        .respond_with(Script::stream([golden("anthropic/thinking_tool.sse")]));
    let body = chat(
        SONNET,
        json!({"stream": true, "tools": tool(), "reasoning_effort": "high"}),
    );
    if streamed {
        fixture.user().post(Chat.path(), &body).assert_status(200);
    } else {
        let signature = json!({"type": "thinking", "thinking": "They ask for the weather 🦀.", "signature": SIGNATURE});
        let call =
            json!({"type": "tool_use", "id": CALL, "name": "weather", "input": {"city": "Köln"}});
        fixture.upstream.respond_with(Script::json(
            200,
            &json!({"id": "m", "type": "message", "content": [signature, call],
            "stop_reason": "tool_use", "usage": {"input_tokens": 10, "output_tokens": 5}}),
        ));
        fixture
            .user()
            .post(Chat.path(), &with(body, json!({"stream": false})))
            .assert_status(200);
    }
    fixture.assert_recorded().assert_ended("ok", &[]);
}

#[track_caller]
fn thoughts(fixture: &Fixture, key: Option<&crate::harness::process::Key>) -> Value {
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    let caller = key.map_or_else(|| fixture.user(), |key| fixture.gatekeeper.user(key));
    caller
        .post(
            Chat.path(),
            &second_turn(SONNET, CALL, json!({"reasoning_effort": "high"})),
        )
        .assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    let sent = fixture.upstream.last_request().json();
    assert_eq!(
        sent["messages"][2]["content"][0]["tool_use_id"], CALL,
        "{sent}"
    );
    sent["messages"][1]["content"].clone()
}

#[test]
fn e07_reasoning_signature_returns_to_anthropic_across_restart() {
    for streamed in [true, false] {
        let mut fixture = fixture();
        first_turn(&fixture, streamed);
        for restarted in [false, true] {
            if restarted {
                fixture.gatekeeper.restart();
            }
            let content = thoughts(&fixture, None);
            assert_eq!(
                content[0]["thinking"], "They ask for the weather 🦀.",
                "{content}"
            );
            assert!(
                content[0]["signature"]
                    .as_str()
                    .is_some_and(|signature| signature.starts_with(SIGNATURE)),
                "{content}"
            );
            assert_eq!(
                (&content[1]["type"], &content[2]["type"]),
                (&json!("text"), &json!("tool_use"))
            );
            assert!(
                fixture.upstream.last_request().json()["thinking"].is_object(),
                "thinking goes on"
            );
        }
    }
}

#[test]
fn reasoning_memory_is_private_to_team_and_can_be_disabled() {
    let mut fixture = fixture();
    first_turn(&fixture, true);
    let other = fixture
        .gatekeeper
        .team(&json!({"name": "other", "models": ["*"]}));
    let key = fixture.gatekeeper.key_of(&other);
    assert_eq!(thoughts(&fixture, Some(&key))[0]["type"], "text");
    assert!(
        fixture
            .upstream
            .last_request()
            .json()
            .get("thinking")
            .is_none(),
        "what cannot be had is not asked for"
    );
    assert_eq!(thoughts(&fixture, None)[0]["type"], "thinking");

    let upstream = Upstream::start();
    let claude = Provider::anthropic("claude", &upstream).models(&[SONNET]);
    let off = Fixture::with_upstream(upstream, |setup| {
        setup
            .provider(&claude)
            .setting("[reasoning_memory]\nenabled = false")
    });
    first_turn(&off, true);
    assert_eq!(thoughts(&off, None)[0]["type"], "text");
    assert!(!off.gatekeeper.data.join("memory.redb").exists());
}
