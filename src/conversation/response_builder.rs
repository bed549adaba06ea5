//! Builds a complete response from the output events of a stream or a unary body. Events of unknown
//! blocks are ignored; must never panic.

use crate::conversation::{
    BlockKind, ChatResponse, Content, OutputEvent, ReasoningBlock, StopReason, ToolCall,
};

#[derive(Clone, Debug, Default)]
pub struct ResponseBuilder {
    /// block number, content so far
    blocks: Vec<(u32, Content)>,
    stop: StopReason,
    has_call: bool,
    /// text and arguments were already sent to the client
    only_reasoning: bool,
}

impl ResponseBuilder {
    /// Builder that keeps only what is needed after a stream: stop reason, calls without arguments,
    /// and reasoning.
    pub fn reasoning_only() -> ResponseBuilder {
        ResponseBuilder {
            only_reasoning: true,
            ..ResponseBuilder::default()
        }
    }

    pub fn add(&mut self, event: &OutputEvent) {
        let only_reasoning = self.only_reasoning;
        match event {
            OutputEvent::Open { block, block_kind } => {
                self.has_call |= matches!(block_kind, BlockKind::Call { .. });
                self.blocks.push((*block, empty_content(block_kind)));
            }
            OutputEvent::Delta { block, text } => {
                match self
                    .block(*block)
                    .filter(|content| !only_reasoning || matches!(content, Content::Reasoning(_)))
                {
                    Some(Content::Text(content)) => content.push_str(text),
                    Some(Content::Reasoning(reasoning)) => reasoning.text.push_str(text),
                    Some(Content::ToolCall(call)) => call.arguments.push_str(text),
                    _ => {}
                }
            }
            OutputEvent::State {
                block,
                provider_state,
            } => match self.block(*block) {
                Some(Content::Reasoning(reasoning)) => {
                    reasoning.provider_state = Some(provider_state.clone())
                }
                Some(Content::ToolCall(call)) => call.provider_state = Some(provider_state.clone()),
                _ => {}
            },
            OutputEvent::Close { .. } => {}
            OutputEvent::Stop(stop) => self.stop = stop.clone(),
        }
    }

    /// Response without its empty blocks; calls are always kept.
    pub fn build(self) -> ChatResponse {
        let has_content = |content: &Content| match content {
            Content::Text(text) => !text.is_empty(),
            Content::Reasoning(reasoning) => {
                !reasoning.text.is_empty() || reasoning.provider_state.is_some()
            }
            _ => true,
        };
        let blocks = self
            .blocks
            .into_iter()
            .map(|(_, content)| content)
            .filter(has_content)
            .map(Into::into)
            .collect();
        ChatResponse {
            blocks,
            stop: self.stop.with_calls(self.has_call),
        }
    }

    /// Stop reason as far as it is known.
    pub fn stop(&self) -> StopReason {
        self.stop.clone().with_calls(self.has_call)
    }

    fn block(&mut self, number: u32) -> Option<&mut Content> {
        self.blocks
            .iter_mut()
            .rev()
            .find(|(block, _)| *block == number)
            .map(|(_, content)| content)
    }
}

fn empty_content(block_kind: &BlockKind) -> Content {
    match block_kind {
        BlockKind::Text => Content::Text(String::new()),
        BlockKind::Reasoning => Content::Reasoning(ReasoningBlock::default()),
        BlockKind::Call { id, name } => Content::ToolCall(ToolCall {
            id: id.clone(),
            name: name.clone(),
            arguments: String::new(),
            provider_state: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(block: u32, text: &str) -> OutputEvent {
        OutputEvent::Delta {
            block,
            text: text.into(),
        }
    }

    #[test]
    fn response_builder_separates_concurrent_blocks() {
        let mut builder = ResponseBuilder::default();
        let call = |id: &str| BlockKind::Call {
            id: id.into(),
            name: "f".into(),
        };
        for event in [
            OutputEvent::Open {
                block: 0,
                block_kind: BlockKind::Text,
            },
            OutputEvent::Open {
                block: 1,
                block_kind: call("a"),
            },
            OutputEvent::Open {
                block: 2,
                block_kind: call("b"),
            },
            delta(2, "{\"x\""),
            delta(1, "{"),
            delta(2, ":1}"),
            delta(1, "}"),
            delta(9, "of an unknown block"),
            OutputEvent::Stop(StopReason::End),
        ] {
            builder.add(&event);
        }
        let response = builder.build();
        assert_eq!(response.stop, StopReason::Tool);
        let calls: Vec<&str> = response
            .blocks
            .iter()
            .map(|block| match &block.content {
                Content::ToolCall(call) => call.arguments.as_str(),
                _ => "not a call",
            })
            .collect();
        assert_eq!(calls, ["{}", "{\"x\":1}"], "without the empty text");
    }

    #[test]
    fn response_builder_without_a_call_never_stops_with_tool() {
        let mut builder = ResponseBuilder::default();
        builder.add(&OutputEvent::Stop(StopReason::Tool));
        assert_eq!(builder.stop(), StopReason::End);
        builder.add(&OutputEvent::Stop(StopReason::Length));
        assert_eq!(builder.build().stop, StopReason::Length);
    }
}
