//! A whole answer, and what of it must be remembered for the turns that follow.

use crate::conversation::{Content, ContentBlock, ProviderState, ReasoningBlock, StopReason};

#[derive(Clone, Debug, Default)]
pub struct ChatResponse {
    /// text, reasoning and calls in the order in which they began
    pub blocks: Vec<ContentBlock>,
    pub stop: StopReason,
}

/// What a client's dialect cannot carry and the vendor wants to see again: kept by the ids of the calls that followed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetainedReasoning {
    /// the thoughts before the first call
    pub reasoning: Vec<ReasoningBlock>,
    /// call id, what goes with the call itself
    pub calls: Vec<(String, Option<ProviderState>)>,
}

impl ChatResponse {
    /// What is worth keeping: only where there is a call and something opaque.
    pub fn retained_reasoning(&self) -> Option<RetainedReasoning> {
        let mut remembered = RetainedReasoning::default();
        for block in &self.blocks {
            match &block.content {
                Content::Reasoning(reasoned) if remembered.calls.is_empty() => {
                    remembered.reasoning.push(reasoned.clone())
                }
                Content::ToolCall(call) => remembered
                    .calls
                    .push((call.id.clone(), call.provider_state.clone())),
                _ => {}
            }
        }
        remembered
            .reasoning
            .retain(|reasoned| reasoned.provider_state.is_some());
        let is_worth_it = !remembered.reasoning.is_empty()
            || remembered
                .calls
                .iter()
                .any(|(_, provider_state)| provider_state.is_some());
        (is_worth_it && !remembered.calls.is_empty()).then_some(remembered)
    }
}
