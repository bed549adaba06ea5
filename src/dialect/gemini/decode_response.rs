//! What `generateContent` answers, as neutral events. A stream has no terminal event: it is whole once a reason for its end was
//! seen. Calls come whole, perhaps without an id; signatures sit on any part and go with the block that they sign.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::conversation::{
    BlockKind, Origin, OutputEvent, ProviderState, ProviderStateKind, RawJson, StopReason,
};
use crate::dialect::gemini::usage::GeminiUsage;
use crate::dialect::translate::{ResponseDecoder, ResponseMeta, StreamState};
use crate::dialect::unary::{IncompleteResponse, whole_of};
use crate::dialect::wire::json;
use crate::dialect::wire::sse::Fields;
use crate::dialect::{Dialect, UpstreamError, fault};
use crate::domain::usage::{ReportedUsage, Side};

/// Reads one answer; of several candidates only the first.
pub(in crate::dialect) struct GeminiDecoder {
    /// what minted ids begin with
    seed: String,
    origin: Origin,
    usage: GeminiUsage,
    blocks: u32,
    /// the block of text or thoughts that is open
    open: Option<(u32, BlockKind)>,
    /// there was text, or a call
    said: bool,
    finished: bool,
    /// finished, or failed
    ended: bool,
    /// the output was counted with the end or after it: what was said before is a beginning
    counted: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseBody {
    candidates: Option<Vec<Candidate>>,
    prompt_feedback: Option<Feedback>,
    #[serde(default)]
    usage_metadata: GeminiUsage,
    #[serde(default, deserialize_with = "json::if_it_fits")]
    service_tier: Option<String>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    index: Option<u64>,
    content: Option<Contents>,
    finish_reason: Option<String>,
    #[serde(default, deserialize_with = "json::if_it_fits")]
    finish_message: Option<String>,
}

#[derive(Deserialize)]
struct Contents {
    parts: Option<Vec<Part>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(default)]
    thought: Option<bool>,
    text: Option<String>,
    function_call: Option<FunctionCall>,
    thought_signature: Option<String>,
}

#[derive(Deserialize)]
struct FunctionCall {
    id: Option<String>,
    name: Option<String>,
    args: Option<RawJson>,
}

impl GeminiDecoder {
    pub(in crate::dialect) fn new(head: &ResponseMeta) -> GeminiDecoder {
        GeminiDecoder {
            seed: head.request_id.clone(),
            origin: Origin {
                dialect: Dialect::Gemini.as_str().into(),
                model: head.model.clone(),
            },
            usage: GeminiUsage::default(),
            blocks: 0,
            open: None,
            said: false,
            finished: false,
            ended: false,
            counted: false,
        }
    }

    fn answered(
        &mut self,
        answered: ResponseBody,
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), UpstreamError> {
        let first = answered
            .candidates
            .unwrap_or_default()
            .into_iter()
            .find(|candidate| candidate.index.unwrap_or(0) == 0);
        let blocked = answered
            .prompt_feedback
            .is_some_and(|feedback| feedback.block_reason.is_some());
        let heard = match first {
            Some(candidate) => self.candidate(candidate, events),
            // a prompt that was blocked has no candidates
            None if blocked => {
                self.finish(StopReason::Filtered, events);
                Ok(())
            }
            None => Ok(()),
        };
        self.ended |= self.finished || heard.is_err();
        self.count(answered.usage_metadata);
        self.usage.service_tier = answered.service_tier.or(self.usage.service_tier.take());
        heard
    }

    fn count(&mut self, later: GeminiUsage) {
        self.counted |= self.ended
            && match later.report() {
                ReportedUsage::Missing => false,
                // a count of zero is left out
                ReportedUsage::Partial {
                    unsaid: Side::Output,
                    ..
                } => !self.said,
                ReportedUsage::Partial { .. }
                | ReportedUsage::Complete(_)
                | ReportedUsage::Invalid => true,
            };
        self.usage.then(later);
    }

