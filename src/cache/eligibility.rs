//! Requests that the cache leaves alone, with the word that tells why: answers that cannot be kept whole, or that depend on state at the
//! vendor.

use serde_json::value::RawValue;

use crate::dialect::{Dialect, Operation, Request};

/// Members that refer to state at the vendor, or ask for it.
const STATE: [&str; 7] = [
    "previous_response_id",
    "conversation",
    "background",
    "prompt",
    "container",
    "context_management",
    "mcp_servers",
];
/// Members whose answer has parts that are not kept.
const PARTS: [(&str, &str); 5] = [
    ("logprobs", "logprobs"),
    ("top_logprobs", "logprobs"),
    ("include", "include"),
    ("web_search_options", "hosted_tools"),
    ("modalities", "media"),
];

/// Why a request is not looked up; `None` if it can be.
pub fn refusal(request: &Request) -> Option<&'static str> {
    if request.operation != Operation::Conversation {
        return Some("operation");
    }
    if request.choices > 1 {
        return Some("choices");
    }
    if request.audio_output {
        return Some("media");
    }
    let says = |name: &str| {
        let value = request.member(name).map(str::trim);
        value.is_some_and(|value| !matches!(value, "null" | "false" | "0" | "[]" | "{}"))
    };
    if STATE.into_iter().any(says) {
        return Some("vendor_state");
    }
    // without `store: false` later requests can name the answer by its id
    if request.dialect == Dialect::Responses
        && request.member("store").map(str::trim) != Some("false")
    {
        return Some("vendor_state");
    }
    if let Some((_, reason)) = PARTS.into_iter().find(|(name, _)| says(name)) {
        return Some(reason);
    }
    if has_hosted_tools(request) {
        return Some("hosted_tools");
    }
    // a text in the conversation cannot have unescaped quotes
    let has_citations = memchr::memmem::find(&request.body, b"\"citations\"").is_some();
    has_citations.then_some("citations")
}

/// Returns `true` if the vendor runs a tool inside the call.
fn has_hosted_tools(request: &Request) -> bool {
    let Some(tools) = request
        .member("tools")
        .filter(|tools| tools.trim() != "null")
    else {
        return false;
    };
    let Ok(tools) = serde_json::from_str::<Vec<&RawValue>>(tools) else {
        return true;
    };
    #[derive(serde::Deserialize)]
    struct Kind<'t> {
        #[serde(borrow, default, rename = "type")]
        kind: Option<std::borrow::Cow<'t, str>>,
    }
    let is_own = |tool: &&RawValue| {
        let kind = serde_json::from_str::<Kind<'_>>(tool.get());
        kind.is_ok_and(|tool| matches!(tool.kind.as_deref(), None | Some("function" | "custom")))
    };
    !tools.iter().all(is_own)
}

/// Returns `true` for a request that may be compared by meaning, if it is looked up at all: no tools, no media.
pub fn may_be_compared(request: &Request) -> bool {
    let has_tools = ["tools", "functions"].into_iter().any(|name| {
        let value = request.member(name).map(str::trim);
        value.is_some_and(|value| !matches!(value, "null" | "[]"))
    });
    let input = &request.input;
    let has_media = input.images > 0 || input.documents > 0 || input.audio;
    !has_tools && !has_media
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(dialect: Dialect, members: &str) -> Request {
        let body = format!(r#"{{"model":"m","max_tokens":5,{members}}}"#);
        crate::dialect::read(dialect, Operation::Conversation, body.into()).expect("a request")
    }

    const HI: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

    #[test]
    fn request_whose_answer_cannot_be_kept_whole_is_refused() {
        let of = |members: &str| refusal(&request(Dialect::Chat, &format!("{HI},{members}")));
        for (members, reason) in [
            (r#""n":1,"logprobs":false,"tools":[]"#, None),
            (
                r#""tools":[{"type":"function","function":{"name":"f"}}]"#,
                None,
            ),
            (r#""n":2"#, Some("choices")),
            (r#""logprobs":true"#, Some("logprobs")),
            (r#""web_search_options":{"a":1}"#, Some("hosted_tools")),
            (r#""tools":[{"type":"web_search"}]"#, Some("hosted_tools")),
        ] {
            assert_eq!(of(members), reason, "{members}");
        }
        let messages = |members: &str| {
            let members = format!("{HI},{members}");
            refusal(&request(Dialect::Messages, &members))
        };
        assert_eq!(
            messages(r#""tools":[{"name":"f","input_schema":{}}]"#),
            None
        );
        assert_eq!(messages(r#""container":"c1""#), Some("vendor_state"));
    }

    #[test]
    fn response_that_the_vendor_stores_is_refused() {
        let of = |members: &str| {
            let body = format!(r#"{{"model":"m","input":"hi"{members}}}"#);
            let read =
                crate::dialect::read(Dialect::Responses, Operation::Conversation, body.into());
            refusal(&read.expect("a request"))
        };
        assert_eq!(of(""), Some("vendor_state"));
        assert_eq!(of(r#","store":false"#), None);
        assert_eq!(of(r#","store":false,"include":["x"]"#), Some("include"));
    }
}
