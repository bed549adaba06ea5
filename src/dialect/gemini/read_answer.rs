//! What `generateContent` answers, as neutral events. A stream has no terminal event: it is whole once a reason for its end was
//! seen. Calls come whole, perhaps without an id; signatures sit on any part and go with the block that they sign.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::conversation::{Event, Opaque, OpaqueKind, Opened, Origin, Raw, Stop};
use crate::dialect::gemini::usage::GeminiUsage;
use crate::dialect::sse::Fields;
use crate::dialect::translation::{AnswerHead, Heard, ReadAnswer};
use crate::dialect::unary::{NotComplete, whole_of};
use crate::dialect::{Dialect, UpstreamFault, fault, json};
use crate::domain::usage::Report;

/// Reads one answer; of several candidates only the first.
pub(in crate::dialect) struct GeminiReader {
    /// what minted ids begin with
    seed: String,
    origin: Origin,
    usage: GeminiUsage,
    blocks: u32,
    /// the block of text or thoughts that is open
    open: Option<(u32, Opened)>,
    /// there was text, or a call
    said: bool,
    finished: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    candidates: Option<Vec<Candidate>>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<GeminiUsage>,
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
    args: Option<Raw>,
}

impl GeminiReader {
    pub(in crate::dialect) fn new(head: &AnswerHead) -> GeminiReader {
        GeminiReader {
            seed: head.request_id.clone(),
            origin: Origin { dialect: Dialect::Gemini.word().into(), model: head.model.clone() },
            usage: GeminiUsage::default(),
            blocks: 0,
            open: None,
            said: false,
            finished: false,
        }
    }

    fn answered(&mut self, answered: Answered, events: &mut Vec<Event>) -> Result<(), UpstreamFault> {
        self.usage.then(answered.usage_metadata.unwrap_or_default());
        self.usage.service_tier = answered.service_tier.or(self.usage.service_tier.take());
        let first = answered.candidates.unwrap_or_default().into_iter().find(|candidate| candidate.index.unwrap_or(0) == 0);
        if let Some(candidate) = first {
            return self.candidate(candidate, events);
        }
        // a prompt that was blocked has no candidates
        if answered.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            self.finish(Stop::Filtered, events);
        }
        Ok(())
    }

    fn candidate(&mut self, candidate: Candidate, events: &mut Vec<Event>) -> Result<(), UpstreamFault> {
        let parts = candidate.content.and_then(|content| content.parts).unwrap_or_default();
        parts.into_iter().for_each(|part| self.part(part, events));
        let Some(reason) = candidate.finish_reason else { return Ok(()) };
        let stop = stop(&reason).ok_or_else(|| {
            let message = candidate.finish_message.unwrap_or_else(|| format!("the model's answer ended with {reason}"));
            UpstreamFault { kind: reason.clone(), ..UpstreamFault::new(message) }
        })?;
        self.finish(stop, events);
        Ok(())
    }

    fn part(&mut self, part: Part, events: &mut Vec<Event>) {
        let signature = part.thought_signature.filter(|signature| !signature.is_empty());
        if let Some(call) = part.function_call {
            return self.call(call, signature, events);
        }
        let opened = if part.thought == Some(true) { Opened::Reasoning } else { Opened::Text };
        if let Some(text) = part.text.filter(|text| !text.is_empty()) {
            self.say(opened.clone(), text, events);
        }
        let Some(data) = signature else { return };
        // the signature of a text stands in a thought of its own behind it
        if opened == Opened::Text || !matches!(self.open, Some((_, Opened::Reasoning))) {
            self.close(events);
            self.open(Opened::Reasoning, events);
        }
        if let Some((block, _)) = self.open {
            events.push(Event::Opaque { block, opaque: self.opaque(data) });
        }
        self.close(events);
    }

    fn say(&mut self, opened: Opened, text: String, events: &mut Vec<Event>) {
        self.said |= opened == Opened::Text;
        let block = match &self.open {
            Some((block, kind)) if *kind == opened => *block,
            _ => {
                self.close(events);
                self.open(opened, events)
            }
        };
        events.push(Event::Piece { block, text });
    }

    fn call(&mut self, call: FunctionCall, signature: Option<String>, events: &mut Vec<Event>) {
        self.close(events);
        self.said = true;
        let minted = format!("call_{}_{}", self.seed, self.blocks);
        let id = call.id.filter(|id| !id.is_empty()).unwrap_or(minted);
        let block = self.open(Opened::Call { id, name: call.name.unwrap_or_default() }, events);
        let args = call.args.filter(|args| args.as_str() != "null");
        let text = args.map_or_else(|| "{}".to_owned(), |args| args.as_str().to_owned());
        events.push(Event::Piece { block, text });
        if let Some(data) = signature {
            events.push(Event::Opaque { block, opaque: self.opaque(data) });
        }
        self.close(events);
    }

    fn opaque(&self, data: String) -> Opaque {
        Opaque { origin: Some(self.origin.clone()), kind: OpaqueKind::Signature, data }
    }

    fn finish(&mut self, stop: Stop, events: &mut Vec<Event>) {
        self.close(events);
        self.finished = true;
        events.push(Event::Stop(stop));
    }

    fn open(&mut self, opened: Opened, events: &mut Vec<Event>) -> u32 {
        let block = self.blocks;
        self.blocks += 1;
        events.push(Event::Open { block, opened: opened.clone() });
        self.open = Some((block, opened));
        block
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        if let Some((block, _)) = self.open.take() {
            events.push(Event::Close { block });
        }
    }
}

