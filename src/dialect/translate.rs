//! An answer on its way from an upstream's dialect to a client's: the upstream's events are read into the hub's, and these
//! are written in the client's dialect as they come. Must never tell a client that an answer is whole before the upstream did.

use bytes::Bytes;

use crate::conversation::{
    BlockKind, ChatResponse, OutputEvent, ResponseBuilder, RetainedReasoning, StateSealer,
    StopReason, ToolNames,
};
use crate::dialect::fault::UpstreamError;
use crate::dialect::output::DeliveredText;
use crate::dialect::tee::EventKind;
use crate::dialect::unary::{DecodedResponse, IncompleteResponse};
use crate::dialect::wire::sse;
use crate::dialect::wire::sse::Fields;
use crate::dialect::{
    Dialect, Request, chat, cohere, converse, error_event, gemini, messages, ollama, responses,
};
use crate::domain::api_error::ApiError;
use crate::domain::usage::{ReportedUsage, Usage};

/// Reads one answer of an upstream, as a stream or whole. Must survive anything an upstream sends.
pub(super) trait ResponseDecoder {
    /// One event of a stream (frames of other kinds are turned into server-sent events before). Adds what it says to `events`.
    fn event(
        &mut self,
        event: &Fields<'_>,
        events: &mut Vec<OutputEvent>,
    ) -> Result<StreamState, UpstreamError>;

    /// A whole answer. Adds what it says to `events`; the stop is one of them.
    fn whole(
        &mut self,
        body: &[u8],
        events: &mut Vec<OutputEvent>,
    ) -> Result<(), IncompleteResponse>;

    /// The usage as it stands: per field the last value.
    fn report(&self) -> ReportedUsage;

    /// Whether the report's output count is the upstream's last word.
    fn output_is_final(&self) -> bool;

    /// Whether the answer is whole if the upstream's body ends here: for dialects whose streams have no terminal event.
    fn is_whole(&self) -> bool {
        false
    }
}

/// What an event was for the stream as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamState {
    More,
    /// the terminal event: the answer is whole
    End,
    /// the terminal event of an answer that is not
    Truncated,
}

/// Writes one answer in a client's dialect.
pub(super) trait ResponseEncoder {
    /// Adds what the client is to see of one event. Stops are not written before `end`.
    fn event(&mut self, event: &OutputEvent, out: &mut Vec<u8>);

    /// Adds the last events of a stream: blocks that are open are closed, the stop and the usage told.
    fn end(&mut self, stop: &StopReason, usage: &Usage, out: &mut Vec<u8>);

    /// The failure of a stream that has begun.
    fn failed(&mut self, problem: &ApiError, request_id: &str) -> Bytes;

    /// A whole answer as a body.
    fn whole(&self, answer: &ChatResponse, usage: &Usage) -> String;
}

/// What a client's answer says of itself.
#[derive(Clone, Debug)]
pub struct ResponseMeta {
    /// of the gateway's request: every answer has an id of its own (E34)
    pub request_id: String,
    /// the model as the upstream knows it
    pub model: String,
    pub created_s: u64,
    /// seals what only the vendor can read
    pub envelope: StateSealer,
}

/// One answer.
pub struct Translation {
    client: Dialect,
    reader: Box<dyn ResponseDecoder>,
    writer: Box<dyn ResponseEncoder>,
    names: ToolNames,
    fold: ResponseBuilder,
    delivered: DeliveredText,
    events: Vec<OutputEvent>,
}

impl Translation {
    /// `None` where one of the dialects has no answers of this kind.
    pub fn new(
        upstream: Dialect,
        request: &Request,
        head: ResponseMeta,
        names: ToolNames,
    ) -> Option<Translation> {
        let reader = reader(upstream, &head)?;
        let writer = writer(request, head)?;
        let fold = if request.streamed {
            ResponseBuilder::reasoning_only()
        } else {
            ResponseBuilder::default()
        };
        let (delivered, events) = (DeliveredText::default(), Vec::new());
        Some(Translation {
            client: request.dialect,
            reader,
            writer,
            names,
            fold,
            delivered,
            events,
        })
    }

    /// Reads one whole raw event; what the client is to see of it is added to `out`.
    pub(super) fn read(&mut self, event: &[u8], out: &mut Vec<u8>) -> EventKind {
        let fields = sse::parse(event);
        if fields.only_comment {
            return EventKind::Head;
        }
        let heard = self.reader.event(&fields, &mut self.events);
        let has_content = self.tell(Some(out));
        kind(heard, has_content)
    }

    /// Reads an event that the client does not get to see, for its usage alone.
    pub(super) fn read_trailing_usage(&mut self, event: &[u8]) -> EventKind {
        let heard = self.reader.event(&sse::parse(event), &mut self.events);
        self.events.clear();
        kind(heard, false)
    }

