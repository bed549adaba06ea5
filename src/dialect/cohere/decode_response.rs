//! Decodes `/v2/chat` responses, unary and streamed, into canonical output events. The tool plan
//! becomes a reasoning block: it is not part of the answer, and clients can display it. Citations
//! are dropped: no client dialect has a field for them. Must never report a truncated or failed
//! response as complete.

use serde::Deserialize;

use crate::conversation::{BlockKind, OutputEvent, StopReason};
use crate::dialect::codec::{ResponseDecoder, ResponseMeta, StreamState};
use crate::dialect::cohere::usage::CohereUsage;
use crate::dialect::decoded_response::{IncompleteResponse, parse_object};
use crate::dialect::error::{KindField, UpstreamError, read_error_event};
use crate::dialect::wire::json;
use crate::dialect::wire::sse::Fields;
use crate::domain::usage::{ReportedUsage, Side};

/// Decoder of one response.
pub(in crate::dialect) struct CohereDecoder {
    /// prefix of generated call ids
    request_id: String,
    usage: CohereUsage,
    blocks: u32,
    /// open blocks: Cohere's key, canonical number
    open: Vec<(BlockKey, u32)>,
    /// the terminal event, of a complete or a failed response, had an output count
    output_counted: bool,
}

/// Cohere's identification of a block: content items and calls are numbered separately, the plan is
/// unique.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BlockKey {
    Content(u64, TextKind),
    Plan,
    Call(u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TextKind {
    Text,
    Thinking,
}

#[derive(Deserialize)]
struct CohereEvent {
    #[serde(rename = "type")]
    kind: Option<String>,
    index: Option<u64>,
    delta: Option<EventDelta>,
    message: Option<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
struct EventDelta {
    message: Option<MessageDelta>,
    finish_reason: Option<String>,
    error: Option<String>,
    #[serde(default)]
    usage: CohereUsage,
}

#[derive(Default, Deserialize)]
struct MessageDelta {
    content: Option<OneOrMany<ContentItem>>,
    tool_plan: Option<String>,
    tool_calls: Option<OneOrMany<CallItem>>,
}

/// One object; `message-start` has an empty array instead.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn first(self) -> Option<T> {
        match self {
            OneOrMany::One(one) => Some(one),
            OneOrMany::Many(many) => many.into_iter().next(),
        }
    }
}

/// Content item of a unary response, or the increment of one.
#[derive(Deserialize)]
struct ContentItem {
    text: Option<String>,
    thinking: Option<String>,
}

/// Tool call of a unary response, or the increment of one.
#[derive(Deserialize)]
struct CallItem {
    id: Option<String>,
    function: Option<CallItemFunction>,
}

#[derive(Deserialize)]
struct CallItemFunction {
    name: Option<String>,
    arguments: Option<String>,
}

/// Unary response.
#[derive(Deserialize)]
struct ResponseBody {
    finish_reason: Option<String>,
    message: Option<MessageOrError>,
    #[serde(default)]
    usage: CohereUsage,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MessageOrError {
    Message(ResponseMessage),
    Error(String),
}

#[derive(Deserialize)]
struct ResponseMessage {
    content: Option<Vec<ContentItem>>,
    tool_plan: Option<String>,
    tool_calls: Option<Vec<CallItem>>,
}

impl CohereDecoder {
    pub(in crate::dialect) fn new(meta: &ResponseMeta) -> CohereDecoder {
        CohereDecoder {
            request_id: meta.request_id.clone(),
            usage: CohereUsage::default(),
            blocks: 0,
            open: Vec::new(),
            output_counted: false,
        }
    }

    fn content(&mut self, index: u64, item: ContentItem, events: &mut Vec<OutputEvent>) {
        for (kind, text) in [
            (TextKind::Thinking, item.thinking),
            (TextKind::Text, item.text),
        ] {
            self.push_text(
                BlockKey::Content(index, kind),
                text.unwrap_or_default(),
                events,
            );
        }
    }

    /// Appends to the block of this key; empty text opens no block.
    fn push_text(&mut self, key: BlockKey, text: String, events: &mut Vec<OutputEvent>) {
        if text.is_empty() {
            return;
        }
        let block = match self.open.iter().find(|(open, _)| *open == key) {
            Some((_, block)) => *block,
            None => {
                let is_reasoning = matches!(
                    key,
                    BlockKey::Plan | BlockKey::Content(_, TextKind::Thinking)
                );
                let kind = if is_reasoning {
                    BlockKind::Reasoning
                } else {
                    BlockKind::Text
                };
                // content items are sequential; a missing `content-end` is tolerated
                self.close(|key| !matches!(key, BlockKey::Call(_)), events);
                self.open(key, kind, events)
            }
        };
        events.push(OutputEvent::Delta { block, text });
    }

    fn call(&mut self, index: u64, call: CallItem, events: &mut Vec<OutputEvent>) {
        let (name, arguments) = call
            .function
            .map_or((None, None), |function| (function.name, function.arguments));
        let key = BlockKey::Call(index);
        if let Some(name) = name {
            self.close(
                |open| open == key || !matches!(open, BlockKey::Call(_)),
                events,
            );
            let id = call.id.filter(|id| !id.is_empty());
            let id = id.unwrap_or_else(|| format!("call_{}_{}", self.request_id, self.blocks));
            self.open(key, BlockKind::Call { id, name }, events);
        }
        let open = self.open.iter().find(|(open, _)| *open == key);
        if let (Some((_, block)), Some(text)) = (open, arguments.filter(|text| !text.is_empty())) {
            events.push(OutputEvent::Delta {
                block: *block,
                text,
            });
        }
    }

