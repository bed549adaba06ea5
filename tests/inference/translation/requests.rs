//! Requests: tools, options, images and documents are encoded in the vendor's dialect; dropped fields are reported.

use serde_json::{Value, json};

use super::{OPUS, SONNET, chat, fixture, messages, sent, sent_to_anthropic, sent_to_openai, tool};
use crate::harness::golden;
use crate::harness::script::Script;
use crate::inference::fixture::{Chat, Messages};

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
        "the mid-conversation instruction stays last: {sent}"
    );
    let dropped = response
        .header("x-gatekeeper-dropped-params")
        .expect("named");
    assert!(
        dropped.contains("context_management") && dropped.contains("x-anthropic-billing-header"),
        "{dropped}"
    );
}
