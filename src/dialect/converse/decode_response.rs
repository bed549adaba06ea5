//! Decodes Converse responses, unary and streamed, into canonical output events. The terminal event
//! of a stream is `metadata`, which brings the usage after `messageStop`; a stream without it is
//! truncated and must never pass for complete.

use serde::de::DeserializeOwned;

use crate::conversation::{
    BlockKind, Origin, OutputEvent, ProviderState, ProviderStateKind, StopReason,
};
use crate::dialect::codec::{ResponseDecoder, ResponseMeta, StreamState};
use crate::dialect::converse::response_body::{
    ContentBlockDeltaEvent, ContentBlockStart, ContentBlockStartEvent, ContentBlockStopEvent,
    ConverseResponse, MessageStopEvent, ReasoningContentDelta, ResponseBlock, ToolUseStart,
};
use crate::dialect::converse::usage::{ConverseUsage, Metadata};
use crate::dialect::decoded_response::IncompleteResponse;
use crate::dialect::error::{KindField, UpstreamError, read_error_event};
use crate::dialect::name::Dialect;
use crate::dialect::wire::json;
use crate::dialect::wire::sse::Fields;
use crate::domain::usage::ReportedUsage;

/// Bound of the blocks that an upstream leaves open; beyond it the oldest is closed. Converse opens
/// one at a time.
const OPEN_MAX: usize = 64;

/// Type of a call that AWS runs itself; others are the client's, whether they have a type or not.
const HOSTED: &str = "server_tool_use";

/// Decoder of one response.
pub(in crate::dialect) struct ConverseDecoder {
    /// model that makes the signatures
    origin: Origin,
    usage: ConverseUsage,
    stopped: bool,
    /// usage arrived after the stop
    usage_read: bool,
    blocks: u32,
    open: Vec<OpenBlock>,
}

struct OpenBlock {
    /// the upstream's number
    index: u64,
    /// the canonical number
    block: u32,
    kind: OpenKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OpenKind {
    Text,
    Reasoning,
    Call,
    /// content that no client dialect can represent: AWS's own tools, images
    Hidden,
}

impl ConverseDecoder {
    pub(in crate::dialect) fn new(meta: &ResponseMeta) -> ConverseDecoder {
        let origin = Origin {
            dialect: Dialect::Converse.as_str().into(),
            model: meta.model.clone(),
        };
        let usage = ConverseUsage::default();
        ConverseDecoder {
            origin,
            usage,
            stopped: false,
            usage_read: false,
            blocks: 0,
            open: Vec::new(),
        }
    }

    fn start(&mut self, start: ContentBlockStartEvent, events: &mut Vec<OutputEvent>) {
        let index = start.content_block_index;
        self.close(index, events);
        match start.start.tool_use {
            Some(ToolUseStart {
                tool_use_id: id,
                name,
                kind,
                ..
            }) if kind.as_deref() != Some(HOSTED) => {
                self.open(
                    index,
                    OpenKind::Call,
                    Some(BlockKind::Call { id, name }),
                    events,
                );
            }
            _ => {
                self.open(index, OpenKind::Hidden, None, events);
            }
        }
    }

    fn delta(&mut self, delta: ContentBlockDeltaEvent, events: &mut Vec<OutputEvent>) {
        let (index, delta) = (delta.content_block_index, delta.delta);
        if let Some(text) = delta.text {
            self.push_text(index, OpenKind::Text, text, events);
        }
        if let Some(call) = delta.tool_use {
            self.push_text(index, OpenKind::Call, call.input, events);
        }
        if let Some(reasoning) = delta.reasoning_content {
            self.reasoning(index, reasoning, events);
        }
    }

