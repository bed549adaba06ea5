//! What a turn is made of: text, media, calls of tools and their results, and what a model thought.

use std::borrow::Cow;

use crate::conversation::request::RawJson;

/// One piece of a turn, and the hint that everything up to it may be cached.
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

/// How long a vendor is asked to keep the beginning of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    FiveMinutes,
    Hour,
}

/// An image or a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `image/png`, `application/pdf`; empty where the client did not say (of a URL)
    pub mime: String,
    pub source: Source,
    /// a document's name, where the client gave one
    pub name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// the bytes in base64, standard alphabet, as the client sent them
    Base64(String),
    /// plain text of a document
    Text(String),
    Url(String),
    /// the id of a file that a vendor keeps
    File(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    pub id: String,
    /// as the client knows it
    pub name: String,
    /// JSON as the model wrote it, perhaps not valid; empty for no arguments
    pub arguments: String,
    /// what the vendor wants to see again with this call
    pub provider_state: Option<ProviderState>,
}

impl ToolCall {
    /// The arguments as one JSON object: nothing is `{}`, and what is no object is kept under `arguments` as text, so that
    /// nothing is lost.
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

    /// The same as a JSON value that is written as it stands.
    pub fn object_raw(&self) -> RawJson {
        crate::conversation::raw(self.object().into_owned()).unwrap_or_default()
    }
}

#[derive(Clone, Debug)]
pub struct ToolResult {
    /// the id of the call
    pub id: String,
    /// the tool's name, looked up from the call where the client's dialect does not say
    pub name: Option<String>,
    /// text, images, documents
    pub blocks: Vec<ContentBlock>,
    pub is_error: bool,
}

impl ToolResult {
    /// All its text, joined with line ends.
    pub fn text(&self) -> String {
        let texts = self.blocks.iter().filter_map(|block| match &block.content {
            Content::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }
}

/// What a model thought: readable text, and perhaps what only its vendor can read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasoningBlock {
    pub text: String,
    pub provider_state: Option<ProviderState>,
}

/// A vendor's own bytes, to be given back unchanged to the model that made them and to nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderState {
    /// whose it is; `None`: the client sent something that we did not seal, which may be genuine
    pub origin: Option<Origin>,
    pub kind: ProviderStateKind,
    pub data: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderStateKind {
    /// signs the readable text beside it
    Signature,
    /// stands in place of the text
    Redacted,
}

/// Who can read an opaque: a dialect's word, and the model as it is called upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    pub dialect: Cow<'static, str>,
    pub model: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_always_an_object_and_never_lost() {
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