    fn candidate(
        &mut self,
        candidate: Candidate,
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), UpstreamError> {
        let parts = candidate
            .content
            .and_then(|content| content.parts)
            .unwrap_or_default();
        parts.into_iter().for_each(|part| self.part(part, events));
        let Some(reason) = candidate.finish_reason else {
            return Ok(());
        };
        let stop = stop(&reason).ok_or_else(|| {
            let message = candidate
                .finish_message
                .unwrap_or_else(|| format!("the model's answer ended with {reason}"));
            UpstreamError {
                kind: reason.clone(),
                ..UpstreamError::new(message)
            }
        })?;
        self.finish(stop, events);
        Ok(())
    }

    fn part(&mut self, part: Part, events: &mut Vec<OutputEvent>) {
        let signature = part
            .thought_signature
            .filter(|signature| !signature.is_empty());
        if let Some(call) = part.function_call {
            return self.call(call, signature, events);
        }
        let opened = if part.thought == Some(true) {
            BlockKind::Reasoning
        } else {
            BlockKind::Text
        };
        if let Some(text) = part.text.filter(|text| !text.is_empty()) {
            self.say(opened.clone(), text, events);
        }
        let Some(data) = signature else { return };
        // the signature of a text stands in a thought of its own behind it
        if opened == BlockKind::Text || !matches!(self.open, Some((_, BlockKind::Reasoning))) {
            self.close(events);
            self.open(BlockKind::Reasoning, events);
        }
        if let Some((block, _)) = self.open {
            events.push(OutputEvent::Opaque {
                block,
                opaque: self.opaque(data),
            });
        }
        self.close(events);
    }

    fn say(&mut self, opened: BlockKind, text: String, events: &mut Vec<OutputEvent>) {
        self.said |= opened == BlockKind::Text;
        let block = match &self.open {
            Some((block, kind)) if *kind == opened => *block,
            _ => {
                self.close(events);
                self.open(opened, events)
            }
        };
        events.push(OutputEvent::Delta { block, text });
    }

    fn call(
        &mut self,
        call: FunctionCall,
        signature: Option<String>,
        events: &mut Vec<OutputEvent>,
    ) {
        self.close(events);
        self.said = true;
        let minted = format!("call_{}_{}", self.seed, self.blocks);
        let id = call.id.filter(|id| !id.is_empty()).unwrap_or(minted);
        let block = self.open(
            BlockKind::Call {
                id,
                name: call.name.unwrap_or_default(),
            },
            events,
        );
        let args = call.args.filter(|args| args.as_str() != "null");
        let text = args.map_or_else(|| "{}".to_owned(), |args| json::compact(args.as_str()));
        events.push(OutputEvent::Delta { block, text });
        if let Some(data) = signature {
            events.push(OutputEvent::Opaque {
                block,
                opaque: self.opaque(data),
            });
        }
        self.close(events);
    }

    fn opaque(&self, data: String) -> ProviderState {
        ProviderState {
            origin: Some(self.origin.clone()),
            kind: ProviderStateKind::Signature,
            data,
        }
    }

