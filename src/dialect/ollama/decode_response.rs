//! What `/api/chat` answers, as neutral events: one JSON object per line, the last with `done`. A line with an `error` may come at any
//! time and ends the answer; a body that ends without `done` is cut off.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::conversation::{BlockKind, OutputEvent, RawJson, StopReason};
use crate::dialect::translate::{ResponseDecoder, ResponseMeta, StreamState};
use crate::dialect::unary::{IncompleteResponse, whole_of};
use crate::dialect::wire::count::Count;
use crate::dialect::wire::json;
use crate::dialect::wire::sse::Fields;
use crate::dialect::{Dialect, UpstreamError, fault};
use crate::domain::usage::{ReportedUsage, Usage};

/// Reads one answer.
pub(in crate::dialect) struct OllamaDecoder {
    /// what minted ids begin with
    seed: String,
    prompt: Count,
    output: Count,
    blocks: u32,
    /// the block of text or thoughts that is open
    open: Option<(u32, BlockKind)>,
    done: bool,
    /// the output was counted with the end: what was said before is a beginning
    counted: bool,
}

#[derive(Deserialize)]
struct Line {
    message: Option<Message>,
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
struct Message {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<RawJson>,
}

impl OllamaDecoder {
    pub(in crate::dialect) fn new(head: &ResponseMeta) -> OllamaDecoder {
        let (prompt, output) = (Count::Absent, Count::Absent);
        OllamaDecoder {
            seed: head.request_id.clone(),
            prompt,
            output,
            blocks: 0,
            open: None,
            done: false,
            counted: false,
        }
    }

    fn count(&mut self, line: &Line) {
        self.prompt.then(line.prompt_eval_count);
        self.output.then(line.eval_count);
        self.counted |= (line.done || line.error.is_some()) && line.eval_count.is_said();
    }

    fn line(&mut self, line: Line, events: &mut Vec<OutputEvent>) {
        self.count(&line);
        if let Some(message) = line.message {
            self.say(
                BlockKind::Reasoning,
                message.thinking.unwrap_or_default(),
                events,
            );
            self.say(BlockKind::Text, message.content.unwrap_or_default(), events);
            message
                .tool_calls
                .unwrap_or_default()
                .into_iter()
                .for_each(|call| self.call(call, events));
        }
        if line.done {
            self.close(events);
            self.done = true;
            events.push(OutputEvent::Stop(stop(line.done_reason.as_deref())));
        }
    }

    fn say(&mut self, opened: BlockKind, text: String, events: &mut Vec<OutputEvent>) {
        if text.is_empty() {
            return;
        }
        let block = match &self.open {
            Some((block, kind)) if *kind == opened => *block,
            _ => {
                self.close(events);
                self.open(opened, events)
            }
        };
        events.push(OutputEvent::Delta { block, text });
    }

    /// Calls come whole.
    fn call(&mut self, call: Call, events: &mut Vec<OutputEvent>) {
        self.close(events);
        let (name, arguments) = call
            .function
            .map_or((None, None), |function| (function.name, function.arguments));
        let minted = format!("call_{}_{}", self.seed, self.blocks);
        let id = call.id.filter(|id| !id.is_empty()).unwrap_or(minted);
        let block = self.open(
            BlockKind::Call {
                id,
                name: name.unwrap_or_default(),
            },
            events,
        );
        events.push(OutputEvent::Delta {
            block,
            text: arguments.map_or_else(|| "{}".to_owned(), |json| object(&json)),
        });
        self.close(events);
    }

    fn open(&mut self, opened: BlockKind, events: &mut Vec<OutputEvent>) -> u32 {
        let block = self.blocks;
        self.blocks += 1;
        events.push(OutputEvent::Open {
            block,
            opened: opened.clone(),
        });
        self.open = Some((block, opened));
        block
    }

    fn close(&mut self, events: &mut Vec<OutputEvent>) {
        if let Some((block, _)) = self.open.take() {
            events.push(OutputEvent::Close { block });
        }
    }
}

/// Arguments as they stand; where somebody wrote the object as a text, the text.
fn object(json: &RawJson) -> String {
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
        let line: Line = json::lenient(data).map_err(|_| {
            UpstreamError::unreadable("the upstream sent a line that is none of Ollama's")
        })?;
        if line.error.is_some() {
            self.count(&line);
            return Err(fault::named(Dialect::Ollama, data));
        }
        self.line(line, events);
        Ok(if self.done {
            StreamState::End
        } else {
            StreamState::More
        })
    }

    fn whole(
        &mut self,
        body: &[u8],
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), IncompleteResponse> {
        let line: Line = whole_of(body)?;
        if line.error.is_some() {
            self.count(&line);
            return Err(IncompleteResponse::fault(
                fault::named(Dialect::Ollama, body),
                self.report(),
            ));
        }
        if !line.done {
            return Err(IncompleteResponse::Truncated);
        }
        self.line(line, events);
        Ok(())
    }

