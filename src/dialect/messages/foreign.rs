//! Reasoning of other vendors' models in a client's messages, which Anthropic rejects. Takes the `messages` of a request; returns
//! them without these blocks and with all other bytes unchanged, or `None` without parsing the JSON if there are none.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::conversation::StateSealer;
use crate::dialect::request::Request;
use crate::dialect::wire::raw_object::RawObject;

const SIGNATURE: &[u8] = b"\"signature\"";

/// Removes blocks that the gateway sealed, and with `unsigned_too` blocks without a signature.
pub fn without_foreign_reasoning(request: &Request, unsigned_too: bool) -> Option<String> {
    let messages = request.member("messages")?;
    let may_have = memchr::memmem::find(messages.as_bytes(), StateSealer::PREFIX.as_bytes())
        .is_some()
        || (unsigned_too && has_empty_signature(messages));
    may_have.then(|| without(messages, unsigned_too))?
}

fn has_empty_signature(messages: &str) -> bool {
    memchr::memmem::find_iter(messages.as_bytes(), SIGNATURE).any(|at| {
        let value = messages[at + SIGNATURE.len()..]
            .trim_start()
            .strip_prefix(':');
        value.is_some_and(|value| value.trim_start().starts_with("\"\""))
    })
}

/// `None` if nothing is removed.
fn without(messages: &str, unsigned_too: bool) -> Option<String> {
    let all: Vec<&RawValue> = serde_json::from_str(messages).ok()?;
    let mut kept = Vec::with_capacity(all.len());
    let mut changed = false;
    for message in all {
        match filtered(message.get(), unsigned_too) {
            FilteredMessage::AsItWas => kept.push(message.get().to_owned()),
            FilteredMessage::To(message) => {
                changed = true;
                kept.push(message);
            }
            FilteredMessage::Empty => changed = true,
        }
    }
    changed.then(|| format!("[{}]", kept.join(",")))
}

enum FilteredMessage {
    AsItWas,
    To(String),
    /// no other block is left
    Empty,
}

fn filtered(message: &str, unsigned_too: bool) -> FilteredMessage {
    let Ok(members) = RawObject::read(message.as_bytes()) else {
        return FilteredMessage::AsItWas;
    };
    let content = members.value(message.as_bytes(), "content");
    let Some(blocks) =
        content.and_then(|content| serde_json::from_str::<Vec<&RawValue>>(content).ok())
    else {
        return FilteredMessage::AsItWas;
    };
    let kept: Vec<&str> = blocks
        .iter()
        .map(|block| block.get())
        .filter(|block| !is_foreign(block, unsigned_too))
        .collect();
    if kept.len() == blocks.len() {
        return FilteredMessage::AsItWas;
    }
    if kept.is_empty() {
        return FilteredMessage::Empty;
    }
    let member = members
        .list
        .iter()
        .find(|member| member.name(message.as_bytes()) == b"content");
    let Some(value) = member.map(|member| member.value.clone()) else {
        return FilteredMessage::AsItWas;
    };
    FilteredMessage::To(format!(
        "{}[{}]{}",
        &message[..value.start],
        kept.join(","),
        &message[value.end..]
    ))
}

/// Fields that tell the origin of a block.
#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    data: Option<String>,
}

fn is_foreign(block: &str, unsigned_too: bool) -> bool {
    let Ok(part) = serde_json::from_str::<Part>(block) else {
        return false;
    };
    let token = match part.kind.as_str() {
        "thinking" => part.signature,
        "redacted_thinking" => part.data,
        _ => return false,
    };
    let token = token.unwrap_or_default();
    token.starts_with(StateSealer::PREFIX) || (unsigned_too && token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Dialect, Operation, read};

    fn cleaned(messages: &str, unsigned_too: bool) -> Option<String> {
        let body = format!(r#"{{"model":"m","max_tokens":9,"messages":{messages}}}"#);
        without_foreign_reasoning(
            &read(Dialect::Messages, Operation::Conversation, body.into()).expect("a request"),
            unsigned_too,
        )
    }

    #[test]
    fn e08_foreign_reasoning_is_removed_and_other_bytes_are_unchanged() {
        let messages = r#"[ {"role":"user", "content":"gk1."},
            {"content":[{"type":"thinking","thinking":"a","signature":"gk1.x"}, {"type":"redacted_thinking","data":"gk1.y"},
             {"type":"thinking","thinking":"b","signature":""},{ "type":"text","text":"1.0" }], "role":"assistant"},
            {"role":"assistant","content":[{"type":"thinking","thinking":"c","signature":"gk1.z"}]},
            {"role":"assistant","content":[{"type":"thinking","thinking":"d","signature":"EqoB"}]} ]"#;
        assert_eq!(
            cleaned(messages, true).as_deref(),
            Some(
                r#"[{"role":"user", "content":"gk1."},{"content":[{ "type":"text","text":"1.0" }], "role":"assistant"},{"role":"assistant","content":[{"type":"thinking","thinking":"d","signature":"EqoB"}]}]"#
            )
        );
        assert!(
            cleaned(messages, false)
                .is_some_and(|kept| kept.contains(r#""thinking":"b""#) && !kept.contains("gk1.x"))
        );
    }

    #[test]
    fn conversation_without_foreign_reasoning_is_unchanged() {
        for messages in [
            r#"[{"role":"user","content":"gk1. and \"signature\":\"\""}]"#,
            r#"[{"role":"assistant","content":[{"type":"thinking","thinking":"d","signature":"EqoB"}]}]"#,
            r#"[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"signature":""}}]}]"#,
            "[7]",
            "[]",
        ] {
            assert_eq!(cleaned(messages, true), None, "{messages}");
        }
        let unsigned = r#"[{"role":"assistant","content":[{"type":"thinking","thinking":"d","signature" : ""},7]}]"#;
        assert_eq!(cleaned(unsigned, false), None);
        assert_eq!(
            cleaned(unsigned, true).as_deref(),
            Some(r#"[{"role":"assistant","content":[7]}]"#)
        );
    }
}
