//! A stored answer: its text, its usage and cost, and the deployment that gave it. Made of a complete response; an answer that calls a tool,
//! was cut or filtered is none.

use serde::{Deserialize, Serialize};

use crate::conversation::{ChatResponse, Content, ReasoningBlock, StopReason};
use crate::domain::id::KeyId;
use crate::domain::money::Money;
use crate::domain::usage::Usage;

/// Answer to a request, for any other request with the same fingerprint.
#[derive(Clone, Debug)]
pub struct CachedAnswer {
    pub response: ChatResponse,
    pub usage: Usage,
    pub cost: Money,
    pub provider: String,
    pub model: String,
    /// key whose request was answered
    pub key: KeyId,
    /// for comparisons by meaning
    pub question: Option<Question>,
}

/// Last message of a request, with its vector and the namespace within which both are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub text: String,
    /// as the embedder encodes it
    pub vector: Vec<u8>,
    pub namespace: [u8; 16],
}

/// Returns `true` for a response that may be kept: complete, not filtered, with a text and without a call or state of the vendor.
pub fn may_be_kept(response: &ChatResponse) -> bool {
    let is_complete = matches!(response.stop, StopReason::End | StopReason::Sequence(_));
    let is_plain = |content: &Content| match content {
        Content::Text(_) => true,
        Content::Reasoning(reasoning) => reasoning.provider_state.is_none(),
        _ => false,
    };
    let mut contents = response.blocks.iter().map(|block| &block.content);
    let has_text = contents
        .clone()
        .any(|content| matches!(content, Content::Text(_)));
    is_complete && has_text && contents.all(is_plain)
}

#[derive(Serialize, Deserialize)]
struct AnswerJson {
    blocks: Vec<BlockJson>,
    stop: Option<Option<String>>,
    counts: [u64; 12],
    tier: Option<String>,
    cost: String,
    provider: String,
    model: String,
    key: u64,
    question: Option<QuestionJson>,
}

#[derive(Serialize, Deserialize)]
struct QuestionJson {
    text: String,
    vector: String,
    namespace: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BlockJson {
    Text(String),
    Reasoning(String),
}

impl CachedAnswer {
    pub fn encode(&self) -> Option<Vec<u8>> {
        let block = |content: &Content| match content {
            Content::Text(text) => Some(BlockJson::Text(text.clone())),
            Content::Reasoning(reasoning) => Some(BlockJson::Reasoning(reasoning.text.clone())),
            _ => None,
        };
        let blocks = self.response.blocks.iter();
        let json = AnswerJson {
            blocks: blocks.map(|b| block(&b.content)).collect::<Option<_>>()?,
            stop: match &self.response.stop {
                StopReason::Sequence(text) => Some(text.clone()),
                _ => None,
            },
            counts: counts(&self.usage),
            tier: self.usage.service_tier.clone(),
            cost: self.cost.pico().to_string(),
            provider: self.provider.clone(),
            model: self.model.clone(),
            key: self.key.0,
            question: self.question.as_ref().map(|question| QuestionJson {
                text: question.text.clone(),
                vector: hex(&question.vector),
                namespace: hex(&question.namespace),
            }),
        };
        serde_json::to_vec(&json).ok()
    }