impl ReadAnswer for GeminiReader {
    fn event(&mut self, fields: &Fields<'_>, events: &mut Vec<Event>) -> Result<Heard, UpstreamFault> {
        let data = fields.data.trim_ascii();
        if data.is_empty() {
            return Ok(Heard::More);
        }
        let answered: Answered =
            json::lenient(data).map_err(|_| UpstreamFault::new("the upstream sent an event that is no answer of Gemini"))?;
        if answered.error.is_some() || fields.event == Some(b"error") {
            return Err(fault::named(Dialect::Gemini, data));
        }
        self.answered(answered, events)?;
        Ok(Heard::More)
    }

    fn whole(&mut self, body: &[u8], events: &mut Vec<Event>) -> Result<(), NotComplete> {
        let answered: Answered = whole_of(body)?;
        if answered.error.is_some() {
            return Err(NotComplete::Fault(fault::named(Dialect::Gemini, body)));
        }
        let is_answer = answered.prompt_feedback.is_some() || answered.candidates.as_ref().is_some_and(|some| !some.is_empty());
        if !is_answer {
            return Err(NotComplete::Fault(UpstreamFault::new("the upstream's answer has no candidate")));
        }
        self.answered(answered, events).map_err(NotComplete::Fault)?;
        self.finished = true;
        Ok(())
    }

    /// An answer whose own tokens nobody counted is not one of no tokens.
    fn report(&self) -> Report {
        match self.usage.report() {
            Report::Reported(_) if self.finished && self.said && !self.usage.output_said() => Report::Missing,
            report => report,
        }
    }

    fn output_is_final(&self) -> bool {
        self.finished && matches!(self.report(), Report::Reported(_))
    }

    fn is_whole(&self) -> bool {
        self.finished
    }
}

/// Gemini's words for an end; `None` for those that mean that the answer failed (WIRE.md 2.11).
fn stop(reason: &str) -> Option<Stop> {
    Some(match reason {
        // also for calls: what was called is known from the parts
        "STOP" => Stop::End,
        "MAX_TOKENS" => Stop::Length,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => Stop::Filtered,
        "CONTINUATION" => Stop::Pause,
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "MALFORMED_RESPONSE" => return None,
        other => {
            tracing::warn!("Gemini ended an answer with {:?}: taken for a plain end", other.get(..40).unwrap_or(other));
            Stop::End
        }
    })
}