    /// Takes the events that were read: into the fold, into the count of what was delivered, and written to `out`. Whether there
    /// was any content.
    fn tell(&mut self, mut out: Option<&mut Vec<u8>>) -> bool {
        let mut has_content = false;
        for mut event in self.events.drain(..) {
            if let OutputEvent::Open {
                block_kind: BlockKind::Call { name, .. },
                ..
            } = &mut event
                && !self.names.is_empty()
            {
                *name = self.names.original(name).to_owned();
            }
            has_content |= self.delivered.hear(&event);
            self.fold.add(&event);
            if let Some(out) = &mut out {
                self.writer.event(&event, out);
            }
        }
        has_content
    }

    /// Whether the answer is whole if the upstream's body ends here.
    pub(super) fn is_whole(&self) -> bool {
        self.reader.is_whole()
    }

    /// The end of the client's stream, after the cost is booked.
    pub(super) fn end(&mut self, usage: &Usage) -> Bytes {
        let mut out = Vec::new();
        self.writer.end(&self.fold.stop(), usage, &mut out);
        out.into()
    }

    pub(super) fn failed(&mut self, problem: &ApiError, request_id: &str) -> Bytes {
        self.writer.failed(problem, request_id)
    }

    /// Reads a whole answer.
    pub(super) fn whole(&mut self, body: &[u8]) -> Result<DecodedResponse, IncompleteResponse> {
        self.reader.whole(body, &mut self.events)?;
        self.tell(None);
        Ok(DecodedResponse {
            report: self.reader.report(),
            delivered: self.delivered,
        })
    }

    /// The whole answer as the client reads it.
    pub(super) fn written(&self, usage: &Usage) -> Bytes {
        self.writer.whole(&self.fold.clone().build(), usage).into()
    }

    pub(super) fn report(&self) -> ReportedUsage {
        self.reader.report()
    }

    pub(super) fn output_is_final(&self) -> bool {
        self.reader.output_is_final()
    }

    pub(super) fn delivered(&self) -> DeliveredText {
        self.delivered
    }

    /// What the next turns need and the client's dialect cannot carry.
    pub(super) fn retained_reasoning(&self) -> Option<RetainedReasoning> {
        let mut remembered = self.fold.clone().build().retained_reasoning()?;
        if self.client != Dialect::Chat {
            // these carry thoughts, sealed; what goes with a call none of them does
            remembered.reasoning.clear();
        }
        (!remembered.reasoning.is_empty()
            || remembered
                .calls
                .iter()
                .any(|(_, provider_state)| provider_state.is_some()))
        .then_some(remembered)
    }

    pub(super) fn client(&self) -> Dialect {
        self.client
    }
}

fn kind(heard: Result<StreamState, UpstreamError>, has_content: bool) -> EventKind {
    match heard {
        Err(fault) => EventKind::Error(fault),
        Ok(StreamState::End) => EventKind::Terminal,
        Ok(StreamState::Truncated) => EventKind::Truncated,
        Ok(StreamState::More) if has_content => EventKind::Content,
        Ok(StreamState::More) => EventKind::Head,
    }
}

impl DeliveredText {
    /// Counts what an event says; whether it is content.
    fn hear(&mut self, event: &OutputEvent) -> bool {
        match event {
            OutputEvent::Open {
                block_kind: BlockKind::Call { name, .. },
                ..
            } => {
                self.count(name);
                true
            }
            OutputEvent::Delta { text, .. } => {
                self.count(text);
                !text.is_empty()
            }
            OutputEvent::State { .. } => true,
            OutputEvent::Open { .. } | OutputEvent::Close { .. } | OutputEvent::Stop(_) => false,
        }
    }
}

fn reader(upstream: Dialect, head: &ResponseMeta) -> Option<Box<dyn ResponseDecoder>> {
    Some(match upstream {
        Dialect::Chat => Box::new(chat::ChatDecoder::new(head)),
        Dialect::Gemini => Box::new(gemini::GeminiDecoder::new(head)),
        Dialect::Cohere => Box::new(cohere::CohereDecoder::new(head)),
        Dialect::Ollama => Box::new(ollama::OllamaDecoder::new(head)),
        Dialect::Messages => Box::new(messages::MessagesDecoder::new(head)),
        Dialect::Converse => Box::new(converse::ConverseDecoder::new(head)),
        _ => return None,
    })
}

fn writer(request: &Request, head: ResponseMeta) -> Option<Box<dyn ResponseEncoder>> {
    Some(match request.dialect {
        Dialect::Chat => Box::new(chat::ChatEncoder::new(request, head)),
        Dialect::Responses => Box::new(responses::ResponsesEncoder::new(request, head)),
        Dialect::Messages => Box::new(messages::MessagesEncoder::new(head)),
        _ => return None,
    })
}

/// The usual way to tell a failure in a stream.
pub(super) fn failed(dialect: Dialect, problem: &ApiError, request_id: &str) -> Bytes {
    error_event(dialect, problem, request_id)
}
