//! Events and unary responses of the Messages dialect, as far as pass-through and usage need them.

use serde::de::MapAccess;

use crate::dialect::error::ErrorReader;
use crate::dialect::messages::usage::{BedrockMetrics, MessagesUsage};
use crate::dialect::text_counter::TextCounter;
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, skip};
use crate::dialect::wire::template::VariableParts;

/// Kind of an event, by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MessagesEventKind {
    #[default]
    Other,
    Stop,
    Error,
}

impl MessagesEventKind {
    pub(super) fn of(name: &[u8]) -> MessagesEventKind {
        match name {
            b"message_stop" => MessagesEventKind::Stop,
            b"error" => MessagesEventKind::Error,
            _ => MessagesEventKind::Other,
        }
    }
}

/// One event of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct MessagesEvent {
    pub(super) kind: Option<MessagesEventKind>,
    pub(super) usage: MessagesUsage,
    /// the output was counted up to this event, as in `message_delta`: final if a stop came before
    pub(super) has_final_usage: bool,
    /// counts by Bedrock
    pub(super) metrics: Option<MessagesUsage>,
    pub(super) block: Block,
    pub(super) stopped: bool,
    pub(super) error: ErrorReader,
    has_usage: bool,
}

impl MessagesEvent {
    /// Parts that another event may have instead without changing more than the count.
    pub(super) fn variable_parts(&self) -> Option<VariableParts> {
        let says_more = self.has_usage || self.metrics.is_some() || self.stopped || self.error.seen;
        let counted = self.block.output.only_text().filter(|_| !says_more)?;
        Some(VariableParts {
            counted,
            ignored: None,
            number: None,
        })
    }
}

impl FieldVisitor for MessagesEvent {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                self.kind = map
                    .next_value::<Leaf<'_>>()?
                    .text()
                    .map(|name| MessagesEventKind::of(name.as_bytes()));
                Ok(())
            }
            "message" => map.next_value_seed(ObjectSeed(&mut MessageStart(self))),
            "content_block" => map.next_value_seed(ObjectSeed(&mut self.block)),
            "delta" => map.next_value_seed(ObjectSeed(&mut Delta(self))),
            "usage" => {
                let mut usage = MessagesUsage::default();
                map.next_value_seed(ObjectSeed(&mut usage))?;
                self.has_usage = true;
                self.has_final_usage |= usage.output_is_reported();
                self.usage.then(usage);
                Ok(())
            }
            "error" => map.next_value_seed(ObjectSeed(&mut self.error)),
            "amazon-bedrock-invocationMetrics" => map.next_value_seed(ObjectSeed(
                &mut BedrockMetrics(self.metrics.get_or_insert_default()),
            )),
            _ => skip(map),
        }
    }
}

/// The message in `message_start`.
struct MessageStart<'e>(&'e mut MessagesEvent);

impl FieldVisitor for MessageStart<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if name != "usage" {
            return skip(map);
        }
        self.0.has_usage = true;
        let mut usage = MessagesUsage::full();
        map.next_value_seed(ObjectSeed(&mut usage))?;
        self.0.usage.then(usage);
        Ok(())
    }
}

struct Delta<'e>(&'e mut MessagesEvent);

impl FieldVisitor for Delta<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "stop_reason" => {
                self.0.stopped |= map.next_value::<Leaf<'_>>()?.text().is_some();
                Ok(())
            }
            "stop_sequence" | "stop_details" | "container" => skip(map),
            _ => self.0.block.output.member(name, map),
        }
    }
}

/// One content block, at its start in a stream or complete in a unary response.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    pub(super) output: TextCounter,
    is_hosted_result: bool,
}

impl FieldVisitor for Block {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                self.is_hosted_result = map
                    .next_value::<Leaf<'_>>()?
                    .text()
                    .is_some_and(|kind| kind.ends_with("_tool_result"));
                Ok(())
            }
            // results of a hosted tool reach the client, but the model did not write them
            "content" if self.is_hosted_result => {
                self.output.has_content = true;
                skip(map)
            }
            _ => self.output.member(name, map),
        }
    }

    fn text(&mut self, text: &str) {
        self.output.text(text);
    }

    fn end(&mut self) {
        self.is_hosted_result = false;
    }
}

/// A unary response.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) usage: MessagesUsage,
    pub(super) block: Block,
    pub(super) error: ErrorReader,
}

impl Message {
    pub(super) fn new() -> Message {
        Message {
            usage: MessagesUsage::full(),
            block: Block::default(),
            error: ErrorReader::default(),
        }
    }
}

impl FieldVisitor for Message {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "content" => map.next_value_seed(ElementsSeed(&mut self.block)),
            "usage" => map.next_value_seed(ObjectSeed(&mut self.usage)),
            "error" => map.next_value_seed(ObjectSeed(&mut self.error)),
            _ => skip(map),
        }
    }
}
