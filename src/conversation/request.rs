//! Canonical chat request, decoded from any client dialect. Numbers and schemas keep the client's
//! bytes and must never be reformatted.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::conversation::{Content, ContentBlock};

/// JSON value that keeps its bytes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub struct RawJson(pub Box<RawValue>);

impl RawJson {
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &RawJson) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Default for RawJson {
    /// An empty object.
    fn default() -> RawJson {
        RawJson(
            RawValue::from_string("{}".to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned()),
        )
    }
}

/// Parses one JSON value; `None` if malformed.
pub fn raw(json: String) -> Option<RawJson> {
    RawValue::from_string(json).ok().map(RawJson)
}

/// Number as the client wrote it.
pub type Number = RawJson;

/// Request of a conversation.
#[derive(Clone, Debug, Default)]
pub struct ChatRequest {
    pub streamed: bool,
    /// in the client's order, system turns at their positions
    pub turns: Vec<Turn>,
    pub tools: Vec<Tool>,
    pub tool_choice: ToolChoice,
    /// `Some(false)`: one call at a time
    pub parallel_tools: Option<bool>,
    pub output_cap: Option<u64>,
    pub sampling: Sampling,
    /// stop sequences
    pub stop: Vec<String>,
    pub reasoning: ReasoningOptions,
    pub format: Format,
    pub answer_form: AnswerForm,
    /// the client's identifier of the end user
    pub user: Option<String>,
    pub service_tier: Option<String>,
    /// dropped fields, by the client's names
    pub dropped: Vec<String>,
}

impl ChatRequest {
    pub fn drop_param(&mut self, name: impl Into<String>) {
        let name = name.into();
        if !self.dropped.contains(&name) {
            self.dropped.push(name);
        }
    }

    /// Images and documents, including those in tool results.
    pub fn media(&self) -> impl Iterator<Item = &Content> {
        let blocks = self.turns.iter().flat_map(|turn| &turn.blocks);
        let contents = blocks.flat_map(|block| match &block.content {
            Content::ToolResult(result) => result
                .blocks
                .iter()
                .map(|block| &block.content)
                .collect::<Vec<_>>(),
            content => vec![content],
        });
        contents.filter(|content| matches!(content, Content::Image(_) | Content::Document(_)))
    }
}

/// Form in which the model gives the answer that the format asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerForm {
    /// as the client gets it
    #[default]
    Own,
    /// the one tool is the gateway's, and its arguments are the answer
    Call,
    /// a JSON object in a text, since the model was told so
    Instructed,
}

/// Names in a client's dialect of the fields that can be dropped or refused.
#[derive(Clone, Copy, Debug)]
pub struct FieldNames {
    pub messages: &'static str,
    pub stop: &'static str,
    pub reasoning: &'static str,
    pub format: &'static str,
    pub parallel_tools: &'static str,
    pub user: &'static str,
}

#[derive(Clone, Debug)]
pub struct Turn {
    pub role: Role,
    pub blocks: Vec<ContentBlock>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    System,
    User,
    Assistant,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    pub name: String,
    pub description: Option<String>,
    /// JSON Schema of the arguments, an object
    pub schema: RawJson,
    pub strict: Option<bool>,
    pub cache: Option<crate::conversation::Cache>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    #[default]
    Auto,
    None,
    /// the model must call a tool
    Any,
    Named(String),
}

/// Sampling parameters as the client wrote them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    pub temperature: Option<Number>,
    pub top_p: Option<Number>,
    pub top_k: Option<Number>,
    pub frequency_penalty: Option<Number>,
    pub presence_penalty: Option<Number>,
    pub seed: Option<Number>,
}

/// Reasoning requested by the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasoningOptions {
    /// `Some(Effort::None)`: disabled
    pub effort: Option<Effort>,
    /// tokens, if the client set a number
    pub budget: Option<u64>,
    /// enabled, the amount left to the model
    pub adaptive: bool,
    /// visibility of the reasoning text
    pub summary: Option<Summary>,
}

impl ReasoningOptions {
    /// True if the client set any option.
    pub fn is_named(&self) -> bool {
        *self != ReasoningOptions::default()
    }

    /// True if the client disabled reasoning.
    pub fn is_off(&self) -> bool {
        self.effort == Some(Effort::None)
    }
}

/// Reasoning effort, ascending, as in the dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

impl Effort {
    pub const ALL: [Effort; 7] = [
        Effort::None,
        Effort::Minimal,
        Effort::Low,
        Effort::Medium,
        Effort::High,
        Effort::XHigh,
        Effort::Max,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Effort::None => "none",
            Effort::Minimal => "minimal",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::XHigh => "xhigh",
            Effort::Max => "max",
        }
    }

    pub fn parse(name: &str) -> Option<Effort> {
        Effort::ALL
            .into_iter()
            .find(|effort| effort.as_str() == name)
    }

    /// Nearest effort that a model supports; the lower of two equally near. `None` without any: reasoning that was asked for is
    /// never switched off.
    pub fn nearest(self, supported: &[Effort]) -> Option<Effort> {
        let distance = |other: &Effort| (*other as i8 - self as i8).unsigned_abs();
        supported
            .iter()
            .copied()
            .filter(|other| self == Effort::None || *other != Effort::None)
            .min_by_key(|other| (distance(other), *other))
    }

    /// Equivalent thinking budget in tokens.
    pub const fn tokens(self) -> u64 {
        match self {
            Effort::None => 0,
            Effort::Minimal => 1_024,
            Effort::Low => 2_048,
            Effort::Medium => 8_192,
            Effort::High => 16_384,
            Effort::XHigh => 32_768,
            Effort::Max => 65_536,
        }
    }

    /// Equivalent effort of a thinking budget in tokens.
    pub fn from_tokens(tokens: u64) -> Effort {
        Effort::ALL
            .into_iter()
            .rev()
            .find(|effort| effort.tokens() <= tokens)
            .unwrap_or(Effort::None)
    }
}

/// Requested visibility of the reasoning text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summary {
    Shown,
    Omitted,
}

/// Format of the response text.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Format {
    #[default]
    Text,
    /// any JSON object
    JsonObject,
    JsonSchema {
        name: String,
        description: Option<String>,
        schema: RawJson,
        strict: Option<bool>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effort_that_was_asked_for_never_becomes_none() {
        let supported = [Effort::None, Effort::High];
        assert_eq!(Effort::Low.nearest(&supported), Some(Effort::High));
        assert_eq!(Effort::None.nearest(&supported), Some(Effort::None));
        assert_eq!(Effort::High.nearest(&[Effort::None]), None);
    }

    #[test]
    fn effort_maps_to_nearest_supported_and_to_tokens_and_back() {
        let supported = [Effort::Low, Effort::Medium, Effort::High];
        for (requested, expected) in [
            (Effort::None, Effort::Low),
            (Effort::Minimal, Effort::Low),
            (Effort::Medium, Effort::Medium),
            (Effort::Max, Effort::High),
        ] {
            assert_eq!(requested.nearest(&supported), Some(expected));
        }
        assert_eq!(Effort::High.nearest(&[]), None);
        assert_eq!(
            Effort::Medium.nearest(&[Effort::Low, Effort::High]),
            Some(Effort::Low)
        );
        for effort in Effort::ALL {
            assert_eq!(Effort::from_tokens(effort.tokens()), effort);
            assert_eq!(Effort::parse(effort.as_str()), Some(effort));
        }
        assert_eq!(Effort::from_tokens(10_000), Effort::Medium);
    }
}
