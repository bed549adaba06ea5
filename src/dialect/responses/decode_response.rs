//! Decoder of Responses that are translated for a client of another dialect. Text counts in deltas; an item whose deltas did not come
//! is read from the event that repeats it.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::conversation::{
    BlockKind, Origin, OutputEvent, ProviderState, ProviderStateKind, StopReason,
};
use crate::dialect::codec::{ResponseDecoder, ResponseMeta, StreamState};
use crate::dialect::decoded_response::{IncompleteResponse, parse_object, read_object};
use crate::dialect::error::{KindField, UpstreamError, read_error_event};
use crate::dialect::name::Dialect;
use crate::dialect::responses::event::{ResponseBody, ResponsesEventKind};
use crate::dialect::responses::sealed_item::SealedItem;
use crate::dialect::responses::usage::ResponsesUsage;
use crate::dialect::wire::json;
use crate::dialect::wire::sse::Fields;
use crate::domain::usage::ReportedUsage;

/// Separator of the parts of a reasoning summary.
const BETWEEN_PARTS: &str = "\n\n";

/// Decoder of one response.
pub(in crate::dialect) struct ResponsesDecoder {
    model: String,
    usage: ResponsesUsage,
    is_final: bool,
    blocks: u32,
    /// items with an open block
    open: Vec<OpenItem>,
    has_call: bool,
}

/// A block and the item that it belongs to.
struct OpenItem {
    output_index: u64,
    block: u32,
    block_kind: BlockKind,
    has_text: bool,
    /// part of the item that the text so far belongs to
    part: u64,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    output_index: u64,
    #[serde(default)]
    summary_index: u64,
    #[serde(default)]
    content_index: u64,
    #[serde(default)]
    delta: Option<String>,
    #[serde(default)]
    item: Option<Item>,
    #[serde(default)]
    response: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
    #[serde(default)]
    content: Option<Vec<Part>>,
    #[serde(default)]
    summary: Option<Vec<Part>>,
    #[serde(default)]
    encrypted_content: Option<String>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

/// The response object, as far as its end and content need it.
#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    output: Option<Vec<Item>>,
    #[serde(default)]
    incomplete_details: Option<Incomplete>,
}

#[derive(Deserialize)]
struct Incomplete {
    #[serde(default)]
    reason: Option<String>,
}

impl Item {
    fn block_kind(&self) -> Option<BlockKind> {
        match self.kind.as_str() {
            "message" => Some(BlockKind::Text),
            "reasoning" => Some(BlockKind::Reasoning),
            "function_call" => Some(BlockKind::Call {
                id: self.call_id.clone().or(self.id.clone()).unwrap_or_default(),
                name: self.name.clone().unwrap_or_default(),
            }),
            // hosted tools are not asked for
            _ => None,
        }
    }

    /// Text of the whole item: of a message, of reasoning, or the arguments of a call.
    fn text(&self) -> String {
        let texts = |parts: &Option<Vec<Part>>, between: &str| {
            let parts = parts.iter().flatten();
            let texts = parts.filter_map(|part| part.text.as_deref().or(part.refusal.as_deref()));
            texts.collect::<Vec<_>>().join(between)
        };
        match self.kind.as_str() {
            "message" => texts(&self.content, ""),
            "function_call" => self.arguments.clone().unwrap_or_default(),
            _ => {
                let summary = texts(&self.summary, BETWEEN_PARTS);
                if summary.is_empty() {
                    texts(&self.content, BETWEEN_PARTS)
                } else {
                    summary
                }
            }
        }
    }
}

impl Whole {
    fn stop(&self) -> StopReason {
        let details = self.incomplete_details.as_ref();
        match details.and_then(|details| details.reason.as_deref()) {
            Some("max_output_tokens") => StopReason::Length,
            Some("content_filter") => StopReason::Filtered,
            Some(_) | None => StopReason::End,
        }
    }
}

impl ResponsesDecoder {
    pub(in crate::dialect) fn new(head: &ResponseMeta) -> ResponsesDecoder {
        ResponsesDecoder {
            model: head.model.clone(),
            usage: ResponsesUsage::default(),
            is_final: false,
            blocks: 0,
            open: Vec::new(),
            has_call: false,
        }
    }

    /// Block of an item; opened if it is new.
    fn opened(
        &mut self,
        output_index: u64,
        block_kind: &BlockKind,
        events: &mut Vec<OutputEvent>,
    ) -> &mut OpenItem {
        let is_same = |item: &OpenItem| item.output_index == output_index;
        if let Some(at) = self.open.iter().position(is_same) {
            return &mut self.open[at];
        }
        self.has_call |= matches!(block_kind, BlockKind::Call { .. });
        let block = self.blocks;
        self.blocks += 1;
        events.push(OutputEvent::Open {
            block,
            block_kind: block_kind.clone(),
        });
        let at = self.open.len();
        self.open.push(OpenItem {
            output_index,
            block,
            block_kind: block_kind.clone(),
            has_text: false,
            part: 0,
        });
        &mut self.open[at]
    }

    fn delta(&mut self, event: Event, block_kind: &BlockKind, events: &mut Vec<OutputEvent>) {
        let part = event.summary_index.max(event.content_index);
        let Some(text) = event.delta.filter(|text| !text.is_empty()) else {
            return;
        };
        let item = self.opened(event.output_index, block_kind, events);
        let is_next = item.part != part && item.has_text;
        let is_reasoning = item.block_kind == BlockKind::Reasoning;
        let (block, text) = if is_next && is_reasoning {
            (item.block, format!("{BETWEEN_PARTS}{text}"))
        } else {
            (item.block, text)
        };
        (item.part, item.has_text) = (part, true);
        events.push(OutputEvent::Delta { block, text });
    }

