//! Canonical requests and their encoded form.

use serde_json::{Value, json};

use crate::conversation::{
    Capabilities, Origin, ReasoningOptions, ReasoningStyle, Sampling, ToolNames, raw,
};
use crate::conversation::{IdRule, NameRule};
use crate::dialect::messages::encode_request::*;

fn takes() -> Capabilities {
    let ids = IdRule {
        min: 1,
        max: 64,
        also: "_-",
    };
    let names = NameRule {
        max: 128,
        also: "-",
        begins_with_letter: false,
    };
    Capabilities {
        ids,
        names,
        reasoning: ReasoningStyle::Budget {
            min: 1_024,
            max: 64_000,
        },
        ..Capabilities::all()
    }
}

fn sent(chat: &ChatRequest) -> Value {
    let capabilities = takes();
    let names = ToolNames::of(chat, capabilities.names);
    let options = EncodeOptions {
        model: "claude-sonnet-4-5",
        capabilities: &capabilities,
        names: &names,
        output_cap: None,
        output_max: 64_000,
        output_cap_field: "max_tokens",
        stream_usage_opt_in: false,
    };
    serde_json::from_str(&encode_request(chat, &options)).expect("JSON")
}

fn turn(role: Role, blocks: Vec<Content>) -> Turn {
    Turn {
        role,
        blocks: blocks.into_iter().map(Into::into).collect(),
    }
}

fn text(text: &str) -> Content {
    Content::Text(text.into())
}

fn call(id: &str, arguments: &str) -> Content {
    Content::ToolCall(ToolCall {
        id: id.into(),
        name: "f".into(),
        arguments: arguments.into(),
        provider_state: None,
    })
}

fn result(id: &str, blocks: Vec<Content>, is_error: bool) -> Content {
    let blocks = blocks.into_iter().map(Into::into).collect();
    Content::ToolResult(ToolResult {
        id: id.into(),
        name: None,
        blocks,
        is_error,
    })
}

fn thought(model: &str, dialect: &'static str) -> Content {
    let provider_state = ProviderState {
        origin: Some(Origin {
            dialect: dialect.into(),
            model: model.into(),
        }),
        kind: ProviderStateKind::Signature,
        data: "c2ln".into(),
    };
    Content::Reasoning(ReasoningBlock {
        text: "hm".into(),
        provider_state: Some(provider_state),
    })
}

fn tool(schema: &str) -> Tool {
    Tool {
        name: "f".into(),
        description: Some("d".into()),
        schema: raw(schema.into()).expect("JSON"),
        strict: None,
        cache: None,
    }
}

/// A conversation with every kind of block.
fn conversation() -> ChatRequest {
    let png = Media {
        mime: "image/png".into(),
        source: Source::Base64("AAAA".into()),
        name: None,
    };
    let notes = Media {
        mime: "text/plain".into(),
        source: Source::Base64("bm90ZXM=".into()),
        name: Some("n.txt".into()),
    };
    let mut hinted: ContentBlock = text("rules").into();
    hinted.cache = Some(Cache::Hour);
    ChatRequest {
        streamed: true,
        turns: vec![
            Turn {
                role: Role::System,
                blocks: vec![hinted],
            },
            turn(
                Role::User,
                vec![
                    text("look"),
                    Content::Image(png.clone()),
                    Content::Document(notes),
                    text(" "),
                ],
            ),
            turn(
                Role::Assistant,
                vec![
                    thought("claude-sonnet-4-5-20250929", "messages"),
                    text("so"),
                    call("call_1", "{\"b\": 1.0}"),
                ],
            ),
            turn(
                Role::User,
                vec![
                    result("call_1", vec![Content::Image(png)], false),
                    result("x.y", vec![], true),
                    text("on"),
                ],
            ),
        ],
        tools: vec![tool(r#"{"properties":{"b":{"type":"number"}}}"#)],
        stop: vec!["END".into()],
        sampling: Sampling {
            temperature: raw("0.50".into()),
            ..Sampling::default()
        },
        user: Some("u".into()),
        output_cap: Some(800),
        ..ChatRequest::default()
    }
}

#[test]
fn conversation_is_encoded() {
    let chat = conversation();
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}});
    let mapped = fit_call_id("x.y", takes().ids).into_owned();
    assert_eq!(
        sent(&chat),
        json!({
            "model": "claude-sonnet-4-5", "max_tokens": 800, "stream": true,
            "system": [{"type": "text", "text": "rules", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "look"}, image,
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "notes"}, "title": "n.txt"}]},
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "text", "text": "so"}, {"type": "tool_use", "id": "call_1", "name": "f", "input": {"b": 1.0}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": [image]},
                    {"type": "tool_result", "tool_use_id": mapped, "content": [{"type": "text", "text": FAILED}], "is_error": true},
                    {"type": "text", "text": "on"}]}],
            "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {"b": {"type": "number"}}}}],
            "stop_sequences": ["END"], "temperature": 0.50, "metadata": {"user_id": "u"},
        })
    );
}

#[test]
fn e08_foreign_and_unsigned_reasoning_is_left_out() {
    let unsigned = Content::Reasoning(ReasoningBlock {
        text: "hm".into(),
        provider_state: None,
    });
    let nobodys = ProviderState {
        origin: None,
        kind: ProviderStateKind::Signature,
        data: "gAAA".into(),
    };
    let nobodys = Content::Reasoning(ReasoningBlock {
        text: "hm".into(),
        provider_state: Some(nobodys),
    });
    let foreign = vec![
        thought("gemini-3-pro", "gemini"),
        thought("claude-opus-5", "messages"),
        unsigned,
        nobodys,
        text("so"),
    ];
    let chat = ChatRequest {
        turns: vec![
            turn(Role::User, vec![text("go")]),
            turn(Role::Assistant, foreign),
        ],
        ..ChatRequest::default()
    };
    assert_eq!(
        sent(&chat)["messages"][1]["content"],
        json!([{"type": "text", "text": "so"}])
    );
}

