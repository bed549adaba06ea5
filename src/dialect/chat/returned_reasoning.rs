//! Reasoning before the calls of a chat history, for models that want it back and clients that leave it out. Takes the `messages` of a
//! request; returns them with the reasoning that is known and all other bytes unchanged, or `None` if nothing is added.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::request::Request;
use crate::dialect::wire::raw_object::RawObject;

const REASONING: &str = "reasoning_content";

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
    #[serde(default)]
    reasoning_content: Option<String>,
}

#[derive(Deserialize)]
struct Call {
    id: String,
}

/// Adds the reasoning that `recall` finds by the ids of the calls after it. Returns the bytes added, too.
pub fn with_returned_reasoning(
    request: &Request,
    recall: impl Fn(&str) -> Option<String>,
) -> Option<(String, u64)> {
    let messages = request.member("messages")?;
    // most conversations have no calls
    memchr::memmem::find(messages.as_bytes(), b"\"tool_calls\"")?;
    let all: Vec<&RawValue> = serde_json::from_str(messages).ok()?;
    let mut added = 0;
    let restored = all.into_iter().map(|message| {
        let json = message.get();
        match lost_reasoning(json, &recall) {
            Some(text) => {
                added += text.len() as u64;
                with_member(json, &text).unwrap_or_else(|| json.to_owned())
            }
            None => json.to_owned(),
        }
    });
    let restored: Vec<String> = restored.collect();
    (added > 0).then(|| (format!("[{}]", restored.join(",")), added))
}

/// Known reasoning of an assistant's message with calls and without it.
fn lost_reasoning(message: &str, recall: impl Fn(&str) -> Option<String>) -> Option<String> {
    let message: Message = serde_json::from_str(message).ok()?;
    let is_carried = message
        .reasoning_content
        .is_some_and(|text| !text.is_empty());
    if message.role != "assistant" || is_carried {
        return None;
    }
    let calls = message.tool_calls.unwrap_or_default();
    let text = calls.iter().find_map(|call| recall(&call.id))?;
    (!text.is_empty()).then_some(text)
}

/// The message with its reasoning in place of an empty one, as the last member.
fn with_member(message: &str, text: &str) -> Option<String> {
    let members = RawObject::read(message.as_bytes()).ok()?;
    let kept = members.list.iter().filter_map(|member| {
        let name = std::str::from_utf8(member.name(message.as_bytes())).ok()?;
        let value = &message[member.value.clone()];
        (name != REASONING).then(|| format!("{}:{value}", serde_json::Value::from(name)))
    });
    let text = format!("\"{REASONING}\":{}", serde_json::Value::from(text));
    let members: Vec<String> = kept.chain([text]).collect();
    Some(format!("{{{}}}", members.join(",")))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::dialect::{Dialect, Operation, read};

    fn restored(messages: &str) -> Option<(String, u64)> {
        let body = format!(r#"{{"model":"m","messages":{messages}}}"#);
        let request = read(Dialect::Chat, Operation::Conversation, Bytes::from(body));
        let request = request.expect("a request");
        with_returned_reasoning(&request, |id| (id == "a").then(|| "h\"m".to_owned()))
    }

    #[test]
    fn reasoning_is_added_to_turns_with_known_calls_only() {
        let (text, bytes) = restored(
            r#"[{"role":"user","content":1.0},{"role":"assistant","reasoning_content":null, "tool_calls":[{"id":"a"}]}]"#,
        )
        .expect("a known call");
        assert_eq!(
            text,
            r#"[{"role":"user","content":1.0},{"role":"assistant","tool_calls":[{"id":"a"}],"reasoning_content":"h\"m"}]"#
        );
        assert_eq!(bytes, 3);
        for unchanged in [
            r#"[{"role":"assistant","tool_calls":[{"id":"b"}]}]"#,
            r#"[{"role":"assistant","reasoning_content":"own","tool_calls":[{"id":"a"}]}]"#,
            r#"[{"role":"user","tool_calls":[{"id":"a"}]}]"#,
            r#"[{"role":"assistant","content":"a"}]"#,
        ] {
            assert_eq!(restored(unchanged), None, "{unchanged}");
        }
    }
}
