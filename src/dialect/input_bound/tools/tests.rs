//! Bounds of tools by their runner.

use super::*;
use crate::dialect::chat::input_bound::RULES as CHAT;
use crate::dialect::messages::input_bound::RULES as MESSAGES;
use crate::dialect::wire::json::read;

fn tools(rules: &'static ToolRules, json: &str) -> InputBound {
    read(&ToolVisitor::new(rules, None), json.as_bytes())
        .expect("JSON")
        .bound
}

#[test]
fn messages_tool_runs_at_client_or_is_bounded_by_max_uses() {
    let bound = tools(
        MESSAGES.tools,
        r#"[{"name":"a","input_schema":{"type":"object"}},{"type":"custom","name":"b"},{"type":"bash_20250124","name":"bash"},
        {"type":"text_editor_20250728"},{"type":"computer_20251124"},{"type":"memory_20250818"},
        {"type":"web_search_20250305","max_uses":3},{"max_uses":2,"type":"web_fetch_20250910"}]"#,
    );
    assert_eq!((bound.tools, bound.searches, bound.unbounded), (8, 5, None));
    for (tool, expected) in [
        (
            r#"{"type":"web_search_20250305"}"#,
            "hosted tool web_search_20250305 without max_uses",
        ),
        (
            r#"{"type":"code_execution_20250825","max_uses":3}"#,
            "hosted tool code_execution_20250825",
        ),
        (
            r#"{"type":"custom","type":"mcp_toolset"}"#,
            "hosted tool mcp_toolset",
        ),
        (r#"{"type":7}"#, "hosted tool ?"),
    ] {
        assert_eq!(
            tools(MESSAGES.tools, &format!("[{tool}]"))
                .unbounded
                .as_deref(),
            Some(expected),
            "{tool}"
        );
    }
}

#[test]
fn chat_tool_other_than_function_is_unbounded() {
    let bound = tools(
        CHAT.tools,
        r#"[{"type":"function","function":{"name":"a"}},{"type":"custom"}]"#,
    );
    assert_eq!((bound.tools, bound.unbounded), (2, None));
    let bound = tools(CHAT.tools, r#"[{"type":"code_interpreter"}]"#);
    assert_eq!(
        bound.unbounded.as_deref(),
        Some("hosted tool code_interpreter")
    );
}
