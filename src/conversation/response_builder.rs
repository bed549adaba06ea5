//! Gathers the events of a stream into the whole answer that they tell.

use crate::conversation::{
    BlockKind, ChatResponse, Content, OutputEvent, ReasoningBlock, StopReason, ToolCall,
};

#[derive(Clone, Debug, Default)]
pub struct ResponseBuilder {
    /// the reader's block number, what there is of the block
    blocks: Vec<(u32, Content)>,
    stop: StopReason,
    called: bool,
    /// text and arguments have gone to the client already
    only_reasoning: bool,
}

impl ResponseBuilder {
    /// Keeps only what is needed once a stream is over: why it ended, which calls there were, and the thoughts.
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
                self.called |= matches!(block_kind, BlockKind::Call { .. });
                self.blocks.push((*block, begun(block_kind)));
            }
            OutputEvent::Delta { block, text } => {
                match self
                    .block(*block)
                    .filter(|content| !only_reasoning || matches!(content, Content::Reasoning(_)))
                {
                    Some(Content::Text(so_far)) => so_far.push_str(text),
                    Some(Content::Reasoning(reasoned)) => reasoned.text.push_str(text),
                    Some(Content::ToolCall(call)) => call.arguments.push_str(text),
                    _ => {}
                }
            }
            OutputEvent::State {
                block,
                provider_state,
            } => match self.block(*block) {
                Some(Content::Reasoning(reasoned)) => {
                    reasoned.provider_state = Some(provider_state.clone())
                }
                Some(Content::ToolCall(call)) => call.provider_state = Some(provider_state.clone()),
                _ => {}
            },
            OutputEvent::Close { .. } => {}
            OutputEvent::Stop(stop) => self.stop = stop.clone(),
        }
    }

    /// The answer: blocks in which nothing was said are left out, calls always stand.
    pub fn build(self) -> ChatResponse {
        let said = |content: &Content| match content {
            Content::Text(text) => !text.is_empty(),
            Content::Reasoning(reasoned) => {
                !reasoned.text.is_empty() || reasoned.provider_state.is_some()
            }
            _ => true,
        };
        let blocks = self
            .blocks
            .into_iter()
            .map(|(_, content)| content)
            .filter(said)
            .map(Into::into)
            .collect();
        ChatResponse {
            blocks,
            stop: self.stop.with_calls(self.called),
        }
    }

    /// Why the answer ends, as far as it is known.
    pub fn stop(&self) -> StopReason {
        self.stop.clone().with_calls(self.called)
    }

    fn block(&mut self, number: u32) -> Option<&mut Content> {
        self.blocks
            .iter_mut()
            .rev()
            .find(|(block, _)| *block == number)
            .map(|(_, content)| content)
    }
}

fn begun(block_kind: &BlockKind) -> Content {
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

    fn piece(block: u32, text: &str) -> OutputEvent {
        OutputEvent::Delta {
            block,
            text: text.into(),
        }
    }

    #[test]
    fn blocks_that_are_open_side_by_side_are_told_apart() {
        let mut fold = ResponseBuilder::default();
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
            piece(2, "{\"x\""),
            piece(1, "{"),
            piece(2, ":1}"),
            piece(1, "}"),
            piece(9, "nobody's"),
            OutputEvent::Stop(StopReason::End),
        ] {
            fold.add(&event);
        }
        let answer = fold.build();
        assert_eq!(answer.stop, StopReason::Tool);
        let calls: Vec<&str> = answer
            .blocks
            .iter()
            .map(|block| match &block.content {
                Content::ToolCall(call) => call.arguments.as_str(),
                _ => "not a call",
            })
            .collect();
        assert_eq!(calls, ["{}", "{\"x\":1}"], "and the empty text is gone");
    }

    #[test]
    fn without_a_call_there_is_no_tool_stop() {
        let mut fold = ResponseBuilder::default();
        fold.add(&OutputEvent::Stop(StopReason::Tool));
        assert_eq!(fold.stop(), StopReason::End);
        fold.add(&OutputEvent::Stop(StopReason::Length));
        assert_eq!(fold.build().stop, StopReason::Length);
    }
}