    fn open(&mut self, key: BlockKey, kind: BlockKind, events: &mut Vec<OutputEvent>) -> u32 {
        let block = self.blocks;
        self.blocks += 1;
        events.push(OutputEvent::Open {
            block,
            block_kind: kind,
        });
        self.open.push((key, block));
        block
    }

    /// Closes the open blocks that the predicate selects.
    fn close(&mut self, closes: impl Fn(BlockKey) -> bool, events: &mut Vec<OutputEvent>) {
        self.open.retain(|(key, block)| {
            let is_closed = closes(*key);
            if is_closed {
                events.push(OutputEvent::Close { block: *block });
            }
            !is_closed
        });
    }

    fn stream_event(
        &mut self,
        event: CohereEvent,
        events: &mut Vec<OutputEvent>,
    ) -> Result<StreamState, UpstreamError> {
        let (index, delta) = (event.index.unwrap_or(0), event.delta.unwrap_or_default());
        let message = delta.message.unwrap_or_default();
        match event.kind.as_deref().unwrap_or_default() {
            "content-start" | "content-delta" => {
                if let Some(item) = message.content.and_then(OneOrMany::first) {
                    self.content(index, item, events);
                }
            }
            "content-end" => self.close(
                |key| matches!(key, BlockKey::Content(open, _) if open == index),
                events,
            ),
            "tool-plan-delta" => self.push_text(
                BlockKey::Plan,
                message.tool_plan.unwrap_or_default(),
                events,
            ),
            "tool-call-start" | "tool-call-delta" => {
                if let Some(call) = message.tool_calls.and_then(OneOrMany::first) {
                    self.call(index, call, events);
                }
            }
            "tool-call-end" => self.close(|key| key == BlockKey::Call(index), events),
            "message-end" => {
                self.usage = delta.usage;
                self.output_counted = matches!(
                    self.report(),
                    ReportedUsage::Complete(_)
                        | ReportedUsage::Partial {
                            missing: Side::Input,
                            ..
                        }
                );
                self.end(delta.finish_reason.as_deref(), delta.error, events)?;
                return Ok(StreamState::End);
            }
            _ => {}
        }
        Ok(StreamState::More)
    }

    fn end(
        &mut self,
        reason: Option<&str>,
        error: Option<String>,
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), UpstreamError> {
        self.close(|_| true, events);
        match (
            reason.map(stop_reason),
            error.filter(|error| !error.is_empty()),
        ) {
            (Some(Some(stop)), None) => events.push(OutputEvent::Stop(stop)),
            (None, None) => events.push(OutputEvent::Stop(StopReason::End)),
            (_, Some(error)) => return Err(UpstreamError::new(error)),
            (Some(None), None) => {
                let reason = reason.unwrap_or_default();
                return Err(UpstreamError {
                    kind: reason.to_owned(),
                    ..UpstreamError::new(format!(
                        "model response failed with finish reason `{reason}`"
                    ))
                });
            }
        }
        Ok(())
    }
}

impl ResponseDecoder for CohereDecoder {
    fn event(
        &mut self,
        fields: &Fields<'_>,
        events: &mut Vec<OutputEvent>,
    ) -> Result<StreamState, UpstreamError> {
        let data = fields.data.trim_ascii();
        if data.is_empty() || data == b"[DONE]" {
            return Ok(StreamState::More);
        }
        let event: CohereEvent = json::lenient(data)
            .map_err(|_| UpstreamError::unreadable("malformed Cohere event from the upstream"))?;
        if event.kind.is_none() && event.message.is_some() || fields.event == Some(b"error") {
            return Err(read_error_event(data, KindField::Code));
        }
        self.stream_event(event, events)
    }

    fn decode_unary(
        &mut self,
        body: &[u8],
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), IncompleteResponse> {
        let response: ResponseBody = parse_object(body)?;
        self.usage = response.usage;
        self.output_counted = true;
        let message = match response.message {
            Some(MessageOrError::Message(message)) => Ok(message),
            Some(MessageOrError::Error(text)) => Err(UpstreamError::new(text)),
            None => Err(UpstreamError::unreadable(
                "upstream response has no message",
            )),
        };
        let message = message.map_err(|fault| IncompleteResponse::fault(fault, self.report()))?;
        self.push_text(
            BlockKey::Plan,
            message.tool_plan.unwrap_or_default(),
            events,
        );
        for (index, item) in (0..).zip(message.content.unwrap_or_default()) {
            self.content(index, item, events);
        }
        for (index, call) in (0..).zip(message.tool_calls.unwrap_or_default()) {
            self.call(index, call, events);
        }
        self.end(response.finish_reason.as_deref(), None, events)
            .map_err(|fault| IncompleteResponse::fault(fault, self.report()))
    }

    fn report(&self) -> ReportedUsage {
        self.usage.report()
    }

    fn output_is_final(&self) -> bool {
        self.output_counted
    }
}

/// Stop reason of a Cohere `finish_reason`; `None` if the response failed.
fn stop_reason(reason: &str) -> Option<StopReason> {
    Some(match reason {
        "COMPLETE" => StopReason::End,
        "STOP_SEQUENCE" => StopReason::Sequence(None),
        "MAX_TOKENS" => StopReason::Length,
        "TOOL_CALL" => StopReason::Tool,
        "ERROR" | "TIMEOUT" => return None,
        other => {
            let reason = other.get(..40).unwrap_or(other);
            tracing::warn!(
                ?reason,
                "unknown Cohere finish reason; treated as the end of the turn"
            );
            StopReason::End
        }
    })
}

#[cfg(test)]
mod tests;
