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
    BEGUN, EventOut, Incomplete, Item, Kind, Part, ResponseOut, arguments,
};
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

/// One item of the response so far; its position is its index.
#[derive(Debug)]
struct OutputItem {
    block: u32,
    id: String,
    kind: Kind,
    text: String,
    sealed: Option<String>,
    done: bool,
    /// the response ended before the item did
    cut_off: bool,
}

const COMPLETED: &str = "completed";
const INCOMPLETE: &str = "incomplete";

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
            put(
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
            put(
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
        let told = &self.items[place];
        EventOut {
            kind,
            sequence_number,
            item_id: Some(&told.id),
            output_index: Some(place as u64),
            content_index: matches!(told.kind, Kind::Message).then_some(0),
            summary_index: matches!(told.kind, Kind::Reasoning).then_some(0),
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
        put(
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
            .rposition(|told| told.block == block && !told.done)
    }

    fn piece(&mut self, block: u32, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let Some(place) = self.place(block, out) else {
            return;
        };
        let told = &mut self.items[place];
        let is_first = told.text.is_empty();
        told.text.push_str(text);
        let kind = match told.kind {
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
            put(
                &EventOut {
                    part: Some(Part::SummaryText { text: "" }),
                    ..self.of_item(place, event)
                },
                out,
            );
        }
        let event = self.numbered(kind);
        let logprobs = matches!(self.items[place].kind, Kind::Message).then_some([]);
        put(
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
            |told: &OutputItem| told.block == block && matches!(told.kind, Kind::Call { .. });
        // state of a call has no field in this dialect: the gateway stores it
        if self.items.iter().any(is_call) {
            return;
        }
        let sealed = self.head.envelope.seal(provider_state);
        if let Some(place) = self.place(block, out) {
            self.items[place].sealed = Some(sealed);
        }
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        self.silent.retain(|(number, _)| *number != block);
        if let Some(place) = self
            .items
            .iter()
            .rposition(|told| told.block == block && !told.done)
        {
            self.finish(place, COMPLETED, out);
        }
    }

    /// Repeats an item and ends it.
    fn finish(&mut self, place: usize, status: &'static str, out: &mut Vec<u8>) {
        match &self.items[place].kind {
            Kind::Message => {
                let event = self.numbered("response.output_text.done");
                put(
                    &EventOut {
                        text: Some(&self.items[place].text),
                        logprobs: Some([]),
                        ..self.of_item(place, event)
                    },
                    out,
                );
                let event = self.numbered("response.content_part.done");
                put(
                    &EventOut {
                        part: Some(Part::text(&self.items[place].text)),
                        ..self.of_item(place, event)
                    },
                    out,
                );
            }
            Kind::Reasoning if self.items[place].text.is_empty() => {}
            Kind::Reasoning => {
                let event = self.numbered("response.reasoning_summary_text.done");
                put(
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
                put(
                    &EventOut {
                        part,
                        ..self.of_item(place, event)
                    },
                    out,
                );
            }
            Kind::Call {
                form: Form::Function(_),
                ..
            } => {
                let event = self.numbered("response.function_call_arguments.done");
                let told = &self.items[place];
                let (arguments, name) = (Some(arguments(&told.text)), told.kind.name());
                put(
                    &EventOut {
                        arguments,
                        name,
                        ..self.of_item(place, event)
                    },
                    out,
                );
            }
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

    fn custom_input(&mut self, place: usize, out: &mut Vec<u8>) {
        let input = custom_input(&self.items[place].text);
        if !input.is_empty() {
            let event = self.numbered("response.custom_tool_call_input.delta");
            put(
                &EventOut {
                    delta: Some(&input),
                    ..self.of_item(place, event)
                },
                out,
            );
        }
        let event = self.numbered("response.custom_tool_call_input.done");
        put(
            &EventOut {
                input: Some(&input),
                ..self.of_item(place, event)
            },
            out,
        );
    }
}

impl OutputItem {
    fn item(&self, status: &'static str) -> Item<'_> {
        self.kind
            .item(&self.id, status, &self.text, self.sealed.as_deref())
    }

    fn finished(&self) -> Item<'_> {
        self.item(if self.cut_off { INCOMPLETE } else { COMPLETED })
    }
}

impl ResponseEncoder for ResponsesEncoder {
    fn event(&mut self, event: &OutputEvent, out: &mut Vec<u8>) {
        self.begin(out);
        match event {
            OutputEvent::Open { block, block_kind } => self.open(*block, block_kind, out),
            OutputEvent::Delta { block, text } => self.piece(*block, text, out),
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
        let reason = incomplete(stop);
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
        put(
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
        let reason = incomplete(&answer.stop);
        let mut told: Vec<OutputItem> = Vec::with_capacity(answer.blocks.len());
        for block in &answer.blocks {
            if let Some((kind, text, sealed)) = self.of_block(&block.content) {
                let id = self.item_id(&kind, told.len());
                told.push(OutputItem {
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
        if let Some(last) = told.last_mut() {
            last.cut_off = reason.is_some();
        }
        to_json(&self.final_response(
            reason,
            told.iter().map(OutputItem::finished).collect(),
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
                    .map(|provider_state| self.head.envelope.seal(provider_state));
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
            service_tier: usage.service_tier.as_deref().map(tier),
            ..self.response(status, output)
        }
    }
}

/// `incomplete_details.reason` of a stop reason; `None` for a complete response.
fn incomplete(stop: &StopReason) -> Option<&'static str> {
    match stop {
        StopReason::End | StopReason::Sequence(_) | StopReason::Tool | StopReason::Pause => None,
        StopReason::Length | StopReason::ContextWindow => Some("max_output_tokens"),
        StopReason::Filtered => Some("content_filter"),
    }
}

/// The tier that served, if the SDKs know its name.
fn tier(served: &str) -> &str {
    if ["auto", "default", "flex", "scale", "priority", "fast"].contains(&served) {
        served
    } else {
        "default"
    }
}

fn put(event: &EventOut<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event.kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(to_json(event).as_bytes());
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::conversation::{Origin, ProviderStateKind, ResponseBuilder, StateSealer};
    use crate::dialect::wire::sse;
    use crate::dialect::{Dialect, Operation, read, samples};

    const TOOLS: &str = r#""tools":[{"type":"function","name":"f","parameters":{}},{"type":"custom","name":"patch"},
        {"type":"namespace","name":"agents","tools":[{"type":"function","name":"close"}]},{"type":"tool_search","execution":"client"}]"#;

    fn writer(more: &str) -> ResponsesEncoder {
        let body = format!("{{\"model\":\"m\",\"input\":\"hi\",\n{TOOLS}{more}}}");
        let request =
            read(Dialect::Responses, Operation::Conversation, body.into()).expect("a request");
        let envelope = StateSealer::new([0; 32]);
        let head = ResponseMeta {
            request_id: "req_7".into(),
            model: "m-1".into(),
            created_s: 1_790_000_000,
            envelope,
        };
        ResponsesEncoder::new(&request, head)
    }

    fn opened(block: u32, block_kind: BlockKind) -> OutputEvent {
        OutputEvent::Open { block, block_kind }
    }

    fn call(block: u32, id: &str, name: &str) -> OutputEvent {
        opened(
            block,
            BlockKind::Call {
                id: id.into(),
                name: name.into(),
            },
        )
    }

    fn piece(block: u32, text: &str) -> OutputEvent {
        OutputEvent::Delta {
            block,
            text: text.into(),
        }
    }

    fn close(block: u32) -> OutputEvent {
        OutputEvent::Close { block }
    }

    fn signature(block: u32) -> OutputEvent {
        let origin = Some(Origin {
            dialect: "messages".into(),
            model: "claude".into(),
        });
        OutputEvent::State {
            block,
            provider_state: ProviderState {
                origin,
                kind: ProviderStateKind::Signature,
                data: "sig".into(),
            },
        }
    }

    fn usage() -> Usage {
        Usage {
            uncached_in: 5,
            cache_read: 20,
            cache_write_5m: 3,
            out_total: 9,
            reasoning: 4,
            ..Usage::default()
        }
    }

    /// Events of a stream, whose names equal their types and whose numbers are consecutive.
    fn streamed(
        writer: &mut ResponsesEncoder,
        events: &[OutputEvent],
        stop: &StopReason,
    ) -> Vec<Value> {
        let mut out = Vec::new();
        events
            .iter()
            .for_each(|event| writer.event(event, &mut out));
        writer.end(stop, &usage(), &mut out);
        let told = samples::events(std::str::from_utf8(&out).expect("UTF-8"));
        let read = |(number, event): (usize, &Bytes)| {
            let fields = sse::parse(event);
            let json: Value = serde_json::from_slice(&fields.data).expect("JSON on one line");
            assert_eq!(json["type"].as_str().map(str::as_bytes), fields.event);
            assert_eq!(json["sequence_number"], number as u64, "{json}");
            json
        };
        told.iter().enumerate().map(read).collect()
    }

    fn kinds(events: &[Value]) -> Vec<&str> {
        events
            .iter()
            .filter_map(|event| event["type"].as_str()?.strip_prefix("response."))
            .collect()
    }

    #[test]
    fn t03_text_is_sent_in_the_full_sequence_of_events() {
        let events = [
            opened(0, BlockKind::Text),
            piece(0, "Grüße"),
            piece(0, "!"),
            close(0),
            OutputEvent::Stop(StopReason::End),
        ];
        let told = streamed(&mut writer(""), &events, &StopReason::End);
        assert_eq!(
            kinds(&told),
            [
                "created",
                "in_progress",
                "output_item.added",
                "content_part.added",
                "output_text.delta",
                "output_text.delta",
                "output_text.done",
                "content_part.done",
                "output_item.done",
                "completed",
            ]
        );
        assert_eq!(
            (&told[0]["response"]["status"], &told[0]["response"]["id"]),
            (&"in_progress".into(), &"resp_7".into())
        );
        assert_eq!(
            (&told[6]["text"], &told[6]["item_id"]),
            (&"Grüße!".into(), &told[2]["item"]["id"])
        );
        let last = &told[9]["response"];
        assert_eq!(last["output"][0], told[8]["item"]);
        assert_eq!(last["output"][0]["content"][0]["text"], "Grüße!");
        assert_eq!(
            last["usage"],
            serde_json::json!({"input_tokens": 28, "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 3},
                "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 37})
        );
    }

    #[test]
    fn r06_reasoning_is_a_summary_and_a_sealed_state() {
        let events = [
            opened(0, BlockKind::Reasoning),
            piece(0, "h"),
            piece(0, "m"),
            signature(0),
            close(0),
        ];
        let told = streamed(&mut writer(""), &events, &StopReason::End);
        assert_eq!(
            kinds(&told)[2..9],
            [
                "output_item.added",
                "reasoning_summary_part.added",
                "reasoning_summary_text.delta",
                "reasoning_summary_text.delta",
                "reasoning_summary_text.done",
                "reasoning_summary_part.done",
                "output_item.done",
            ]
        );
        let item = &told[8]["item"];
        assert_eq!(item["summary"][0]["text"], "hm");
        let provider_state =
            StateSealer::new([0; 32]).open(item["encrypted_content"].as_str().expect("a seal"));
        assert_eq!(
            (
                provider_state.origin.map(|origin| origin.model),
                provider_state.data.as_str()
            ),
            (Some("claude".into()), "sig")
        );
        // hidden reasoning has no text but a sealed state
        let told = streamed(
            &mut writer(""),
            &[opened(0, BlockKind::Reasoning), signature(0), close(0)],
            &StopReason::End,
        );
        assert_eq!(
            kinds(&told)[2..4],
            ["output_item.added", "output_item.done"]
        );
        assert_eq!(told[3]["item"]["summary"], serde_json::json!([]));
    }

    #[test]
    fn e27_calls_have_the_form_of_the_declared_tools() {
        let events = [
            call(0, "c1", "agents__close"),
            call(1, "c2", "patch"),
            piece(0, "{\"a\":"),
            piece(1, "{\"input\":\"*** \\\"x"),
            piece(0, "1}"),
            piece(1, "\\\"\\n\"}"),
            close(0),
            close(1),
            call(2, "c3", "tool_search"),
            piece(2, "{\"query\":\n\"q\"}"),
            close(2),
            call(3, "c4", "f"),
            close(3),
        ];
        let told = streamed(&mut writer(""), &events, &StopReason::Tool);
        let items = told.last().expect("the end")["response"]["output"].clone();
        assert_eq!(
            items,
            serde_json::json!([
                {"type": "function_call", "id": "fc_7_0", "status": "completed", "arguments": "{\"a\":1}", "call_id": "c1",
                 "name": "close", "namespace": "agents"},
                {"type": "custom_tool_call", "id": "ctc_7_1", "status": "completed", "call_id": "c2", "input": "*** \"x\"\n", "name": "patch"},
                {"type": "tool_search_call", "id": "tsc_7_2", "status": "completed", "call_id": "c3", "execution": "client",
                 "arguments": {"query": "q"}},
                {"type": "function_call", "id": "fc_7_3", "status": "completed", "arguments": "{}", "call_id": "c4", "name": "f"},
            ])
        );
        let of = |kind: &str| {
            told.iter()
                .filter(|event| event["type"] == kind)
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of("response.custom_tool_call_input.delta")[0]["delta"],
            "*** \"x\"\n"
        );
        assert_eq!(
            of("response.function_call_arguments.done")[0]["name"],
            "close"
        );
        let added = of("response.output_item.added");
        assert_eq!(
            (&added[0]["item"]["arguments"], &added[1]["item"]["input"]),
            (&"".into(), &"".into())
        );
    }

    #[test]
    fn truncated_answer_is_incomplete_with_its_reason() {
        for (stop, reason) in [
            (StopReason::Length, "max_output_tokens"),
            (StopReason::ContextWindow, "max_output_tokens"),
            (StopReason::Filtered, "content_filter"),
        ] {
            let told = streamed(
                &mut writer(""),
                &[opened(0, BlockKind::Text), piece(0, "Ei")],
                &stop,
            );
            let last = told.last().expect("the end");
            assert_eq!(
                (&last["type"], &last["response"]["status"]),
                (&"response.incomplete".into(), &"incomplete".into())
            );
            assert_eq!(last["response"]["incomplete_details"]["reason"], reason);
            assert_eq!(last["response"]["output"][0]["status"], "incomplete");
        }
    }

    #[test]
    fn empty_block_is_no_item() {
        let told = streamed(
            &mut writer(""),
            &[
                opened(0, BlockKind::Text),
                opened(1, BlockKind::Reasoning),
                close(0),
            ],
            &StopReason::End,
        );
        assert_eq!(kinds(&told), ["created", "in_progress", "completed"]);
        assert_eq!(
            kinds(&streamed(&mut writer(""), &[], &StopReason::End)),
            ["created", "in_progress", "completed"]
        );
    }

    #[test]
    fn unary_response_equals_the_last_event() {
        let events = [
            opened(0, BlockKind::Reasoning),
            piece(0, "hm"),
            signature(0),
            close(0),
            opened(1, BlockKind::Text),
            piece(1, "so"),
            close(1),
            call(2, "c1", "patch"),
            piece(2, "no JSON"),
            close(2),
        ];
        let mut fold = ResponseBuilder::default();
        events.iter().for_each(|event| fold.add(event));
        let mut writer = writer(r#","temperature":0.70,"tool_choice":"auto","reasoning":null"#);
        let whole: Value =
            serde_json::from_str(&writer.encode_unary(&fold.build(), &usage())).expect("JSON");
        let told = streamed(&mut writer, &events, &StopReason::Tool);
        assert_eq!(whole, told.last().expect("the end")["response"]);
        assert_eq!(
            whole["output"][2]["input"], "no JSON",
            "what the model wrote is not lost"
        );
        assert_eq!(
            (&whole["tools"][1]["name"], &whole["temperature"]),
            (&"patch".into(), &serde_json::json!(0.7))
        );
        assert_eq!(
            (&whole["store"], &whole["reasoning"]["effort"]),
            (&false.into(), &Value::Null)
        );
    }
}
