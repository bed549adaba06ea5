//! Requests of this dialect and their decoded form.

use crate::conversation::{Cache, Content, ProviderStateKind, Source};
use crate::dialect::messages::decode_request::*;
use crate::dialect::{Dialect, Operation, read};

fn asked(body: &str) -> Result<ChatRequest, ApiError> {
    let request = read(
        Dialect::Messages,
        Operation::Conversation,
        body.to_owned().into(),
    )
    .expect("a request");
    decode_request(&request, &StateSealer::new([7; 32]))
}

fn with(more: &str) -> Result<ChatRequest, ApiError> {
    asked(&format!(
        r#"{{"model":"m","max_tokens":900,"messages":[{{"role":"user","content":"hi"}}]{more}}}"#
    ))
}

fn saying(messages: &str) -> Result<ChatRequest, ApiError> {
    asked(&format!(
        r#"{{"model":"m","max_tokens":9,"messages":{messages}}}"#
    ))
}

/// One line per turn: role and blocks; `*` is a cache hint of five minutes, `**` of an hour.
fn lines(chat: &ChatRequest) -> Vec<String> {
    let line = |turn: &Turn| format!("{:?}: {}", turn.role, blocks(&turn.blocks, " | "));
    chat.turns.iter().map(line).collect()
}

fn blocks(blocks: &[ContentBlock], between: &str) -> String {
    blocks.iter().map(block).collect::<Vec<_>>().join(between)
}

fn block(block: &ContentBlock) -> String {
    let said = match &block.content {
        Content::Text(text) => text.clone(),
        Content::Image(media) | Content::Document(media) => match &media.source {
            Source::Base64(data) => format!("{} {data}", media.mime),
            other => format!("{other:?}"),
        },
        Content::ToolCall(call) => format!("{}={}{}", call.id, call.name, call.arguments),
        Content::ToolResult(result) => {
            format!(
                "{}:{}{}",
                result.id,
                blocks(&result.blocks, "+"),
                if result.is_error { "!" } else { "" }
            )
        }
        Content::Reasoning(reasoned) => {
            let provider_state = reasoned
                .provider_state
                .as_ref()
                .map(|provider_state| format!("{:?} {}", provider_state.kind, provider_state.data));
            format!("({}) {}", reasoned.text, provider_state.unwrap_or_default())
        }
    };
    let hint = match block.cache {
        None => "",
        Some(Cache::FiveMinutes) => "*",
        Some(Cache::Hour) => "**",
    };
    format!("{said}{hint}")
}

#[test]
fn portable_blocks_are_decoded_in_order() {
    let chat = saying(
        r#"[{"role":"user","content":[{"type":"text","text":"look"},{"type":"text","text":""},
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"},"cache_control":{"type":"ephemeral"}},
            {"type":"image","source":{"type":"url","url":"https://x/y.png"}},
            {"type":"document","title":"t","context":"from whom","source":{"type":"base64","media_type":"application/pdf","data":"BBBB"}},
            {"type":"document","source":{"type":"content","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}]},
           {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"redacted_thinking","data":"cmVk"},
            {"type":"thinking","thinking":"unsigned","signature":""},
            {"type":"text","text":"so"},{"type":"tool_use","id":"toolu_1","name":"f","input":{"b": 1.0,"a":[]}}]},
           {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","is_error":true,"cache_control":{"type":"ephemeral","ttl":"1h"},
            "content":[{"type":"text","text":"no"},{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"CCCC"}}]}]},
           {"role":"system","content":"later"},
           {"role":"user","content":""}]"#,
    )
    .expect("a request");
    assert_eq!(
        lines(&chat),
        [
            r#"User: look | image/png AAAA* | Url("https://x/y.png") | from whom | application/pdf BBBB | Text("a\nb")"#,
            r#"Assistant: (hm) Signature c2ln | () Redacted cmVk | (unsigned)  | so | toolu_1=f{"b": 1.0,"a":[]}"#,
            "User: toolu_1:no+image/jpeg CCCC!**",
            "System: later",
        ]
    );
    assert!(chat.dropped.is_empty());
}

