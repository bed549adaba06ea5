//! Encoder of Responses: every item is started, sent in deltas, repeated and ended; the last event repeats the whole response with its
//! usage. Event numbers are consecutive, and every id derives from the gateway's request.

use bytes::Bytes;

use crate::conversation::{
    BlockKind, ChatResponse, Content, OutputEvent, ProviderState, StopReason,
};
use crate::dialect::codec::{ResponseEncoder, ResponseMeta};
use crate::dialect::request::Request;
use crate::dialect::responses::echo::Echo;
use crate::dialect::responses::error;
use crate::dialect::responses::output::{
    BEGUN, EventOut, Incomplete, Item, Kind, Part, ResponseOut, arguments, incomplete_reason,
    known_tier, put_event,
};
use crate::dialect::responses::output_item::{COMPLETED, INCOMPLETE, OutputItem};
use crate::dialect::responses::tools::{Form, Table, Tools, custom_input};
use crate::dialect::wire::json::to_json;
use crate::domain::api_error::ApiError;
use crate::domain::usage::Usage;

/// Encoder of one response.
pub(in crate::dialect) struct ResponsesEncoder {
    id: String,
    head: ResponseMeta,
    echo: Echo,
    table: Table,
    next_sequence: u64,
    begun: bool,
    items: Vec<OutputItem>,
    /// blocks not sent yet: text and reasoning may stay empty
    silent: Vec<(u32, Kind)>,
}

impl ResponsesEncoder {
    pub(in crate::dialect) fn new(request: &Request, head: ResponseMeta) -> ResponsesEncoder {
        ResponsesEncoder {
            id: error::response_id(&head.request_id),
            echo: Echo::of(request),
            // the tools were decoded before without an error
            table: Tools::of(request).unwrap_or_default().table,
            head,
            next_sequence: 0,
            begun: false,
            items: Vec::new(),
            silent: Vec::new(),
        }
    }

    fn item_id(&self, kind: &Kind, place: usize) -> String {
        format!(
            "{}_{}_{place}",
            kind.prefix(),
            error::without_prefix(&self.head.request_id)
        )
    }

