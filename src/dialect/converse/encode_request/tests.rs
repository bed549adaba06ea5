//! Converse bodies that chat requests are encoded to.

use serde_json::{Value, json};

use super::*;
use crate::conversation::{
    Capabilities, Effort, Origin, ReasoningStyle, StateSealer, SystemTurns, ToolNames,
};
use crate::dialect::{Operation, decode_request, field_names};

const CLAUDE: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";

const CAPABILITIES: Capabilities = Capabilities {
    tool_choice_none: false,
    parallel_switch: false,
    system_turns: SystemTurns::First,
    reasoning: ReasoningStyle::Budget {
        min: 1_024,
        max: 60_000,
    },
    ..Capabilities::all()
};

fn sealer() -> StateSealer {
    StateSealer::new([7; 32])
}

fn canonical_request(chat_body: &Value) -> ChatRequest {
    let request = crate::dialect::read(
        Dialect::Chat,
        Operation::Conversation,
        chat_body.to_string().into(),
    )
    .expect("a chat request");
    decode_request(&request, &sealer()).expect("a canonical request")
}

fn encode_options<'a>(
    model: &'a str,
    capabilities: &'a Capabilities,
    names: &'a ToolNames,
) -> EncodeOptions<'a> {
    EncodeOptions {
        model,
        capabilities,
        names,
        output_cap: None,
        output_max: 1_000,
        output_cap_field: "max_tokens",
        stream_usage_opt_in: false,
    }
}

/// Encodes a chat request for a model.
fn encode_for(model: &str, capabilities: &Capabilities, chat_body: &Value) -> Value {
    let mut request = canonical_request(chat_body);
    request
        .fit(capabilities, field_names(Dialect::Chat), "b/m")
        .expect("a supported request");
    let names = ToolNames::of(&request, capabilities.names);
    let options = encode_options(model, capabilities, &names);
    serde_json::from_str(&encode_request(&request, &options)).expect("JSON")
}

/// Encodes chat messages and further fields for Claude.
fn encode(messages: Value, more: Value) -> Value {
    let mut body = json!({"model": "m", "messages": messages});
    body.as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    encode_for(CLAUDE, &CAPABILITIES, &body)
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "description": "", "parameters": {"properties": {}}}})
}

fn assistant_calls(ids: &[&str]) -> Value {
    let call = |id: &&str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"x\":1.0}"}});
    json!({"role": "assistant", "content": null, "tool_calls": ids.iter().map(call).collect::<Vec<_>>()})
}

fn result(id: &str, text: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": text})
}

#[test]
fn t01_converse_request_has_text_system_sampling_and_stops() {
    let messages = json!([
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes?"},
        {"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "go"}]},
    ]);
    let more = json!({"max_tokens": 50, "temperature": 0.5, "top_k": 7, "stop": ["END"], "service_tier": "flex"});
    let expected = json!({
        "messages": [
            {"role": "user", "content": [{"text": "hi"}]},
            {"role": "assistant", "content": [{"text": "yes?"}]},
            {"role": "user", "content": [{"text": "go"}]},
        ],
        "system": [{"text": "be brief"}],
        "inferenceConfig": {"maxTokens": 50, "temperature": 0.5, "stopSequences": ["END"]},
        "additionalModelRequestFields": {"top_k": 7},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
        "serviceTier": {"type": "flex"},
    });
    assert_eq!(encode(messages, more), expected);
    let least = json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]});
    assert_eq!(
        encode(
            json!([{"role": "user", "content": "hi"}]),
            json!({"service_tier": "auto"})
        ),
        least
    );
}

#[test]
fn converse_conversation_starts_with_user_and_prefill_is_trimmed() {
    let messages = json!([{"role": "assistant", "content": "hello"}, {"role": "user", "content": " "}, {"role": "assistant", "content": "I am \n"}]);
    let body = encode(messages, json!({}));
    let expected = json!([
        {"role": "user", "content": [{"text": OPENING}]},
        {"role": "assistant", "content": [{"text": "hello"}, {"text": "I am"}]},
    ]);
    assert_eq!(body["messages"], expected);
}

