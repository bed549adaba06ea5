//! Decoder of chat responses. Tolerates vendors that borrow the dialect: reasoning under several names, content in parts of several
//! types, calls without ids or with their arguments as objects.

use serde::Deserialize;
use serde::de::MapAccess;
use serde_json::value::RawValue;

use crate::conversation::{BlockKind, OutputEvent, StopReason};
use crate::dialect::chat::chunk::{ChunkHead, choice_error, is_failure};
use crate::dialect::chat::stream::StreamedUsage;
use crate::dialect::codec::{ResponseDecoder, ResponseMeta, StreamState};
use crate::dialect::decoded_response::{IncompleteResponse, read_object};
use crate::dialect::error::{KindField, UpstreamError, read_error_event};
use crate::dialect::wire::json::{self, Arguments, FieldVisitor};
use crate::dialect::wire::sse::Fields;
use crate::domain::usage::ReportedUsage;

/// Decoder of one response; of several choices only the first.
pub(in crate::dialect) struct ChatDecoder {
    /// prefix of generated ids
    seed: String,
    usage: StreamedUsage,
    /// usage of a unary response
    report: Option<ReportedUsage>,
    blocks: u32,
    /// open block of text or reasoning
    open: Option<(u32, BlockKind)>,
    /// upstream index of a call, its id, its block
    calls: Vec<(u64, String, u32)>,
}

/// A chunk or a unary response that is translated.
#[derive(Clone, Default)]
struct TranslatedChunk {
    head: ChunkHead,
    choices: Vec<Choice>,
    /// the choices have another shape
    is_malformed: bool,
}

impl FieldVisitor for TranslatedChunk {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if name != "choices" {
            return self.head.member(name, map);
        }
        // usage beside malformed choices counts
        let json: &RawValue = map.next_value()?;
        match json::lenient::<Option<Vec<Choice>>>(json.get().as_bytes()) {
            Ok(choices) => self.choices = choices.unwrap_or_default(),
            Err(_) => self.is_malformed = true,
        }
        Ok(())
    }
}

impl TranslatedChunk {
    fn stopped(&self) -> bool {
        self.choices.iter().any(|choice| choice.stop().is_some())
    }

    fn has_text(&self) -> bool {
        let mut deltas = self
            .choices
            .iter()
            .filter_map(|choice| choice.delta.as_ref());
        deltas.any(Delta::has_text)
    }

    /// The error that the response reports.
    fn error(&self) -> Option<UpstreamError> {
        if self.head.error.seen {
            return Some(self.head.error.clone().error_or_default(KindField::Code));
        }
        let mut stops = self.choices.iter().filter_map(Choice::stop);
        stops.any(is_failure).then(choice_error)
    }
}

#[derive(Clone, Deserialize)]
struct Choice {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default, alias = "message")]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<Contents>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Contents {
    Text(String),
    Parts(Vec<Part>),
    Other(serde::de::IgnoredAny),
}

/// Mistral's parts: `{type: text, text}`, `{type: thinking, thinking: [{text}]}`.
#[derive(Clone, Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thinking: Option<Vec<ThoughtPart>>,
}

#[derive(Clone, Deserialize)]
struct ThoughtPart {
    #[serde(default)]
    text: String,
}

#[derive(Clone, Deserialize)]
struct Call {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Clone, Deserialize)]
struct Function {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Arguments,
}

impl Choice {
    /// The finish reason; some vendors send an empty one with every chunk.
    fn stop(&self) -> Option<&str> {
        self.finish_reason
            .as_deref()
            .filter(|reason| !reason.is_empty())
    }
}

impl Delta {
    fn has_text(&self) -> bool {
        let texts = [&self.refusal, &self.reasoning_content, &self.reasoning];
        let is_text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let has_content = match &self.content {
            Some(Contents::Text(text)) => !text.is_empty(),
            Some(Contents::Parts(parts)) => !parts.is_empty(),
            Some(Contents::Other(_)) | None => false,
        };
        let has_calls = self
            .tool_calls
            .as_ref()
            .is_some_and(|calls| !calls.is_empty());
        has_content || has_calls || texts.into_iter().any(is_text)
    }
}

impl ChatDecoder {
    pub(in crate::dialect) fn new(head: &ResponseMeta) -> ChatDecoder {
        ChatDecoder {
            seed: head.request_id.clone(),
            usage: StreamedUsage::default(),
            report: None,
            blocks: 0,
            open: None,
            calls: Vec::new(),
        }
    }

    /// Decodes the first choice; `false` if there is none.
    fn first_choice(&mut self, choices: Vec<Choice>, events: &mut Vec<OutputEvent>) -> bool {
        let mut choices = choices.into_iter();
        let Some(choice) = choices.find(|choice| choice.index.unwrap_or(0) == 0) else {
            return false;
        };
        let stop = choice.stop().map(stop);
        if let Some(delta) = choice.delta {
            self.delta(delta, events);
        }
        if let Some(stop) = stop {
            self.close(events);
            for (_, _, block) in self.calls.drain(..) {
                events.push(OutputEvent::Close { block });
            }
            events.push(OutputEvent::Stop(stop));
        }
        true
    }

    fn delta(&mut self, delta: Delta, events: &mut Vec<OutputEvent>) {
        // some vendors send the same reasoning under both names
        if let Some(text) = delta.reasoning_content.or(delta.reasoning) {
            self.append(BlockKind::Reasoning, text, events);
        }
        match delta.content {
            Some(Contents::Text(text)) => self.append(BlockKind::Text, text, events),
            Some(Contents::Parts(parts)) => {
                parts.into_iter().for_each(|part| self.part(part, events))
            }
            Some(Contents::Other(_)) | None => {}
        }
        if let Some(text) = delta.refusal {
            self.append(BlockKind::Text, text, events);
        }
        for call in delta.tool_calls.unwrap_or_default() {
            self.call(call, events);
        }
    }

