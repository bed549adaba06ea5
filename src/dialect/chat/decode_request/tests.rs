//! Tests of `decode_request`.

use super::*;
use crate::dialect::{Dialect, Operation, read};

fn decode(more: &str) -> Result<ChatRequest, ApiError> {
    let body = format!(r#"{{"model":"m"{more}}}"#);
    let request = read(Dialect::Chat, Operation::Conversation, body.into()).expect("a request");
    decode_request(&request, &StateSealer::new([0; 32]))
}

#[test]
fn conversation_with_tools_and_images_is_decoded() {
    let decoded = decode(
        r#","messages":[{"role":"developer","content":"be brief"},
        {"role":"user","content":[{"type":"text","text":"see","cache_control":{"type":"ephemeral","ttl":"1h"}},
          {"type":"image_url","image_url":{"url":"data:image/PNG;base64,AAAA","detail":"low"}}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
        {"role":"tool","tool_call_id":"c1","content":"done"}],
        "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","b":1,"a":2}}}],
        "tool_choice":{"type":"function","function":{"name":"f"}},"stop":"END","temperature":0.70,"reasoning_effort":"high",
        "max_completion_tokens":50,"logit_bias":{"1":2},"metadata":null"#,
    )
    .expect("a decoded request");
    assert_eq!(
        decoded
            .turns
            .iter()
            .map(|turn| turn.role)
            .collect::<Vec<_>>(),
        [Role::System, Role::User, Role::Assistant, Role::User]
    );
    let see = &decoded.turns[1].blocks;
    assert_eq!(see[0].cache, Some(Cache::Hour));
    assert!(
        matches!(&see[1].content, Content::Image(Media { mime, source: Source::Base64(data), .. }) if mime == "image/png" && data == "AAAA")
    );
    assert!(
        matches!(&decoded.turns[2].blocks[0].content, Content::ToolCall(call) if call.arguments == "{\"a\":1}")
    );
    assert_eq!(
        decoded.tools[0].schema.as_str(),
        r#"{"type":"object","b":1,"a":2}"#,
        "as it was written"
    );
    assert_eq!(
        (decoded.stop, decoded.output_cap, decoded.dropped),
        (
            vec!["END".to_owned()],
            Some(50),
            vec!["logit_bias".to_owned()]
        )
    );
    assert_eq!(
        decoded.sampling.temperature.as_ref().map(RawJson::as_str),
        Some("0.70")
    );
    assert_eq!(
        (decoded.tool_choice, decoded.reasoning.effort),
        (ToolChoice::Named("f".into()), Some(Effort::High))
    );
}

#[test]
fn unsupported_field_is_refused_with_its_position() {
    for (more, param) in [
        (r#","messages":[],"n":2"#, "n"),
        (
            r#","messages":[],"modalities":["text","audio"]"#,
            "modalities",
        ),
        (
            r#","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"","format":"wav"}}]}]"#,
            "messages",
        ),
        (r#","messages":[{"role":"tool","content":"x"}]"#, "messages"),
        (r#","messages":[{"role":"king","content":"x"}]"#, "messages"),
        (r#","messages":[{"content":"x"}]"#, "messages"),
        (r#","messages":[],"tools":[{"type":"web_search"}]"#, "tools"),
        (r#","messages":[],"tool_choice":"perhaps""#, "tool_choice"),
        (
            r#","messages":[],"reasoning_effort":"much""#,
            "reasoning_effort",
        ),
    ] {
        let problem = decode(more).expect_err(more);
        assert_eq!(
            (problem.code.status(), problem.param.as_deref()),
            (400, Some(param)),
            "{problem}"
        );
    }
}

#[test]
fn half_surrogate_is_decoded_as_space() {
    let decoded =
        decode(r#","messages":[{"role":"user","content":"a\ud83d"}]"#).expect("a decoded request");
    assert!(matches!(&decoded.turns[0].blocks[0].content, Content::Text(text) if text == "a "));
}
