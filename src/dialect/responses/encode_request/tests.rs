//! Responses requests that the encoder writes from the canonical model.

use serde_json::json;

use super::*;
use crate::conversation::{
    Capabilities, Origin, ProviderState, ProviderStateKind, StateSealer, ToolNames,
};
use crate::dialect::{Operation, read};

fn sealed(model: &str) -> String {
    let data = SealedItem {
        id: "rs_1".into(),
        encrypted_content: "c2Vj".into(),
    };
    StateSealer::new([0; 32]).seal(&ProviderState {
        origin: Some(Origin {
            dialect: "responses".into(),
            model: model.to_owned(),
        }),
        kind: ProviderStateKind::Signature,
        data: data.write(),
    })
}

fn sent(body: &serde_json::Value) -> serde_json::Value {
    let body = bytes::Bytes::from(body.to_string());
    let request = read(Dialect::Messages, Operation::Conversation, body).expect("a request");
    let takes = Capabilities::chat().at_responses();
    let mut chat =
        crate::dialect::decode_request(&request, &StateSealer::new([0; 32])).expect("a request");
    chat.fit(
        &takes,
        crate::dialect::field_names(Dialect::Messages),
        "v/m",
    )
    .expect("a fit");
    let names = ToolNames::of(&chat, takes.names);
    let options = EncodeOptions {
        model: "their-model",
        capabilities: &takes,
        names: &names,
        output_cap: chat.output_cap,
        output_max: 4_096,
        output_cap_field: "max_completion_tokens",
        stream_usage_opt_in: true,
    };
    serde_json::from_str(&encode_request(&chat, &options)).expect("JSON")
}

#[test]
fn conversation_with_reasoning_calls_and_results_becomes_items_in_order() {
    let sent = sent(
        &json!({"model": "m", "max_tokens": 900, "stream": true, "system": "be short",
        "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"},
        "tools": [{"name": "look", "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "tool", "name": "look"},
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": sealed("their-model")},
                {"type": "text", "text": "so"},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "seen", "is_error": true}]},
        ]}),
    );
    assert_eq!(sent["instructions"], "be short");
    assert_eq!(
        sent["input"],
        json!([
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "c2Vj"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so"}]},
            {"type": "function_call", "call_id": "toolu_1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "toolu_1", "output": "Error: seen"},
        ])
    );
    assert_eq!(
        sent["reasoning"],
        json!({"effort": "high", "summary": "auto"})
    );
    assert_eq!(sent["tools"][0]["strict"], false);
    assert_eq!(
        sent["tool_choice"],
        json!({"type": "function", "name": "look"})
    );
    assert_eq!(
        (
            &sent["store"],
            &sent["include"],
            &sent["max_output_tokens"],
            &sent["stream"]
        ),
        (
            &json!(false),
            &json!(["reasoning.encrypted_content"]),
            &json!(900),
            &json!(true)
        )
    );
}

#[test]
fn reasoning_of_another_model_is_not_sent() {
    let sent = sent(&json!({"model": "m", "max_tokens": 900, "messages": [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": sealed("another")}, {"type": "text", "text": "so"}]},
        {"role": "user", "content": "on"},
    ]}));
    let items = sent["input"].as_array().expect("items");
    assert!(items.iter().all(|item| item["type"] == "message"), "{sent}");
    assert!(sent["reasoning"].is_null());
}