    fn reasoning(
        &mut self,
        index: u64,
        delta: ReasoningContentDelta,
        events: &mut Vec<OutputEvent>,
    ) {
        if let Some(text) = delta.text {
            self.push_text(index, OpenKind::Reasoning, text, events);
        }
        for (kind, data) in [
            (ProviderStateKind::Signature, delta.signature),
            (ProviderStateKind::Redacted, delta.redacted_content),
        ] {
            let Some(data) = data.filter(|data| !data.is_empty()) else {
                continue;
            };
            if let Some(block) = self.block(index, OpenKind::Reasoning, events) {
                let provider_state = ProviderState {
                    origin: Some(self.origin.clone()),
                    kind,
                    data,
                };
                events.push(OutputEvent::State {
                    block,
                    provider_state,
                });
            }
        }
    }

    fn push_text(
        &mut self,
        index: u64,
        kind: OpenKind,
        text: String,
        events: &mut Vec<OutputEvent>,
    ) {
        if text.is_empty() {
            return;
        }
        if let Some(block) = self.block(index, kind, events) {
            events.push(OutputEvent::Delta { block, text });
        }
    }

    /// Canonical number of the block of a delta. Blocks of text and reasoning open with their first
    /// delta.
    fn block(&mut self, index: u64, kind: OpenKind, events: &mut Vec<OutputEvent>) -> Option<u32> {
        match self.open.iter().find(|open| open.index == index) {
            Some(open) if open.kind == kind => return Some(open.block),
            Some(open) if open.kind == OpenKind::Hidden => return None,
            _ => {}
        }
        let block_kind = match kind {
            OpenKind::Text => BlockKind::Text,
            OpenKind::Reasoning => BlockKind::Reasoning,
            // arguments of a call that was never opened
            OpenKind::Call | OpenKind::Hidden => return None,
        };
        self.close(index, events);
        Some(self.open(index, kind, Some(block_kind), events))
    }

    fn open(
        &mut self,
        index: u64,
        kind: OpenKind,
        block_kind: Option<BlockKind>,
        events: &mut Vec<OutputEvent>,
    ) -> u32 {
        if self.open.len() >= OPEN_MAX {
            self.close(self.open[0].index, events);
        }
        let block = self.blocks;
        self.blocks += 1;
        self.open.push(OpenBlock { index, block, kind });
        events.extend(block_kind.map(|block_kind| OutputEvent::Open { block, block_kind }));
        block
    }

    fn close(&mut self, index: u64, events: &mut Vec<OutputEvent>) {
        let Some(at) = self.open.iter().position(|open| open.index == index) else {
            return;
        };
        let closed = self.open.remove(at);
        if closed.kind != OpenKind::Hidden {
            events.push(OutputEvent::Close {
                block: closed.block,
            });
        }
    }

    fn stop(
        &mut self,
        end: MessageStopEvent,
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), UpstreamError> {
        let sequence = end
            .additional_model_response_fields
            .and_then(|fields| fields.stop_sequence);
        // set before a failure too: the usage follows
        self.stopped = true;
        let stop = stop_reason(&end.stop_reason, sequence)?;
        while let Some(index) = self.open.first().map(|open| open.index) {
            self.close(index, events);
        }
        events.push(OutputEvent::Stop(stop));
        Ok(())
    }

    fn malformed_response(&self) -> IncompleteResponse {
        IncompleteResponse::fault(
            UpstreamError::unreadable("malformed Converse response from the upstream"),
            self.report(),
        )
    }

