//! Decodes `/api/chat` responses into canonical output events. A stream is one JSON object per
//! line, the last with `done`; a unary body is one such object. A line with `error` can come at any
//! time and ends the response. A body that ends without `done` is truncated and must never pass for
//! complete.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::conversation::{BlockKind, OutputEvent, RawJson, StopReason};
use crate::dialect::codec::{ResponseDecoder, ResponseMeta, StreamState};
use crate::dialect::decoded_response::{IncompleteResponse, parse_object};
use crate::dialect::error::{KindField, UpstreamError, read_error_event};
use crate::dialect::ollama::usage::OllamaUsage;
use crate::dialect::wire::count::Count;
use crate::dialect::wire::json;
use crate::dialect::wire::sse::Fields;
use crate::domain::usage::ReportedUsage;

/// Decoder of one response.
pub(in crate::dialect) struct OllamaDecoder {
    /// prefix of generated call ids
    request_id: String,
    usage: OllamaUsage,
    blocks: u32,
    /// open block of text or reasoning
    open: Option<(u32, BlockKind)>,
    done: bool,
    /// an output count arrived with the end or an error; earlier counts are partial
    output_counted: bool,
}

/// Line of a stream, or a unary response.
#[derive(Deserialize)]
struct ResponseLine {
    message: Option<ResponseMessage>,
    #[serde(default)]
    done: bool,
    #[serde(default, deserialize_with = "json::if_it_fits")]
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: Count,
    #[serde(default)]
    eval_count: Count,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ResponseMessage {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<ResponseCall>>,
}

#[derive(Deserialize)]
struct ResponseCall {
    id: Option<String>,
    function: Option<ResponseFunction>,
}

#[derive(Deserialize)]
struct ResponseFunction {
    name: Option<String>,
    arguments: Option<RawJson>,
}

impl OllamaDecoder {
    pub(in crate::dialect) fn new(meta: &ResponseMeta) -> OllamaDecoder {
        OllamaDecoder {
            request_id: meta.request_id.clone(),
            usage: OllamaUsage::default(),
            blocks: 0,
            open: None,
            done: false,
            output_counted: false,
        }
    }

    fn add_usage(&mut self, line: &ResponseLine) {
        self.usage.merge(line.prompt_eval_count, line.eval_count);
        self.output_counted |= (line.done || line.error.is_some()) && line.eval_count.is_reported();
    }

    fn line(&mut self, line: ResponseLine, events: &mut Vec<OutputEvent>) {
        self.add_usage(&line);
        if let Some(message) = line.message {
            self.push_text(
                BlockKind::Reasoning,
                message.thinking.unwrap_or_default(),
                events,
            );
            self.push_text(BlockKind::Text, message.content.unwrap_or_default(), events);
            message
                .tool_calls
                .unwrap_or_default()
                .into_iter()
                .for_each(|call| self.call(call, events));
        }
        if line.done {
            self.close(events);
            self.done = true;
            events.push(OutputEvent::Stop(stop_reason(line.done_reason.as_deref())));
        }
    }

    fn push_text(&mut self, kind: BlockKind, text: String, events: &mut Vec<OutputEvent>) {
        if text.is_empty() {
            return;
        }
        let block = match &self.open {
            Some((block, open)) if *open == kind => *block,
            _ => {
                self.close(events);
                self.open(kind, events)
            }
        };
        events.push(OutputEvent::Delta { block, text });
    }

    /// Calls arrive complete.
    fn call(&mut self, call: ResponseCall, events: &mut Vec<OutputEvent>) {
        self.close(events);
        let (name, arguments) = call
            .function
            .map_or((None, None), |function| (function.name, function.arguments));
        let generated = format!("call_{}_{}", self.request_id, self.blocks);
        let id = call.id.filter(|id| !id.is_empty()).unwrap_or(generated);
        let block = self.open(
            BlockKind::Call {
                id,
                name: name.unwrap_or_default(),
            },
            events,
        );
        events.push(OutputEvent::Delta {
            block,
            text: arguments.map_or_else(|| "{}".to_owned(), |json| arguments_object(&json)),
        });
        self.close(events);
    }

