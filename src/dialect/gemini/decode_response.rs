//! Decodes `generateContent` responses, unary and streamed, into canonical output events. A stream
//! has no terminal event: it is complete once a finish reason was read. Calls arrive complete,
//! sometimes without an id; a signature on a part is attached to the block it signs. Must never
//! report a truncated stream as complete.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::conversation::{
    BlockKind, Origin, OutputEvent, ProviderState, ProviderStateKind, RawJson, StopReason,
};
use crate::dialect::codec::{ResponseDecoder, ResponseMeta, StreamState};
use crate::dialect::decoded_response::{IncompleteResponse, parse_object};
use crate::dialect::error::{KindField, UpstreamError, read_error_event};
use crate::dialect::gemini::usage::GeminiUsage;
use crate::dialect::name::Dialect;
use crate::dialect::wire::json;
use crate::dialect::wire::sse::Fields;
use crate::domain::usage::{ReportedUsage, Side};

/// Decoder of one response; of several candidates only the first is read.
pub(in crate::dialect) struct GeminiDecoder {
    /// prefix of generated call ids
    request_id: String,
    origin: Origin,
    usage: GeminiUsage,
    blocks: u32,
    /// open block of text or reasoning
    open: Option<(u32, BlockKind)>,
    /// text or a call was read
    has_output: bool,
    finished: bool,
    /// finished or failed
    ended: bool,
    /// an output count arrived with the end or after it; earlier counts are partial
    output_counted: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenerateContentResponse {
    candidates: Option<Vec<Candidate>>,
    prompt_feedback: Option<PromptFeedback>,
    #[serde(default)]
    usage_metadata: GeminiUsage,
    #[serde(default, deserialize_with = "json::if_it_fits")]
    service_tier: Option<String>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    index: Option<u64>,
    content: Option<CandidateContent>,
    finish_reason: Option<String>,
    #[serde(default, deserialize_with = "json::if_it_fits")]
    finish_message: Option<String>,
}

#[derive(Deserialize)]
struct CandidateContent {
    parts: Option<Vec<CandidatePart>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CandidatePart {
    #[serde(default)]
    thought: Option<bool>,
    text: Option<String>,
    function_call: Option<CandidateCall>,
    thought_signature: Option<String>,
}

#[derive(Deserialize)]
struct CandidateCall {
    id: Option<String>,
    name: Option<String>,
    args: Option<RawJson>,
}

impl GeminiDecoder {
    pub(in crate::dialect) fn new(meta: &ResponseMeta) -> GeminiDecoder {
        GeminiDecoder {
            request_id: meta.request_id.clone(),
            origin: Origin {
                dialect: Dialect::Gemini.as_str().into(),
                model: meta.model.clone(),
            },
            usage: GeminiUsage::default(),
            blocks: 0,
            open: None,
            has_output: false,
            finished: false,
            ended: false,
            output_counted: false,
        }
    }

    fn response(
        &mut self,
        response: GenerateContentResponse,
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), UpstreamError> {
        let first = response
            .candidates
            .unwrap_or_default()
            .into_iter()
            .find(|candidate| candidate.index.unwrap_or(0) == 0);
        let is_blocked = response
            .prompt_feedback
            .is_some_and(|feedback| feedback.block_reason.is_some());
        let result = match first {
            Some(candidate) => self.candidate(candidate, events),
            // no candidates: the prompt was blocked
            None if is_blocked => {
                self.finish(StopReason::Filtered, events);
                Ok(())
            }
            None => Ok(()),
        };
        self.ended |= self.finished || result.is_err();
        self.add_usage(response.usage_metadata);
        self.usage.service_tier = response.service_tier.or(self.usage.service_tier.take());
        result
    }

    fn add_usage(&mut self, later: GeminiUsage) {
        self.output_counted |= self.ended
            && match later.report() {
                ReportedUsage::Missing => false,
                // Gemini omits a count of zero
                ReportedUsage::Partial {
                    missing: Side::Output,
                    ..
                } => !self.has_output,
                ReportedUsage::Partial { .. }
                | ReportedUsage::Complete(_)
                | ReportedUsage::Invalid => true,
            };
        self.usage.merge(later);
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
        let stop = stop_reason(&reason).ok_or_else(|| {
            let message = candidate
                .finish_message
                .unwrap_or_else(|| format!("model response failed with finish reason `{reason}`"));
            UpstreamError {
                kind: reason.clone(),
                ..UpstreamError::new(message)
            }
        })?;
        self.finish(stop, events);
        Ok(())
    }

