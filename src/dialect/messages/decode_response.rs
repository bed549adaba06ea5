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
        piece(block, said, events);
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
            piece(block, said, events);
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
        piece(
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
                piece(0, Some(text), events);
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

fn piece(block: u32, said: Option<String>, events: &mut Vec<OutputEvent>) {
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
mod tests {
    use super::*;
    use crate::conversation::{ChatResponse, Content, ResponseBuilder, StateSealer};
    use crate::dialect::samples;
    use crate::dialect::wire::sse;
    use crate::domain::usage::Usage;

    fn decoder() -> MessagesDecoder {
        let envelope = StateSealer::new([7; 32]);
        MessagesDecoder::new(&ResponseMeta {
            request_id: "req_1".into(),
            model: "claude-sonnet-4-5".into(),
            created_s: 1,
            envelope,
        })
    }

    /// Decoded events of a stream, and its last state.
    fn decode(
        stream: &[u8],
    ) -> (
        Result<StreamState, UpstreamError>,
        ChatResponse,
        ReportedUsage,
    ) {
        let (mut decoder, mut events, mut heard) = (decoder(), Vec::new(), Ok(StreamState::More));
        for event in samples::events(&String::from_utf8_lossy(stream)) {
            heard = decoder.event(&sse::parse(&event), &mut events);
            if heard != Ok(StreamState::More) {
                break;
            }
        }
        (heard, built(&events), decoder.report())
    }

    fn built(events: &[OutputEvent]) -> ChatResponse {
        let mut fold = ResponseBuilder::default();
        events.iter().for_each(|event| fold.add(event));
        fold.build()
    }

    fn lines(answer: &ChatResponse) -> Vec<String> {
        let told = answer.blocks.iter().map(|block| match &block.content {
            Content::Text(text) => text.clone(),
            Content::ToolCall(call) => format!("{}={}{}", call.id, call.name, call.arguments),
            Content::Reasoning(reasoned) => {
                let provider_state = reasoned.provider_state.as_ref().expect("signed");
                assert_eq!(
                    provider_state
                        .origin
                        .as_ref()
                        .map(|origin| origin.model.as_str()),
                    Some("claude-sonnet-4-5")
                );
                format!(
                    "({}) {:?} {}",
                    reasoned.text, provider_state.kind, provider_state.data
                )
            }
            other => format!("{other:?}"),
        });
        told.collect()
    }

    fn event(json: &str) -> String {
        format!("data: {json}\n\n")
    }

    #[test]
    fn stream_is_decoded_to_its_end() {
        let (end, answer, report) = decode(samples::MESSAGES_STREAM.as_bytes());
        assert_eq!(end, Ok(StreamState::End));
        assert_eq!(
            lines(&answer),
            ["(hmm) Signature c2ln", "Hello you", r#"toolu_1=f{"a":1"#]
        );
        assert_eq!(answer.stop, StopReason::Tool);
        let usage = Usage {
            uncached_in: 30,
            cache_read: 200,
            cache_write_5m: 40,
            cache_write_1h: 60,
            out_total: 25,
            reasoning: 9,
            web_searches: 3,
            service_tier: Some("standard".into()),
            ..Usage::default()
        };
        assert_eq!(report, ReportedUsage::Complete(usage));
    }

    #[test]
    fn unary_response_is_decoded() {
        let body = r#"{"id":"m","type":"message","content":[{"type":"redacted_thinking","data":"cmVk"},
            {"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"}},
            {"type":"text","text":"Hello"},{"type":"tool_use","id":"t","name":"f","input":{"b": 1.0}},{"type":"tool_use","id":"u","name":"g","input":{}}],
            "stop_reason":"max_tokens","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":7}}"#;
        let (mut decoder, mut events) = (decoder(), Vec::new());
        decoder
            .decode_unary(body.as_bytes(), &mut events)
            .expect("an answer");
        let answer = built(&events);
        assert_eq!(
            lines(&answer),
            ["() Redacted cmVk", "Hello", r#"t=f{"b": 1.0}"#, "u=g"]
        );
        assert_eq!(answer.stop, StopReason::Length);
        assert_eq!(
            decoder.report(),
            ReportedUsage::Complete(Usage {
                uncached_in: 5,
                out_total: 7,
                ..Usage::default()
            })
        );
        assert!(decoder.output_is_final());
    }

    #[test]
    fn stop_reasons_are_canonical() {
        for (reason, sequence, expected) in [
            ("end_turn", "null", StopReason::End),
            (
                "stop_sequence",
                "\"END\"",
                StopReason::Sequence(Some("END".into())),
            ),
            ("pause_turn", "null", StopReason::Pause),
            ("refusal", "null", StopReason::Filtered),
            (
                "model_context_window_exceeded",
                "null",
                StopReason::ContextWindow,
            ),
            ("max_tokens", "null", StopReason::Length),
            ("a new one", "null", StopReason::End),
        ] {
            let stream = event(&format!(
                r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":{sequence}}},"usage":{{"output_tokens":1}}}}"#
            ));
            assert_eq!(decode(stream.as_bytes()).1.stop, expected, "{reason}");
        }
    }

    #[test]
    fn e04_arguments_in_block_start_count_only_without_deltas() {
        let start = |input: &str| {
            event(&format!(
                r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"tool_use","id":"t","name":"f","input":{input}}}}}"#
            ))
        };
        let delta = event(
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#,
        );
        let stop = event(r#"{"type":"content_block_stop","index":0}"#);
        for (stream, expected) in [
            (start("{}") + &delta + &stop, r#"t=f{"a":1}"#),
            (start(r#"{"b":2}"#) + &stop, r#"t=f{"b":2}"#),
            (start(r#"{"b":2}"#) + &delta + &stop, r#"t=f{"a":1}"#),
            (start("{}") + &stop, "t=f"),
        ] {
            assert_eq!(lines(&decode(stream.as_bytes()).1), [expected]);
        }
    }

    #[test]
    fn p05_unknown_event_is_skipped_and_error_is_not() {
        let unknown = [
            "event: ping\ndata: {\"type\":\"ping\"}\n\n".to_owned(),
            event(
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"new","text":{"a":1}}}"#,
            ),
            event(
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"new_delta","text":"secret"}}"#,
            ),
            event(r#"{"type":"a_new_event","x":[]}"#),
            event(
                r#"{"type":"content_block_delta","index":7,"delta":{"type":"text_delta","text":"nobody's"}}"#,
            ),
            "data: [DONE]\n\n".to_owned(),
        ];
        let (end, answer, _) = decode(unknown.concat().as_bytes());
        assert_eq!((end, answer.blocks.len()), (Ok(StreamState::More), 0));
        for stream in [
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n"
                .to_owned(),
            event(r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#),
            event(r#"{"error":{"type":"overloaded_error","message":"busy"}}"#),
        ] {
            let fault = decode(stream.as_bytes()).0.expect_err("an error");
            assert_eq!((fault.status, fault.message.as_str()), (Some(529), "busy"));
        }
        assert!(decode(b"data: {\"type\":\n\n").0.is_err());
    }

    #[test]
    fn damaged_bytes_never_panic_and_no_prefix_is_complete() {
        let stream = samples::MESSAGES_STREAM.as_bytes();
        let last = samples::MESSAGES_STREAM
            .rfind("event: message_stop")
            .expect("an end");
        for end in 0..last {
            assert_ne!(decode(&stream[..end]).0, Ok(StreamState::End), "{end}");
        }
        for damaged in samples::damaged(stream, 2_000) {
            let _ = decode(&damaged);
            let _ = decoder().decode_unary(&damaged, &mut Vec::new());
        }
    }
}