    fn open(&mut self, kind: BlockKind, events: &mut Vec<OutputEvent>) -> u32 {
        let block = self.blocks;
        self.blocks += 1;
        events.push(OutputEvent::Open {
            block,
            block_kind: kind.clone(),
        });
        self.open = Some((block, kind));
        block
    }

    fn close(&mut self, events: &mut Vec<OutputEvent>) {
        if let Some((block, _)) = self.open.take() {
            events.push(OutputEvent::Close { block });
        }
    }
}

/// Arguments as compact JSON; an object that arrives inside a string is unwrapped.
fn arguments_object(json: &RawJson) -> String {
    match json.as_str() {
        "null" => "{}".to_owned(),
        text if text.starts_with('"') => {
            serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())
        }
        object => json::compact(object),
    }
}

impl ResponseDecoder for OllamaDecoder {
    fn event(
        &mut self,
        fields: &Fields<'_>,
        events: &mut Vec<OutputEvent>,
    ) -> Result<StreamState, UpstreamError> {
        let data = fields.data.trim_ascii();
        if data.is_empty() {
            return Ok(StreamState::More);
        }
        let line: ResponseLine = json::lenient(data)
            .map_err(|_| UpstreamError::unreadable("malformed Ollama line from the upstream"))?;
        if line.error.is_some() {
            self.add_usage(&line);
            return Err(read_error_event(data, KindField::Code));
        }
        self.line(line, events);
        Ok(if self.done {
            StreamState::End
        } else {
            StreamState::More
        })
    }

    fn decode_unary(
        &mut self,
        body: &[u8],
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), IncompleteResponse> {
        let line: ResponseLine = parse_object(body)?;
        if line.error.is_some() {
            self.add_usage(&line);
            return Err(IncompleteResponse::fault(
                read_error_event(body, KindField::Code),
                self.report(),
            ));
        }
        if !line.done {
            return Err(IncompleteResponse::Truncated);
        }
        self.line(line, events);
        Ok(())
    }

    fn report(&self) -> ReportedUsage {
        self.usage.report()
    }

    fn output_is_final(&self) -> bool {
        self.output_counted
    }
}

