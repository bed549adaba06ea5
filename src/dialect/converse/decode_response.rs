//! What Converse answers, as neutral events. A stream's terminal event is `metadata`, which brings the usage after the stop; one
//! without it never came whole.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::conversation::{
    BlockKind, Origin, OutputEvent, ProviderState, ProviderStateKind, RawJson, StopReason,
};
use crate::dialect::converse::usage::{ConverseUsage, Metadata};
use crate::dialect::fault;
use crate::dialect::translate::{ResponseDecoder, ResponseMeta, StreamState};
use crate::dialect::unary::IncompleteResponse;
use crate::dialect::wire::json;
use crate::dialect::wire::sse::Fields;
use crate::dialect::{Dialect, UpstreamError};
use crate::domain::usage::ReportedUsage;

/// Converse opens one block at a time; of more that are left open than this the oldest is closed.
const OPEN_MAX: usize = 64;

/// Reads one answer.
pub(in crate::dialect) struct ConverseDecoder {
    /// whose signatures these are
    origin: Origin,
    usage: ConverseUsage,
    stopped: bool,
    /// after the stop
    usage_told: bool,
    blocks: u32,
    /// the upstream's number of a block, ours, what it is: those that are open
    open: Vec<OpenBlock>,
}

struct OpenBlock {
    index: u64,
    block: u32,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    Call,
    /// nothing that a client has a place for: what AWS's own tools did, images
    Hidden,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStart {
    #[serde(default)]
    content_block_index: u64,
    #[serde(default)]
    start: Start,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    #[serde(default)]
    tool_use: Option<ToolUse>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse {
    tool_use_id: String,
    name: String,
    /// `server_tool_use`: AWS runs it itself
    #[serde(default, rename = "type")]
    hosted: Option<String>,
    /// of whole answers
    #[serde(default)]
    input: Option<RawJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockDelta {
    #[serde(default)]
    content_block_index: u64,
    #[serde(default)]
    delta: Delta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delta {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    tool_use: Option<ToolUseDelta>,
    #[serde(default)]
    reasoning_content: Option<ReasoningDelta>,
}

#[derive(Deserialize)]
struct ToolUseDelta {
    #[serde(default)]
    input: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningDelta {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStop {
    #[serde(default)]
    content_block_index: u64,
}

/// `messageStop`, and what a whole answer says of its end.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageStop {
    stop_reason: String,
    #[serde(default, deserialize_with = "json::if_it_fits")]
    additional_model_response_fields: Option<MakersFields>,
}

/// What was asked for by its path (`/stop_sequence`).
#[derive(Deserialize)]
struct MakersFields {
    #[serde(default)]
    stop_sequence: Option<String>,
}

/// A whole answer; its stop and its usage are read beside.
#[derive(Deserialize)]
struct Whole {
    output: Output,
}

#[derive(Deserialize)]
struct Output {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Vec<WholeBlock>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WholeBlock {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    tool_use: Option<ToolUse>,
    #[serde(default)]
    reasoning_content: Option<WholeReasoning>,
    #[serde(default)]
    citations_content: Option<Citation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WholeReasoning {
    #[serde(default)]
    reasoning_text: Option<ReasoningDelta>,
    #[serde(default)]
    redacted_content: Option<String>,
}

/// Text with its sources, which clients of other dialects have no place for.
#[derive(Deserialize)]
struct Citation {
    #[serde(default)]
    content: Vec<CitedText>,
}

#[derive(Deserialize)]
struct CitedText {
    #[serde(default)]
    text: String,
}

impl ConverseDecoder {
    pub(in crate::dialect) fn new(head: &ResponseMeta) -> ConverseDecoder {
        let origin = Origin {
            dialect: Dialect::Converse.as_str().into(),
            model: head.model.clone(),
        };
        let usage = ConverseUsage::default();
        ConverseDecoder {
            origin,
            usage,
            stopped: false,
            usage_told: false,
            blocks: 0,
            open: Vec::new(),
        }
    }

    fn start(&mut self, start: BlockStart, events: &mut Vec<OutputEvent>) {
        let index = start.content_block_index;
        self.close(index, events);
        match start.start.tool_use {
            Some(ToolUse {
                tool_use_id: id,
                name,
                hosted: None,
                ..
            }) => {
                self.begin(
                    index,
                    Kind::Call,
                    Some(BlockKind::Call { id, name }),
                    events,
                );
            }
            _ => {
                self.begin(index, Kind::Hidden, None, events);
            }
        }
    }

    fn delta(&mut self, delta: BlockDelta, events: &mut Vec<OutputEvent>) {
        let (index, delta) = (delta.content_block_index, delta.delta);
        if let Some(text) = delta.text {
            self.piece(index, Kind::Text, text, events);
        }
        if let Some(call) = delta.tool_use {
            self.piece(index, Kind::Call, call.input, events);
        }
        if let Some(reasoning) = delta.reasoning_content {
            self.reasoning(index, reasoning, events);
        }
    }

    fn reasoning(&mut self, index: u64, delta: ReasoningDelta, events: &mut Vec<OutputEvent>) {
        if let Some(text) = delta.text {
            self.piece(index, Kind::Reasoning, text, events);
        }
        for (kind, data) in [
            (ProviderStateKind::Signature, delta.signature),
            (ProviderStateKind::Redacted, delta.redacted_content),
        ] {
            let Some(data) = data.filter(|data| !data.is_empty()) else {
                continue;
            };
            if let Some(block) = self.block(index, Kind::Reasoning, events) {
                let opaque = ProviderState {
                    origin: Some(self.origin.clone()),
                    kind,
                    data,
                };
                events.push(OutputEvent::Opaque { block, opaque });
            }
        }
    }

    fn piece(&mut self, index: u64, kind: Kind, text: String, events: &mut Vec<OutputEvent>) {
        if text.is_empty() {
            return;
        }
        if let Some(block) = self.block(index, kind, events) {
            events.push(OutputEvent::Delta { block, text });
        }
    }

    /// Our number of the block that a delta of this kind belongs to: blocks of text and thoughts begin with their first delta.
    fn block(&mut self, index: u64, kind: Kind, events: &mut Vec<OutputEvent>) -> Option<u32> {
        match self.open.iter().find(|open| open.index == index) {
            Some(open) if open.kind == kind => return Some(open.block),
            Some(open) if open.kind == Kind::Hidden => return None,
            _ => {}
        }
        let opened = match kind {
            Kind::Text => BlockKind::Text,
            Kind::Reasoning => BlockKind::Reasoning,
            // arguments of a call that never began
            Kind::Call | Kind::Hidden => return None,
        };
        self.close(index, events);
        Some(self.begin(index, kind, Some(opened), events))
    }

    fn begin(
        &mut self,
        index: u64,
        kind: Kind,
        opened: Option<BlockKind>,
        events: &mut Vec<OutputEvent>,
    ) -> u32 {
        if self.open.len() >= OPEN_MAX {
            self.close(self.open[0].index, events);
        }
        let block = self.blocks;
        self.blocks += 1;
        self.open.push(OpenBlock { index, block, kind });
        events.extend(opened.map(|opened| OutputEvent::Open { block, opened }));
        block
    }

    fn close(&mut self, index: u64, events: &mut Vec<OutputEvent>) {
        let Some(at) = self.open.iter().position(|open| open.index == index) else {
            return;
        };
        let closed = self.open.remove(at);
        if closed.kind != Kind::Hidden {
            events.push(OutputEvent::Close {
                block: closed.block,
            });
        }
    }

    fn stop(
        &mut self,
        stopped: MessageStop,
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), UpstreamError> {
        let sequence = stopped
            .additional_model_response_fields
            .and_then(|fields| fields.stop_sequence);
        // also before a failure: its usage follows
        self.stopped = true;
        let stop = meaning(&stopped.stop_reason, sequence)?;
        while let Some(index) = self.open.first().map(|open| open.index) {
            self.close(index, events);
        }
        events.push(OutputEvent::Stop(stop));
        Ok(())
    }

    fn not_an_answer(&self) -> IncompleteResponse {
        IncompleteResponse::fault(
            UpstreamError::unreadable("the upstream answered with something that is no answer"),
            self.report(),
        )
    }

    fn whole_block(&mut self, index: u64, block: WholeBlock, events: &mut Vec<OutputEvent>) {
        if let Some(text) = block.text {
            self.piece(index, Kind::Text, text, events);
        }
        for cited in block
            .citations_content
            .map(|cited| cited.content)
            .unwrap_or_default()
        {
            self.piece(index, Kind::Text, cited.text, events);
        }
        if let Some(reasoning) = block.reasoning_content {
            let mut delta = reasoning.reasoning_text.unwrap_or_default();
            delta.redacted_content = reasoning.redacted_content;
            self.reasoning(index, delta, events);
        }
        if let Some(mut call) = block.tool_use {
            let input = call.input.take();
            self.start(
                BlockStart {
                    content_block_index: index,
                    start: Start {
                        tool_use: Some(call),
                    },
                },
                events,
            );
            self.piece(
                index,
                Kind::Call,
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
            b"contentBlockDelta" => self.delta(parsed(data)?, events),
            b"contentBlockStart" => self.start(parsed(data)?, events),
            b"contentBlockStop" => {
                self.close(parsed::<BlockStop>(data)?.content_block_index, events)
            }
            b"messageStop" => self.stop(parsed(data)?, events)?,
            b"metadata" => {
                self.usage.then(
                    json::read(&Metadata::default(), data)
                        .map_err(|_| not_read())?
                        .usage,
                );
                self.usage_told |= self.stopped;
                return Ok(if self.stopped {
                    StreamState::End
                } else {
                    StreamState::More
                });
            }
            b"error" => return Err(fault::named(Dialect::Converse, data)),
            // messageStart, and what is not known yet
            _ => {}
        }
        Ok(StreamState::More)
    }

    fn whole(
        &mut self,
        body: &[u8],
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), IncompleteResponse> {
        let flawed = |flaw: serde_json::Error| {
            if flaw.is_eof() {
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
        let metadata = json::read(&Metadata::default(), body).map_err(flawed)?;
        self.usage.then(metadata.usage);
        self.usage_told = true;
        let whole: Whole = json::lenient(body).map_err(|_| self.not_an_answer())?;
        let stopped: MessageStop = json::lenient(body).map_err(|_| self.not_an_answer())?;
        for (index, block) in (0..).zip(whole.output.message.content) {
            self.whole_block(index, block, events);
        }
        self.stop(stopped, events)
            .map_err(|fault| IncompleteResponse::fault(fault, self.report()))
    }

    fn report(&self) -> ReportedUsage {
        self.usage.report()
    }

    fn output_is_final(&self) -> bool {
        self.usage_told && self.usage.output_said()
    }
}

fn parsed<T: DeserializeOwned>(data: &[u8]) -> Result<T, UpstreamError> {
    json::lenient(data).map_err(|_| not_read())
}

fn not_read() -> UpstreamError {
    UpstreamError::unreadable("the upstream sent an event that cannot be read")
}

/// The stop reasons of WIRE.md 2.11; what the model garbled is a failure and no answer.
fn meaning(reason: &str, sequence: Option<String>) -> Result<StopReason, UpstreamError> {
    Ok(match reason {
        "end_turn" => StopReason::End,
        "tool_use" => StopReason::Tool,
        "max_tokens" => StopReason::Length,
        "stop_sequence" => StopReason::Sequence(sequence),
        "guardrail_intervened" | "content_filtered" => StopReason::Filtered,
        "model_context_window_exceeded" => StopReason::ContextWindow,
        "malformed_model_output" | "malformed_tool_use" => {
            return Err(UpstreamError::new(format!(
                "the upstream ended its answer with the stop reason `{reason}`"
            )));
        }
        other => {
            let shown: String = other.chars().take(40).collect();
            tracing::warn!(
                "an upstream ended an answer with the unknown reason {shown:?}: taken for a plain end"
            );
            StopReason::End
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{
        ChatResponse, Content, ReasoningBlock, ResponseBuilder, StateSealer,
    };
    use crate::dialect::samples;
    use crate::dialect::wire::eventstream::FrameSplitter;
    use crate::dialect::wire::eventstream::tests::said;
    use crate::dialect::wire::sse;
    use crate::domain::usage::Usage;

    fn reader() -> ConverseDecoder {
        ConverseDecoder::new(&ResponseMeta {
            request_id: "req_1".into(),
            model: "anthropic.claude-opus-5".into(),
            created_s: 1,
            envelope: StateSealer::new([7; 32]),
        })
    }

    const USAGE: &str = r#"{"usage":{"inputTokens":11,"outputTokens":5,"totalTokens":16},"metrics":{"latencyMs":9},"p":"abc"}"#;

    /// With thoughts, text and two calls, padded as AWS pads.
    const STREAM: [(&str, &str); 17] = [
        ("messageStart", r#"{"p":"ab","role":"assistant"}"#),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}},"p":"abcd"}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"c2ln"}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"text":"Hello"},"p":"a"}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"text":" \u65e5"}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"t1","name":"f"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":""}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"b\":1.0,"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"\"a\":2}"}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"t2","name":"g"}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":3}"#),
        ("messageStop", r#"{"stopReason":"tool_use"}"#),
        ("aNewKindOfEvent", r#"[1]"#),
        ("metadata", USAGE),
    ];

    /// The answer, how it was heard in the end, and what was used.
    fn read(
        events: &[(&str, &str)],
    ) -> Result<(ChatResponse, StreamState, ReportedUsage), UpstreamError> {
        let (mut reader, mut told, mut heard) = (reader(), Vec::new(), StreamState::More);
        for (name, data) in events {
            assert_eq!(heard, StreamState::More, "nothing follows the end");
            let fields = Fields {
                event: Some(name.as_bytes()),
                data: data.as_bytes().into(),
                only_comment: false,
            };
            heard = reader.event(&fields, &mut told)?;
        }
        assert!(!reader.is_whole());
        Ok((folded(&told), heard, reader.report()))
    }

    fn folded(events: &[OutputEvent]) -> ChatResponse {
        let mut fold = ResponseBuilder::default();
        let mut open: Vec<u32> = Vec::new();
        for event in events {
            match event {
                OutputEvent::Open { block, .. } => open.push(*block),
                OutputEvent::Delta { block, .. } | OutputEvent::Opaque { block, .. } => {
                    assert!(open.contains(block), "{event:?}")
                }
                OutputEvent::Close { block } => open.retain(|open| open != block),
                OutputEvent::Stop(_) => assert!(open.is_empty(), "{open:?} at the stop"),
            }
            fold.add(event);
        }
        fold.answer()
    }

    /// One line per block.
    fn lines(answer: &ChatResponse) -> Vec<String> {
        let line = |content: &Content| match content {
            Content::Text(text) => format!("text {text}"),
            Content::Reasoning(ReasoningBlock { text, opaque }) => {
                let opaque = opaque
                    .as_ref()
                    .map(|opaque| format!("{:?} {}", opaque.kind, opaque.data));
                format!("thought {text} {}", opaque.unwrap_or_default())
            }
            Content::ToolCall(call) => format!("call {} {} {}", call.id, call.name, call.arguments),
            _ => "?".to_owned(),
        };
        answer
            .blocks
            .iter()
            .map(|block| line(&block.content))
            .collect()
    }

    fn used(uncached_in: u64, out_total: u64) -> ReportedUsage {
        ReportedUsage::Complete(Usage {
            uncached_in,
            out_total,
            ..Usage::default()
        })
    }

    const LINES: [&str; 4] = [
        "thought hm Signature c2ln",
        "text Hello 日",
        "call t1 f {\"b\":1.0,\"a\":2}",
        "call t2 g ",
    ];

    #[test]
    fn c03_a_stream_is_whole_with_the_usage_that_follows_its_stop() {
        let (answer, heard, report) = read(&STREAM).expect("an answer");
        assert_eq!(lines(&answer), LINES);
        assert_eq!(
            (answer.stop, heard, report),
            (StopReason::Tool, StreamState::End, used(11, 5))
        );
        let origin = match &answer.blocks[0].content {
            Content::Reasoning(reasoned) => reasoned
                .opaque
                .as_ref()
                .and_then(|opaque| opaque.origin.clone()),
            _ => None,
        };
        let expected = Origin {
            dialect: "converse".into(),
            model: "anthropic.claude-opus-5".into(),
        };
        assert_eq!(origin, Some(expected));
        for cut in 0..STREAM.len() {
            let (_, heard, _) = read(&STREAM[..cut]).expect("a beginning");
            assert_eq!(heard, StreamState::More, "cut before {cut}");
        }
        // usage without a stop makes nothing whole
        assert_eq!(
            read(&[STREAM[0], STREAM[4], STREAM[16]])
                .expect("a beginning")
                .1,
            StreamState::More
        );
    }

    #[test]
    fn blocks_that_change_their_kind_are_two_and_what_aws_did_itself_is_hidden() {
        let (answer, ..) = read(&[
            ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"cmVk"}}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"citation":{"title":"t"}}}"#),
            (
                "contentBlockStart",
                r#"{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"s","name":"x","type":"server_tool_use"}}}"#,
            ),
            ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{}"}}}"#),
            ("contentBlockStop", r#"{"contentBlockIndex":1}"#),
            ("contentBlockStart", r#"{"contentBlockIndex":2,"start":{"toolResult":{"toolUseId":"s"}}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"toolResult":[{"text":"found"}]}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":9,"delta":{"toolUse":{"input":"of nothing"}}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":3,"delta":{"text":"b"}}"#),
            ("messageStop", r#"{"stopReason":"end_turn"}"#),
        ])
        .expect("an answer");
        assert_eq!(
            lines(&answer),
            ["thought  Redacted cmVk", "text a", "text b"]
        );
        assert_eq!(answer.stop, StopReason::End);
    }

    #[test]
    fn every_stop_reason_has_its_meaning() {
        for (stopped, expected) in [
            (r#"{"stopReason":"end_turn"}"#, StopReason::End),
            (r#"{"stopReason":"max_tokens"}"#, StopReason::Length),
            (
                r#"{"stopReason":"stop_sequence","additionalModelResponseFields":{"stop_sequence":"END"}}"#,
                StopReason::Sequence(Some("END".into())),
            ),
            (
                r#"{"stopReason":"stop_sequence","additionalModelResponseFields":null}"#,
                StopReason::Sequence(None),
            ),
            (
                r#"{"stopReason":"guardrail_intervened"}"#,
                StopReason::Filtered,
            ),
            (r#"{"stopReason":"content_filtered"}"#, StopReason::Filtered),
            (
                r#"{"stopReason":"model_context_window_exceeded"}"#,
                StopReason::ContextWindow,
            ),
            (r#"{"stopReason":"something new"}"#, StopReason::End),
        ] {
            assert_eq!(
                read(&[("messageStop", stopped)]).expect("a stop").0.stop,
                expected,
                "{stopped}"
            );
        }
        for reason in ["malformed_model_output", "malformed_tool_use"] {
            let fault = read(&[("messageStop", &format!(r#"{{"stopReason":"{reason}"}}"#))])
                .expect_err("a failure");
            assert!(fault.message.contains(reason), "{fault:?}");
        }
        let (mut failed, mut told) = (reader(), Vec::new());
        let mut hear = |name: &str, data: &'static str| {
            let event = Fields {
                event: Some(name.as_bytes()),
                data: data.as_bytes().into(),
                only_comment: false,
            };
            failed.event(&event, &mut told)
        };
        hear("messageStop", r#"{"stopReason":"malformed_tool_use"}"#).expect_err("a failure");
        assert_eq!(
            hear("metadata", USAGE),
            Ok(StreamState::End),
            "nothing follows"
        );
        assert_eq!(
            (failed.report(), failed.output_is_final()),
            (used(11, 5), true)
        );
    }

    #[test]
    fn e15_an_exception_is_an_error_and_so_is_what_cannot_be_read() {
        let error = r#"{"error":{"message":"slow down","status":429,"type":"throttlingException"},"type":"error"}"#;
        let fault = read(&[STREAM[0], ("error", error)]).expect_err("a failure");
        let expected = UpstreamError {
            status: Some(429),
            kind: "throttlingException".into(),
            ..UpstreamError::new("slow down")
        };
        assert_eq!(fault, expected);
        for (name, data) in [
            ("contentBlockDelta", "{"),
            ("messageStop", "{}"),
            ("metadata", "<html>"),
            ("contentBlockStart", "7"),
        ] {
            assert_eq!(read(&[(name, data)]).expect_err(name), not_read());
        }
    }

    const WHOLE: &str = r#"{"metrics":{"latencyMs":9},"output":{"message":{"role":"assistant","content":[
        {"reasoningContent":{"reasoningText":{"text":"hm","signature":"c2ln"}}},
        {"citationsContent":{"content":[{"text":"Hello"},{"text":" \u65e5"}],"citations":[{"title":"t"}]}},
        {"toolUse":{"toolUseId":"t1","name":"f","input":{"b":1.0,"a":2}}},
        {"toolUse":{"toolUseId":"t2","name":"g","input":{}}},
        {"toolUse":{"toolUseId":"s","name":"x","type":"server_tool_use","input":{}}},{"toolResult":{"toolUseId":"s","content":[]}}
        ]}},"stopReason":"tool_use","usage":{"inputTokens":11,"outputTokens":5,"totalTokens":16}}"#;

    fn whole(body: &[u8]) -> Result<(ChatResponse, ReportedUsage), IncompleteResponse> {
        let (mut reader, mut told) = (reader(), Vec::new());
        reader.whole(body, &mut told)?;
        assert!(reader.output_is_final() || reader.report() != used(11, 5));
        Ok((folded(&told), reader.report()))
    }

    #[test]
    fn t01_a_whole_answer_is_read() {
        let (answer, report) = whole(WHOLE.as_bytes()).expect("an answer");
        let mut expected = LINES.map(str::to_owned);
        expected[3].push_str("{}");
        assert_eq!(lines(&answer), expected);
        assert_eq!((answer.stop, report), (StopReason::Tool, used(11, 5)));
        for end in 0..WHOLE.len() {
            assert!(whole(&WHOLE.as_bytes()[..end]).is_err(), "{end}");
        }
        for body in [
            r#"{"message":"no"}"#,
            r#"{"Output":{"__type":"x"},"Version":"1.0"}"#,
            "[]",
            "<html>",
        ] {
            assert!(whole(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let synthetic: Vec<u8> = STREAM
            .iter()
            .flat_map(|(name, data)| said(name, data))
            .collect();
        let recorded: [&[u8]; 3] = [
            include_bytes!("../../../tests/golden/bedrock/tools.bin"),
            include_bytes!("../../../tests/golden/bedrock/thinking.bin"),
            include_bytes!("../../../tests/golden/bedrock/failed.bin"),
        ];
        for stream in [&synthetic[..]].into_iter().chain(recorded) {
            for damaged in samples::damaged(stream, 500) {
                let mut splitter = FrameSplitter::new(100_000);
                let _ = splitter.push(&damaged);
                let (mut reader, mut told) = (reader(), Vec::new());
                while let Some(event) = splitter.next_event() {
                    let _ = reader.event(&sse::parse(&event), &mut told);
                }
            }
        }
        for (name, data) in STREAM {
            for damaged in samples::damaged(data.as_bytes(), 200) {
                let (mut reader, mut told) = (reader(), Vec::new());
                let fields = Fields {
                    event: Some(name.as_bytes()),
                    data: damaged.into(),
                    only_comment: false,
                };
                let _ = reader.event(&fields, &mut told);
            }
        }
        for damaged in samples::damaged(WHOLE.as_bytes(), 1_000) {
            let _ = reader().whole(&damaged, &mut Vec::new());
        }
    }
}