    fn response_block(&mut self, index: u64, block: ResponseBlock, events: &mut Vec<OutputEvent>) {
        if let Some(text) = block.text {
            self.push_text(index, OpenKind::Text, text, events);
        }
        for citation in block
            .citations_content
            .map(|citations| citations.content)
            .unwrap_or_default()
        {
            self.push_text(index, OpenKind::Text, citation.text, events);
        }
        if let Some(reasoning) = block.reasoning_content {
            let mut delta = reasoning.reasoning_text.unwrap_or_default();
            delta.redacted_content = reasoning.redacted_content;
            self.reasoning(index, delta, events);
        }
        if let Some(mut call) = block.tool_use {
            let input = call.input.take();
            self.start(
                ContentBlockStartEvent {
                    content_block_index: index,
                    start: ContentBlockStart {
                        tool_use: Some(call),
                    },
                },
                events,
            );
            self.push_text(
                index,
                OpenKind::Call,
                input.unwrap_or_default().as_str().to_owned(),
                events,
            );
        }
        self.close(index, events);
    }
}

impl ResponseDecoder for ConverseDecoder {
    fn event(
        &mut self,
        fields: &Fields<'_>,
        events: &mut Vec<OutputEvent>,
    ) -> Result<StreamState, UpstreamError> {
        let data = &fields.data[..];
        match fields.event.unwrap_or_default() {
            b"contentBlockDelta" => self.delta(parse(data)?, events),
            b"contentBlockStart" => self.start(parse(data)?, events),
            b"contentBlockStop" => self.close(
                parse::<ContentBlockStopEvent>(data)?.content_block_index,
                events,
            ),
            b"messageStop" => self.stop(parse(data)?, events)?,
            b"metadata" => {
                self.usage.merge(
                    json::read(&Metadata::default(), data)
                        .map_err(|_| malformed_event())?
                        .usage,
                );
                self.usage_read |= self.stopped;
                return Ok(if self.stopped {
                    StreamState::End
                } else {
                    StreamState::More
                });
            }
            b"error" => return Err(read_error_event(data, KindField::Code)),
            // messageStart and unknown events
            _ => {}
        }
        Ok(StreamState::More)
    }

    fn decode_unary(
        &mut self,
        body: &[u8],
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), IncompleteResponse> {
        let incomplete = |error: serde_json::Error| {
            if error.is_eof() {
                IncompleteResponse::Truncated
            } else {
                IncompleteResponse::NotJson
            }
        };
        match body.trim_ascii().first() {
            None => return Err(IncompleteResponse::Truncated),
            Some(b'{') => {}
            Some(_) if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() => {
                return Err(IncompleteResponse::NotAnObject);
            }
            Some(_) => return Err(IncompleteResponse::NotJson),
        }
        let metadata = json::read(&Metadata::default(), body).map_err(incomplete)?;
        self.usage.merge(metadata.usage);
        self.usage_read = true;
        let response: ConverseResponse =
            json::lenient(body).map_err(|_| self.malformed_response())?;
        let end: MessageStopEvent = json::lenient(body).map_err(|_| self.malformed_response())?;
        for (index, block) in (0..).zip(response.output.message.content) {
            self.response_block(index, block, events);
        }
        self.stop(end, events)
            .map_err(|fault| IncompleteResponse::fault(fault, self.report()))
    }

    fn report(&self) -> ReportedUsage {
        self.usage.report()
    }

    fn output_is_final(&self) -> bool {
        self.usage_read && self.usage.has_output()
    }
}

fn parse<T: DeserializeOwned>(data: &[u8]) -> Result<T, UpstreamError> {
    json::lenient(data).map_err(|_| malformed_event())
}

fn malformed_event() -> UpstreamError {
    UpstreamError::unreadable("malformed Converse event from the upstream")
}

/// Stop reason of a Converse `stopReason`; malformed model output is a failed response.
fn stop_reason(reason: &str, sequence: Option<String>) -> Result<StopReason, UpstreamError> {
    Ok(match reason {
        "end_turn" => StopReason::End,
        "tool_use" => StopReason::Tool,
        "max_tokens" => StopReason::Length,
        "stop_sequence" => StopReason::Sequence(sequence),
        "guardrail_intervened" | "content_filtered" => StopReason::Filtered,
        "model_context_window_exceeded" => StopReason::ContextWindow,
        "malformed_model_output" | "malformed_tool_use" => {
            return Err(UpstreamError::new(format!(
                "model response failed with stop reason `{reason}`"
            )));
        }
        other => {
            let reason: String = other.chars().take(40).collect();
            tracing::warn!(
                ?reason,
                "unknown Converse stop reason; treated as the end of the turn"
            );
            StopReason::End
        }
    })
}

#[cfg(test)]
mod tests;
