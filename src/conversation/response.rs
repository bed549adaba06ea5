//! Complete response, and the part of it that later turns need. Must never retain anything without
//! provider state.

use crate::conversation::{Content, ContentBlock, ProviderState, ReasoningBlock, StopReason};

#[derive(Clone, Debug, Default)]
pub struct ChatResponse {
    /// text, reasoning and calls in the order in which they were opened
    pub blocks: Vec<ContentBlock>,
    pub stop: StopReason,
}

/// Reasoning that the client's dialect cannot carry and the vendor needs again; stored by the ids
/// of the calls that follow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetainedReasoning {
    /// reasoning before the first call
    pub reasoning: Vec<ReasoningBlock>,
    /// call id, provider state of the call
    pub calls: Vec<(String, Option<ProviderState>)>,
}

impl ChatResponse {
    /// `None` without a call or without provider state.
    pub fn retained_reasoning(&self) -> Option<RetainedReasoning> {
        let mut retained = RetainedReasoning::default();
        for block in &self.blocks {
            match &block.content {
                Content::Reasoning(reasoning) if retained.calls.is_empty() => {
                    retained.reasoning.push(reasoning.clone())
                }
                Content::ToolCall(call) => retained
                    .calls
                    .push((call.id.clone(), call.provider_state.clone())),
                _ => {}
            }
        }
        retained
            .reasoning
            .retain(|reasoning| reasoning.provider_state.is_some());
        let has_state = !retained.reasoning.is_empty()
            || retained
                .calls
                .iter()
                .any(|(_, provider_state)| provider_state.is_some());
        (has_state && !retained.calls.is_empty()).then_some(retained)
    }
}
