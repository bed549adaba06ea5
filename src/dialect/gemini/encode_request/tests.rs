//! Gemini parts that canonical turns are encoded to: signatures, reasoning, media of tool results.

use serde_json::{Value, json};

use super::*;
use crate::conversation::{Capabilities, Origin, ToolNames};

const MODEL: &str = "gemini-3.8-flash";

fn provider_state(origin: Option<(&str, &str)>, data: &str) -> ProviderState {
    let origin = origin.map(|(dialect, model)| Origin {
        dialect: dialect.to_owned().into(),
        model: model.into(),
    });
    ProviderState {
        origin,
        kind: ProviderStateKind::Signature,
        data: data.into(),
    }
}

fn call(id: &str, provider_state: Option<ProviderState>) -> Content {
    Content::ToolCall(ToolCall {
        id: id.into(),
        name: "f".into(),
        arguments: String::new(),
        provider_state,
    })
}

fn reasoning(text: &str, provider_state: Option<ProviderState>) -> Content {
    Content::Reasoning(ReasoningBlock {
        text: text.into(),
        provider_state,
    })
}

fn result(id: &str, content: Content) -> Content {
    let blocks = vec![Content::Text("ok".into()).into(), content.into()];
    Content::ToolResult(ToolResult {
        id: id.into(),
        name: Some("f".into()),
        blocks,
        is_error: false,
    })
}

fn image() -> Content {
    Content::Image(Media {
        mime: "image/png".into(),
        source: Source::Base64("AA".into()),
        name: None,
    })
}

/// Wire parts of a request with one turn.
fn parts(role: Role, contents: Vec<Content>, capabilities: Capabilities) -> Value {
    let turns = vec![Turn {
        role,
        blocks: contents.into_iter().map(Into::into).collect(),
    }];
    let request = ChatRequest {
        turns,
        ..ChatRequest::default()
    };
    let names = ToolNames::default();
    let options = EncodeOptions {
        model: MODEL,
        capabilities: &capabilities,
        names: &names,
        output_cap: None,
        output_max: 100,
        output_cap_field: "maxOutputTokens",
        stream_usage_opt_in: false,
    };
    let body: Value = serde_json::from_str(&encode_request(&request, &options)).expect("JSON");
    body["contents"][0]["parts"].clone()
}

fn signing_capabilities() -> Capabilities {
    Capabilities {
        signed_calls: true,
        media_within_results: true,
        ..Capabilities::all()
    }
}

/// Signature of each wire part of an assistant turn.
fn signatures(contents: Vec<Content>, capabilities: Capabilities) -> Vec<Option<String>> {
    let parts = parts(Role::Assistant, contents, capabilities);
    let parts = parts.as_array().expect("parts");
    parts
        .iter()
        .map(|part| part["thoughtSignature"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn e07_gemini_call_keeps_own_signature_or_gets_replacement() {
    let replacement = || Some(LOST_SIGNATURE.to_owned());
    let own = provider_state(Some(("gemini", MODEL)), "own");
    for (provider_state, expected) in [
        (Some(own.clone()), Some("own".to_owned())),
        (
            Some(provider_state(None, "unsealed")),
            Some("unsealed".to_owned()),
        ),
        (
            Some(provider_state(Some(("gemini", "gemini-3-pro")), "other")),
            replacement(),
        ),
        (
            Some(provider_state(Some(("messages", MODEL)), "other")),
            replacement(),
        ),
        (None, replacement()),
    ] {
        assert_eq!(
            signatures(
                vec![call("a", provider_state), call("b", None)],
                signing_capabilities()
            ),
            [expected, None]
        );
    }
    let calls = vec![call("a", Some(own)), call("b", None)];
    assert_eq!(
        signatures(calls, Capabilities::all()),
        [Some("own".to_owned()), None]
    );
    assert_eq!(
        signatures(vec![call("a", None)], Capabilities::all()),
        [None],
        "models before generation 3 require no signature"
    );
}

#[test]
fn gemini_reasoning_without_own_signature_is_dropped() {
    let own = || Some(provider_state(Some(("gemini", MODEL)), "own"));
    let contents = vec![
        reasoning("hm", own()),
        reasoning("unsigned", None),
        reasoning(
            "foreign",
            Some(provider_state(Some(("messages", "claude")), "x")),
        ),
        reasoning("unknown origin", Some(provider_state(None, "x"))),
        Content::Text("yes".into()),
        reasoning("", own()),
    ];
    let expected = json!([
        {"thought": true, "text": "hm", "thoughtSignature": "own"},
        {"text": "yes"},
        {"text": "", "thoughtSignature": "own"},
    ]);
    assert_eq!(
        parts(Role::Assistant, contents, signing_capabilities()),
        expected
    );
}

#[test]
fn gemini_result_images_go_inside_or_after_all_results() {
    let contents = || {
        vec![
            result("a", image()),
            result("b", image()),
            Content::Text("go on".into()),
        ]
    };
    let blob = json!({"inlineData": {"mimeType": "image/png", "data": "AA"}});
    let response = |id: &str| json!({"functionResponse": {"id": id, "name": "f", "response": {"output": "ok"}}});
    let with_image = |id: &str| {
        let mut response = response(id);
        response["functionResponse"]["parts"] = json!([blob]);
        response
    };
    let text = json!({"text": "go on"});
    assert_eq!(
        parts(Role::User, contents(), signing_capabilities()),
        json!([with_image("a"), with_image("b"), text])
    );
    assert_eq!(
        parts(Role::User, contents(), Capabilities::all()),
        json!([response("a"), response("b"), blob, blob, text])
    );
}