    /// An item at its end, or of a unary response.
    fn item(&mut self, output_index: u64, item: &Item, events: &mut Vec<OutputEvent>) {
        let Some(block_kind) = item.block_kind() else {
            return;
        };
        let sealed = self.sealed(item);
        let text = item.text();
        let is_open = self
            .open
            .iter()
            .any(|open| open.output_index == output_index);
        if !is_open && text.is_empty() && sealed.is_none() && block_kind == BlockKind::Reasoning {
            return;
        }
        let open = self.opened(output_index, &block_kind, events);
        let block = open.block;
        if !open.has_text && !text.is_empty() {
            events.push(OutputEvent::Delta { block, text });
        }
        if let Some(provider_state) = sealed {
            events.push(OutputEvent::State {
                block,
                provider_state,
            });
        }
        events.push(OutputEvent::Close { block });
        self.open.retain(|open| open.output_index != output_index);
    }

    /// State of a reasoning item for later turns.
    fn sealed(&self, item: &Item) -> Option<ProviderState> {
        let encrypted_content = item.encrypted_content.clone()?;
        let sealed = SealedItem {
            id: item.id.clone()?,
            encrypted_content,
        };
        Some(ProviderState {
            origin: Some(Origin {
                dialect: Dialect::Responses.as_str().into(),
                model: self.model.clone(),
            }),
            kind: ProviderStateKind::Signature,
            data: sealed.write(),
        })
    }

    fn stop(&mut self, response: &str, events: &mut Vec<OutputEvent>) {
        for open in self.open.drain(..) {
            events.push(OutputEvent::Close { block: open.block });
        }
        let whole = json::lenient::<Whole>(response.as_bytes());
        let stop = whole.map_or(StopReason::End, |whole| whole.stop());
        events.push(OutputEvent::Stop(stop.with_calls(self.has_call)));
    }

    /// Usage and error of the response object.
    fn note(&mut self, response: &str) -> Option<UpstreamError> {
        let body = json::read(&ResponseBody::default(), response.as_bytes()).ok()?;
        self.is_final |= body.usage.output_is_reported();
        self.usage.then(body.usage);
        let error = body.error;
        error.seen.then(|| error.error_or_default(KindField::Code))
    }
}

impl ResponseDecoder for ResponsesDecoder {
    fn event(
        &mut self,
        event: &Fields<'_>,
        events: &mut Vec<OutputEvent>,
    ) -> Result<StreamState, UpstreamError> {
        let data = event.data.trim_ascii();
        match data {
            _ if event.event == Some(b"error") => {
                return Err(read_error_event(data, KindField::Code));
            }
            b"" | b"[DONE]" => return Ok(StreamState::More),
            _ => {}
        }
        let event: Event = json::lenient(data).map_err(|_| UpstreamError::event_not_json())?;
        let call = BlockKind::Call {
            id: String::new(),
            name: String::new(),
        };
        match event.kind.as_str() {
            "response.output_text.delta" | "response.refusal.delta" => {
                self.delta(event, &BlockKind::Text, events);
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.delta(event, &BlockKind::Reasoning, events);
            }
            "response.function_call_arguments.delta" => self.delta(event, &call, events),
            "response.output_item.added" => {
                let item = event.item.as_ref();
                let kind = item.and_then(Item::block_kind);
                if let Some(kind @ BlockKind::Call { .. }) = kind {
                    self.opened(event.output_index, &kind, events);
                }
            }
            "response.output_item.done" => {
                if let Some(item) = &event.item {
                    self.item(event.output_index, item, events);
                }
            }
            kind => return self.ended(kind, data, event.response.as_deref(), events),
        }
        Ok(StreamState::More)
    }

    fn decode_unary(
        &mut self,
        body: &[u8],
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), IncompleteResponse> {
        let head = read_object(&ResponseBody::default(), body)?;
        let report = head.usage.report();
        if head.error.seen || head.failed {
            let error = head.error.error_or_default(KindField::Code);
            return Err(IncompleteResponse::fault(error, report));
        }
        self.is_final = true;
        self.usage = head.usage;
        let Ok(whole) = parse_object::<Whole>(body) else {
            let error = UpstreamError::unreadable("the upstream's answer has another shape");
            return Err(IncompleteResponse::fault(error, report));
        };
        let Some(output) = &whole.output else {
            let error = UpstreamError::unreadable("the upstream's answer has no output");
            return Err(IncompleteResponse::fault(error, report));
        };
        for (number, item) in output.iter().enumerate() {
            self.item(number as u64, item, events);
        }
        let stop = whole.stop().with_calls(self.has_call);
        events.push(OutputEvent::Stop(stop));
        Ok(())
    }

    fn report(&self) -> ReportedUsage {
        self.usage.report()
    }

    fn output_is_final(&self) -> bool {
        self.is_final
    }
}

impl ResponsesDecoder {
    /// Events that carry the response object.
    fn ended(
        &mut self,
        kind: &str,
        data: &[u8],
        response: Option<&RawValue>,
        events: &mut Vec<OutputEvent>,
    ) -> Result<StreamState, UpstreamError> {
        let response = response.map_or("{}", RawValue::get);
        match ResponsesEventKind::of(kind.as_bytes()) {
            ResponsesEventKind::Stop => {
                self.note(response);
                self.stop(response, events);
                Ok(StreamState::End)
            }
            ResponsesEventKind::Error => {
                let error = self.note(response);
                Err(error.unwrap_or_else(|| read_error_event(data, KindField::Code)))
            }
            _ => Ok(StreamState::More),
        }
    }
}

#[cfg(test)]
mod tests;
