//! Encoder of messages responses: one block after the other, whatever the order of the events, with consecutive indexes. Unsigned
//! reasoning gets an empty signature, which clients accept; a signature of another vendor is sealed, so that only that vendor gets
//! it back.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Serialize;

use crate::conversation::{
    BlockKind, ChatResponse, Content, OutputEvent, ProviderState, ProviderStateKind, RawJson,
    ReasoningBlock, StopReason,
};
use crate::dialect::codec::{ResponseEncoder, ResponseMeta};
use crate::dialect::messages::error;
use crate::dialect::messages::response_body::{
    BlockDelta, BlockStart, BlockStop, Counts, Delta, Message, MessageDelta, MessageEnd,
    MessageStart, Part,
};
use crate::dialect::wire::json::to_json;
use crate::domain::api_error::ApiError;
use crate::domain::usage::Usage;

/// Encoder of one response.
pub(in crate::dialect) struct MessagesEncoder {
    id: String,
    head: ResponseMeta,
    begun: bool,
    /// index of the client's next block
    index: u64,
    /// block being sent to the client
    current: Option<Current>,
    /// blocks received meanwhile, in the order of their start
    waiting: VecDeque<BufferedBlock>,
    /// kinds of the decoder's blocks by number: text may continue after another block has started
    kinds: Vec<(u32, Kind)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    Call,
}

struct Current {
    block: u32,
    kind: Kind,
    /// its start was sent; empty blocks are never sent
    started: bool,
    provider_state: Option<ProviderState>,
}

struct BufferedBlock {
    block: u32,
    block_kind: BlockKind,
    text: String,
    provider_state: Option<ProviderState>,
    closed: bool,
}

impl MessagesEncoder {
    pub(in crate::dialect) fn new(head: ResponseMeta) -> MessagesEncoder {
        let id = format!("msg_{}", head.request_id.trim_start_matches("req_"));
        MessagesEncoder {
            id,
            head,
            begun: false,
            index: 0,
            current: None,
            waiting: VecDeque::new(),
            kinds: Vec::new(),
        }
    }