    pub fn decode(bytes: &[u8]) -> Option<CachedAnswer> {
        let json: AnswerJson = serde_json::from_slice(bytes).ok()?;
        let block = |block| match block {
            BlockJson::Text(text) => Content::Text(text).into(),
            BlockJson::Reasoning(text) => Content::Reasoning(ReasoningBlock {
                text,
                provider_state: None,
            })
            .into(),
        };
        Some(CachedAnswer {
            response: ChatResponse {
                blocks: json.blocks.into_iter().map(block).collect(),
                stop: json.stop.map_or(StopReason::End, StopReason::Sequence),
            },
            usage: usage(json.counts, json.tier),
            cost: Money::from_pico(json.cost.parse().ok()?),
            provider: json.provider,
            model: json.model,
            key: KeyId(json.key),
            question: json.question.and_then(question),
        })
    }
}

fn question(json: QuestionJson) -> Option<Question> {
    Some(Question {
        text: json.text,
        vector: bytes_of(&json.vector)?,
        namespace: bytes_of(&json.namespace)?.try_into().ok()?,
    })
}

/// Counts that clients are told.
fn counts(usage: &Usage) -> [u64; 12] {
    [
        usage.uncached_in,
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.cache_write_12h,
        usage.cache_write_other,
        usage.out_total,
        usage.reasoning,
        usage.audio_in,
        usage.audio_cached,
        usage.image_in,
        usage.image_cached,
    ]
}

fn usage(counts: [u64; 12], service_tier: Option<String>) -> Usage {
    let [
        uncached_in,
        cache_read,
        cache_write_5m,
        cache_write_1h,
        cache_write_12h,
        cache_write_other,
        out_total,
        reasoning,
        audio_in,
        audio_cached,
        image_in,
        image_cached,
    ] = counts;
    Usage {
        uncached_in,
        cache_read,
        cache_write_5m,
        cache_write_1h,
        cache_write_12h,
        cache_write_other,
        out_total,
        reasoning,
        audio_in,
        audio_cached,
        image_in,
        image_cached,
        service_tier,
        ..Usage::default()
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // writing to a String cannot fail
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{ProviderState, ProviderStateKind, ToolCall};

    fn response(contents: Vec<Content>, stop: StopReason) -> ChatResponse {
        ChatResponse {
            blocks: contents.into_iter().map(Into::into).collect(),
            stop,
        }
    }

    fn text() -> Content {
        Content::Text("Hello".into())
    }

    #[test]
    fn cut_filtered_and_calling_answers_are_not_kept() {
        for (stop, kept) in [
            (StopReason::End, true),
            (StopReason::Sequence(Some("x".into())), true),
            (StopReason::Length, false),
            (StopReason::Filtered, false),
            (StopReason::Tool, false),
            (StopReason::Pause, false),
            (StopReason::ContextWindow, false),
        ] {
            assert_eq!(
                may_be_kept(&response(vec![text()], stop.clone())),
                kept,
                "{stop:?}"
            );
        }
        let call = Content::ToolCall(ToolCall {
            id: "c".into(),
            name: "f".into(),
            arguments: String::new(),
            provider_state: None,
        });
        assert!(!may_be_kept(&response(vec![text(), call], StopReason::End)));
        assert!(!may_be_kept(&response(Vec::new(), StopReason::End)));
        let signed = Content::Reasoning(ReasoningBlock {
            text: "hm".into(),
            provider_state: Some(ProviderState {
                origin: None,
                kind: ProviderStateKind::Signature,
                data: "s".into(),
            }),
        });
        assert!(!may_be_kept(&response(
            vec![signed, text()],
            StopReason::End
        )));
    }

    #[test]
    fn answer_round_trips() {
        let thought = Content::Reasoning(ReasoningBlock {
            text: "hm".into(),
            provider_state: None,
        });
        let answer = CachedAnswer {
            response: response(
                vec![thought, text()],
                StopReason::Sequence(Some("END".into())),
            ),
            usage: usage([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], Some("flex".into())),
            cost: Money::from_pico(1_234_567),
            provider: "p".into(),
            model: "m".into(),
            key: KeyId(9),
            question: Some(Question {
                text: "Hi?".into(),
                vector: vec![0, 255, 128],
                namespace: [3; 16],
            }),
        };
        let bytes = answer.encode().expect("encoded");
        let read = CachedAnswer::decode(&bytes).expect("decoded");
        assert_eq!(format!("{answer:?}"), format!("{read:?}"));
        assert!(CachedAnswer::decode(b"{}").is_none());
    }
}