    fn response<'a>(&'a self, status: &'static str, output: Vec<Item<'a>>) -> ResponseOut<'a> {
        ResponseOut {
            id: &self.id,
            object: "response",
            created_at: self.head.created_s,
            status,
            error: None,
            incomplete_details: None,
            model: &self.head.model,
            output,
            usage: None,
            service_tier: None,
            echo: &self.echo,
        }
    }

    /// First two events of a stream.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        for kind in ["response.created", "response.in_progress"] {
            let sequence_number = self.number();
            let response = Some(self.response(BEGUN, Vec::new()));
            put_event(
                &EventOut {
                    kind,
                    sequence_number,
                    response,
                    ..EventOut::default()
                },
                out,
            );
        }
    }

    fn number(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence - 1
    }

    fn open(&mut self, block: u32, block_kind: &BlockKind, out: &mut Vec<u8>) {
        match block_kind {
            BlockKind::Text => self.silent.push((block, Kind::Message)),
            BlockKind::Reasoning => self.silent.push((block, Kind::Reasoning)),
            BlockKind::Call { id, name } => {
                let kind = Kind::Call {
                    call_id: id.clone(),
                    form: self.table.form(name),
                };
                self.add(block, kind, out);
            }
        }
    }

    /// Starts an item.
    fn add(&mut self, block: u32, kind: Kind, out: &mut Vec<u8>) {
        let place = self.items.len();
        let id = self.item_id(&kind, place);
        self.items.push(OutputItem {
            block,
            id,
            kind,
            text: String::new(),
            sealed: None,
            done: false,
            cut_off: false,
        });
        self.item_event("response.output_item.added", place, BEGUN, out);
        if matches!(self.items[place].kind, Kind::Message) {
            let event = self.numbered("response.content_part.added");
            put_event(
                &EventOut {
                    part: Some(Part::text("")),
                    ..self.of_item(place, event)
                },
                out,
            );
        }
    }

    /// Number and type of the next event.
    fn numbered(&mut self, kind: &'static str) -> (u64, &'static str) {
        (self.number(), kind)
    }

    /// An event of an item, with the item's id and index.
    fn of_item(&self, place: usize, (sequence_number, kind): (u64, &'static str)) -> EventOut<'_> {
        let item = &self.items[place];
        EventOut {
            kind,
            sequence_number,
            item_id: Some(&item.id),
            output_index: Some(place as u64),
            content_index: matches!(item.kind, Kind::Message).then_some(0),
            summary_index: matches!(item.kind, Kind::Reasoning).then_some(0),
            ..EventOut::default()
        }
    }

    /// An event that contains a whole item.
    fn item_event(
        &mut self,
        kind: &'static str,
        place: usize,
        status: &'static str,
        out: &mut Vec<u8>,
    ) {
        let sequence_number = self.number();
        let (output_index, item) = (Some(place as u64), Some(self.items[place].item(status)));
        put_event(
            &EventOut {
                kind,
                sequence_number,
                output_index,
                item,
                ..EventOut::default()
            },
            out,
        );
    }

    /// Position of a block's item, which is started if necessary.
    fn place(&mut self, block: u32, out: &mut Vec<u8>) -> Option<usize> {
        if let Some(at) = self.silent.iter().position(|(number, _)| *number == block) {
            let (_, kind) = self.silent.swap_remove(at);
            self.add(block, kind, out);
        }
        self.items
            .iter()
            .rposition(|item| item.block == block && !item.done)
    }

    fn delta(&mut self, block: u32, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let Some(place) = self.place(block, out) else {
            return;
        };
        let item = &mut self.items[place];
        let is_first = item.text.is_empty();
        item.text.push_str(text);
        let kind = match item.kind {
            Kind::Message => "response.output_text.delta",
            Kind::Reasoning => "response.reasoning_summary_text.delta",
            Kind::Call {
                form: Form::Function(_),
                ..
            } => "response.function_call_arguments.delta",
            // sent when it is complete
            Kind::Call { .. } => return,
        };
        if is_first && matches!(self.items[place].kind, Kind::Reasoning) {
            let event = self.numbered("response.reasoning_summary_part.added");
            put_event(
                &EventOut {
                    part: Some(Part::SummaryText { text: "" }),
                    ..self.of_item(place, event)
                },
                out,
            );
        }
        let event = self.numbered(kind);
        let logprobs = matches!(self.items[place].kind, Kind::Message).then_some([]);
        put_event(
            &EventOut {
                delta: Some(text),
                logprobs,
                ..self.of_item(place, event)
            },
            out,
        );
    }

    fn seal(&mut self, block: u32, provider_state: &ProviderState, out: &mut Vec<u8>) {
        let is_call =
            |item: &OutputItem| item.block == block && matches!(item.kind, Kind::Call { .. });
        // state of a call has no field in this dialect: the gateway stores it
        if self.items.iter().any(is_call) {
            return;
        }
        let sealed = self.head.sealer.seal(provider_state);
        if let Some(place) = self.place(block, out) {
            self.items[place].sealed = Some(sealed);
        }
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        self.silent.retain(|(number, _)| *number != block);
        if let Some(place) = self
            .items
            .iter()
            .rposition(|item| item.block == block && !item.done)
        {
            self.finish(place, COMPLETED, out);
        }
    }

    /// Repeats an item and ends it.
    fn finish(&mut self, place: usize, status: &'static str, out: &mut Vec<u8>) {
        match &self.items[place].kind {
            Kind::Message => self.finish_message(place, out),
            Kind::Reasoning if self.items[place].text.is_empty() => {}
            Kind::Reasoning => self.finish_reasoning(place, out),
            Kind::Call {
                form: Form::Function(_),
                ..
            } => self.finish_arguments(place, out),
            Kind::Call {
                form: Form::Custom(_),
                ..
            } => self.custom_input(place, out),
            Kind::Call {
                form: Form::ToolSearch,
                ..
            } => {}
        }
        self.items[place].done = true;
        self.items[place].cut_off = status == INCOMPLETE;
        self.item_event("response.output_item.done", place, status, out);
    }

    fn finish_message(&mut self, place: usize, out: &mut Vec<u8>) {
        let event = self.numbered("response.output_text.done");
        put_event(
            &EventOut {
                text: Some(&self.items[place].text),
                logprobs: Some([]),
                ..self.of_item(place, event)
            },
            out,
        );
        let event = self.numbered("response.content_part.done");
        put_event(
            &EventOut {
                part: Some(Part::text(&self.items[place].text)),
                ..self.of_item(place, event)
            },
            out,
        );
    }

    fn finish_reasoning(&mut self, place: usize, out: &mut Vec<u8>) {
        let event = self.numbered("response.reasoning_summary_text.done");
        put_event(
            &EventOut {
                text: Some(&self.items[place].text),
                ..self.of_item(place, event)
            },
            out,
        );
        let event = self.numbered("response.reasoning_summary_part.done");
        let part = Some(Part::SummaryText {
            text: &self.items[place].text,
        });
        put_event(
            &EventOut {
                part,
                ..self.of_item(place, event)
            },
            out,
        );
    }

    fn finish_arguments(&mut self, place: usize, out: &mut Vec<u8>) {
        let event = self.numbered("response.function_call_arguments.done");
        let item = &self.items[place];
        let (arguments, name) = (Some(arguments(&item.text)), item.kind.name());
        put_event(
            &EventOut {
                arguments,
                name,
                ..self.of_item(place, event)
            },
            out,
        );
    }

    fn custom_input(&mut self, place: usize, out: &mut Vec<u8>) {
        let input = custom_input(&self.items[place].text);
        if !input.is_empty() {
            let event = self.numbered("response.custom_tool_call_input.delta");
            put_event(
                &EventOut {
                    delta: Some(&input),
                    ..self.of_item(place, event)
                },
                out,
            );
        }
        let event = self.numbered("response.custom_tool_call_input.done");
        put_event(
            &EventOut {
                input: Some(&input),
                ..self.of_item(place, event)
            },
            out,
        );
    }
}

impl ResponseEncoder for ResponsesEncoder {
    fn event(&mut self, event: &OutputEvent, out: &mut Vec<u8>) {
        self.begin(out);
        match event {
            OutputEvent::Open { block, block_kind } => self.open(*block, block_kind, out),
            OutputEvent::Delta { block, text } => self.delta(*block, text, out),
            OutputEvent::State {
                block,
                provider_state,
            } => self.seal(*block, provider_state, out),
            OutputEvent::Close { block } => self.close(*block, out),
            OutputEvent::Stop(_) => {}
        }
    }

    fn end(&mut self, stop: &StopReason, usage: &Usage, out: &mut Vec<u8>) {
        self.begin(out);
        let reason = incomplete_reason(stop);
        for place in 0..self.items.len() {
            if !self.items[place].done {
                self.finish(
                    place,
                    if reason.is_some() {
                        INCOMPLETE
                    } else {
                        COMPLETED
                    },
                    out,
                );
            }
        }
        let kind = if reason.is_some() {
            "response.incomplete"
        } else {
            "response.completed"
        };
        let sequence_number = self.number();
        let output = self.items.iter().map(OutputItem::finished).collect();
        let response = Some(self.final_response(reason, output, usage));
        put_event(
            &EventOut {
                kind,
                sequence_number,
                response,
                ..EventOut::default()
            },
            out,
        );
    }

    fn error_events(&mut self, error: &ApiError, _request_id: &str) -> Bytes {
        error::error_events(error, &self.id, self.next_sequence)
    }

    fn encode_unary(&self, answer: &ChatResponse, usage: &Usage) -> String {
        let reason = incomplete_reason(&answer.stop);
        let mut items: Vec<OutputItem> = Vec::with_capacity(answer.blocks.len());
        for block in &answer.blocks {
            if let Some((kind, text, sealed)) = self.of_block(&block.content) {
                let id = self.item_id(&kind, items.len());
                items.push(OutputItem {
                    block: 0,
                    id,
                    kind,
                    text,
                    sealed,
                    done: true,
                    cut_off: false,
                });
            }
        }
        if let Some(last) = items.last_mut() {
            last.cut_off = reason.is_some();
        }
        to_json(&self.final_response(
            reason,
            items.iter().map(OutputItem::finished).collect(),
            usage,
        ))
    }
}

impl ResponsesEncoder {
    /// A block of a unary response as an item.
    fn of_block(&self, content: &Content) -> Option<(Kind, String, Option<String>)> {
        Some(match content {
            Content::Text(text) => (Kind::Message, text.clone(), None),
            Content::Reasoning(reasoned) => {
                let sealed = reasoned
                    .provider_state
                    .as_ref()
                    .map(|provider_state| self.head.sealer.seal(provider_state));
                (Kind::Reasoning, reasoned.text.clone(), sealed)
            }
            Content::ToolCall(call) => {
                let kind = Kind::Call {
                    call_id: call.id.clone(),
                    form: self.table.form(&call.name),
                };
                (kind, call.arguments.clone(), None)
            }
            Content::Image(_) | Content::Document(_) | Content::ToolResult(_) => return None,
        })
    }

    fn final_response<'a>(
        &'a self,
        reason: Option<&'static str>,
        output: Vec<Item<'a>>,
        usage: &'a Usage,
    ) -> ResponseOut<'a> {
        let status = if reason.is_some() {
            INCOMPLETE
        } else {
            COMPLETED
        };
        ResponseOut {
            incomplete_details: reason.map(|reason| Incomplete { reason }),
            usage: Some(usage.into()),
            service_tier: usage.service_tier.as_deref().map(known_tier),
            ..self.response(status, output)
        }
    }
}

#[cfg(test)]
mod tests;