/// Stop reason of a `done_reason`; `load` and `unload` end calls without a prompt.
fn stop_reason(reason: Option<&str>) -> StopReason {
    match reason {
        None | Some("stop" | "load" | "unload") => StopReason::End,
        Some("length") => StopReason::Length,
        Some(other) => {
            let reason = other.get(..40).unwrap_or(other);
            tracing::warn!(
                ?reason,
                "unknown Ollama done reason; treated as the end of the turn"
            );
            StopReason::End
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Framing;
    use crate::dialect::samples;
    use crate::domain::usage::{Side, Usage};

    const TEXT_STREAM: &str = include_str!("../../../tests/golden/ollama/text.ndjson");
    const TEXT: &str = include_str!("../../../tests/golden/ollama/text.json");
    const TOOL_STREAM: &str = include_str!("../../../tests/golden/ollama/tool.ndjson");
    const TOOL: &str = include_str!("../../../tests/golden/ollama/tool.json");

    fn decoder() -> OllamaDecoder {
        OllamaDecoder::new(&samples::head("qwen3:8b"))
    }

    /// Decodes the streamed and the unary form of one response and asserts that both agree.
    fn decode(stream: &str, unary: &str) -> (Vec<String>, ReportedUsage) {
        let (mut streamed, mut unary_decoder, mut events) = (decoder(), decoder(), Vec::new());
        let (stream_events, end) = samples::heard(&mut streamed, Framing::Lines, stream.as_bytes());
        assert_eq!(end, Ok(true));
        unary_decoder
            .decode_unary(unary.as_bytes(), &mut events)
            .expect("a complete response");
        let story = samples::story(&stream_events);
        assert_eq!(samples::story(&events), story);
        assert_eq!(streamed.report(), unary_decoder.report());
        assert!(streamed.output_is_final() && unary_decoder.output_is_final());
        (story, streamed.report())
    }

    fn usage(uncached_in: u64, out_total: u64) -> ReportedUsage {
        ReportedUsage::Complete(Usage {
            uncached_in,
            out_total,
            ..Usage::default()
        })
    }

    #[test]
    fn ollama_thinking_becomes_reasoning() {
        let (story, report) = decode(TEXT_STREAM, TEXT);
        assert_eq!(
            story,
            ["thought: A greeting is due.", "text: Hello 日本 🦀", "End"]
        );
        assert_eq!(report, usage(14, 30));
    }

    #[test]
    fn u07_ollama_call_arguments_are_forwarded_as_the_object() {
        let (story, report) = decode(TOOL_STREAM, TOOL);
        let (first, second) = (
            r#"({"city":"Zürich 🦀","days":2})"#,
            r#"({"city":"Bern","days":1.0})"#,
        );
        let expected = [
            format!("call call_req_1_0: weather{first}"),
            format!("call call_req_1_1: weather{second}"),
            "Tool".into(),
        ];
        assert_eq!((story, report), (expected.to_vec(), usage(169, 41)));
        let text = r#"{"message":{"tool_calls":[{"id":"own","function":{"name":"f","arguments":"{\"a\":1}"}}]},"done":true}"#;
        let mut events = Vec::new();
        decoder()
            .decode_unary(text.as_bytes(), &mut events)
            .expect("a response");
        assert_eq!(samples::story(&events)[0], r#"call own: f({"a":1})"#);
    }

    #[test]
    fn c05_ollama_omitted_count_is_missing_and_not_zero() {
        let unmetered = include_str!("../../../tests/golden/ollama/unmetered.ndjson");
        let mut decoder = decoder();
        assert_eq!(
            samples::heard(&mut decoder, Framing::Lines, unmetered.as_bytes()).1,
            Ok(true)
        );
        let usage = Usage {
            out_total: 5,
            ..Usage::default()
        };
        assert_eq!(
            decoder.report(),
            ReportedUsage::Partial {
                usage,
                missing: Side::Input
            }
        );
        let invalid = TEXT_STREAM.replace("\"eval_count\":30", "\"eval_count\":-1");
        samples::heard(&mut decoder, Framing::Lines, invalid.as_bytes())
            .1
            .expect("a response");
        assert_eq!(decoder.report(), ReportedUsage::Invalid);
    }

    #[test]
    fn x07_ollama_error_line_ends_the_response() {
        let failed = include_str!("../../../tests/golden/ollama/failed.ndjson");
        let (events, end) = samples::heard(&mut decoder(), Framing::Lines, failed.as_bytes());
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(
            end.expect_err("a failed response")
                .message
                .ends_with("unexpected EOF")
        );
    }

    #[test]
    fn ollama_response_without_done_is_truncated() {
        let prefix = TEXT_STREAM
            .split_inclusive('\n')
            .take(4)
            .collect::<String>();
        assert_eq!(
            samples::heard(&mut decoder(), Framing::Lines, prefix.as_bytes()).1,
            Ok(false)
        );
        let result = decoder().decode_unary(
            TEXT.replace("\"done\":true", "\"done\":false").as_bytes(),
            &mut Vec::new(),
        );
        assert_eq!(result, Err(IncompleteResponse::Truncated));
        let unknown = decoder().decode_unary(
            include_str!("../../../tests/golden/ollama/unknown.json").as_bytes(),
            &mut Vec::new(),
        );
        assert!(matches!(unknown, Err(IncompleteResponse::Fault { .. })));
        for (reason, expected) in [
            (None, StopReason::End),
            (Some("length"), StopReason::Length),
            (Some("unload"), StopReason::End),
        ] {
            assert_eq!(stop_reason(reason), expected);
        }
    }

    #[test]
    fn ollama_damaged_response_never_panics_and_prefix_is_truncated() {
        samples::survives(|| Box::new(decoder()), Framing::Lines, TEXT_STREAM, TEXT);
        samples::survives(|| Box::new(decoder()), Framing::Lines, TOOL_STREAM, TOOL);
    }
}