    /// First event of a stream. Its usage is an estimate, which agents show; the last event has the exact one.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let estimate = Usage {
            uncached_in: self.head.input_estimate,
            ..Usage::default()
        };
        let message = self.message(Vec::new(), None, &estimate);
        frame(
            out,
            "message_start",
            &MessageStart {
                kind: "message_start",
                message,
            },
        );
    }

    fn message<'m>(
        &'m self,
        content: Vec<Part<'m>>,
        stop: Option<&'m StopReason>,
        usage: &Usage,
    ) -> Message<'m> {
        Message {
            id: &self.id,
            kind: "message",
            role: "assistant",
            model: &self.head.model,
            content,
            stop_reason: stop.map(reason),
            stop_sequence: stop.and_then(sequence),
            usage: Counts::of(usage),
        }
    }

    fn open(&mut self, block: u32, block_kind: &BlockKind, out: &mut Vec<u8>) {
        // the arguments of a call must not be interrupted: other blocks wait for its end
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.kind == Kind::Call)
        {
            let block_kind = block_kind.clone();
            return self.waiting.push_back(BufferedBlock {
                block,
                block_kind,
                text: String::new(),
                provider_state: None,
                closed: false,
            });
        }
        self.close_current(out);
        self.start(block, block_kind, out);
    }

    fn start(&mut self, block: u32, block_kind: &BlockKind, out: &mut Vec<u8>) {
        let kind = kind(block_kind);
        self.current = Some(Current {
            block,
            kind,
            started: false,
            provider_state: None,
        });
        if let BlockKind::Call { id, name } = block_kind {
            self.send_start(
                &Part::ToolUse {
                    id,
                    name,
                    input: RawJson::default(),
                },
                out,
            );
        }
    }

    /// Sends the start of the current block.
    fn send_start(&mut self, content_block: &Part<'_>, out: &mut Vec<u8>) {
        if let Some(current) = &mut self.current {
            current.started = true;
        }
        let started = BlockStart {
            kind: "content_block_start",
            index: self.index,
            content_block,
        };
        frame(out, "content_block_start", &started);
    }

    fn append(&mut self, block: u32, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() || !self.has_open(block, out) {
            return;
        }
        if let Some(waiting) = self
            .waiting
            .iter_mut()
            .rfind(|waiting| waiting.block == block)
        {
            return waiting.text.push_str(text);
        }
        let Some(Current { kind, started, .. }) = self.current else {
            return;
        };
        match kind {
            Kind::Text => {
                if !started {
                    self.send_start(&Part::Text { text: "" }, out);
                }
                self.delta(&Delta::Text { text }, out);
            }
            Kind::Reasoning => {
                if !started {
                    self.send_start(
                        &Part::Thinking {
                            thinking: "",
                            signature: String::new(),
                        },
                        out,
                    );
                }
                self.delta(&Delta::Thinking { thinking: text }, out);
            }
            Kind::Call => self.delta(&Delta::InputJson { partial_json: text }, out),
        }
    }

    /// The block is open for a delta. Text or reasoning that was closed for another block continues as a new block.
    fn has_open(&mut self, block: u32, out: &mut Vec<u8>) -> bool {
        let waits = |waiting: &BufferedBlock| waiting.block == block && !waiting.closed;
        if self.is_current(block) || self.waiting.iter().any(waits) {
            return true;
        }
        let block_kind = match self.kind(block) {
            Some(Kind::Text) => BlockKind::Text,
            Some(Kind::Reasoning) => BlockKind::Reasoning,
            Some(Kind::Call) | None => return false,
        };
        self.open(block, &block_kind, out);
        true
    }

    fn kind(&self, block: u32) -> Option<Kind> {
        self.kinds
            .iter()
            .rfind(|(known, _)| *known == block)
            .map(|(_, kind)| *kind)
    }

    fn is_current(&self, block: u32) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| current.block == block)
    }

    fn delta(&self, delta: &Delta<'_>, out: &mut Vec<u8>) {
        frame(
            out,
            "content_block_delta",
            &BlockDelta {
                kind: "content_block_delta",
                index: self.index,
                delta,
            },
        );
    }

    fn provider_state(&mut self, block: u32, provider_state: &ProviderState, out: &mut Vec<u8>) {
        // state of a call has no field in this dialect: the gateway stores it
        if self.kind(block) != Some(Kind::Reasoning) || !self.has_open(block, out) {
            return;
        }
        let waiting = self
            .waiting
            .iter_mut()
            .rfind(|waiting| waiting.block == block)
            .map(|waiting| &mut waiting.provider_state);
        if let Some(place) = waiting.or(self
            .current
            .as_mut()
            .map(|current| &mut current.provider_state))
        {
            *place = Some(provider_state.clone());
        }
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        if let Some(waiting) = self
            .waiting
            .iter_mut()
            .find(|waiting| waiting.block == block && !waiting.closed)
        {
            waiting.closed = true;
        } else if self.is_current(block) {
            self.close_current(out);
            self.follow(out);
        }
    }

    /// Sends buffered blocks, up to the first call that has not ended.
    fn follow(&mut self, out: &mut Vec<u8>) {
        while self.current.is_none()
            && let Some(BufferedBlock {
                block,
                block_kind,
                text,
                provider_state,
                closed,
            }) = self.waiting.pop_front()
        {
            self.start(block, &block_kind, out);
            self.piece_of_current(&text, out);
            if let Some(current) = &mut self.current {
                current.provider_state = provider_state;
            }
            // later text becomes a block of its own
            let goes_on = !closed
                && (matches!(block_kind, BlockKind::Call { .. }) || self.waiting.is_empty());
            if !goes_on {
                self.close_current(out);
            }
        }
    }

    fn piece_of_current(&mut self, text: &str, out: &mut Vec<u8>) {
        if let Some(block) = self.current.as_ref().map(|current| current.block) {
            self.append(block, text, out);
        }
    }

    /// Ends the current block; its signature comes directly before its end.
    fn close_current(&mut self, out: &mut Vec<u8>) {
        let Some(current) = &self.current else { return };
        if let Some(provider_state) = current.provider_state.clone() {
            let token = self.head.sealer.seal(&provider_state);
            match (provider_state.kind, current.started) {
                (ProviderStateKind::Redacted, false) => {
                    self.send_start(&Part::RedactedThinking { data: token }, out)
                }
                (_, started) => {
                    if !started {
                        self.send_start(
                            &Part::Thinking {
                                thinking: "",
                                signature: String::new(),
                            },
                            out,
                        );
                    }
                    self.delta(&Delta::Signature { signature: &token }, out);
                }
            }
        }
        if self.current.take().is_some_and(|current| current.started) {
            frame(
                out,
                "content_block_stop",
                &BlockStop {
                    kind: "content_block_stop",
                    index: self.index,
                },
            );
            self.index += 1;
        }
    }
}

