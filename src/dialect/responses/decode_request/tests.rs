//! Tests of `decode_request`.

use super::*;
use crate::conversation::{
    Media, Origin, ProviderState, ProviderStateKind, ReasoningBlock, Source, ToolCall,
};
use crate::dialect::{Dialect, Operation, read};

fn sealer() -> StateSealer {
    StateSealer::new([0; 32])
}

fn decode(more: &str) -> Result<ChatRequest, ApiError> {
    let body = format!(r#"{{"model":"m"{more}}}"#);
    decode_request(
        &read(Dialect::Responses, Operation::Conversation, body.into())?,
        &sealer(),
    )
}

/// One line per turn: role and blocks.
fn lines(chat: &ChatRequest) -> Vec<String> {
    let block = |content: &Content| match content {
        Content::Text(text) => text.clone(),
        Content::Image(Media {
            mime,
            source: Source::Base64(data),
            ..
        }) => format!("image {mime} {data}"),
        Content::Document(Media {
            name,
            source: Source::Base64(data),
            ..
        }) => format!("file {name:?} {data}"),
        Content::ToolCall(ToolCall {
            id,
            name,
            arguments,
            ..
        }) => format!("{id} {name}({arguments})"),
        Content::ToolResult(result) => format!(
            "{} -> {} +{}",
            result.id,
            result.text(),
            result.blocks.len()
        ),
        Content::Reasoning(ReasoningBlock {
            text,
            provider_state,
        }) => {
            format!("thinks {text} {}", provider_state.is_some())
        }
        other => format!("{other:?}"),
    };
    let line = |turn: &Turn| {
        let blocks: Vec<String> = turn.blocks.iter().map(|one| block(&one.content)).collect();
        format!("{:?}: {}", turn.role, blocks.join(" | "))
    };
    chat.turns.iter().map(line).collect()
}

#[test]
fn items_of_every_type_become_turns() {
    let origin = Some(Origin {
        dialect: "messages".into(),
        model: "claude".into(),
    });
    let sealed = sealer().seal(&ProviderState {
        origin,
        kind: ProviderStateKind::Signature,
        data: "sig".into(),
    });
    let chat = decode(&format!(
        r#","instructions":"be brief","input":[
        {{"role":"developer","content":"rules"}},
        {{"type":"message","role":"user","content":[{{"type":"input_text","text":"see"}},
          {{"type":"input_image","detail":"auto","image_url":"data:image/PNG;base64,AAAA"}},
          {{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,BBBB"}}]}},
        {{"type":"reasoning","id":"rs_1","summary":[{{"type":"summary_text","text":"hm"}}],"encrypted_content":"{sealed}"}},
        {{"type":"reasoning","id":"rs_2","summary":[],"encrypted_content":"gAAAA"}},
        {{"type":"function_call","id":"fc_1","call_id":"c1","name":"close","namespace":"agents","arguments":"{{\"a\":1}}"}},
        {{"type":"custom_tool_call","call_id":"c2","name":"apply_patch","input":"*** \"x\""}},
        {{"type":"tool_search_call","call_id":"c3","execution":"client","arguments":{{"query":"q"}}}},
        {{"type":"function_call_output","call_id":"c1","output":[{{"type":"input_text","text":"ok"}},
          {{"type":"input_image","image_url":"data:image/png;base64,CCCC"}}]}},
        {{"type":"custom_tool_call_output","call_id":"c2","output":"done"}},
        {{"type":"tool_search_output","call_id":"c3","execution":"client","tools":[{{"type":"function","name":"found","parameters":null}}]}},
        {{"type":"message","role":"assistant","id":"msg_1","content":[{{"type":"output_text","text":"so","annotations":[]}}]}}]"#
    ))
    .expect("a request");
    assert_eq!(
        lines(&chat),
        [
            "System: be brief",
            "System: rules",
            "User: see | image image/png AAAA | file Some(\"a.pdf\") BBBB",
            "Assistant: thinks hm true",
            "Assistant: c1 agents__close({\"a\":1})",
            "Assistant: c2 apply_patch({\"input\":\"*** \\\"x\\\"\"})",
            "Assistant: c3 tool_search({\"query\":\"q\"})",
            "User: c1 -> ok +2",
            "User: c2 -> done +1",
            "User: c3 -> Found tools: found +1",
            "Assistant: so",
        ]
    );
    assert_eq!(
        chat.tools
            .iter()
            .map(|tool| tool.name.as_str())
            .collect::<Vec<_>>(),
        ["found"]
    );
    assert!(chat.dropped.is_empty(), "{:?}", chat.dropped);
}

#[test]
fn e27_tools_of_every_type_become_functions_or_are_dropped() {
    let chat = decode(
        r#","input":"hi","tools":[
        {"type":"function","name":"f","strict":false,"parameters":{"type":"object","b":1,"a":2}},
        {"type":"custom","name":"apply_patch","description":"Patches.","format":{"type":"grammar","syntax":"lark","definition":"start: x"}},
        {"type":"namespace","name":"mcp__db__","description":"d","tools":[{"type":"function","name":"query","parameters":{}}]},
        {"type":"namespace","name":"agents","description":"d","tools":[{"type":"custom","name":"say"}]},
        {"type":"tool_search","execution":"client","parameters":{"type":"object"}},
        {"type":"web_search","external_web_access":false}],
        "tool_choice":{"type":"custom","name":"apply_patch"},"parallel_tool_calls":false"#,
    )
    .expect("a request");
    let names: Vec<&str> = chat.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "f",
            "apply_patch",
            "mcp__db__query",
            "agents__say",
            "tool_search"
        ]
    );
    assert_eq!(
        chat.tools[0].schema.as_str(),
        r#"{"type":"object","b":1,"a":2}"#,
        "as it was written"
    );
    let patch = chat.tools[1].description.as_deref().expect("a description");
    assert!(
        patch.starts_with("Patches.\n\n") && patch.ends_with("lark grammar:\nstart: x"),
        "{patch}"
    );
    assert_eq!(
        (chat.tool_choice, chat.parallel_tools),
        (ToolChoice::Named("apply_patch".into()), Some(false))
    );
    assert_eq!(chat.dropped, ["tools.web_search"]);
}

#[test]
fn settings_are_decoded_and_the_rest_is_dropped() {
    let chat =
        decode(r#","input":"hi","max_output_tokens":50,"temperature":0.70,"reasoning":{"effort":"xhigh","summary":"auto"},
        "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true},"verbosity":"low"},
        "include":["reasoning.encrypted_content"],"store":true,"prompt_cache_key":"k","metadata":{"a":"b"},"user":"u1",
        "truncation":"auto","top_logprobs":3,"service_tier":"flex","client_metadata":{"x":"y"},"x_new":1"#)
        .expect("a request");
    assert_eq!(
        (
            chat.output_cap,
            chat.user.as_deref(),
            chat.service_tier.as_deref()
        ),
        (Some(50), Some("u1"), Some("flex"))
    );
    assert_eq!(
        chat.sampling.temperature.as_ref().map(RawJson::as_str),
        Some("0.70")
    );
    assert_eq!(
        (chat.reasoning.effort, chat.reasoning.summary),
        (Some(Effort::XHigh), Some(Summary::Shown))
    );
    assert!(
        matches!(&chat.format, Format::JsonSchema { name, strict: Some(true), .. } if name == "n"),
        "{:?}",
        chat.format
    );
    assert_eq!(
        chat.dropped,
        [
            "text.verbosity",
            "metadata",
            "truncation",
            "top_logprobs",
            "x_new"
        ]
    );
}

#[test]
fn allowed_tools_remove_all_others() {
    let chat = decode(r#","input":"hi","tools":[{"type":"function","name":"f"},{"type":"function","name":"g"}],
        "tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"g"}]}"#)
    .expect("a request");
    assert_eq!(
        (
            chat.tools.len(),
            chat.tools[0].name.as_str(),
            chat.tool_choice
        ),
        (1, "g", ToolChoice::Any)
    );
}

#[test]
fn damaged_body_never_panics() {
    let body = include_str!("../../../../tests/golden/codex/tools-2.json");
    for bytes in crate::dialect::samples::damaged(body.as_bytes(), 300) {
        if let Ok(request) = read(Dialect::Responses, Operation::Conversation, bytes.into()) {
            drop(decode_request(&request, &sealer()));
        }
    }
}

#[test]
fn reference_to_stored_item_is_refused_with_its_position() {
    for (more, param) in [
        (
            r#","input":"x","previous_response_id":"resp_1""#,
            "previous_response_id",
        ),
        (r#","prompt":{"id":"pmpt_1"}"#, "prompt"),
        (
            r#","input":[{"type":"item_reference","id":"rs_1"}]"#,
            "input",
        ),
        (r#","input":[{"id":"msg_1"}]"#, "input"),
        (
            r#","input":[{"type":"web_search_call","id":"ws_1"}]"#,
            "input",
        ),
        (
            r#","input":[{"type":"computer_call_output","call_id":"c","output":{"type":"computer_screenshot"}}]"#,
            "input",
        ),
        (r#","input":[{"role":"king","content":"x"}]"#, "input"),
        (
            r#","input":[{"type":"function_call_output","output":"x"}]"#,
            "input",
        ),
        (
            r#","input":[{"role":"user","content":[{"type":"input_audio"}]}]"#,
            "input",
        ),
        (r#","input":[7]"#, "input"),
        (r#","input":"x","tool_choice":"perhaps""#, "tool_choice"),
        (
            r#","input":"x","tool_choice":{"type":"web_search"},"tools":[{"type":"web_search"}]"#,
            "tool_choice",
        ),
        (r#","input":"x","tools":[7]"#, "tools"),
        (
            r#","input":"x","reasoning":{"effort":"much"}"#,
            "reasoning.effort",
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