#[test]
fn u03_converse_results_are_one_user_message_in_call_order() {
    let messages = json!([
        {"role": "user", "content": "go"},
        assistant_calls(&["a", "b", "c"]),
        result("c", "of c"),
        result("a", ""),
        result("b", "of b"),
        {"role": "user", "content": "now"},
    ]);
    let body = encode(messages, json!({"tools": [tool("f")]}));
    let use_of = |id: &str| json!({"toolUse": {"toolUseId": id, "name": "f", "input": {"x": 1.0}}});
    let result = |id: &str, text: &str| json!({"toolResult": {"toolUseId": id, "content": [{"text": text}]}});
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"text": "go"}]},
            {"role": "assistant", "content": [use_of("a"), use_of("b"), use_of("c")]},
            {"role": "user", "content": [result("a", NO_OUTPUT), result("b", "of b"), result("c", "of c"), {"text": "now"}]},
        ])
    );
    let spec = json!({"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}}});
    assert_eq!(body["toolConfig"], json!({"tools": [spec]}));
}

#[test]
fn u06_converse_tool_choice_none_sends_calls_as_text() {
    let messages =
        json!([{"role": "user", "content": "go"}, assistant_calls(&["a"]), result("a", "done")]);
    let body = encode(
        messages,
        json!({"tools": [tool("f")], "tool_choice": "none"}),
    );
    assert_eq!(body.get("toolConfig"), None);
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"text": "go"}]},
            {"role": "assistant", "content": [{"text": "[f called with {\"x\":1.0}]"}]},
            {"role": "user", "content": [{"text": "[f returned:]"}, {"text": "done"}]},
        ])
    );
}

#[test]
fn u05_converse_tool_choice_is_encoded() {
    let choice = |choice: Value| {
        let body = encode(
            json!([{"role": "user", "content": "go"}]),
            json!({"tools": [tool("f")], "tool_choice": choice}),
        );
        body["toolConfig"].get("toolChoice").cloned()
    };
    assert_eq!(choice(json!("auto")), None);
    assert_eq!(choice(json!("required")), Some(json!({"any": {}})));
    assert_eq!(
        choice(json!({"type": "function", "function": {"name": "f"}})),
        Some(json!({"tool": {"name": "f"}}))
    );
}

#[test]
fn m02_converse_media_are_sent_as_bytes_with_format() {
    let part = |part: Value| {
        encode(json!([{"role": "user", "content": [part]}]), json!({}))["messages"][0]["content"][0]
            .clone()
    };
    let image = |url: &str| part(json!({"type": "image_url", "image_url": {"url": url}}));
    assert_eq!(
        image("data:image/webp;base64,UklGRg=="),
        json!({"image": {"format": "webp", "source": {"bytes": "UklGRg=="}}})
    );
    assert_eq!(
        image("data:image/jpg;base64,AA==")["image"]["format"],
        "jpeg"
    );
    let file = |name: &str, data: &str| {
        part(json!({"type": "file", "file": {"filename": name, "file_data": data}}))
    };
    assert_eq!(
        file("Plan_2 (final).pdf", "data:application/pdf;base64,JVBERg=="),
        json!({"document": {"format": "pdf", "name": "Plan 2 (final) pdf", "source": {"bytes": "JVBERg=="}}})
    );
    let alone = json!([{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}}]}]);
    assert_eq!(
        encode(alone, json!({}))["messages"][0]["content"][1],
        json!({"text": ATTACHED})
    );
}

#[test]
fn m05_converse_schema_is_a_string_and_closed_for_claude() {
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "go"}], "response_format": format});
    let schema = |model: &str| {
        let body = encode_for(model, &CAPABILITIES, &body);
        assert_eq!(body["outputConfig"]["textFormat"]["type"], "json_schema");
        let json_schema = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"].clone();
        assert_eq!(json_schema["name"], "n");
        json_schema["schema"].as_str().expect("a text").to_owned()
    };
    assert_eq!(
        schema(CLAUDE),
        r#"{"additionalProperties":false,"type":"object"}"#
    );
    assert_eq!(schema("qwen.qwen3-32b-v1:0"), r#"{"type":"object"}"#);
}

