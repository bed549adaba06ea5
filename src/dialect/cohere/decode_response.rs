//! What `/v2/chat` answers, as neutral events. The plan that a model tells before its calls is a thought: it is no part of the answer,
//! and clients that show thoughts show it. Citations are left out: no client's dialect here has a place for them.

use serde::Deserialize;

use crate::conversation::{BlockKind, OutputEvent, StopReason};
use crate::dialect::cohere::usage::CohereUsage;
use crate::dialect::translate::{ResponseDecoder, ResponseMeta, StreamState};
use crate::dialect::unary::{IncompleteResponse, whole_of};
use crate::dialect::wire::json;
use crate::dialect::wire::sse::Fields;
use crate::dialect::{Dialect, UpstreamError, fault};
use crate::domain::usage::{ReportedUsage, Side};

/// Reads one answer.
pub(in crate::dialect) struct CohereDecoder {
    /// what minted ids begin with
    seed: String,
    usage: CohereUsage,
    blocks: u32,
    /// what is open: where the vendor has it, our number of it
    open: Vec<(BlockKey, u32)>,
    /// the usage comes in the event that ends the answer, well or not
    counted: bool,
}

/// The vendor numbers contents and calls apart; there is one plan.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BlockKey {
    Content(u64, TextKind),
    Plan,
    Call(u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TextKind {
    Text,
    Thought,
}

#[derive(Deserialize)]
struct CohereEvent {
    #[serde(rename = "type")]
    kind: Option<String>,
    index: Option<u64>,
    delta: Option<Delta>,
    message: Option<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
struct Delta {
    message: Option<DeltaMessage>,
    finish_reason: Option<String>,
    error: Option<String>,
    #[serde(default)]
    usage: CohereUsage,
}

#[derive(Default, Deserialize)]
struct DeltaMessage {
    content: Option<OneOf<Piece>>,
    tool_plan: Option<String>,
    tool_calls: Option<OneOf<Call>>,
}

/// `message-start` has empty arrays where the others have one object.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOf<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOf<T> {
    fn first(self) -> Option<T> {
        match self {
            OneOf::One(one) => Some(one),
            OneOf::Many(many) => many.into_iter().next(),
        }
    }
}

#[derive(Deserialize)]
struct Piece {
    text: Option<String>,
    thinking: Option<String>,
}

#[derive(Deserialize)]
struct Call {
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

/// A whole answer.
#[derive(Deserialize)]
struct ResponseBody {
    finish_reason: Option<String>,
    message: Option<AnswerMessage>,
    #[serde(default)]
    usage: CohereUsage,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AnswerMessage {
    Said(Message),
    /// the text of an error
    Failed(String),
}

#[derive(Deserialize)]
struct Message {
    content: Option<Vec<Piece>>,
    tool_plan: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

impl CohereDecoder {
    pub(in crate::dialect) fn new(head: &ResponseMeta) -> CohereDecoder {
        let usage = CohereUsage::default();
        CohereDecoder {
            seed: head.request_id.clone(),
            usage,
            blocks: 0,
            open: Vec::new(),
            counted: false,
        }
    }

    fn piece(&mut self, index: u64, piece: Piece, events: &mut Vec<OutputEvent>) {
        for (said, text) in [
            (TextKind::Thought, piece.thinking),
            (TextKind::Text, piece.text),
        ] {
            self.say(
                BlockKey::Content(index, said),
                text.unwrap_or_default(),
                events,
            );
        }
    }

    /// A piece of what stands there; an empty one opens nothing.
    fn say(&mut self, place: BlockKey, text: String, events: &mut Vec<OutputEvent>) {
        if text.is_empty() {
            return;
        }
        let block = match self.open.iter().find(|(open, _)| *open == place) {
            Some((_, block)) => *block,
            None => {
                let thought = matches!(
                    place,
                    BlockKey::Plan | BlockKey::Content(_, TextKind::Thought)
                );
                let opened = if thought {
                    BlockKind::Reasoning
                } else {
                    BlockKind::Text
                };
                // contents come one after the other, whether or not the vendor says that one has ended
                self.close(|place| !matches!(place, BlockKey::Call(_)), events);
                self.open(place, opened, events)
            }
        };
        events.push(OutputEvent::Delta { block, text });
    }

    fn call(&mut self, index: u64, call: Call, events: &mut Vec<OutputEvent>) {
        let (name, arguments) = call
            .function
            .map_or((None, None), |function| (function.name, function.arguments));
        let place = BlockKey::Call(index);
        if let Some(name) = name {
            self.close(
                |open| open == place || !matches!(open, BlockKey::Call(_)),
                events,
            );
            let id = call.id.filter(|id| !id.is_empty());
            let id = id.unwrap_or_else(|| format!("call_{}_{}", self.seed, self.blocks));
            self.open(place, BlockKind::Call { id, name }, events);
        }
        let open = self.open.iter().find(|(open, _)| *open == place);
        if let (Some((_, block)), Some(text)) = (open, arguments.filter(|text| !text.is_empty())) {
            events.push(OutputEvent::Delta {
                block: *block,
                text,
            });
        }
    }

    fn open(&mut self, place: BlockKey, opened: BlockKind, events: &mut Vec<OutputEvent>) -> u32 {
        let block = self.blocks;
        self.blocks += 1;
        events.push(OutputEvent::Open { block, opened });
        self.open.push((place, block));
        block
    }

    fn close(&mut self, which: impl Fn(BlockKey) -> bool, events: &mut Vec<OutputEvent>) {
        self.open.retain(|(place, block)| {
            let ends = which(*place);
            if ends {
                events.push(OutputEvent::Close { block: *block });
            }
            !ends
        });
    }

    fn told(
        &mut self,
        told: CohereEvent,
        events: &mut Vec<OutputEvent>,
    ) -> Result<StreamState, UpstreamError> {
        let (index, delta) = (told.index.unwrap_or(0), told.delta.unwrap_or_default());
        let message = delta.message.unwrap_or_default();
        match told.kind.as_deref().unwrap_or_default() {
            "content-start" | "content-delta" => {
                if let Some(piece) = message.content.and_then(OneOf::first) {
                    self.piece(index, piece, events);
                }
            }
            "content-end" => self.close(
                |place| matches!(place, BlockKey::Content(ended, _) if ended == index),
                events,
            ),
            "tool-plan-delta" => self.say(
                BlockKey::Plan,
                message.tool_plan.unwrap_or_default(),
                events,
            ),
            "tool-call-start" | "tool-call-delta" => {
                if let Some(call) = message.tool_calls.and_then(OneOf::first) {
                    self.call(index, call, events);
                }
            }
            "tool-call-end" => self.close(|place| place == BlockKey::Call(index), events),
            "message-end" => {
                self.usage = delta.usage;
                self.counted = matches!(
                    self.report(),
                    ReportedUsage::Complete(_)
                        | ReportedUsage::Partial {
                            unsaid: Side::Input,
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
        match (reason.map(stop), error.filter(|error| !error.is_empty())) {
            (Some(Some(stop)), None) => events.push(OutputEvent::Stop(stop)),
            (None, None) => events.push(OutputEvent::Stop(StopReason::End)),
            (_, Some(error)) => return Err(UpstreamError::new(error)),
            (Some(None), None) => {
                let reason = reason.unwrap_or_default();
                return Err(UpstreamError {
                    kind: reason.to_owned(),
                    ..UpstreamError::new(format!("the answer ended with {reason}"))
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
        let told: CohereEvent = json::lenient(data).map_err(|_| {
            UpstreamError::unreadable("the upstream sent an event that is none of Cohere's")
        })?;
        if told.kind.is_none() && told.message.is_some() || fields.event == Some(b"error") {
            return Err(fault::named(Dialect::Cohere, data));
        }
        self.told(told, events)
    }

    fn whole(
        &mut self,
        body: &[u8],
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), IncompleteResponse> {
        let answered: ResponseBody = whole_of(body)?;
        self.usage = answered.usage;
        self.counted = true;
        let message = match answered.message {
            Some(AnswerMessage::Said(message)) => Ok(message),
            Some(AnswerMessage::Failed(text)) => Err(UpstreamError::new(text)),
            None => Err(UpstreamError::unreadable(
                "the upstream's answer has no message",
            )),
        };
        let message = message.map_err(|fault| IncompleteResponse::fault(fault, self.report()))?;
        self.say(
            BlockKey::Plan,
            message.tool_plan.unwrap_or_default(),
            events,
        );
        for (index, piece) in (0..).zip(message.content.unwrap_or_default()) {
            self.piece(index, piece, events);
        }
        for (index, call) in (0..).zip(message.tool_calls.unwrap_or_default()) {
            self.call(index, call, events);
        }
        self.end(answered.finish_reason.as_deref(), None, events)
            .map_err(|fault| IncompleteResponse::fault(fault, self.report()))
    }

    fn report(&self) -> ReportedUsage {
        self.usage.report()
    }

    fn output_is_final(&self) -> bool {
        self.counted
    }
}

/// Cohere's words for an end; `None` for those that mean that the answer failed (WIRE.md 2.11).
fn stop(reason: &str) -> Option<StopReason> {
    Some(match reason {
        "COMPLETE" => StopReason::End,
        "STOP_SEQUENCE" => StopReason::Sequence(None),
        "MAX_TOKENS" => StopReason::Length,
        "TOOL_CALL" => StopReason::Tool,
        "ERROR" | "TIMEOUT" => return None,
        other => {
            tracing::warn!(
                "Cohere ended an answer with {:?}: taken for a plain end",
                other.get(..40).unwrap_or(other)
            );
            StopReason::End
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Framing;
    use crate::dialect::samples;
    use crate::domain::usage::Usage;

    const TEXT_STREAM: &str = include_str!("../../../tests/golden/cohere/text.sse");
    const TEXT: &str = include_str!("../../../tests/golden/cohere/text.json");
    const TOOL_STREAM: &str = include_str!("../../../tests/golden/cohere/tool.sse");
    const TOOL: &str = include_str!("../../../tests/golden/cohere/tool.json");

    fn reader() -> CohereDecoder {
        CohereDecoder::new(&samples::head("command-a-plus-05-2026"))
    }

    /// The same of a stream and of a whole answer.
    fn read(stream: &str, answer: &str) -> (Vec<String>, ReportedUsage) {
        let (mut streaming, mut whole, mut events) = (reader(), reader(), Vec::new());
        let (told, ended) = samples::heard(&mut streaming, Framing::Sse, stream.as_bytes());
        assert_eq!(ended, Ok(true));
        whole
            .whole(answer.as_bytes(), &mut events)
            .expect("a whole answer");
        let story = samples::story(&told);
        assert_eq!(samples::story(&events), story);
        assert_eq!(streaming.report(), whole.report());
        assert!(streaming.output_is_final() && whole.output_is_final());
        (story, streaming.report())
    }

    fn usage(uncached_in: u64, out_total: u64) -> ReportedUsage {
        ReportedUsage::Complete(Usage {
            uncached_in,
            out_total,
            ..Usage::default()
        })
    }

    #[test]
    fn thoughts_and_text_are_told_apart_and_citations_left_out() {
        let (story, report) = read(TEXT_STREAM, TEXT);
        assert_eq!(
            story,
            ["thought: A greeting is due.", "text: Hello 日本 🦀", "End"]
        );
        assert_eq!(report, usage(10, 25));
    }

    #[test]
    fn u08_the_plan_is_a_thought_and_the_calls_are_intact() {
        let (story, report) = read(TOOL_STREAM, TOOL);
        assert_eq!(
            story,
            [
                "thought: I will look up the weather in Zürich and in Bern.",
                r#"call weather_5q3v0k8ywx2h: weather({"city":"Zürich 🦀","days":2})"#,
                r#"call weather_m1n2b3v4c5x6: weather({"city":"Bern","days":1.0})"#,
                "Tool",
            ]
        );
        assert_eq!(report, usage(31, 40));
    }

    #[test]
    fn an_answer_that_failed_is_an_error_with_what_was_used() {
        let failed = include_str!("../../../tests/golden/cohere/failed.sse");
        let mut failing = reader();
        let fault = samples::heard(&mut failing, Framing::Sse, failed.as_bytes())
            .1
            .expect_err("a failed answer");
        assert_eq!(fault.message, "the model crashed");
        assert_eq!(
            (failing.report(), failing.output_is_final()),
            (usage(10, 2), true)
        );
        for (reason, expected) in [
            ("COMPLETE", Some(StopReason::End)),
            ("STOP_SEQUENCE", Some(StopReason::Sequence(None))),
            ("MAX_TOKENS", Some(StopReason::Length)),
            ("TOOL_CALL", Some(StopReason::Tool)),
            ("ERROR", None),
            ("TIMEOUT", None),
            ("NEVER_HEARD_OF", Some(StopReason::End)),
        ] {
            assert_eq!(stop(reason), expected);
        }
        for event in [
            "event: error\ndata: {\"message\":\"gone\"}\n\n",
            "data: {\"message\":\"gone\"}\n\n",
        ] {
            assert_eq!(
                samples::heard(&mut reader(), Framing::Sse, event.as_bytes())
                    .1
                    .expect_err("an error")
                    .message,
                "gone"
            );
        }
    }

    #[test]
    fn a_stream_without_its_end_is_cut_off() {
        let events = samples::events(TEXT_STREAM);
        let cut: Vec<u8> = events[..events.len() - 1].concat();
        assert_eq!(
            samples::heard(&mut reader(), Framing::Sse, &cut).1,
            Ok(false)
        );
    }

    #[test]
    fn what_has_no_message_is_no_answer() {
        for body in ["{}", r#"{"message":"no"}"#, r#"{"message":null}"#] {
            let read = reader().whole(body.as_bytes(), &mut Vec::new());
            assert!(
                matches!(read, Err(IncompleteResponse::Fault { .. })),
                "{body}: {read:?}"
            );
        }
    }

    #[test]
    fn no_bytes_make_it_panic_and_no_beginning_is_an_answer() {
        samples::survives(|| Box::new(reader()), Framing::Sse, TEXT_STREAM, TEXT);
        samples::survives(|| Box::new(reader()), Framing::Sse, TOOL_STREAM, TOOL);
    }
}
