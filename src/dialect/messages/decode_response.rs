//! Decoder of messages responses. Skips blocks of Anthropic's hosted tools, and unknown events and blocks.

use serde::{Deserialize, Deserializer};

use crate::conversation::{
    BlockKind, Origin, OutputEvent, ProviderState, ProviderStateKind, RawJson, StopReason,
};
use crate::dialect::codec::{ResponseDecoder, ResponseMeta, StreamState};
use crate::dialect::decoded_response::IncompleteResponse;
use crate::dialect::error::{KindField, UpstreamError, read_error_event};
use crate::dialect::messages::event::{MessagesEvent, MessagesEventKind};
use crate::dialect::messages::shape::TextOr;
use crate::dialect::messages::unary;
use crate::dialect::messages::usage::MessagesUsage;
use crate::dialect::name::Dialect;
use crate::dialect::wire::json;
use crate::dialect::wire::json::Leaf;
use crate::dialect::wire::sse::Fields;
use crate::domain::usage::ReportedUsage;

/// Decoder of one response.
pub(in crate::dialect) struct MessagesDecoder {
    /// prefix of generated ids
    seed: String,
    origin: Origin,
    usage: MessagesUsage,
    stopped: bool,
    output_is_final: bool,
    /// usage of a unary response
    report: Option<ReportedUsage>,
    /// number of blocks so far
    blocks: u32,
    open: Vec<OpenBlock>,
}

/// A block that has not ended.
struct OpenBlock {
    /// index at the upstream
    index: u64,
    block: u32,
    /// arguments in the block's start: a placeholder, unless no others follow
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type", default, deserialize_with = "loose")]
    kind: Option<String>,
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    content_block: Option<Part>,
    #[serde(default)]
    delta: Option<Delta>,
}

/// A delta with the fields of all types, including the stop.
#[derive(Default, Deserialize)]
struct Delta {
    #[serde(default, deserialize_with = "loose")]
    text: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    thinking: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    signature: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    partial_json: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    stop_reason: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    stop_sequence: Option<String>,
}

/// A block with the fields of all types, at its start in a stream or complete.
#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type", default, deserialize_with = "loose")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    id: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    name: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    text: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    thinking: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    signature: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    data: Option<String>,
    #[serde(default)]
    input: Option<RawJson>,
}

#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    content: Option<TextOr<Part>>,
    #[serde(default, deserialize_with = "loose")]
    stop_reason: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    stop_sequence: Option<String>,
}

/// A text; any other value counts as absent.
fn loose<'de, D: Deserializer<'de>>(json: D) -> Result<Option<String>, D::Error> {
    Ok(match Leaf::deserialize(json)? {
        Leaf::Text(text) => Some(text.into_owned()),
        _ => None,
    })
}

impl MessagesDecoder {
    pub(in crate::dialect) fn new(head: &ResponseMeta) -> MessagesDecoder {
        MessagesDecoder {
            seed: head.request_id.clone(),
            origin: Origin {
                dialect: Dialect::Messages.as_str().into(),
                model: head.model.clone(),
            },
            usage: MessagesUsage::default(),
            stopped: false,
            output_is_final: false,
            report: None,
            blocks: 0,
            open: Vec::new(),
        }
    }

