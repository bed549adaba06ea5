//! One response on its way from upstream to client, passed through with a tap or translated event by event. Takes the upstream's bytes
//! in any pieces; returns what the client receives and its kind for the relay. Each event is parsed once. Must never end the client's
//! response before the upstream ended its own.

use bytes::Bytes;

use crate::conversation::{
    BlockKind, Origin, OutputEvent, ResponseBuilder, RetainedReasoning, ToolNames,
};
use crate::dialect::answer_check::AnswerCheck;
use crate::dialect::codec::{ResponseDecoder, ResponseEncoder, ResponseMeta, StreamState};
use crate::dialect::decoded_response::{DecodedResponse, IncompleteResponse};
use crate::dialect::embeddings;
use crate::dialect::error::UpstreamError;
use crate::dialect::name::{Dialect, Operation};
use crate::dialect::reasoning_tap::ReasoningTap;
use crate::dialect::request::Request;
use crate::dialect::tap::{EventKind, PassthroughTap};
use crate::dialect::text_counter::DeliveredText;
use crate::dialect::usage_rules::UsageRules;
use crate::dialect::wire::framing::{BadFrame, Frames, Framing};
use crate::dialect::wire::sse::{Fields, parse};
use crate::dialect::wire::template::EventTemplate;
use crate::domain::api_error::ApiError;
use crate::domain::usage::{ReportedUsage, Usage};

/// One response, stream or unary.
pub struct ResponseStream {
    frames: Frames,
    client: Dialect,
    usage_rules: UsageRules,
    mode: StreamMode,
}

/// Properties of the endpoint that answers, and the limit on its events.
#[derive(Clone, Copy, Debug)]
pub struct StreamOptions {
    pub framing: Framing,
    pub usage_rules: UsageRules,
    pub event_bytes_max: usize,
}

enum StreamMode {
    Passthrough {
        operation: Operation,
        tap: Box<dyn PassthroughTap>,
        /// present where the model wants its reasoning back
        reasoning: Option<Box<ReasoningTap>>,
        /// the upstream's terminal event, withheld until the cost is settled
        terminal: Bytes,
        template: EventTemplate,
    },
    Translated(Box<TranslatedResponse>),
}

/// One event of the upstream: its kind, and the bytes for the client, which are empty for a terminal event.
pub struct ForwardedEvent {
    pub kind: EventKind,
    pub bytes: Bytes,
}

impl ForwardedEvent {
    fn without_bytes(kind: EventKind) -> ForwardedEvent {
        ForwardedEvent {
            kind,
            bytes: Bytes::new(),
        }
    }
}

impl ResponseStream {
    /// Client and upstream speak the same dialect. `hide_usage_chunk`: the client did not ask for the usage chunk that the gateway
    /// asked for.
    pub fn passthrough(
        request: &Request,
        options: StreamOptions,
        hide_usage_chunk: bool,
    ) -> ResponseStream {
        ResponseStream {
            frames: Frames::new(options.framing, options.event_bytes_max),
            client: request.dialect,
            usage_rules: options.usage_rules,
            mode: StreamMode::Passthrough {
                operation: request.operation,
                tap: request.dialect.client_or_chat().tap(hide_usage_chunk),
                reasoning: None,
                terminal: Bytes::new(),
                template: EventTemplate::default(),
            },
        }
    }

    /// Reads the reasoning before calls of a response that is passed through, for later turns.
    #[must_use]
    pub fn retaining_reasoning(mut self, upstream: Dialect, meta: &ResponseMeta) -> ResponseStream {
        if let StreamMode::Passthrough { reasoning, .. } = &mut self.mode {
            let origin = Origin {
                dialect: upstream.as_str().into(),
                model: meta.model.clone(),
            };
            let decoder = upstream.upstream().decoder(meta);
            *reasoning = Some(Box::new(ReasoningTap::new(decoder, origin)));
        }
        self
    }

