//! What Converse has no member for, in the words of the model's maker (`additionalModelRequestFields`).

use serde::Serialize;

use crate::conversation::{Ask, Effort, Raw, Summary, ToolChoice};
use crate::dialect::converse::maker::Maker;

/// The least that Claude takes for a thinking budget.
const BUDGET_MIN: u64 = 1_024;

#[derive(Default, Serialize)]
pub(super) struct Additional<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'a Raw>,
    /// Cohere's word for it
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<&'a Raw>,
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
    top_k: &'a Raw,
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
    pub(super) fn of(ask: &'a Ask, maker: Maker, may_think: bool) -> Additional<'a> {
        let mut fields = Additional::default();
        let top_k = ask.sampling.top_k.as_ref();
        let effort = ask.reasoning.effort;
        match maker {
            Maker::Claude => {
                fields.thinking = thinking(ask, may_think);
                fields.top_k = top_k.filter(|_| !fields.thinks());
            }
            Maker::Nova => {
                fields.inference_config = top_k.map(|top_k| NovaConfig { top_k });
                fields.reasoning_config = effort.map(|effort| match effort {
                    Effort::None => NovaReasoning { kind: "disabled", max_reasoning_effort: None },
                    effort => NovaReasoning { kind: "enabled", max_reasoning_effort: Some(effort.word()) },
                });
            }
            Maker::GptOss => fields.reasoning_effort = effort.map(Effort::word),
            Maker::Command => fields.k = top_k,
            Maker::Mistral | Maker::Llama | Maker::Other => fields.top_k = top_k,
        }
        fields
    }

    /// Whether a Claude is told to think.
    pub(super) fn thinks(&self) -> bool {
        self.thinking.as_ref().is_some_and(|thinking| thinking.kind != "disabled")
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

/// Claude's thinking. A forced tool forbids it, and a budget has to leave room below the cap.
fn thinking(ask: &Ask, may_think: bool) -> Option<Thinking> {
    let reasoning = &ask.reasoning;
    if reasoning.is_off() {
        return Some(Thinking { kind: "disabled", budget_tokens: None, display: None });
    }
    if matches!(ask.tool_choice, ToolChoice::Any | ToolChoice::Named(_)) && !ask.tools.is_empty() {
        return None;
    }
    let display = reasoning.summary.map(|summary| match summary {
        Summary::Shown => "summarized",
        Summary::Omitted => "omitted",
    });
    if reasoning.adaptive {
        return Some(Thinking { kind: "adaptive", budget_tokens: None, display });
    }
    let room = ask.output_cap.map_or(u64::MAX, |cap| cap.saturating_sub(1));
    let budget = reasoning.budget?.min(room);
    (budget >= BUDGET_MIN && may_think).then_some(Thinking { kind: "enabled", budget_tokens: Some(budget), display })
}
