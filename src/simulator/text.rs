//! Text of messages, its tokens (4 bytes of text each), and the directives in it.

use serde_json::Value;

/// 4 bytes of text, the last token possibly shorter.
pub(super) fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}

/// A text in deltas of one token.
pub(super) fn deltas(text: &str) -> impl Iterator<Item = &str> {
    (0..text.len())
        .step_by(4)
        .map(|at| &text[at..text.len().min(at + 4)])
}

/// All text of a message, a system prompt or a content part, in order.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(text_of).collect(),
        Value::Object(part) => [part.get("content"), part.get("text")]
            .into_iter()
            .flatten()
            .map(text_of)
            .collect(),
        _ => String::new(),
    }
}

/// The number after `word` in a text.
pub(super) fn directive(text: &str, word: &str) -> Option<u64> {
    let after = &text[text.find(word)? + word.len()..];
    let digits = after.len()
        - after
            .trim_start_matches(|letter: char| letter.is_ascii_digit())
            .len();
    after[..digits].parse().ok()
}