    /// Translates from the upstream's dialect. `names` are the names that the request's tools have upstream. `None` if one of the
    /// dialects is not translated.
    pub fn translated(
        upstream: Dialect,
        request: &Request,
        meta: ResponseMeta,
        names: ToolNames,
        options: StreamOptions,
    ) -> Option<ResponseStream> {
        let decoder = upstream.upstream().decoder(&meta);
        let encoder = request.dialect.client()?.encoder(request, meta);
        let answer = AnswerCheck::of(names.answer_form());
        let builder = if request.streamed {
            ResponseBuilder::reasoning_only()
        } else {
            ResponseBuilder::default()
        };
        Some(ResponseStream {
            frames: Frames::new(options.framing, options.event_bytes_max),
            client: request.dialect,
            usage_rules: options.usage_rules,
            mode: StreamMode::Translated(Box::new(TranslatedResponse {
                decoder,
                encoder,
                names,
                builder,
                delivered: DeliveredText::default(),
                events: Vec::new(),
                has_call: false,
                answer,
            })),
        })
    }

    /// Takes the next bytes of the upstream's stream.
    pub fn push(&mut self, bytes: Bytes) -> Result<(), BadFrame> {
        self.frames.push(bytes)
    }

    /// Next complete event.
    pub fn next_event(&mut self) -> Option<ForwardedEvent> {
        let event = self.frames.next_event()?;
        Some(self.take(event))
    }

    fn take(&mut self, event: Bytes) -> ForwardedEvent {
        if self.count_repetition(&event) {
            let kind = EventKind::Content;
            return ForwardedEvent { kind, bytes: event };
        }
        self.forward(&event, &parse(&event))
    }

    /// Counts an event that differs from the last one in its variable parts alone; `false` for any other event.
    fn count_repetition(&mut self, event: &[u8]) -> bool {
        let StreamMode::Passthrough { tap, template, .. } = &mut self.mode else {
            return false;
        };
        let repetition = template.repetition(event);
        if let Some(repetition) = &repetition {
            tap.repeat(repetition);
        }
        repetition.is_some()
    }

    fn forward(&mut self, event: &Bytes, fields: &Fields<'_>) -> ForwardedEvent {
        let lenient = self.usage_rules.ends_without_reason;
        match &mut self.mode {
            StreamMode::Passthrough {
                tap,
                terminal,
                reasoning,
                template,
                ..
            } => {
                if let Some(reasoning) = reasoning {
                    reasoning.read(fields);
                }
                let kind = end_by_usage(tap.read(fields), lenient);
                let is_read_once = kind == EventKind::Content && reasoning.is_none();
                let parts = is_read_once.then(|| tap.variable_parts()).flatten();
                template.learn(event, parts);
                match kind {
                    EventKind::Terminal => {
                        terminal.clone_from(event);
                        ForwardedEvent::without_bytes(EventKind::Terminal)
                    }
                    kind @ (EventKind::Content | EventKind::Head) => ForwardedEvent {
                        kind,
                        bytes: event.clone(),
                    },
                    kind @ (EventKind::Hidden | EventKind::Error(_) | EventKind::Truncated) => {
                        ForwardedEvent::without_bytes(kind)
                    }
                }
            }
            StreamMode::Translated(response) => {
                let mut forwarded = response.forward(fields);
                // a call may be cut, which a text alone never harms
                let is_end =
                    lenient && !response.has_call && is_complete(&response.decoder.report());
                forwarded.kind = end_by_usage(forwarded.kind, is_end);
                forwarded
            }
        }
    }

    /// Reads the next complete event for its usage only, after the stream has failed.
    pub fn read_trailing_usage(&mut self) -> Option<EventKind> {
        let event = self.frames.next_event()?;
        let fields = parse(&event);
        Some(match &mut self.mode {
            StreamMode::Passthrough { tap, .. } => tap.read_trailing_usage(&fields),
            StreamMode::Translated(response) => response.read_trailing_usage(&fields),
        })
    }

