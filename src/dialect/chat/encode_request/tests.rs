//! Chat requests that the encoder writes from the canonical model.

use super::*;
use crate::conversation::{Capabilities, IdRule, StateSealer, ToolNames, raw};
use crate::dialect::{Dialect, Operation, read};

fn sent(body: &str, takes: Capabilities) -> serde_json::Value {
    let request = read(
        Dialect::Chat,
        Operation::Conversation,
        bytes::Bytes::copy_from_slice(body.as_bytes()),
    )
    .expect("a request");
    let mut chat =
        crate::dialect::decode_request(&request, &StateSealer::new([0; 32])).expect("a request");
    chat.fit(&takes, &crate::dialect::chat::FIELD_NAMES, "v/m")
        .expect("a fit");
    let names = ToolNames::of(&chat, takes.names);
    let options = EncodeOptions {
        model: "their-model",
        capabilities: &takes,
        names: &names,
        output_cap: chat.output_cap,
        output_max: 4_096,
        output_cap_field: "max_tokens",
        stream_usage_opt_in: true,
    };
    serde_json::from_str(&encode_request(&chat, &options)).expect("JSON")
}

#[test]
fn e06_ids_have_nine_letters_and_an_assistant_message_separates_results_from_user() {
    let body = r#"{"model":"m","stream":true,"max_completion_tokens":9,"messages":[
        {"role":"assistant","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]},
        {"role":"tool","tool_call_id":"call_1","content":"done"},{"role":"user","content":"and now?"}]}"#;
    let takes = Capabilities {
        ids: IdRule {
            min: 9,
            max: 9,
            also: "",
        },
        user_after_results: false,
        ..Capabilities::chat()
    };
    let sent = sent(body, takes);
    let messages = sent["messages"].as_array().expect("messages");
    let roles: Vec<&str> = messages
        .iter()
        .filter_map(|message| message["role"].as_str())
        .collect();
    assert_eq!(roles, ["assistant", "tool", "assistant", "user"]);
    let id = messages[0]["tool_calls"][0]["id"].as_str().expect("an id");
    assert_eq!(
        (id.len(), id),
        (9, messages[1]["tool_call_id"].as_str().expect("an id"))
    );
    assert_eq!(messages[0]["tool_calls"][0]["function"]["arguments"], "{}");
    assert_eq!(
        (&sent["model"], &sent["max_tokens"]),
        (&"their-model".into(), &9.into())
    );
    assert_eq!(
        sent["stream_options"],
        serde_json::json!({"include_usage": true})
    );
}

#[test]
fn e24_equal_requests_are_equal_bytes_and_schemas_are_unchanged() {
    let schema = raw(r#"{"z":1.0, "a":{"$ref":"x"}}"#.into()).expect("JSON");
    let tool = Tool {
        name: "f".into(),
        description: None,
        schema,
        strict: None,
        cache: None,
    };
    let chat = ChatRequest {
        tools: vec![tool],
        ..ChatRequest::default()
    };
    let takes = Capabilities::chat();
    let names = ToolNames::of(&chat, takes.names);
    let options = EncodeOptions {
        model: "m",
        capabilities: &takes,
        names: &names,
        output_cap: None,
        output_max: 1,
        output_cap_field: "max_tokens",
        stream_usage_opt_in: false,
    };
    let written = encode_request(&chat, &options);
    assert!(
        written.contains(r#""parameters":{"z":1.0, "a":{"$ref":"x"}}"#),
        "{written}"
    );
    assert_eq!(written, encode_request(&chat.clone(), &options));
}