    fn part(&mut self, part: Part, events: &mut Vec<OutputEvent>) {
        for thought in part.thinking.unwrap_or_default() {
            self.append(BlockKind::Reasoning, thought.text, events);
        }
        if let Some(text) = part.text {
            self.append(BlockKind::Text, text, events);
        }
    }

    /// Appends text or reasoning to the open block of its kind, or opens one.
    fn append(&mut self, block_kind: BlockKind, text: String, events: &mut Vec<OutputEvent>) {
        if text.is_empty() {
            return;
        }
        let block = match &self.open {
            Some((block, kind)) if *kind == block_kind => *block,
            _ => {
                self.close(events);
                let block = self.next_block();
                events.push(OutputEvent::Open {
                    block,
                    block_kind: block_kind.clone(),
                });
                self.open = Some((block, block_kind));
                block
            }
        };
        events.push(OutputEvent::Delta { block, text });
    }

    fn call(&mut self, call: Call, events: &mut Vec<OutputEvent>) {
        let (name, arguments) = call.function.map_or_else(Default::default, |function| {
            (function.name, function.arguments.0)
        });
        let id = call.id.filter(|id| !id.is_empty());
        let index = call.index.unwrap_or(match (&id, self.calls.last()) {
            // complete calls without an index: each has a name or id of its own
            (Some(id), Some((index, known, _))) if id != known => index + 1,
            (None, Some((index, ..))) if name.is_some() => index + 1,
            (_, Some((index, ..))) => *index,
            (_, None) => 0,
        });
        let known = self
            .calls
            .iter()
            .rev()
            .find(|(number, ..)| *number == index);
        let block = match known {
            // some vendors give every call the index 0 and distinguish them by id only
            Some((_, known, block))
                if id.as_ref().is_none_or(|id| id == known) || name.is_none() =>
            {
                *block
            }
            _ => self.open_call(index, id, name.unwrap_or_default(), events),
        };
        if !arguments.is_empty() {
            events.push(OutputEvent::Delta {
                block,
                text: arguments,
            });
        }
    }

    fn open_call(
        &mut self,
        index: u64,
        id: Option<String>,
        name: String,
        events: &mut Vec<OutputEvent>,
    ) -> u32 {
        self.close(events);
        let block = self.next_block();
        let id = id.unwrap_or_else(|| format!("call_{}_{block}", self.seed));
        self.calls.push((index, id.clone(), block));
        events.push(OutputEvent::Open {
            block,
            block_kind: BlockKind::Call { id, name },
        });
        block
    }

    fn close(&mut self, events: &mut Vec<OutputEvent>) {
        if let Some((block, _)) = self.open.take() {
            events.push(OutputEvent::Close { block });
        }
    }

    fn next_block(&mut self) -> u32 {
        self.blocks += 1;
        self.blocks - 1
    }
}

impl ResponseDecoder for ChatDecoder {
    fn event(
        &mut self,
        fields: &Fields<'_>,
        events: &mut Vec<OutputEvent>,
    ) -> Result<StreamState, UpstreamError> {
        let data = fields.data.trim_ascii();
        match data {
            _ if fields.event == Some(b"error") => {
                self.usage.ended = true;
                return Err(read_error_event(data, KindField::Code));
            }
            b"" => return Ok(StreamState::More),
            b"[DONE]" if self.usage.ended => return Ok(StreamState::End),
            b"[DONE]" => return Ok(StreamState::Truncated),
            _ => {}
        }
        let Ok(mut chunk) = json::read(&TranslatedChunk::default(), data) else {
            return Err(UpstreamError::event_not_json());
        };
        let (stopped, has_text) = (chunk.stopped(), chunk.has_text());
        self.usage.then(&mut chunk.head, stopped, has_text);
        if chunk.is_malformed {
            return Err(malformed());
        }
        let error = chunk.error();
        self.first_choice(chunk.choices, events);
        error.map_or(Ok(StreamState::More), Err)
    }

    fn decode_unary(
        &mut self,
        body: &[u8],
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), IncompleteResponse> {
        let response = read_object(&TranslatedChunk::default(), body)?;
        let report = response.head.usage.report();
        if let Some(error) = response.error() {
            return Err(IncompleteResponse::fault(error, report));
        }
        self.report = Some(report.clone());
        if response.is_malformed {
            return Err(IncompleteResponse::fault(malformed(), report));
        }
        if !self.first_choice(response.choices, events) {
            let error = UpstreamError::unreadable("the upstream's answer has no choice");
            return Err(IncompleteResponse::fault(error, report));
        }
        Ok(())
    }

    fn report(&self) -> ReportedUsage {
        self.report.clone().unwrap_or_else(|| self.usage.report())
    }

    fn output_is_final(&self) -> bool {
        self.report.is_some() || self.usage.output_is_final
    }
}

fn malformed() -> UpstreamError {
    UpstreamError::unreadable("the upstream sent a chunk of another shape")
}

/// Stop reason of every finish reason that vendors of this dialect send.
fn stop(reason: &str) -> StopReason {
    match reason {
        "length" | "max_tokens" => StopReason::Length,
        "model_length" => StopReason::ContextWindow,
        "tool_calls" | "function_call" | "tool_use" => StopReason::Tool,
        "content_filter" | "refusal" => StopReason::Filtered,
        "stop" | "eos" | "end_turn" | "stop_sequence" | "COMPLETE" => StopReason::End,
        other => {
            let reason = other.get(..40).unwrap_or(other);
            tracing::warn!(reason, "unknown finish reason; treated as a normal end");
            StopReason::End
        }
    }
}

#[cfg(test)]
mod tests;