    /// The upstream's body has ended. An event without its end counts if it completes the response or is a complete error; otherwise the
    /// stream is truncated and there is no event.
    pub fn ended(&mut self) -> Option<ForwardedEvent> {
        let Some(rest) = self.frames.rest() else {
            let complete = self.is_complete().then(|| self.terminal());
            return complete.map(ForwardedEvent::without_bytes);
        };
        let fields = parse(&rest);
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&fields.data).is_ok();
        let event = self.forward(&rest, &fields);
        match event.kind {
            EventKind::Terminal => Some(event),
            EventKind::Error(_) if is_json => Some(event),
            EventKind::Content | EventKind::Head if self.is_complete() => Some(ForwardedEvent {
                kind: self.terminal(),
                ..event
            }),
            _ => None,
        }
    }

    fn is_complete(&self) -> bool {
        match &self.mode {
            StreamMode::Passthrough { .. } => false,
            StreamMode::Translated(response) => response.decoder.is_complete(),
        }
    }

    /// Kind of the end of a complete stream: an answer in another form than the client asked for is an error.
    fn terminal(&self) -> EventKind {
        match &self.mode {
            StreamMode::Passthrough { .. } => EventKind::Terminal,
            StreamMode::Translated(response) => match response.answer.fault() {
                Some(fault) => EventKind::Error(fault),
                None => EventKind::Terminal,
            },
        }
    }

    /// End of the client's stream, after settlement, with `comment` directly before the terminal event.
    pub fn end(&mut self, usage: &Usage, comment: &[u8]) -> Bytes {
        let (end, at) = match &mut self.mode {
            StreamMode::Passthrough { terminal, .. } => (std::mem::take(terminal), 0),
            StreamMode::Translated(response) => {
                let end = response.end(usage);
                let at = last_event(&end);
                (end, at)
            }
        };
        [&end[..at], comment, &end[at..]].concat().into()
    }

    /// Events that end the client's stream with an error.
    pub fn error_events(&mut self, error: &ApiError, request_id: &str) -> Bytes {
        match &mut self.mode {
            StreamMode::Passthrough { tap, .. } => tap.error_events(error, request_id),
            StreamMode::Translated(response) => response.encoder.error_events(error, request_id),
        }
    }

    /// Reads a unary response.
    pub fn decode_unary(&mut self, body: &[u8]) -> Result<DecodedResponse, IncompleteResponse> {
        let decoded = match &mut self.mode {
            StreamMode::Passthrough {
                operation: Operation::Embeddings,
                ..
            } => embeddings::decode_unary(body),
            StreamMode::Passthrough { reasoning, .. } => {
                if let Some(reasoning) = reasoning {
                    reasoning.read_unary(body);
                }
                self.client.client_or_chat().decode_unary(body)
            }
            StreamMode::Translated(response) => response.decode_unary(body),
        };
        let rules = self.usage_rules;
        match decoded {
            Ok(DecodedResponse { report, delivered }) => Ok(DecodedResponse {
                report: rules.apply(report, delivered),
                delivered,
            }),
            Err(IncompleteResponse::Fault { fault, report }) => {
                let report = rules.apply(*report, DeliveredText::default());
                Err(IncompleteResponse::fault(fault, report))
            }
            Err(flaw) => Err(flaw),
        }
    }

    /// The unary response that was read, as the client receives it.
    pub fn encode_unary(&self, body: Bytes, usage: &Usage) -> Bytes {
        match &self.mode {
            StreamMode::Passthrough { .. } => body,
            StreamMode::Translated(response) => response.encode_unary(usage),
        }
    }

    /// The client's dialect.
    pub fn dialect(&self) -> Dialect {
        self.client
    }

    /// Usage so far.
    pub fn report(&self) -> ReportedUsage {
        let report = match &self.mode {
            StreamMode::Passthrough { tap, .. } => tap.report(),
            StreamMode::Translated(response) => response.decoder.report(),
        };
        self.usage_rules.apply(report, self.delivered())
    }

    /// The reported output is final and not to be replaced by an estimate.
    pub fn output_is_final(&self) -> bool {
        match &self.mode {
            StreamMode::Passthrough { tap, .. } => tap.output_is_final(),
            StreamMode::Translated(response) => response.decoder.output_is_final(),
        }
    }

    /// Text of the response so far.
    pub fn delivered(&self) -> DeliveredText {
        match &self.mode {
            StreamMode::Passthrough { tap, .. } => tap.delivered(),
            StreamMode::Translated(response) => response.delivered,
        }
    }

    /// Reasoning that later turns need and the client's dialect cannot carry.
    pub fn retained_reasoning(&self) -> Option<RetainedReasoning> {
        let response = match &self.mode {
            StreamMode::Translated(response) => response,
            StreamMode::Passthrough { reasoning, .. } => return reasoning.as_ref()?.retained(),
        };
        let mut retained = response.builder.clone().build().retained_reasoning()?;
        if self.client != Dialect::Chat {
            // other dialects carry sealed reasoning, but no provider state of calls
            retained.reasoning.clear();
        }
        let has_call_state = retained.calls.iter().any(|(_, state)| state.is_some());
        (!retained.reasoning.is_empty() || has_call_state).then_some(retained)
    }
}

