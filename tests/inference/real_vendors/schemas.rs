//! Schemas of answers and of tools: bounds, formats that a model lacks, and keywords that a vendor does not take.

use serde_json::{Value, json};

use super::{chat, chat_tools, dropped, fixture, say, taken, with};
use crate::harness::client::SseEvent;
use crate::harness::script::Script;
use crate::inference::matrix::{Client, Say};

#[test]
fn schema_bounds_for_claude_move_into_descriptions() {
    let fixture = fixture();
    say(&fixture, Say::Json, false);
    let schema = json!({"type": "object", "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 120},
        "name": {"type": "string", "maxLength": 5, "description": "who"}}, "required": ["age", "name"]});
    let format = json!({"type": "json_schema", "json_schema": {"name": "p", "strict": true, "schema": schema}});
    let (sent, response) = taken(
        &fixture,
        Client::Chat,
        &chat(
            "anthropic/claude-sonnet-4-6",
            json!({"response_format": format}),
        ),
    );
    let age = &sent["output_config"]["format"]["schema"]["properties"]["age"];
    assert!(
        age["minimum"].is_null()
            && age["description"]
                .as_str()
                .is_some_and(|said| said.contains("minimum: 0")),
        "{age}"
    );
    let name = &sent["output_config"]["format"]["schema"]["properties"]["name"]["description"];
    assert_eq!(name, "who (maxLength: 5)");
    assert_eq!(dropped(&response), ["response_format"]);
}