    /// Counts are left out where the vendor does not know them, which is not zero.
    fn report(&self) -> ReportedUsage {
        if [self.prompt, self.output].contains(&Count::Invalid) {
            return ReportedUsage::Invalid;
        }
        let usage = Usage {
            uncached_in: self.prompt.tokens(),
            out_total: self.output.tokens(),
            ..Usage::default()
        };
        ReportedUsage::of(usage, self.prompt.is_said(), self.output.is_said())
    }

    fn output_is_final(&self) -> bool {
        self.counted
    }
}

/// Ollama's words for an end (WIRE.md 2.11). `load` and `unload` are ends of calls without a prompt.
fn stop(reason: Option<&str>) -> StopReason {
    match reason {
        None | Some("stop" | "load" | "unload") => StopReason::End,
        Some("length") => StopReason::Length,
        Some(other) => {
            tracing::warn!(
                "Ollama ended an answer with {:?}: taken for a plain end",
                other.get(..40).unwrap_or(other)
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
    use crate::domain::usage::Side;

    const TEXT_STREAM: &str = include_str!("../../../tests/golden/ollama/text.ndjson");
    const TEXT: &str = include_str!("../../../tests/golden/ollama/text.json");
    const TOOL_STREAM: &str = include_str!("../../../tests/golden/ollama/tool.ndjson");
    const TOOL: &str = include_str!("../../../tests/golden/ollama/tool.json");

    fn reader() -> OllamaDecoder {
        OllamaDecoder::new(&samples::head("qwen3:8b"))
    }

    /// The same of a stream and of a whole answer.
    fn read(stream: &str, answer: &str) -> (Vec<String>, ReportedUsage) {
        let (mut streaming, mut whole, mut events) = (reader(), reader(), Vec::new());
        let (told, ended) = samples::heard(&mut streaming, Framing::Lines, stream.as_bytes());
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
    fn thoughts_and_text_are_told_apart() {
        let (story, report) = read(TEXT_STREAM, TEXT);
        assert_eq!(
            story,
            ["thought: A greeting is due.", "text: Hello 日本 🦀", "End"]
        );
        assert_eq!(report, usage(14, 30));
    }

    #[test]
    fn u07_arguments_are_the_object_as_it_stands() {
        let (story, report) = read(TOOL_STREAM, TOOL);
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
        reader()
            .whole(text.as_bytes(), &mut events)
            .expect("an answer");
        assert_eq!(samples::story(&events)[0], r#"call own: f({"a":1})"#);
    }

    #[test]
    fn c05_a_count_that_is_left_out_is_not_zero() {
        let unmetered = include_str!("../../../tests/golden/ollama/unmetered.ndjson");
        let mut reader = reader();
        assert_eq!(
            samples::heard(&mut reader, Framing::Lines, unmetered.as_bytes()).1,
            Ok(true)
        );
        let usage = Usage {
            out_total: 5,
            ..Usage::default()
        };
        assert_eq!(
            reader.report(),
            ReportedUsage::Partial {
                usage,
                unsaid: Side::Input
            }
        );
        let lying = TEXT_STREAM.replace("\"eval_count\":30", "\"eval_count\":-1");
        samples::heard(&mut reader, Framing::Lines, lying.as_bytes())
            .1
            .expect("an answer");
        assert_eq!(reader.report(), ReportedUsage::Invalid);
    }

    #[test]
    fn x07_an_error_line_ends_the_answer() {
        let failed = include_str!("../../../tests/golden/ollama/failed.ndjson");
        let (events, ended) = samples::heard(&mut reader(), Framing::Lines, failed.as_bytes());
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(
            ended
                .expect_err("a failed answer")
                .message
                .ends_with("unexpected EOF")
        );
    }

    #[test]
    fn what_is_not_done_is_cut_off() {
        let cut = TEXT_STREAM
            .split_inclusive('\n')
            .take(4)
            .collect::<String>();
        assert_eq!(
            samples::heard(&mut reader(), Framing::Lines, cut.as_bytes()).1,
            Ok(false)
        );
        let read = reader().whole(
            TEXT.replace("\"done\":true", "\"done\":false").as_bytes(),
            &mut Vec::new(),
        );
        assert_eq!(read, Err(IncompleteResponse::Truncated));
        let unknown = reader().whole(
            include_str!("../../../tests/golden/ollama/unknown.json").as_bytes(),
            &mut Vec::new(),
        );
        assert!(matches!(unknown, Err(IncompleteResponse::Fault { .. })));
        for (reason, expected) in [
            (None, StopReason::End),
            (Some("length"), StopReason::Length),
            (Some("unload"), StopReason::End),
        ] {
            assert_eq!(stop(reason), expected);
        }
    }

    #[test]
    fn no_bytes_make_it_panic_and_no_beginning_is_an_answer() {
        samples::survives(|| Box::new(reader()), Framing::Lines, TEXT_STREAM, TEXT);
        samples::survives(|| Box::new(reader()), Framing::Lines, TOOL_STREAM, TOOL);
    }
}
