//! Input bounds of whole requests in each client dialect.

use super::*;
use crate::dialect::{Dialect, Operation};

/// A good request with more members.
fn input(dialect: Dialect, more: &str) -> InputBound {
    let body = match dialect {
        Dialect::Messages => format!(r#"{{"model":"m","max_tokens":9,"messages":[]{more}}}"#),
        Dialect::Responses => format!(r#"{{"model":"m"{more}}}"#),
        _ => format!(r#"{{"model":"m","messages":[]{more}}}"#),
    };
    crate::dialect::read(dialect, Operation::Conversation, body.into())
        .expect("a request")
        .input
}

#[test]
fn unbounded_work_is_named() {
    for (dialect, more, expected) in [
        (Dialect::Chat, r#","web_search_options":{}"#, None),
        (Dialect::Chat, r#","web_search_options":null"#, None),
        (
            Dialect::Chat,
            r#","previous_response_id":"r""#,
            Some("stored conversation"),
        ),
        (
            Dialect::Chat,
            r#","tools":[{"type":"code_interpreter"}]"#,
            Some("hosted tool code_interpreter"),
        ),
        (
            Dialect::Chat,
            r#","prediction":{"type":"content","content":"x"}"#,
            None,
        ),
        (Dialect::Messages, r#","container":"c""#, Some("container")),
        (
            Dialect::Messages,
            r#","mcp_servers":[{"url":"u"}]"#,
            Some("hosted tool mcp_servers"),
        ),
        (Dialect::Messages, r#","mcp_servers":[]"#, None),
        (
            Dialect::Messages,
            r#","thread":{"type":"continue"}"#,
            Some("stored conversation"),
        ),
        (
            Dialect::Messages,
            r#","context_management":{"edits":[{"type":"\u0063ompact_20260112"}]}"#,
            Some("server-side compaction"),
        ),
        (
            Dialect::Messages,
            r#","compaction":{"type":"summarize"}"#,
            Some("server-side compaction"),
        ),
        (
            Dialect::Messages,
            r#","system":[{"type":"image","source":{"type":"url","url":"u"}}]"#,
            Some("remote image URL"),
        ),
    ] {
        assert_eq!(
            input(dialect, more).unbounded.as_deref(),
            expected,
            "{more}"
        );
    }
}

#[test]
fn responses_stored_input_counts_as_one_document() {
    for more in [
        r#","previous_response_id":"resp_1""#,
        r#","input":"x","conversation":{"id":"conv_1"}"#,
        r#","input":[{"type":"item_reference","id":"msg_1"}]"#,
        r#","input":[{"id":"msg_1"}]"#,
        r#","input":[{"type":"reasoning","id":"rs_1","summary":[]}]"#,
        r#","input":[{"type":"web_search_call","id":"ws_1","status":"completed"}]"#,
    ] {
        let input = input(Dialect::Responses, more);
        assert_eq!((input.documents, input.unbounded), (1, None), "{more}");
    }
    let input = input(
        Dialect::Responses,
        r#","input":[{"type":"message","id":"msg_1","role":"assistant","content":"x"}]"#,
    );
    assert_eq!(input.documents, 0);
}

#[test]
fn responses_hosted_tool_is_unbounded_or_counted() {
    for (more, why) in [
        (r#","prompt":{"id":"p"}"#, "stored prompt"),
        (
            r#","input":"","tools":[{"type":"web_search"}]"#,
            "hosted tool web_search without max_tool_calls",
        ),
        (
            r#","input":"","tools":[{"type":"code_interpreter","container":"c"}]"#,
            "hosted tool code_interpreter",
        ),
        (
            r#","input":"","tools":[{"type":"tool_search"}]"#,
            "hosted tool tool_search",
        ),
        (
            r#","input":"","max_tool_calls":3,"tools":[{"type":"mcp","server_label":"s"}]"#,
            "hosted tool mcp",
        ),
        (
            r#","input":"","context_management":[{"type":"compaction","compact_threshold":1}]"#,
            "server-side compaction",
        ),
        (
            r#","input":[{"type":"compaction_trigger"}]"#,
            "server-side compaction",
        ),
        (
            r#","input":[{"type":"additional_tools","role":"developer","tools":[{"type":"file_search"}]}]"#,
            "hosted tool file_search without max_tool_calls",
        ),
        (
            r#","input":[{"role":"user","content":[{"type":"input_image","image_url":"https://x.y/z.png"}]}]"#,
            "remote image URL",
        ),
        (
            r#","input":[{"role":"user","content":[{"type":"input_file","file_url":"https://x.y"}]}]"#,
            "remote file URL",
        ),
        (
            r#","input":[{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","file_id":"f"}]}]"#,
            "file id",
        ),
    ] {
        let input = input(Dialect::Responses, more);
        assert_eq!(input.unbounded.as_deref(), Some(why), "{more}");
    }
    let input = input(
        Dialect::Responses,
        r#","input":"","max_tool_calls":3,"tools":[{"type":"web_search"}]"#,
    );
    assert_eq!((input.searches, input.unbounded), (3, None));
}
