//! Content of a turn: text, media, tool calls and results, reasoning. Values as the client or the
//! model sent them; arguments of a call must never be lost.

use std::borrow::Cow;

use crate::conversation::request::RawJson;

/// Content of a turn, and the hint that the conversation up to it can be cached.
#[derive(Clone, Debug)]
pub struct ContentBlock {
    pub content: Content,
    pub cache: Option<Cache>,
}

impl From<Content> for ContentBlock {
    fn from(content: Content) -> ContentBlock {
        ContentBlock {
            content,
            cache: None,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Content {
    Text(String),
    Image(Media),
    Document(Media),
    ToolCall(ToolCall),
    ToolResult(ToolResult),
    Reasoning(ReasoningBlock),
}

/// Requested lifetime of the cached prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    FiveMinutes,
    Hour,
}

/// An image or a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `image/png`, `application/pdf`; empty if the client omitted it (with a URL)
    pub mime: String,
    pub source: Source,
    /// name of a document, if the client sent one
    pub name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// base64 in the standard alphabet, as the client sent it
    Base64(String),
    /// plain text of a document
    Text(String),
    Url(String),
    /// id of a file stored at a vendor
    File(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    pub id: String,
    /// the client's name of the tool
    pub name: String,
    /// JSON as the model wrote it, possibly invalid; empty without arguments
    pub arguments: String,
    /// to be returned to the vendor with this call
    pub provider_state: Option<ProviderState>,
}

impl ToolCall {
    /// Arguments as a JSON object: `{}` without arguments; text that is not an object is kept as a
    /// string under `arguments`.
    pub fn object(&self) -> Cow<'_, str> {
        let text = self.arguments.trim();
        if text.is_empty() {
            return Cow::Borrowed("{}");
        }
        if text.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(serde_json::json!({ "arguments": text }).to_string())
    }

    /// Arguments as a JSON object that is serialized unchanged.
    pub fn object_raw(&self) -> RawJson {
        crate::conversation::raw(self.object().into_owned()).unwrap_or_default()
    }
}

#[derive(Clone, Debug)]
pub struct ToolResult {
    /// the id of the call
    pub id: String,
    /// name of the tool, taken from the call if the client's dialect omits it
    pub name: Option<String>,
    /// text, images, documents
    pub blocks: Vec<ContentBlock>,
    pub is_error: bool,
}

impl ToolResult {
    /// All texts, joined with newlines.
    pub fn text(&self) -> String {
        let texts = self.blocks.iter().filter_map(|block| match &block.content {
            Content::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }
}

/// Reasoning of a model: readable text, and optionally state that only its vendor can read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasoningBlock {
    pub text: String,
    pub provider_state: Option<ProviderState>,
}

/// Opaque bytes of a vendor, to be returned unchanged to the model that made them and to no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderState {
    /// `None`: sent by the client without the gateway's seal, possibly genuine
    pub origin: Option<Origin>,
    pub kind: ProviderStateKind,
    pub data: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderStateKind {
    /// signature of the readable text
    Signature,
    /// replacement of the text
    Redacted,
}

/// Maker of provider state: dialect and the upstream's name of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    pub dialect: Cow<'static, str>,
    pub model: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tool_call_arguments_become_an_object_without_loss() {
        let object = |arguments: &str| {
            let call = ToolCall {
                id: "c".into(),
                name: "f".into(),
                arguments: arguments.into(),
                provider_state: None,
            };
            call.object().into_owned()
        };
        for (arguments, expected) in [
            ("", "{}"),
            (" ", "{}"),
            (r#"{"b": 1.0, "a":2}"#, r#"{"b": 1.0, "a":2}"#),
            ("[1]", r#"{"arguments":"[1]"}"#),
            (r#"{"a":"#, r#"{"arguments":"{\"a\":"}"#),
            ("text", r#"{"arguments":"text"}"#),
        ] {
            assert_eq!(object(arguments), expected);
        }
    }
}