    fn part(&mut self, part: CandidatePart, events: &mut Vec<OutputEvent>) {
        let signature = part
            .thought_signature
            .filter(|signature| !signature.is_empty());
        if let Some(call) = part.function_call {
            return self.function_call(call, signature, events);
        }
        let kind = if part.thought == Some(true) {
            BlockKind::Reasoning
        } else {
            BlockKind::Text
        };
        if let Some(text) = part.text.filter(|text| !text.is_empty()) {
            self.push_text(kind.clone(), text, events);
        }
        let Some(data) = signature else { return };
        // the signature of a text becomes a reasoning block of its own after the text
        if kind == BlockKind::Text || !matches!(self.open, Some((_, BlockKind::Reasoning))) {
            self.close(events);
            self.open(BlockKind::Reasoning, events);
        }
        if let Some((block, _)) = self.open {
            events.push(OutputEvent::State {
                block,
                provider_state: self.provider_state(data),
            });
        }
        self.close(events);
    }

    fn push_text(&mut self, kind: BlockKind, text: String, events: &mut Vec<OutputEvent>) {
        self.has_output |= kind == BlockKind::Text;
        let block = match &self.open {
            Some((block, open)) if *open == kind => *block,
            _ => {
                self.close(events);
                self.open(kind, events)
            }
        };
        events.push(OutputEvent::Delta { block, text });
    }

    fn function_call(
        &mut self,
        call: CandidateCall,
        signature: Option<String>,
        events: &mut Vec<OutputEvent>,
    ) {
        self.close(events);
        self.has_output = true;
        let generated = format!("call_{}_{}", self.request_id, self.blocks);
        let id = call.id.filter(|id| !id.is_empty()).unwrap_or(generated);
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
            events.push(OutputEvent::State {
                block,
                provider_state: self.provider_state(data),
            });
        }
        self.close(events);
    }

    fn provider_state(&self, data: String) -> ProviderState {
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
        let response: GenerateContentResponse = json::lenient(data)
            .map_err(|_| UpstreamError::unreadable("malformed Gemini event from the upstream"))?;
        if response.error.is_some() || fields.event == Some(b"error") {
            self.ended = true;
            self.add_usage(response.usage_metadata);
            return Err(read_error_event(data, KindField::Code));
        }
        self.response(response, events)?;
        Ok(StreamState::More)
    }

    fn decode_unary(
        &mut self,
        body: &[u8],
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), IncompleteResponse> {
        let response: GenerateContentResponse = parse_object(body)?;
        if response.error.is_some() {
            return Err(IncompleteResponse::fault(
                read_error_event(body, KindField::Code),
                response.usage_metadata.report(),
            ));
        }
        let has_candidates = response
            .candidates
            .as_ref()
            .is_some_and(|candidates| !candidates.is_empty());
        if !has_candidates && response.prompt_feedback.is_none() {
            let fault = UpstreamError::unreadable("upstream response has no candidate");
            return Err(IncompleteResponse::fault(
                fault,
                response.usage_metadata.report(),
            ));
        }
        self.response(response, events)
            .map_err(|fault| IncompleteResponse::fault(fault, self.report()))?;
        self.finished = true;
        self.output_counted = true;
        Ok(())
    }

    /// Gemini omits a count of zero: a finished response without output used no output tokens.
    fn report(&self) -> ReportedUsage {
        match self.usage.report() {
            ReportedUsage::Partial {
                usage,
                missing: Side::Output,
            } if self.finished && !self.has_output => ReportedUsage::Complete(usage),
            report => report,
        }
    }

    fn output_is_final(&self) -> bool {
        let is_missing = matches!(
            self.report(),
            ReportedUsage::Missing
                | ReportedUsage::Partial {
                    missing: Side::Output,
                    ..
                }
        );
        self.output_counted && !is_missing
    }

    fn is_complete(&self) -> bool {
        self.finished
    }
}

/// Stop reason of a Gemini `finishReason`; `None` if the response failed.
fn stop_reason(reason: &str) -> Option<StopReason> {
    Some(match reason {
        // also after calls, which are known from the parts
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
            let reason = other.get(..40).unwrap_or(other);
            tracing::warn!(
                ?reason,
                "unknown Gemini finish reason; treated as the end of the turn"
            );
            StopReason::End
        }
    })
}

#[cfg(test)]
mod tests;