/// Converse has the schema as a text.
#[test]
fn schema_bounds_for_claude_at_converse_move_into_descriptions() {
    let fixture = fixture();
    say(&fixture, Say::Json, false);
    let schema = json!({"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}, "required": ["age"]});
    let format = json!({"type": "json_schema", "json_schema": {"name": "p", "strict": true, "schema": schema}});
    let body = chat(
        "bedrock/anthropic.claude-opus-4-6-v1",
        json!({"response_format": format}),
    );
    let (sent, response) = taken(&fixture, Client::Chat, &body);
    let text = &sent["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"];
    let schema: Value = serde_json::from_str(text.as_str().expect("a text")).expect("a schema");
    assert_eq!(
        schema["properties"]["age"],
        json!({"type": "integer", "description": "(minimum: 0)"})
    );
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(dropped(&response), ["response_format"]);
}

#[test]
fn answer_format_that_the_model_lacks_is_emulated_or_refused() {
    let fixture = fixture();
    let schema =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let format = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": schema}}});
    let nova = "bedrock/amazon.nova-pro-v1:0";
    let before = fixture.upstream.request_count();
    let with_tools = with(chat(nova, format.clone()), json!({"tools": chat_tools()}));
    let response = fixture.user().post(Client::Chat.path(), &with_tools);
    response.assert_status(400);
    assert!(
        response.error_message().contains("JSON schema"),
        "{}",
        response.error_message()
    );
    assert_eq!(fixture.upstream.request_count(), before);
    say(&fixture, Say::Json, false);
    let (sent, response) = taken(
        &fixture,
        Client::Chat,
        &chat(
            "anthropic/claude-sonnet-4-6",
            json!({"response_format": {"type": "json_object"}}),
        ),
    );
    assert!(
        sent["system"].to_string().contains("one JSON object"),
        "{sent}"
    );
    assert_eq!(dropped(&response), ["response_format"]);
}

/// Text around the object is left out; another text is an error that no client repeats, as at vendors that have the format, and its
/// tokens are paid.
#[test]
fn emulated_json_object_is_validated() {
    let fixture = fixture();
    let ask = |streamed: bool| {
        let more = json!({"response_format": {"type": "json_object"}, "stream": streamed});
        let body = chat("anthropic/claude-sonnet-4-6", more);
        fixture.user().post(Client::Chat.path(), &body)
    };
    let fenced = "Here it is:\n```json\n{\"city\": \"Zürich\"}\n```\n";
    for (text, stop, expected) in [
        (fenced, "end_turn", Some("{\"city\": \"Zürich\"}")),
        ("{\"city\": \"Zü", "max_tokens", Some("{\"city\": \"Zü")),
        ("I would rather not.", "end_turn", None),
        ("{\"city\": Zürich}", "end_turn", None),
    ] {
        let usage = json!({"input_tokens": 14, "output_tokens": 25});
        let whole = json!({"id": "m", "type": "message", "role": "assistant", "model": "up", "stop_reason": stop,
            "content": [{"type": "text", "text": text}], "usage": usage});
        fixture.upstream.respond_with(Script::json(200, &whole));
        let response = ask(false);
        let answer = response.json();
        match expected {
            Some(expected) => {
                assert_eq!(answer["choices"][0]["message"]["content"], expected);
            }
            None => {
                response.assert_status(400);
                assert!(
                    response.error_message().contains("one JSON object"),
                    "{answer}"
                );
                assert_eq!(response.header("x-should-retry"), Some("false"));
            }
        }
        assert_eq!(
            fixture.assert_recorded().output(),
            25,
            "the tokens are paid"
        );
        fixture.upstream.respond_with(spoken(text, stop));
        let events = SseEvent::all(&ask(true).body);
        let said: String = events.iter().filter_map(SseEvent::delta).collect();
        let failed = events
            .iter()
            .any(|event| event.data.contains("one JSON object"));
        assert_eq!(failed, expected.is_none(), "{events:?}");
        assert_eq!(said, expected.unwrap_or(said.as_str()), "{events:?}");
        assert_eq!(fixture.assert_recorded().output(), 25);
    }
}

/// A stream of Claude, letter by letter.
fn spoken(text: &str, stop: &str) -> Script {
    let event = |name: &str, data: Value| format!("event: {name}\ndata: {data}\n\n");
    let usage = json!({"input_tokens": 14, "output_tokens": 1});
    let message = json!({"id": "m", "type": "message", "role": "assistant", "model": "up", "content": [], "usage": usage});
    let mut events = vec![
        event(
            "message_start",
            json!({"type": "message_start", "message": message}),
        ),
        event(
            "content_block_start",
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
    ];
    events.extend(text.chars().map(|letter| {
        let delta = json!({"type": "text_delta", "text": letter.to_string()});
        event(
            "content_block_delta",
            json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        )
    }));
    events.extend([
        event("content_block_stop", json!({"type": "content_block_stop", "index": 0})),
        event(
            "message_delta",
            json!({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 25}}),
        ),
        event("message_stop", json!({"type": "message_stop"})),
    ]);
    Script::stream(events)
}

/// The model must call a tool whose arguments have the schema; the client sees them as the text of the answer.
#[test]
fn schema_of_an_answer_is_emulated_by_a_forced_tool() {
    let fixture = fixture();
    let schema =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let chat_format =
        json!({"type": "json_schema", "json_schema": {"name": "p", "schema": schema}});
    let block =
        json!({"toolUse": {"toolUseId": "t1", "name": "answer", "input": {"city": "Bern"}}});
    let content = json!([{"text": "Here it is:"}, block]);
    let answer = json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use",
        "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}});
    fixture.upstream.respond_with(Script::json(200, &answer));
    for model in [
        "bedrock/amazon.nova-pro-v1:0",
        "bedrock/anthropic.claude-3-5-sonnet-20241022-v2:0",
    ] {
        for (client, body) in [
            (
                Client::Chat,
                chat(model, json!({"response_format": chat_format})),
            ),
            (
                Client::Responses,
                json!({"model": model, "input": "go", "text": {"format": {"type": "json_schema", "name": "p", "schema": schema}}}),
            ),
        ] {
            let (sent, response) = taken(&fixture, client, &body);
            let choice = &sent["toolConfig"]["toolChoice"];
            assert_eq!(*choice, json!({"any": {}}), "{sent}");
            let spec = &sent["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"];
            assert_eq!(spec["required"], json!(["city"]));
            let view = client.parse(&response, false);
            assert_eq!(
                (view.text.as_str(), view.calls.len()),
                (r#"{"city":"Bern"}"#, 0),
                "{view:?}"
            );
            assert_eq!(dropped(&response).len(), 1, "the format is named");
        }
    }
    assert_eq!(
        fixture
            .user()
            .post(
                Client::Chat.path(),
                &chat(
                    "bedrock/amazon.nova-pro-v1:0",
                    json!({"response_format": chat_format})
                )
            )
            .json()["choices"][0]["finish_reason"],
        "stop"
    );
}

#[test]
fn nova_tool_schema_has_three_keywords_at_its_top() {
    let fixture = fixture();
    say(&fixture, Say::Call, false);
    let schema = json!({"type": "object", "title": "T", "additionalProperties": false, "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}}, "required": ["city"]});
    let tools =
        json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]);
    let (sent, _) = taken(
        &fixture,
        Client::Chat,
        &chat("bedrock/amazon.nova-pro-v1:0", json!({"tools": tools})),
    );
    let sent = &sent["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"];
    let mut names: Vec<&String> = sent.as_object().expect("a schema").keys().collect();
    names.sort();
    assert_eq!(names, ["properties", "required", "type"]);
    assert_eq!(sent["properties"]["days"]["minimum"], 1);
    // definitions go with the keyword that holds them, so what refers to them is written out
    let schema = json!({"type": "object", "$defs": {"Place": {"type": "object", "properties": {"city": {"type": "string"},
            "near": {"type": "array", "items": {"$ref": "#/$defs/Place"}}}}},
        "properties": {"at": {"$ref": "#/$defs/Place", "description": "where"}}, "required": ["at"]});
    let tools =
        json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]);
    let body = chat("bedrock/amazon.nova-pro-v1:0", json!({"tools": tools}));
    let (sent, response) = taken(&fixture, Client::Chat, &body);
    let sent = &sent["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"];
    let at = &sent["properties"]["at"];
    assert_eq!(
        (&at["description"], &at["type"]),
        (&json!("where"), &json!("object"))
    );
    assert_eq!(
        at["properties"]["near"]["items"]["properties"]["city"]["type"],
        "string"
    );
    assert!(!sent.to_string().contains("$ref"), "{sent}");
    assert_eq!(dropped(&response), ["tools"]);
}