#[test]
fn anthropic_only_block_is_refused_with_its_position() {
    for (block, name) in [
        (
            r#"{"type":"search_result","source":"s","title":"t","content":[]}"#,
            "`search_result` block",
        ),
        (
            r#"{"type":"container_upload","file_id":"f"}"#,
            "`container_upload` block",
        ),
        (
            r#"{"type":"tool_use","id":"a","name":"b","input":{}}"#,
            "`tool_use` block",
        ),
        (
            r#"{"type":"a prompt's words"}"#,
            "block of a kind whose name is not shown",
        ),
        (r#"{"type":"image"}"#, "without its `source`"),
        (r#"{"type":"tool_result"}"#, "without `tool_use_id`"),
    ] {
        let messages =
            format!(r#"[{{"role":"user","content":"hi"}},{{"role":"user","content":[{block}]}}]"#);
        let problem = saying(&messages).expect_err(block);
        assert_eq!(
            (problem.param.as_deref(), problem.code.status()),
            (Some("messages.1"), 400),
            "{block}"
        );
        assert!(problem.message.contains(name), "{problem}");
    }
    for member in ["container", "mcp_servers", "inference_geo"] {
        let problem = with(&format!(r#","{member}":"x""#)).expect_err(member);
        assert_eq!(problem.param.as_deref(), Some(member));
    }
    let warming =
        asked(r#"{"model":"m","max_tokens":0,"messages":[]}"#).expect_err("nothing to warm");
    assert_eq!(warming.param.as_deref(), Some("max_tokens"));
}

#[test]
fn anthropic_only_field_is_dropped_by_name() {
    let chat = with(
        r#","context_management":{"edits":[]},"betas":["x"],"top_k":4,"diagnostics":null,
            "output_config":{"effort":"xhigh","task_budget":{"type":"tokens","total":9}},
            "tools":[{"type":"web_search_20250305","name":"web_search","max_uses":3},{"name":"f","input_schema":{"type":"object"},"defer_loading":true}]"#,
    )
    .expect("a request");
    assert_eq!(
        chat.dropped,
        [
            "context_management",
            "betas",
            "output_config.task_budget",
            "tools.web_search_20250305"
        ]
    );
    assert_eq!((chat.tools.len(), chat.tools[0].name.as_str()), (1, "f"));
    assert_eq!(
        chat.sampling
            .top_k
            .map(|top_k| top_k.as_str().to_owned())
            .as_deref(),
        Some("4")
    );
}

#[test]
fn thinking_is_decoded_in_all_its_forms() {
    let reasoning = |more: &str| with(more).expect("a request").reasoning;
    let adaptive = reasoning(
        r#","output_config":{"effort":"xhigh"},"thinking":{"type":"adaptive","display":"summarized"}"#,
    );
    assert_eq!(
        (adaptive.adaptive, adaptive.effort, adaptive.summary),
        (true, Some(Effort::XHigh), Some(Summary::Shown))
    );
    let budget = reasoning(r#","thinking":{"type":"enabled","budget_tokens":2048}"#);
    assert_eq!((budget.budget, budget.adaptive), (Some(2_048), false));
    assert!(reasoning(r#","thinking":{"type":"between_tools"}"#).adaptive);
    for off in [
        r#","thinking":{"type":"disabled"},"output_config":{"effort":"high"}"#,
        r#","output_config":{"effort":"high"},"thinking":{"type":"disabled"}"#,
    ] {
        assert!(reasoning(off).is_off(), "{off}");
    }
    assert!(!reasoning("").is_named());
    for bad in [
        r#","thinking":{"type":"new"}"#,
        r#","thinking":7"#,
        r#","output_config":{"effort":"much"}"#,
    ] {
        assert!(with(bad).is_err(), "{bad}");
    }
}

#[test]
fn u05_tool_choices_are_decoded() {
    for (choice, expected, parallel) in [
        (r#"{"type":"auto"}"#, ToolChoice::Auto, None),
        (
            r#"{"type":"any","disable_parallel_tool_use":true}"#,
            ToolChoice::Any,
            Some(false),
        ),
        (r#"{"type":"none"}"#, ToolChoice::None, None),
        (
            r#"{"type":"tool","name":"f","disable_parallel_tool_use":false}"#,
            ToolChoice::Named("f".into()),
            Some(true),
        ),
    ] {
        let chat = with(&format!(r#","tool_choice":{choice}"#)).expect("a request");
        assert_eq!(
            (chat.tool_choice, chat.parallel_tools),
            (expected, parallel)
        );
    }
    assert!(with(r#","tool_choice":{"type":"tool"}"#).is_err());
}

#[test]
fn response_format_is_decoded_from_either_field() {
    for more in [
        r#","output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}"#,
        r#","output_format":{"type":"json_schema","schema":{"type":"object"}}"#,
    ] {
        let Format::JsonSchema { schema, strict, .. } = with(more).expect("a request").format
        else {
            panic!("{more}")
        };
        assert_eq!(
            (schema.as_str(), strict),
            (r#"{"type":"object"}"#, Some(true))
        );
    }
}

#[test]
fn e01_request_of_claude_code_is_decoded_completely() {
    let tools: Vec<String> = (0..25)
        .map(|n| {
            format!(
                r#"{{"name":"Tool{n}","description":"d","input_schema":{{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{{}},"additionalProperties":false}}}}"#
            )
        })
        .collect();
    let body = format!(
        r#"{{"model":"claude-opus-5-5","messages":[{{"role":"user","content":[{{"type":"text","text":"<system-reminder>"}},
            {{"type":"text","text":"say OK","cache_control":{{"type":"ephemeral"}}}}]}},{{"role":"system","content":"in the middle"}}],
            "system":[{{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.197"}},
            {{"type":"text","text":"You are Claude Code","cache_control":{{"type":"ephemeral"}}}},
            {{"type":"text","text":"rules","cache_control":{{"type":"ephemeral"}}}}],
            "tools":[{}],"metadata":{{"user_id":"{{\"device_id\":\"d\"}}"}},"max_tokens":64000,"thinking":{{"type":"adaptive"}},
            "context_management":{{"edits":[{{"type":"clear_thinking_20251015","keep":"all"}}]}},
            "output_config":{{"effort":"high"}},"stream":true}}"#,
        tools.join(",")
    );
    let chat = asked(&body).expect("a request");
    assert_eq!(
        lines(&chat),
        [
            "System: You are Claude Code* | rules*",
            "User: <system-reminder> | say OK*",
            "System: in the middle"
        ]
    );
    assert_eq!(
        (chat.tools.len(), chat.output_cap, chat.streamed),
        (25, Some(64_000), true)
    );
    assert_eq!(chat.user.as_deref(), Some(r#"{"device_id":"d"}"#));
    assert_eq!(
        (chat.reasoning.adaptive, chat.reasoning.effort),
        (true, Some(Effort::High))
    );
    assert_eq!(
        chat.dropped,
        ["x-anthropic-billing-header", "context_management"]
    );
}

#[test]
fn e08_sealed_state_is_opened_and_other_state_is_kept() {
    let sealer = StateSealer::new([7; 32]);
    let origin = crate::conversation::Origin {
        dialect: "gemini".into(),
        model: "gemini-3-pro".into(),
    };
    let sealed = crate::conversation::ProviderState {
        origin: Some(origin),
        kind: ProviderStateKind::Redacted,
        data: "c2ln".into(),
    };
    let token = sealer.seal(&sealed);
    let chat = saying(&format!(
        r#"[{{"role":"assistant","content":[{{"type":"thinking","thinking":"hm","signature":"{token}"}},{{"type":"redacted_thinking","data":"{token}"}}]}}]"#
    ))
    .expect("a request");
    for block in &chat.turns[0].blocks {
        let Content::Reasoning(reasoned) = &block.content else {
            panic!("{block:?}")
        };
        assert_eq!(reasoned.provider_state.as_ref(), Some(&sealed));
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let body = r#"{"model":"m","max_tokens":9,"system":[{"type":"text","text":"s"}],"tools":[{"name":"f","input_schema":{}}],
        "messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"日"}]}]},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"tool_use","id":"t","name":"f","input":{}}]}],
        "thinking":{"type":"enabled","budget_tokens":2048},"tool_choice":{"type":"tool","name":"f"},"output_config":{"effort":"low"}}"#;
    for damaged in crate::dialect::samples::damaged(body.as_bytes(), 3_000) {
        if let Ok(request) = read(Dialect::Messages, Operation::Conversation, damaged.into()) {
            let _ = decode_request(&request, &StateSealer::new([7; 32]));
        }
    }
}