#[test]
fn u05_tool_choices_are_encoded() {
    for (tool_choice, parallel_tools, expected) in [
        (ToolChoice::Auto, None, Value::Null),
        (
            ToolChoice::Auto,
            Some(false),
            json!({"type": "auto", "disable_parallel_tool_use": true}),
        ),
        (ToolChoice::Any, Some(true), json!({"type": "any"})),
        (
            ToolChoice::Named("f".into()),
            Some(false),
            json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true}),
        ),
        (ToolChoice::None, Some(false), json!({"type": "none"})),
    ] {
        let chat = ChatRequest {
            tools: vec![tool("{}")],
            tool_choice,
            parallel_tools,
            ..ChatRequest::default()
        };
        assert_eq!(sent(&chat)["tool_choice"], expected);
    }
}

#[test]
fn undeclared_tool_with_calls_is_declared_and_not_callable() {
    let turns = vec![
        turn(Role::User, vec![text("go")]),
        turn(Role::Assistant, vec![call("a", ""), call("b", "")]),
    ];
    let body = sent(&ChatRequest {
        turns,
        ..ChatRequest::default()
    });
    assert_eq!(
        body["tools"],
        json!([{"name": "f", "input_schema": {"type": "object"}}])
    );
    assert_eq!(body["tool_choice"], json!({"type": "none"}));
    assert_eq!(
        body["messages"][1]["content"][0]["input"],
        json!({}),
        "no arguments are an empty object"
    );
}

#[test]
fn conversation_begins_with_user_and_prefill_has_no_trailing_white_space() {
    let body = sent(&ChatRequest {
        turns: vec![turn(Role::Assistant, vec![text("Dear \n")])],
        ..ChatRequest::default()
    });
    let opening = json!({"role": "user", "content": [{"type": "text", "text": OPENING}]});
    assert_eq!(body["messages"][0], opening);
    assert_eq!(body["messages"][1]["content"][0]["text"], "Dear");
    assert_eq!(
        sent(&ChatRequest {
            turns: vec![turn(Role::System, vec![text("s")])],
            ..ChatRequest::default()
        })["messages"],
        json!([opening])
    );
}

#[test]
fn r01_thinking_is_encoded_for_the_model_and_leaves_output_tokens() {
    let thinking = |reasoning: ReasoningOptions, output_cap| {
        let body = sent(&ChatRequest {
            reasoning,
            output_cap,
            ..ChatRequest::default()
        });
        (body["thinking"].clone(), body["output_config"].clone())
    };
    let budget = |budget| ReasoningOptions {
        budget: Some(budget),
        summary: Some(Summary::Shown),
        ..ReasoningOptions::default()
    };
    let written =
        |tokens| json!({"type": "enabled", "budget_tokens": tokens, "display": "summarized"});
    assert_eq!(thinking(budget(16_384), None).0, written(16_384));
    assert_eq!(thinking(budget(16_384), Some(2_000)).0, written(1_999));
    assert_eq!(thinking(budget(16_384), Some(1_024)).0, Value::Null);
    let adaptive = ReasoningOptions {
        adaptive: true,
        effort: Some(Effort::High),
        ..ReasoningOptions::default()
    };
    assert_eq!(
        thinking(adaptive, Some(800)),
        (json!({"type": "adaptive"}), json!({"effort": "high"}))
    );
    let off = ReasoningOptions {
        effort: Some(Effort::None),
        ..ReasoningOptions::default()
    };
    assert_eq!(
        thinking(off, None),
        (json!({"type": "disabled"}), Value::Null)
    );
}

#[test]
fn thinking_budget_is_left_out_when_reasoning_of_calls_is_lost() {
    let thinking = |assistant: Vec<Content>| {
        let turns = vec![
            turn(Role::User, vec![text("go")]),
            turn(Role::Assistant, assistant),
            turn(Role::User, vec![result("a", vec![text("r")], false)]),
        ];
        let reasoning = ReasoningOptions {
            budget: Some(2_048),
            ..ReasoningOptions::default()
        };
        sent(&ChatRequest {
            turns,
            reasoning,
            tools: vec![tool("{}")],
            ..ChatRequest::default()
        })["thinking"]
            .clone()
    };
    assert_eq!(thinking(vec![call("a", "")]), Value::Null);
    assert_eq!(
        thinking(vec![thought("gpt-5", "responses"), call("a", "")]),
        Value::Null
    );
    assert_ne!(
        thinking(vec![
            thought("claude-sonnet-4-5", "messages"),
            call("a", "")
        ]),
        Value::Null
    );
}

#[test]
fn m05_response_format_has_the_vendors_field_and_a_closed_schema() {
    let schema =
        raw(r#"{"type":"object","properties":{"a":{"type":"string"}}}"#.into()).expect("JSON");
    let format = Format::JsonSchema {
        name: "n".into(),
        description: None,
        schema,
        strict: None,
    };
    assert_eq!(
        sent(&ChatRequest {
            format,
            ..ChatRequest::default()
        })["output_config"],
        json!({"format": {"type": "json_schema",
            "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}}})
    );
}
