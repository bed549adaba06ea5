//! `additionalModelRequestFields`: parameters that Converse itself lacks, in the format of the
//! model family. Must never contain a field that the family rejects.

use serde::Serialize;

use crate::conversation::{ChatRequest, Effort, RawJson, ReasoningOptions, Summary};
use crate::dialect::converse::model_family::ModelFamily;

#[derive(Default, Serialize)]
pub(super) struct ModelFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<ClaudeThinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'a RawJson>,
    /// Cohere's name of `top_k`
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<&'a RawJson>,
    #[serde(rename = "inferenceConfig", skip_serializing_if = "Option::is_none")]
    inference_config: Option<NovaInferenceConfig<'a>>,
    #[serde(rename = "reasoningConfig", skip_serializing_if = "Option::is_none")]
    reasoning_config: Option<NovaReasoningConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
}

#[derive(Serialize)]
struct ClaudeThinking {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NovaInferenceConfig<'a> {
    top_k: &'a RawJson,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NovaReasoningConfig {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_reasoning_effort: Option<&'static str>,
}

impl<'a> ModelFields<'a> {
    /// `may_think`: the conversation allows a thinking budget.
    pub(super) fn of(
        request: &'a ChatRequest,
        family: ModelFamily,
        may_think: bool,
    ) -> ModelFields<'a> {
        let mut fields = ModelFields::default();
        let top_k = request.sampling.top_k.as_ref();
        let effort = request.reasoning.effort;
        match family {
            ModelFamily::Claude => {
                fields.thinking = claude_thinking(&request.reasoning, may_think);
                fields.top_k = top_k;
            }
            ModelFamily::Nova => {
                fields.inference_config = top_k.map(|top_k| NovaInferenceConfig { top_k });
                fields.reasoning_config = effort.map(|effort| match effort {
                    Effort::None => NovaReasoningConfig {
                        kind: "disabled",
                        max_reasoning_effort: None,
                    },
                    effort => NovaReasoningConfig {
                        kind: "enabled",
                        max_reasoning_effort: Some(effort.as_str()),
                    },
                });
            }
            ModelFamily::GptOss => fields.reasoning_effort = effort.map(Effort::as_str),
            ModelFamily::Cohere => fields.k = top_k,
            ModelFamily::Mistral | ModelFamily::Llama | ModelFamily::Other => fields.top_k = top_k,
        }
        fields
    }

    /// `None` without any field: Converse needs no empty object.
    pub(super) fn non_empty(self) -> Option<ModelFields<'a>> {
        let has_any = self.thinking.is_some()
            || self.top_k.is_some()
            || self.k.is_some()
            || self.inference_config.is_some()
            || self.reasoning_config.is_some()
            || self.reasoning_effort.is_some();
        has_any.then_some(self)
    }
}

/// Claude's `thinking`; the budget was fitted to the output cap before.
fn claude_thinking(reasoning: &ReasoningOptions, may_think: bool) -> Option<ClaudeThinking> {
    let display = reasoning.summary.map(|summary| match summary {
        Summary::Shown => "summarized",
        Summary::Omitted => "omitted",
    });
    if reasoning.is_off() {
        return Some(ClaudeThinking {
            kind: "disabled",
            budget_tokens: None,
            display: None,
        });
    }
    if reasoning.adaptive {
        return Some(ClaudeThinking {
            kind: "adaptive",
            budget_tokens: None,
            display,
        });
    }
    let budget = reasoning.budget.filter(|_| may_think)?;
    Some(ClaudeThinking {
        kind: "enabled",
        budget_tokens: Some(budget),
        display,
    })
}