#[test]
fn r01_converse_reasoning_uses_fields_of_the_model_family() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "go"}], "reasoning_effort": "high", "max_tokens": 2000, "top_k": 3});
    let fields = |model: &str, reasoning| {
        let body = encode_for(
            model,
            &Capabilities {
                reasoning,
                ..CAPABILITIES
            },
            &body,
        );
        (
            body["additionalModelRequestFields"].clone(),
            body["outputConfig"].clone(),
        )
    };
    let efforts = ReasoningStyle::Effort(&Effort::ALL);
    let top_k = json!(3);
    assert_eq!(
        fields(CLAUDE, CAPABILITIES.reasoning).0,
        json!({"thinking": {"type": "enabled", "budget_tokens": 1999}, "top_k": top_k})
    );
    assert_eq!(
        fields(
            "anthropic.claude-opus-5",
            ReasoningStyle::Adaptive(&Effort::ALL)
        ),
        (
            json!({"thinking": {"type": "adaptive"}, "top_k": top_k}),
            json!({"effort": "high"})
        )
    );
    assert_eq!(
        fields("amazon.nova-2-lite-v1:0", efforts).0,
        json!({"inferenceConfig": {"topK": top_k}, "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}})
    );
    assert_eq!(
        fields("openai.gpt-oss-20b-1:0", efforts).0,
        json!({"reasoning_effort": "high"})
    );
    assert_eq!(
        fields("cohere.aya-expanse-v1:0", ReasoningStyle::None).0,
        json!({"k": top_k})
    );
}

/// Reasoning block with provider state of this origin.
fn reasoning(dialect: Dialect, model: &str, kind: ProviderStateKind) -> Content {
    let origin = Origin {
        dialect: dialect.as_str().into(),
        model: model.to_owned(),
    };
    let provider_state = ProviderState {
        origin: Some(origin),
        kind,
        data: "c2ln".into(),
    };
    Content::Reasoning(ReasoningBlock {
        text: "hm".into(),
        provider_state: Some(provider_state),
    })
}

/// First block of an assistant turn of this reasoning and a call, and if thinking was requested.
fn encode_with(reasoning: Content) -> (Value, bool) {
    let body = json!({"model": "m", "tools": [tool("f")], "messages": [{"role": "user", "content": "go"}, assistant_calls(&["a"]), result("a", "r")]});
    let mut request = canonical_request(&body);
    let call = Content::ToolCall(ToolCall {
        id: "a".into(),
        name: "f".into(),
        arguments: String::new(),
        provider_state: None,
    });
    request.turns[1].blocks = vec![reasoning.into(), call.into()];
    request.reasoning.budget = Some(2_000);
    let names = ToolNames::default();
    let options = encode_options(CLAUDE, &CAPABILITIES, &names);
    let body: Value = serde_json::from_str(&encode_request(&request, &options)).expect("JSON");
    (
        body["messages"][1]["content"][0].clone(),
        body["additionalModelRequestFields"].is_object(),
    )
}

#[test]
fn e08_converse_sends_only_own_reasoning_and_budget_requires_it() {
    let signed =
        json!({"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}});
    let elsewhere = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
    assert_eq!(
        encode_with(reasoning(
            Dialect::Converse,
            elsewhere,
            ProviderStateKind::Signature
        )),
        (signed, true)
    );
    let redacted = json!({"reasoningContent": {"redactedContent": "c2ln"}});
    assert_eq!(
        encode_with(reasoning(
            Dialect::Converse,
            CLAUDE,
            ProviderStateKind::Redacted
        )),
        (redacted, true)
    );
    for (dialect, model) in [
        (Dialect::Converse, "anthropic.claude-opus-5"),
        (Dialect::Gemini, CLAUDE),
    ] {
        let (first, thinks) = encode_with(reasoning(dialect, model, ProviderStateKind::Signature));
        assert!(first.get("toolUse").is_some() && !thinks, "{first}");
    }
}

#[test]
fn e24_converse_cache_points_follow_marked_content_if_supported() {
    let hinted = |ttl: &str| json!({"type": "text", "text": "t", "cache_control": {"type": "ephemeral", "ttl": ttl}});
    let mut tool = tool("f");
    tool["cache_control"] = json!({"type": "ephemeral"});
    let body = json!({"model": "m", "tools": [tool], "messages": [
        {"role": "system", "content": [hinted("1h")]}, {"role": "user", "content": [hinted("5m"), {"type": "text", "text": "u"}]}]});
    let claude = encode_for(CLAUDE, &CAPABILITIES, &body);
    let (five_minutes, hour) = (
        json!({"cachePoint": {"type": "default"}}),
        json!({"cachePoint": {"type": "default", "ttl": "1h"}}),
    );
    assert_eq!(claude["system"], json!([{"text": "t"}, hour]));
    assert_eq!(
        claude["messages"][0]["content"],
        json!([{"text": "t"}, five_minutes, {"text": "u"}])
    );
    assert_eq!(claude["toolConfig"]["tools"][1], five_minutes);
    let nova = encode_for("amazon.nova-pro-v1:0", &CAPABILITIES, &body);
    assert_eq!(
        (
            nova["toolConfig"]["tools"].as_array().map(Vec::len),
            &nova["system"][1]
        ),
        (Some(1), &hour)
    );
    let none = encode_for(
        CLAUDE,
        &Capabilities {
            cache_hints: false,
            ..CAPABILITIES
        },
        &body,
    );
    assert!(!none.to_string().contains("cachePoint"), "{none}");
}