impl ResponseEncoder for MessagesEncoder {
    fn event(&mut self, event: &OutputEvent, out: &mut Vec<u8>) {
        self.begin(out);
        match event {
            OutputEvent::Open { block, block_kind } => {
                self.kinds.push((*block, kind(block_kind)));
                self.open(*block, block_kind, out);
            }
            OutputEvent::Delta { block, text } => self.append(*block, text, out),
            OutputEvent::State {
                block,
                provider_state,
            } => self.provider_state(*block, provider_state, out),
            OutputEvent::Close { block } => self.close(*block, out),
            OutputEvent::Stop(_) => {}
        }
    }

    fn end(&mut self, stop: &StopReason, usage: &Usage, out: &mut Vec<u8>) {
        self.begin(out);
        self.close_current(out);
        self.waiting
            .iter_mut()
            .for_each(|waiting| waiting.closed = true);
        self.follow(out);
        let delta = MessageEnd {
            stop_reason: reason(stop),
            stop_sequence: sequence(stop),
            stop_details: None,
        };
        frame(
            out,
            "message_delta",
            &MessageDelta {
                kind: "message_delta",
                delta,
                usage: Counts::of(usage),
            },
        );
        out.extend_from_slice(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }

    fn error_events(&mut self, error: &ApiError, request_id: &str) -> Bytes {
        error::error_event(error, request_id)
    }

    fn encode_unary(&self, answer: &ChatResponse, usage: &Usage) -> String {
        let parts = answer
            .blocks
            .iter()
            .filter_map(|block| match &block.content {
                Content::Text(text) => Some(Part::Text { text }),
                Content::Reasoning(reasoned) => Some(self.thought(reasoned)),
                Content::ToolCall(call) => Some(Part::ToolUse {
                    id: &call.id,
                    name: &call.name,
                    input: call.object_raw(),
                }),
                Content::Image(_) | Content::Document(_) | Content::ToolResult(_) => None,
            });
        to_json(&self.message(parts.collect(), Some(&answer.stop), usage))
    }
}

impl MessagesEncoder {
    fn thought<'a>(&self, reasoned: &'a ReasoningBlock) -> Part<'a> {
        let token = reasoned
            .provider_state
            .as_ref()
            .map(|provider_state| (provider_state.kind, self.head.sealer.seal(provider_state)));
        match token {
            Some((ProviderStateKind::Redacted, data)) if reasoned.text.is_empty() => {
                Part::RedactedThinking { data }
            }
            Some((_, signature)) => Part::Thinking {
                thinking: &reasoned.text,
                signature,
            },
            None => Part::Thinking {
                thinking: &reasoned.text,
                signature: String::new(),
            },
        }
    }
}

const fn kind(block_kind: &BlockKind) -> Kind {
    match block_kind {
        BlockKind::Text => Kind::Text,
        BlockKind::Reasoning => Kind::Reasoning,
        BlockKind::Call { .. } => Kind::Call,
    }
}

const fn reason(stop: &StopReason) -> &'static str {
    match stop {
        StopReason::End => "end_turn",
        StopReason::Sequence(_) => "stop_sequence",
        StopReason::Length => "max_tokens",
        StopReason::Tool => "tool_use",
        StopReason::Filtered => "refusal",
        StopReason::ContextWindow => "model_context_window_exceeded",
        StopReason::Pause => "pause_turn",
    }
}

fn sequence(stop: &StopReason) -> Option<&str> {
    match stop {
        StopReason::Sequence(sequence) => sequence.as_deref(),
        _ => None,
    }
}

/// One server-sent event.
fn frame(out: &mut Vec<u8>, name: &str, data: &impl Serialize) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    serde_json::to_writer(&mut *out, data).expect("texts and numbers are always JSON");
    out.extend_from_slice(b"\n\n");
}
