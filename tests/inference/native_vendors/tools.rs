//! Tools: declarations, calls, results and tool choice in each vendor's encoding.

use serde_json::{Value, json};

use super::{COHERE, GEMINI, OLLAMA, Vendor, tool, tools};
use crate::inference::fixture::{BOTH, Chat, Dialect, Fixture, Messages};
use crate::inference::parsed_response::{
    ParsedResponse, ToolCall, send_and_parse, tool_call_reason,
};

/// Next turn after two calls: their results, the second first and failed.
fn after_calls(vendor: Vendor, dialect: Dialect, calls: &ParsedResponse) -> Value {
    let (first, second) = (&calls.calls[0], &calls.calls[1]);
    let user = json!({"role": "user", "content": "say it"});
    let messages = match dialect {
        Chat => {
            let call = |call: &ToolCall| json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}});
            let result =
                |id: &str, text: &str| json!({"role": "tool", "tool_call_id": id, "content": text});
            let assistant = json!({"role": "assistant", "content": null, "tool_calls": [call(first), call(second)]});
            json!([
                user,
                assistant,
                result(&second.id, "rain"),
                result(&first.id, "sun")
            ])
        }
        Messages => {
            let call = |call: &ToolCall| json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.json()});
            let result = |id: &str, text: &str| json!({"type": "tool_result", "tool_use_id": id, "content": text});
            let mut failed = result(&second.id, "rain");
            failed["is_error"] = json!(true);
            let results = json!({"role": "user", "content": [failed, result(&first.id, "sun")]});
            json!([user, {"role": "assistant", "content": [call(first), call(second)]}, results])
        }
    };
    vendor.request_body(
        dialect,
        json!({"messages": messages, "tools": tools(dialect)}),
    )
}

/// Asserts two tool calls in one response, unary and in every delivery; returns the last parsed response.
fn assert_two_calls(
    vendor: Vendor,
    fixture: &Fixture,
    dialect: Dialect,
    tokens: (u64, u64, u64),
) -> ParsedResponse {
    let body = vendor.request_body(dialect, json!({"tools": tools(dialect)}));
    let mut request = Vec::new();
    for streamed in [false, true] {
        let scripts = if streamed {
            vendor.deliveries("tool")
        } else {
            vec![vendor.script("tool", false)]
        };
        for script in scripts {
            let parsed = send_and_parse(fixture, dialect, body.clone(), streamed, script);
            assert_eq!(
                (
                    parsed.text.as_str(),
                    parsed.stop_reason.as_str(),
                    parsed.tokens
                ),
                ("", tool_call_reason(dialect), tokens)
            );
            let arguments: Vec<Value> = parsed.calls.iter().map(ToolCall::json).collect();
            assert_eq!(
                arguments,
                [
                    json!({"city": "Zürich 🦀", "days": 2}),
                    json!({"city": "Bern", "days": 1.0})
                ]
            );
            assert!(
                parsed
                    .calls
                    .iter()
                    .all(|call| call.name == "weather" && !call.id.is_empty()),
                "{parsed:?}"
            );
            assert_ne!(parsed.calls[0].id, parsed.calls[1].id);
            fixture
                .assert_recorded()
                .assert_ended("ok", &[])
                .assert_usage(tokens.0, tokens.2);
            request.push(parsed);
        }
    }
    request.pop().expect("a response")
}

#[test]
fn u02_gemini_tool_calls_get_ids_and_results_map_to_names() {
    for dialect in BOTH {
        let fixture = GEMINI.fixture();
        let parsed = assert_two_calls(GEMINI, &fixture, dialect, (40, 0, 64));
        let (body, _) = GEMINI.sent(&fixture, dialect, &after_calls(GEMINI, dialect, &parsed));
        let contents = body["contents"].as_array().expect("contents");
        let roles: Vec<&Value> = contents.iter().map(|content| &content["role"]).collect();
        assert_eq!(roles, [&json!("user"), &json!("model"), &json!("user")]);
        let [first, second] = [&parsed.calls[0], &parsed.calls[1]];
        let call = |part: &Value| part["functionCall"].clone();
        assert_eq!(
            call(&contents[1]["parts"][0]),
            json!({"id": first.id, "name": "weather", "args": first.json()})
        );
        assert_eq!(
            call(&contents[1]["parts"][1]),
            json!({"id": second.id, "name": "weather", "args": second.json()})
        );
        let signature = contents[1]["parts"][0]["thoughtSignature"].as_str();
        assert!(
            signature.is_some_and(|signature| !signature.is_empty()),
            "the first call of a turn has a signature: {body}"
        );
        assert_eq!(
            contents[1]["parts"][1].get("thoughtSignature"),
            None,
            "only the first call has a signature"
        );
        let failed = if dialect == Chat { "output" } else { "error" };
        let results = json!([
            {"functionResponse": {"id": first.id, "name": "weather", "response": {"output": "sun"}}},
            {"functionResponse": {"id": second.id, "name": "weather", "response": {failed: "rain"}}},
        ]);
        assert_eq!(contents[2]["parts"], results);
    }
}