    fn finish(&mut self, stop: StopReason, events: &mut Vec<OutputEvent>) {
        self.close(events);
        self.finished = true;
        events.push(OutputEvent::Stop(stop));
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

impl ResponseDecoder for GeminiDecoder {
    fn event(
        &mut self,
        fields: &Fields<'_>,
        events: &mut Vec<OutputEvent>,
    ) -> Result<StreamState, UpstreamError> {
        let data = fields.data.trim_ascii();
        if data.is_empty() {
            return Ok(StreamState::More);
        }
        let answered: ResponseBody = json::lenient(data).map_err(|_| {
            UpstreamError::unreadable("the upstream sent an event that is no answer of Gemini")
        })?;
        if answered.error.is_some() || fields.event == Some(b"error") {
            self.ended = true;
            self.count(answered.usage_metadata);
            return Err(fault::named(Dialect::Gemini, data));
        }
        self.answered(answered, events)?;
        Ok(StreamState::More)
    }

    fn whole(
        &mut self,
        body: &[u8],
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), IncompleteResponse> {
        let answered: ResponseBody = whole_of(body)?;
        if answered.error.is_some() {
            return Err(IncompleteResponse::fault(
                fault::named(Dialect::Gemini, body),
                answered.usage_metadata.report(),
            ));
        }
        let is_answer = answered.prompt_feedback.is_some()
            || answered
                .candidates
                .as_ref()
                .is_some_and(|some| !some.is_empty());
        if !is_answer {
            let fault = UpstreamError::unreadable("the upstream's answer has no candidate");
            return Err(IncompleteResponse::fault(
                fault,
                answered.usage_metadata.report(),
            ));
        }
        self.answered(answered, events)
            .map_err(|fault| IncompleteResponse::fault(fault, self.report()))?;
        self.finished = true;
        self.counted = true;
        Ok(())
    }

    /// A count of zero is left out: an answer that said nothing has no tokens of its own.
    fn report(&self) -> ReportedUsage {
        match self.usage.report() {
            ReportedUsage::Partial {
                usage,
                unsaid: Side::Output,
            } if self.finished && !self.said => ReportedUsage::Complete(usage),
            report => report,
        }
    }

    fn output_is_final(&self) -> bool {
        let unsaid = matches!(
            self.report(),
            ReportedUsage::Missing
                | ReportedUsage::Partial {
                    unsaid: Side::Output,
                    ..
                }
        );
        self.counted && !unsaid
    }

    fn is_whole(&self) -> bool {
        self.finished
    }
}

/// Gemini's words for an end; `None` for those that mean that the answer failed (WIRE.md 2.11).
fn stop(reason: &str) -> Option<StopReason> {
    Some(match reason {
        // also for calls: what was called is known from the parts
        "STOP" => StopReason::End,
        "MAX_TOKENS" => StopReason::Length,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => StopReason::Filtered,
        "CONTINUATION" => StopReason::Pause,
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "MALFORMED_RESPONSE" => return None,
        other => {
            tracing::warn!(
                "Gemini ended an answer with {:?}: taken for a plain end",
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

    const TEXT_STREAM: &str = include_str!("../../../tests/golden/gemini/text.sse");
    const TEXT: &str = include_str!("../../../tests/golden/gemini/text.json");
    const TOOL_STREAM: &str = include_str!("../../../tests/golden/gemini/tool.sse");
    const TOOL: &str = include_str!("../../../tests/golden/gemini/tool.json");
    const SIGNATURE: &str = "EtcBCtQBAXLI2nwLIb8wGzGRSnYGjO5Wn0kJ0pqXb3eQ";

    fn reader() -> GeminiDecoder {
        GeminiDecoder::new(&samples::head("gemini-3.8-flash"))
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

    fn usage(uncached_in: u64, cache_read: u64, out_total: u64, reasoning: u64) -> ReportedUsage {
        ReportedUsage::Complete(Usage {
            uncached_in,
            cache_read,
            out_total,
            reasoning,
            ..Usage::default()
        })
    }

    #[test]
    fn r05_thoughts_are_told_from_text_and_the_texts_signature_stands_behind_it() {
        let (story, report) = read(TEXT_STREAM, TEXT);
        let thought = "thought: **Greeting**\n\nThe user wants a greeting.".to_owned();
        let signature = format!("thought:  [{SIGNATURE}]");
        assert_eq!(
            story,
            [
                thought,
                "text: Hello 日本 🦀".to_owned(),
                signature,
                "End".to_owned()
            ]
        );
        assert_eq!(report, usage(10, 4, 25, 20), "what was thought is output");
    }

    #[test]
    fn u02_calls_come_whole_and_get_an_id_where_there_is_none() {
        let (story, report) = read(TOOL_STREAM, TOOL);
        let first =
            format!(r#"call call_req_1_0: weather({{"city":"Zürich 🦀","days":2}}) [{SIGNATURE}]"#);
        let second = r#"call call_req_1_1: weather({"city":"Bern","days":1.0})"#.to_owned();
        assert_eq!(story, [first, second, "Tool".to_owned()]);
        assert_eq!(report, usage(40, 0, 64, 31));
        let named = TOOL_STREAM.replace(
            r#""name":"weather","args""#,
            r#""id":"own","name":"weather","args""#,
        );
        let (events, _) = samples::heard(&mut reader(), Framing::Sse, named.as_bytes());
        assert!(samples::story(&events)[0].starts_with("call own: weather("));
    }

    #[test]
    fn a_blocked_prompt_is_a_filtered_answer_without_output() {
        let story = read(
            include_str!("../../../tests/golden/gemini/blocked.sse"),
            include_str!("../../../tests/golden/gemini/blocked.json"),
        );
        assert_eq!(story, (vec!["Filtered".to_owned()], usage(9, 0, 0, 0)));
    }

    #[test]
    fn every_reason_has_its_place_and_failures_are_none() {
        let (end, length, filtered, pause) = (
            Some(StopReason::End),
            Some(StopReason::Length),
            Some(StopReason::Filtered),
            Some(StopReason::Pause),
        );
        for (reasons, expected) in [
            ("STOP OTHER NO_IMAGE NEVER_HEARD_OF", end),
            ("MAX_TOKENS", length),
            (
                "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY",
                filtered,
            ),
            ("CONTINUATION", pause),
            (
                "MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MALFORMED_RESPONSE",
                None,
            ),
        ] {
            for reason in reasons.split(' ') {
                assert_eq!(stop(reason), expected, "{reason}");
            }
        }
        let malformed = include_str!("../../../tests/golden/gemini/malformed.sse");
        let (events, ended) = samples::heard(&mut reader(), Framing::Sse, malformed.as_bytes());
        assert_eq!(events.len(), 2, "what came before is told: {events:?}");
        let fault = ended.expect_err("a failed answer");
        let expected = (
            "MALFORMED_FUNCTION_CALL",
            "the model's answer ended with MALFORMED_FUNCTION_CALL",
        );
        assert_eq!((fault.kind.as_str(), fault.message.as_str()), expected);
        let explained = malformed.replace(
            "\"index\":0}]",
            "\"index\":0,\"finishMessage\":\"no such function\"}]",
        );
        let (_, ended) = samples::heard(&mut reader(), Framing::Sse, explained.as_bytes());
        assert_eq!(
            ended.expect_err("a failed answer").message,
            "no such function"
        );
    }

    #[test]
    fn a_stream_is_whole_only_after_a_reason_for_its_end() {
        let events = samples::events(TEXT_STREAM);
        let cut: Vec<u8> = events[..3].concat();
        let mut cut_off = reader();
        assert_eq!(
            samples::heard(&mut cut_off, Framing::Sse, &cut).1,
            Ok(false)
        );
        assert!(!cut_off.output_is_final());
        assert_eq!(cut_off.report(), usage(10, 4, 25, 20), "the input is known");
        let error = r#"data: {"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#;
        let broken = [&cut[..], error.as_bytes(), b"\n\n"].concat();
        let fault = samples::heard(&mut reader(), Framing::Sse, &broken)
            .1
            .expect_err("an error in band");
        assert_eq!(
            (fault.status, fault.kind.as_str(), fault.message.as_str()),
            (Some(503), "UNAVAILABLE", "overloaded")
        );
    }

    #[test]
    fn an_answer_that_nobody_counted_is_not_free() {
        let uncounted = TEXT.replace("candidatesTokenCount", "somethingElse");
        let mut reader = reader();
        reader
            .whole(uncounted.as_bytes(), &mut Vec::new())
            .expect("an answer");
        assert!(
            matches!(
                reader.report(),
                ReportedUsage::Partial {
                    unsaid: Side::Output,
                    ..
                }
            ),
            "{:?}",
            reader.report()
        );
    }

    #[test]
    fn what_has_no_candidate_is_no_answer() {
        for body in [
            "{}",
            r#"{"candidates":[]}"#,
            r#"{"candidates":null,"usageMetadata":{}}"#,
            r#"{"error":{"code":500}}"#,
        ] {
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