    /// Reads usage or an error from an event.
    fn read_usage(&mut self, data: &[u8]) -> Result<(), UpstreamError> {
        let event = json::read(&MessagesEvent::default(), data).map_err(|_| not_json())?;
        self.usage.then(event.usage);
        self.stopped |= event.stopped;
        self.output_is_final |= self.stopped && event.has_final_usage;
        match event.kind {
            _ if event.error.seen => Err(event.error.error_or_default(KindField::Type)),
            Some(MessagesEventKind::Error) => Err(event.error.error_or_default(KindField::Type)),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, index: u64, part: Part, events: &mut Vec<OutputEvent>) {
        let block = self.blocks;
        let (block_kind, said, arguments) = match part.kind.as_deref() {
            Some("text") => (BlockKind::Text, part.text, None),
            Some("thinking" | "redacted_thinking") => (BlockKind::Reasoning, part.thinking, None),
            Some("tool_use") => {
                let id = part
                    .id
                    .filter(|id| !id.is_empty())
                    .unwrap_or_else(|| format!("toolu_{}_{block}", self.seed));
                let arguments = part.input.map(|input| input.as_str().to_owned());
                (
                    BlockKind::Call {
                        id,
                        name: part.name.unwrap_or_default(),
                    },
                    None,
                    arguments,
                )
            }
            // hosted tools and unknown types
            _ => return,
        };
        self.end(index, events);
        self.blocks += 1;
        self.open.push(OpenBlock {
            index,
            block,
            arguments,
        });
        events.push(OutputEvent::Open { block, block_kind });
        push_delta(block, said, events);
        self.provider_state(block, ProviderStateKind::Signature, part.signature, events);
        self.provider_state(block, ProviderStateKind::Redacted, part.data, events);
    }

    fn go_on(&mut self, index: u64, delta: Delta, events: &mut Vec<OutputEvent>) {
        let Some(open) = self.open.iter_mut().find(|open| open.index == index) else {
            return;
        };
        let block = open.block;
        if delta
            .partial_json
            .as_ref()
            .is_some_and(|json| !json.is_empty())
        {
            open.arguments = None;
        }
        for said in [delta.text, delta.thinking, delta.partial_json] {
            push_delta(block, said, events);
        }
        self.provider_state(block, ProviderStateKind::Signature, delta.signature, events);
    }

    fn end(&mut self, index: u64, events: &mut Vec<OutputEvent>) {
        let Some(at) = self.open.iter().position(|open| open.index == index) else {
            return;
        };
        let OpenBlock {
            block, arguments, ..
        } = self.open.swap_remove(at);
        // some vendors send all arguments in the block's start
        push_delta(
            block,
            arguments.filter(|arguments| !is_placeholder(arguments)),
            events,
        );
        events.push(OutputEvent::Close { block });
    }

    fn end_all(&mut self, events: &mut Vec<OutputEvent>) {
        while let Some(open) = self.open.first() {
            self.end(open.index, events);
        }
    }

    fn provider_state(
        &self,
        block: u32,
        kind: ProviderStateKind,
        data: Option<String>,
        events: &mut Vec<OutputEvent>,
    ) {
        if let Some(data) = data.filter(|data| !data.is_empty()) {
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

impl ResponseDecoder for MessagesDecoder {
    fn event(
        &mut self,
        event: &Fields<'_>,
        events: &mut Vec<OutputEvent>,
    ) -> Result<StreamState, UpstreamError> {
        let data = event.data.trim_ascii();
        match data {
            _ if event.event == Some(b"error") => {
                return Err(read_error_event(data, KindField::Type));
            }
            b"" if event.event == Some(b"message_stop") => return Ok(StreamState::End),
            // OpenAI's terminal event, which some vendors that borrow this dialect add
            b"" | b"[DONE]" => return Ok(StreamState::More),
            _ => {}
        }
        let frame: Frame = json::lenient(data).map_err(|_| not_json())?;
        let kind = frame
            .kind
            .as_deref()
            .map(str::as_bytes)
            .or(event.event)
            .unwrap_or_default();
        let index = frame.index.unwrap_or_default();
        match (kind, frame.content_block, frame.delta) {
            (b"content_block_start", Some(part), _) => self.begin(index, part, events),
            (b"content_block_delta", _, Some(delta)) => self.go_on(index, delta, events),
            (b"content_block_stop", ..) => self.end(index, events),
            (b"message_delta", _, delta) => {
                self.read_usage(data)?;
                if let Some(Delta {
                    stop_reason: Some(reason),
                    stop_sequence,
                    ..
                }) = delta
                {
                    events.push(OutputEvent::Stop(stop(&reason, stop_sequence)));
                }
            }
            (b"message_stop", ..) => {
                self.end_all(events);
                return Ok(StreamState::End);
            }
            (b"ping", ..) => {}
            // also an error in an event of another name
            _ => self.read_usage(data)?,
        }
        Ok(StreamState::More)
    }

    fn decode_unary(
        &mut self,
        body: &[u8],
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), IncompleteResponse> {
        let unary = unary::decode_unary(body)?;
        let whole: Whole = json::lenient(body).map_err(|_| IncompleteResponse::NotJson)?;
        if whole.content.is_none() && whole.stop_reason.is_none() {
            let fault = UpstreamError::unreadable("the upstream's answer has no content");
            return Err(IncompleteResponse::fault(fault, unary.report));
        }
        self.report = Some(unary.report);
        match whole.content {
            None => {}
            Some(TextOr::Text(text)) => {
                events.push(OutputEvent::Open {
                    block: 0,
                    block_kind: BlockKind::Text,
                });
                push_delta(0, Some(text), events);
            }
            Some(TextOr::Many(parts)) => {
                for (index, part) in (0..).zip(parts) {
                    self.begin(index, part, events);
                    self.end(index, events);
                }
            }
        }
        events.push(OutputEvent::Stop(stop(
            whole.stop_reason.as_deref().unwrap_or_default(),
            whole.stop_sequence,
        )));
        Ok(())
    }

    fn report(&self) -> ReportedUsage {
        self.report.clone().unwrap_or_else(|| self.usage.report())
    }

    fn output_is_final(&self) -> bool {
        self.report.is_some() || self.output_is_final
    }
}

fn push_delta(block: u32, said: Option<String>, events: &mut Vec<OutputEvent>) {
    if let Some(text) = said.filter(|text| !text.is_empty()) {
        events.push(OutputEvent::Delta { block, text });
    }
}

/// `{}` in a block's start means that the arguments follow.
fn is_placeholder(arguments: &str) -> bool {
    matches!(Leaf::of(arguments), Some(Leaf::Empty | Leaf::Null))
}

/// An unknown reason is a normal end.
fn stop(reason: &str, sequence: Option<String>) -> StopReason {
    match reason {
        "max_tokens" => StopReason::Length,
        "stop_sequence" => StopReason::Sequence(sequence),
        "tool_use" => StopReason::Tool,
        "pause_turn" => StopReason::Pause,
        "refusal" => StopReason::Filtered,
        "model_context_window_exceeded" => StopReason::ContextWindow,
        _ => StopReason::End,
    }
}

fn not_json() -> UpstreamError {
    UpstreamError::unreadable("the upstream sent an event that cannot be read")
}

#[cfg(test)]
mod tests;