#[test]
fn u07_ollama_tool_arguments_are_objects_in_both_directions() {
    for dialect in BOTH {
        let fixture = OLLAMA.fixture();
        let parsed = assert_two_calls(OLLAMA, &fixture, dialect, (169, 0, 41));
        let (body, _) = OLLAMA.sent(&fixture, dialect, &after_calls(OLLAMA, dialect, &parsed));
        let messages = &body["messages"];
        let function =
            |call: &ToolCall| json!({"function": {"name": "weather", "arguments": call.json()}});
        assert_eq!(
            messages[1]["tool_calls"],
            json!([function(&parsed.calls[0]), function(&parsed.calls[1])])
        );
        let failed = if dialect == Chat {
            "rain"
        } else {
            "Error: rain"
        };
        assert_eq!(
            messages[2],
            json!({"role": "tool", "tool_name": "weather", "content": "sun"})
        );
        assert_eq!(
            messages[3],
            json!({"role": "tool", "tool_name": "weather", "content": failed})
        );
        assert_eq!(
            body["stream"],
            json!(false),
            "Ollama streams unless `stream` is false"
        );
        assert_eq!(body["tools"][0]["function"]["parameters"], tool());
    }
}

#[test]
fn u08_cohere_tool_plan_round_trips_as_reasoning() {
    for dialect in BOTH {
        let fixture = COHERE.fixture();
        let parsed = assert_two_calls(COHERE, &fixture, dialect, (31, 0, 40));
        assert_eq!(
            parsed.reasoning,
            "I will look up the weather in Zürich and in Bern."
        );
        assert_eq!(
            parsed.calls[0].id, "weather_5q3v0k8ywx2h",
            "the vendor's own id"
        );
        let mut body = after_calls(COHERE, dialect, &parsed);
        if dialect == Chat {
            body["messages"][1]["content"] = json!("Looking it up.");
        }
        let (body, _) = COHERE.sent(&fixture, dialect, &body);
        let messages = &body["messages"];
        let call = |call: &ToolCall| json!({"id": call.id, "type": "function", "function": {"name": "weather", "arguments": call.arguments}});
        assert_eq!(
            messages[1]["tool_calls"],
            json!([call(&parsed.calls[0]), call(&parsed.calls[1])])
        );
        assert_eq!(
            messages[1].get("tool_plan"),
            (dialect == Chat).then_some(&json!("Looking it up."))
        );
        assert_eq!(messages[1].get("content"), None);
        let failed = if dialect == Chat {
            "rain"
        } else {
            "Error: rain"
        };
        assert_eq!(
            messages[2],
            json!({"role": "tool", "tool_call_id": parsed.calls[0].id, "content": "sun"})
        );
        assert_eq!(
            messages[3],
            json!({"role": "tool", "tool_call_id": parsed.calls[1].id, "content": failed})
        );
    }
}

#[test]
fn u10_gemini_tool_schema_is_complete_without_dialect_uri() {
    let fixture = GEMINI.fixture();
    let schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
        "$defs": {"place": {"type": "string", "minLength": 1}},
        "properties": {"city": {"$ref": "#/$defs/place"}, "days": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
        "required": ["city"], "additionalProperties": false});
    let mut kept = schema.clone();
    kept.as_object_mut().expect("an object").remove("$schema");
    for dialect in BOTH {
        let mut tools = tools(dialect);
        match dialect {
            Chat => tools[0]["function"]["parameters"] = schema.clone(),
            Messages => tools[0]["input_schema"] = schema.clone(),
        }
        let (body, named) = GEMINI.sent(
            &fixture,
            dialect,
            &GEMINI.request_body(dialect, json!({"tools": tools})),
        );
        let declared = &body["tools"][0]["functionDeclarations"][0];
        assert_eq!(declared["parametersJsonSchema"], kept);
        assert_eq!((declared.get("parameters"), named), (None, None));
    }
}

#[test]
fn tool_choice_is_encoded_per_vendor() {
    let two = || {
        let mut tools = tools(Chat);
        let mut other = tools[0].clone();
        other["function"]["name"] = json!("other");
        tools.as_array_mut().expect("tools").push(other);
        tools
    };
    let choices = [
        json!("none"),
        json!("required"),
        json!({"type": "function", "function": {"name": "other"}}),
    ];
    let fixture = GEMINI.fixture();
    for (choice, config) in choices.iter().zip([
        json!({"mode": "NONE"}),
        json!({"mode": "ANY"}),
        json!({"mode": "ANY", "allowedFunctionNames": ["other"]}),
    ]) {
        let (body, _) = GEMINI.sent(
            &fixture,
            Chat,
            &GEMINI.request_body(Chat, json!({"tools": two(), "tool_choice": choice})),
        );
        assert_eq!(body["toolConfig"]["functionCallingConfig"], config);
    }
    let fixture = COHERE.fixture();
    for (choice, (word, offered)) in
        choices
            .iter()
            .zip([("NONE", 2), ("REQUIRED", 2), ("REQUIRED", 1)])
    {
        let (body, _) = COHERE.sent(
            &fixture,
            Chat,
            &COHERE.request_body(Chat, json!({"tools": two(), "tool_choice": choice})),
        );
        assert_eq!(
            (&body["tool_choice"], body["tools"].as_array().map(Vec::len)),
            (&json!(word), Some(offered))
        );
    }
    let fixture = OLLAMA.fixture();
    for (choice, (offered, dropped)) in choices.iter().zip([
        (None, None),
        (Some(2), Some("tool_choice")),
        (Some(2), Some("tool_choice")),
    ]) {
        let (body, named) = OLLAMA.sent(
            &fixture,
            Chat,
            &OLLAMA.request_body(Chat, json!({"tools": two(), "tool_choice": choice})),
        );
        assert_eq!(
            (body["tools"].as_array().map(Vec::len), named.as_deref()),
            (offered, dropped)
        );
    }
}
