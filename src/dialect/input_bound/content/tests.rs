//! Bounds of content: text, media, remote and nested content.

use super::*;
use crate::dialect::chat::input_bound::RULES as CHAT;
use crate::dialect::messages::input_bound::RULES as MESSAGES;
use crate::dialect::wire::json::read;

fn content(rules: &'static InputRules, json: &str) -> InputBound {
    let parts = read(&ContentParts::new(rules), json.as_bytes()).expect("readable");
    InputBound {
        text_bytes: json.len() as u64 - parts.media_bytes,
        ..parts.bound
    }
}

fn why(rules: &'static InputRules, json: &str) -> Option<String> {
    content(rules, json).unbounded
}

#[test]
fn text_content_counts_its_bytes_only() {
    let json = r#"[{"role":"user","content":"see https://x.y and {\"type\":\"image_url\"}"},{"role":"user","content":[{"type":"text","text":"file_id"}]}]"#;
    for rules in [&CHAT, &MESSAGES] {
        let expected = InputBound {
            text_bytes: json.len() as u64,
            ..InputBound::default()
        };
        assert_eq!(content(rules, json), expected);
    }
}

#[test]
fn chat_image_is_counted_without_its_payload() {
    let json = r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAABBBB"}},
        {"type":"image_url","image_url":"DATA:Image/png;base64,CCCC"}]}]"#;
    let bound = content(&CHAT, json);
    assert_eq!(
        (bound.images, bound.documents, bound.unbounded),
        (2, 0, None)
    );
    assert_eq!(bound.text_bytes, json.len() as u64 - 12);
}

#[test]
fn chat_file_and_audio_are_counted_apart() {
    let json = r#"[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AAAA"}},
        {"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]}]"#;
    let bound = content(&CHAT, json);
    assert_eq!(
        (bound.images, bound.documents, bound.audio, bound.unbounded),
        (0, 1, true, None)
    );
    assert_eq!(bound.text_bytes, json.len() as u64 - 32);
}

#[test]
fn chat_remote_content_is_unbounded() {
    for (part, expected) in [
        (
            r#"{"type":"image_url","image_url":{"url":"https://x.y/z.png"}}"#,
            "remote image URL",
        ),
        (
            r#"{"type":"image_url","image_url":{"\u0075rl":"https:\/\/x.y"}}"#,
            "remote image URL",
        ),
        (
            r#"{"type":"text","image\u005furl":"gs://x"}"#,
            "remote image URL",
        ),
        (
            r#"{"type":"document_url","document_url":"https://x.y"}"#,
            "remote document URL",
        ),
        (r#"{"type":"file","file":{"file_id":"file-1"}}"#, "file id"),
        (
            r#"{"type":"file","file":{"file_data":"https://x.y"}}"#,
            "remote file URL",
        ),
    ] {
        let json =
            format!(r#"[{{"role":"user","content":[{{"type":"text","text":"a"}},{part}]}}]"#);
        assert_eq!(why(&CHAT, &json).as_deref(), Some(expected), "{part}");
    }
    assert_eq!(
        why(&CHAT, r#"[{"role":"assistant","audio":{"id":"a"}}]"#).as_deref(),
        Some("stored audio")
    );
    assert_eq!(why(&CHAT, r#"[{"role":"assistant","audio":null}]"#), None);
}

#[test]
fn messages_blocks_inside_tool_results_are_counted() {
    let json = r#"[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[
        {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAABBBB"}},
        {"source":{"data":"CCCC","type":"base64"},"type":"document"},
        {"type":"document","source":{"type":"text","media_type":"text/plain","data":"counted"}},
        {"type":"document","source":{"type":"content","content":[{"type":"image","source":{"type":"base64","data":"DD"}}]}},
        {"type":"search_result","source":"https://x.y","title":"t","content":[{"type":"text","text":"x"}]},
        {"type":"web_search_result","url":"https://x.y","encrypted_content":"zzz"}
    ]}]}]"#;
    let bound = content(&MESSAGES, json);
    assert_eq!(
        (bound.images, bound.documents, bound.unbounded.as_deref()),
        (2, 1, None)
    );
    assert_eq!(bound.text_bytes, json.len() as u64 - 14);
}

#[test]
fn messages_remote_block_is_unbounded() {
    for (block, expected) in [
        (
            r#"{"type":"image","source":{"type":"url","url":"https://x.y"}}"#,
            "remote image URL",
        ),
        (
            r#"{"type":"document","source":{"type":"url","url":"https://x.y"}}"#,
            "remote document URL",
        ),
        (
            r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#,
            "file id",
        ),
        (r#"{"type":"container_upload","file_id":"f"}"#, "file id"),
        (
            r#"{"type":"tool_addition","tool":{"type":"tool_definition","definition":{"type":"web_search_20250305"}}}"#,
            "hosted tool web_search_20250305 without max_uses",
        ),
    ] {
        for json in [
            format!(r#"[{{"role":"user","content":[{block}]}}]"#),
            format!(
                r#"[{{"role":"user","content":[{{"type":"tool_result","content":[{block}]}}]}}]"#
            ),
        ] {
            assert_eq!(why(&MESSAGES, &json).as_deref(), Some(expected), "{json}");
        }
    }
}

#[test]
fn source_with_two_types_is_not_text() {
    let json = r#"[{"content":[{"type":"image","source":{"type":"text","type":"base64","data":"AAAA"}}]}]"#;
    assert_eq!(content(&MESSAGES, json).images, 1);
}

#[test]
fn content_nested_beyond_depth_limit_is_unbounded() {
    let image = r#"{"type":"image","source":{"type":"url","url":"https://x.y"}}"#;
    let deep = |depth: usize| {
        format!(
            "[{}{image}{}]",
            r#"{"content":["#.repeat(depth),
            "]}".repeat(depth)
        )
    };
    assert_eq!(
        why(&MESSAGES, &deep(8)).as_deref(),
        Some("remote image URL")
    );
    assert_eq!(
        why(&MESSAGES, &deep(9)).as_deref(),
        Some("content nested too deep")
    );
    assert_eq!(
        why(&MESSAGES, &deep(10_000)).as_deref(),
        Some("content nested too deep")
    );
}

#[test]
fn half_surrogate_in_text_hides_no_url() {
    let json = r#"[{"role":"user","content":"\ud83d"},{"role":"user","content":[{"type":"image_url","image_url":"https://x"}]}]"#;
    assert_eq!(why(&CHAT, json).as_deref(), Some("remote image URL"));
}