/// A response during its translation.
struct TranslatedResponse {
    decoder: Box<dyn ResponseDecoder>,
    encoder: Box<dyn ResponseEncoder>,
    names: ToolNames,
    builder: ResponseBuilder,
    delivered: DeliveredText,
    /// decoded, not yet encoded
    events: Vec<OutputEvent>,
    has_call: bool,
    answer: AnswerCheck,
}

impl TranslatedResponse {
    fn forward(&mut self, fields: &Fields<'_>) -> ForwardedEvent {
        if fields.only_comment {
            return ForwardedEvent::without_bytes(EventKind::Head);
        }
        let state = self.decoder.event(fields, &mut self.events);
        let mut bytes = Vec::new();
        let has_content = self.take_events(Some(&mut bytes));
        let fault = self.answer.fault();
        let state = match (state, fault) {
            (Ok(StreamState::End), Some(fault)) => Err(fault),
            (state, _) => state,
        };
        ForwardedEvent {
            kind: kind(state, has_content),
            bytes: bytes.into(),
        }
    }

    fn read_trailing_usage(&mut self, fields: &Fields<'_>) -> EventKind {
        let state = self.decoder.event(fields, &mut self.events);
        self.events.clear();
        kind(state, false)
    }

    fn end(&mut self, usage: &Usage) -> Bytes {
        let mut out = Vec::new();
        self.encoder.end(&self.builder.stop(), usage, &mut out);
        out.into()
    }

    fn decode_unary(&mut self, body: &[u8]) -> Result<DecodedResponse, IncompleteResponse> {
        self.decoder.decode_unary(body, &mut self.events)?;
        self.take_events(None);
        if let Some(fault) = self.answer.fault() {
            return Err(IncompleteResponse::fault(fault, self.decoder.report()));
        }
        Ok(DecodedResponse {
            report: self.decoder.report(),
            delivered: self.delivered,
        })
    }

    fn encode_unary(&self, usage: &Usage) -> Bytes {
        let response = self.builder.clone().build();
        self.encoder.encode_unary(&response, usage).into()
    }

    /// Counts the decoded events, adds them to the response and encodes them to `out`. Returns `true` if any is content.
    fn take_events(&mut self, mut out: Option<&mut Vec<u8>>) -> bool {
        let mut has_content = false;
        for event in std::mem::take(&mut self.events) {
            has_content |= self.delivered.count_event(&event);
            if self.answer.is_passive() {
                self.take_event(event, out.as_deref_mut());
                continue;
            }
            for event in self.answer.translate(event) {
                self.take_event(event, out.as_deref_mut());
            }
        }
        has_content
    }

    fn take_event(&mut self, mut event: OutputEvent, out: Option<&mut Vec<u8>>) {
        if let OutputEvent::Open {
            block_kind: BlockKind::Call { name, .. },
            ..
        } = &mut event
        {
            self.has_call = true;
            if !self.names.is_empty() {
                *name = self.names.original(name).to_owned();
            }
        }
        self.builder.add(&event);
        if let Some(out) = out {
            self.encoder.event(&event, out);
        }
    }
}

fn kind(state: Result<StreamState, UpstreamError>, has_content: bool) -> EventKind {
    match state {
        Err(error) => EventKind::Error(error),
        Ok(StreamState::End) => EventKind::Terminal,
        Ok(StreamState::Truncated) => EventKind::Truncated,
        Ok(StreamState::More) if has_content => EventKind::Content,
        Ok(StreamState::More) => EventKind::Head,
    }
}

/// Start of the last of several events. The gateway wrote them: each ends with an empty line and has no other.
pub(super) fn last_event(events: &[u8]) -> usize {
    let before = events.strip_suffix(b"\n\n").unwrap_or(events);
    memchr::memmem::rfind(before, b"\n\n").map_or(0, |end| end + 2)
}

/// A vendor of whom nothing is known may leave the finish reason out; what it sends is passed on, and a translation wants its usage.
fn end_by_usage(kind: EventKind, is_end: bool) -> EventKind {
    if kind == EventKind::Truncated && is_end {
        tracing::warn!("stream ended without a finish reason");
        return EventKind::Terminal;
    }
    kind
}

fn is_complete(report: &ReportedUsage) -> bool {
    matches!(report, ReportedUsage::Complete(_))
}

#[cfg(test)]
mod tests;
