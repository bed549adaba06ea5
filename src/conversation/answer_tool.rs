//! Answer by a tool: the arguments of the one tool that the model was told to call are the text of the answer, for a schema that the
//! model does not take as an answer format. Text beside the call is dropped, or is the answer if there is no call.

use crate::conversation::{BlockKind, OutputEvent};

/// Name of the tool that the gateway adds.
pub const ANSWER_TOOL: &str = "answer";

/// Output events of one response, with the call as the answer.
#[derive(Clone, Debug, Default)]
pub struct AnswerTool {
    /// open blocks of text that is not the answer
    beside: Vec<u32>,
    text: String,
    was_called: bool,
}

impl AnswerTool {
    /// The event as the client sees it; nothing for text beside the call.
    pub fn translate(&mut self, event: OutputEvent) -> Vec<OutputEvent> {
        match event {
            OutputEvent::Open {
                block,
                block_kind: BlockKind::Call { name, .. },
            } if name == ANSWER_TOOL && !self.was_called => {
                self.was_called = true;
                let block_kind = BlockKind::Text;
                vec![OutputEvent::Open { block, block_kind }]
            }
            OutputEvent::Open {
                block,
                block_kind: BlockKind::Text | BlockKind::Call { .. },
            } => {
                self.beside.push(block);
                Vec::new()
            }
            OutputEvent::Delta { block, text } if self.beside.contains(&block) => {
                self.text.push_str(&text);
                Vec::new()
            }
            OutputEvent::Close { block } | OutputEvent::State { block, .. }
                if self.beside.contains(&block) =>
            {
                Vec::new()
            }
            OutputEvent::Stop(stop) if !self.was_called && !self.text.is_empty() => {
                let block = self.beside.first().copied().unwrap_or_default();
                let text = std::mem::take(&mut self.text);
                let block_kind = BlockKind::Text;
                vec![
                    OutputEvent::Open { block, block_kind },
                    OutputEvent::Delta { block, text },
                    OutputEvent::Close { block },
                    OutputEvent::Stop(stop),
                ]
            }
            event => vec![event],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Content, ResponseBuilder, StopReason};

    fn answered(events: Vec<OutputEvent>) -> (Vec<String>, StopReason) {
        let (mut tool, mut builder) = (AnswerTool::default(), ResponseBuilder::default());
        for event in events.into_iter().flat_map(|event| tool.translate(event)) {
            builder.add(&event);
        }
        let response = builder.build();
        let text = |content| match content {
            Content::Text(text) => text,
            other => panic!("{other:?}"),
        };
        let blocks = response.blocks.into_iter();
        let texts = blocks.map(|block| text(block.content));
        (texts.collect(), response.stop)
    }

    fn block(block: u32, block_kind: BlockKind, text: &str) -> Vec<OutputEvent> {
        let text = text.to_owned();
        vec![
            OutputEvent::Open { block, block_kind },
            OutputEvent::Delta { block, text },
            OutputEvent::Close { block },
        ]
    }

    #[test]
    fn arguments_of_the_answer_tool_are_the_answer() {
        let call = BlockKind::Call {
            id: "t1".to_owned(),
            name: ANSWER_TOOL.to_owned(),
        };
        let said = block(0, BlockKind::Text, "Here it is:");
        let stop = OutputEvent::Stop(StopReason::Tool);
        let all = [
            said.clone(),
            block(1, call, "{\"a\":1}"),
            vec![stop.clone()],
        ]
        .concat();
        let answer = |text: &str| vec![text.to_owned()];
        assert_eq!(answered(all), (answer("{\"a\":1}"), StopReason::End));
        let uncalled = [said, vec![stop]].concat();
        assert_eq!(answered(uncalled), (answer("Here it is:"), StopReason::End));
    }
}
