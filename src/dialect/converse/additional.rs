//! What Converse has no member for, in the words of the model's maker (`additionalModelRequestFields`).

use serde::Serialize;

use crate::conversation::{ChatRequest, Effort, RawJson, ReasoningOptions, Summary};
use crate::dialect::converse::Maker;

#[derive(Default, Serialize)]
pub(super) struct Additional<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'a RawJson>,
    /// Cohere's word for it
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<&'a RawJson>,
    #[serde(rename = "inferenceConfig", skip_serializing_if = "Option::is_none")]
    inference_config: Option<NovaConfig<'a>>,
    #[serde(rename = "reasoningConfig", skip_serializing_if = "Option::is_none")]
    reasoning_config: Option<NovaReasoning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
}

#[derive(Serialize)]
struct Thinking {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NovaConfig<'a> {
    top_k: &'a RawJson,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NovaReasoning {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_reasoning_effort: Option<&'static str>,
}

impl<'a> Additional<'a> {
    /// `may_think`: nothing in the conversation forbids a thinking budget.
    pub(super) fn of(ask: &'a ChatRequest, maker: Maker, may_think: bool) -> Additional<'a> {
        let mut fields = Additional::default();
        let top_k = ask.sampling.top_k.as_ref();
        let effort = ask.reasoning.effort;
        match maker {
            Maker::Claude => {
                fields.thinking = thinking(&ask.reasoning, may_think);
                fields.top_k = top_k;
            }
            Maker::Nova => {
                fields.inference_config = top_k.map(|top_k| NovaConfig { top_k });
                fields.reasoning_config = effort.map(|effort| match effort {
                    Effort::None => NovaReasoning {
                        kind: "disabled",
                        max_reasoning_effort: None,
                    },
                    effort => NovaReasoning {
                        kind: "enabled",
                        max_reasoning_effort: Some(effort.as_str()),
                    },
                });
            }
            Maker::GptOss => fields.reasoning_effort = effort.map(Effort::as_str),
            Maker::Cohere => fields.k = top_k,
            Maker::Mistral | Maker::Llama | Maker::Other => fields.top_k = top_k,
        }
        fields
    }

    pub(super) fn said(self) -> Option<Additional<'a>> {
        let says = self.thinking.is_some()
            || self.top_k.is_some()
            || self.k.is_some()
            || self.inference_config.is_some()
            || self.reasoning_config.is_some()
            || self.reasoning_effort.is_some();
        says.then_some(self)
    }
}

/// Claude's thinking; a budget has been fitted to the cap.
fn thinking(reasoning: &ReasoningOptions, may_think: bool) -> Option<Thinking> {
    let display = reasoning.summary.map(|summary| match summary {
        Summary::Shown => "summarized",
        Summary::Omitted => "omitted",
    });
    if reasoning.adaptive {
        return Some(Thinking {
            kind: "adaptive",
            budget_tokens: None,
            display,
        });
    }
    let budget = reasoning.budget.filter(|_| may_think)?;
    Some(Thinking {
        kind: "enabled",
        budget_tokens: Some(budget),
        display,
    })
}
