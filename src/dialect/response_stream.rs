//! The passage of one answer from upstream to client: alike bytes with a tee reading along, or a translation. Takes what the
//! upstream sends in any pieces, gives back what the client is to see and what it is for the relay.

use bytes::Bytes;

use crate::conversation::RetainedReasoning;
use crate::dialect::output::DeliveredText;
use crate::dialect::tee::{EventKind, PassthroughTap};
use crate::dialect::translate::Translation;
use crate::dialect::unary::{DecodedResponse, IncompleteResponse, decode_unary};
use crate::dialect::wire::framing::{BadFrame, Frames, Framing};
use crate::dialect::{Dialect, error_event};
use crate::domain::api_error::ApiError;
use crate::domain::usage::{ReportedUsage, Usage};

/// One answer on its way.
pub struct ResponseStream {
    frames: Frames,
    way: StreamMode,
    /// the upstream's terminal event, to be passed on once the cost is booked
    terminal: Bytes,
}

enum StreamMode {
    Passthrough {
        dialect: Dialect,
        tee: PassthroughTap,
    },
    Translated(Box<Translation>),
}

/// One event of the upstream: what it is, and what the client sees of it (nothing yet of a terminal one).
pub struct ForwardedEvent {
    pub kind: EventKind,
    pub bytes: Bytes,
}

impl ResponseStream {
    /// Both sides speak alike. `hide_usage_chunk`: the client did not ask for the usage chunk that the gateway asked for.
    pub fn passthrough(
        dialect: Dialect,
        framing: Framing,
        hide_usage_chunk: bool,
        event_bytes_max: usize,
    ) -> ResponseStream {
        let way = StreamMode::Passthrough {
            dialect,
            tee: PassthroughTap::new(dialect, hide_usage_chunk),
        };
        ResponseStream {
            frames: Frames::new(framing, event_bytes_max),
            way,
            terminal: Bytes::new(),
        }
    }

    pub fn translated(
        translation: Translation,
        framing: Framing,
        event_bytes_max: usize,
    ) -> ResponseStream {
        let way = StreamMode::Translated(Box::new(translation));
        ResponseStream {
            frames: Frames::new(framing, event_bytes_max),
            way,
            terminal: Bytes::new(),
        }
    }

    /// Takes the next bytes of the upstream's stream.
    pub fn push(&mut self, bytes: Bytes) -> Result<(), BadFrame> {
        self.frames.push(bytes)
    }

    /// The next whole event that has come.
    pub fn next_event(&mut self) -> Option<ForwardedEvent> {
        let event = self.frames.next_event()?;
        Some(self.pass(event))
    }

    fn pass(&mut self, event: Bytes) -> ForwardedEvent {
        match &mut self.way {
            StreamMode::Passthrough { tee, .. } => match tee.read(&event) {
                EventKind::Terminal => {
                    self.terminal = event;
                    ForwardedEvent {
                        kind: EventKind::Terminal,
                        bytes: Bytes::new(),
                    }
                }
                kind @ (EventKind::Content | EventKind::Head) => {
                    ForwardedEvent { kind, bytes: event }
                }
                kind @ (EventKind::Hidden | EventKind::Error(_) | EventKind::Truncated) => {
                    ForwardedEvent {
                        kind,
                        bytes: Bytes::new(),
                    }
                }
            },
            StreamMode::Translated(translation) => {
                let mut bytes = Vec::new();
                let kind = translation.read(&event, &mut bytes);
                ForwardedEvent {
                    kind,
                    bytes: bytes.into(),
                }
            }
        }
    }

    /// Reads the next whole event that has come for its usage alone, after a stream failed: nothing of it is for the client.
    pub fn read_trailing_usage(&mut self) -> Option<EventKind> {
        let event = self.frames.next_event()?;
        Some(match &mut self.way {
            StreamMode::Passthrough { tee, .. } => tee.read_trailing_usage(&event),
            StreamMode::Translated(translation) => translation.read_trailing_usage(&event),
        })
    }

    /// The upstream's body has ended. What it left without an end is told if it makes the answer whole, or is a whole error;
    /// else nothing: the stream is truncated.
    pub fn ended(&mut self) -> Option<ForwardedEvent> {
        if let Some(rest) = self.frames.rest() {
            let is_whole_json =
                serde_json::from_slice::<serde::de::IgnoredAny>(&crate::dialect::parse(&rest).data)
                    .is_ok();
            let passed = self.pass(rest);
            match passed.kind {
                EventKind::Terminal => return Some(passed),
                EventKind::Error(_) if is_whole_json => return Some(passed),
                EventKind::Content | EventKind::Head if self.is_whole() => {
                    return Some(ForwardedEvent {
                        kind: EventKind::Terminal,
                        ..passed
                    });
                }
                _ => return None,
            }
        }
        self.is_whole().then(|| ForwardedEvent {
            kind: EventKind::Terminal,
            bytes: Bytes::new(),
        })
    }

    fn is_whole(&self) -> bool {
        match &self.way {
            StreamMode::Passthrough { .. } => false,
            StreamMode::Translated(translation) => translation.is_whole(),
        }
    }

    /// The end of the client's stream, after the cost is booked: `comment` stands just before the terminal event.
    pub fn end(&mut self, usage: &Usage, comment: &[u8]) -> Bytes {
        let end = match &mut self.way {
            StreamMode::Passthrough { .. } => std::mem::take(&mut self.terminal),
            StreamMode::Translated(translation) => translation.end(usage),
        };
        let before = match &self.way {
            StreamMode::Passthrough { .. } => 0,
            StreamMode::Translated(_) => last_event(&end),
        };
        [&end[..before], comment, &end[before..]].concat().into()
    }

    /// A failure within a stream that has begun, as the client reads it.
    pub fn failed(&mut self, problem: &ApiError, request_id: &str) -> Bytes {
        match &mut self.way {
            StreamMode::Passthrough { dialect, tee } => tee
                .failed(problem, request_id)
                .unwrap_or_else(|| error_event(*dialect, problem, request_id)),
            StreamMode::Translated(translation) => translation.failed(problem, request_id),
        }
    }

    /// Reads a whole answer.
    pub fn whole(&mut self, body: &[u8]) -> Result<DecodedResponse, IncompleteResponse> {
        match &mut self.way {
            StreamMode::Passthrough { dialect, .. } => decode_unary(*dialect, body),
            StreamMode::Translated(translation) => translation.whole(body),
        }
    }

    /// A whole answer that was read, as the client reads it.
    pub fn written(&self, body: Bytes, usage: &Usage) -> Bytes {
        match &self.way {
            StreamMode::Passthrough { .. } => body,
            StreamMode::Translated(translation) => translation.written(usage),
        }
    }

    /// The client's dialect.
    pub fn dialect(&self) -> Dialect {
        match &self.way {
            StreamMode::Passthrough { dialect, .. } => *dialect,
            StreamMode::Translated(translation) => translation.client(),
        }
    }

    /// The usage as it stands.
    pub fn report(&self) -> ReportedUsage {
        match &self.way {
            StreamMode::Passthrough { tee, .. } => tee.report(),
            StreamMode::Translated(translation) => translation.report(),
        }
    }

    /// Whether the report's output count is the last word, not to be replaced by an estimate.
    pub fn output_is_final(&self) -> bool {
        match &self.way {
            StreamMode::Passthrough { tee, .. } => tee.output_is_final(),
            StreamMode::Translated(translation) => translation.output_is_final(),
        }
    }

    /// All text of the answer so far.
    pub fn delivered(&self) -> DeliveredText {
        match &self.way {
            StreamMode::Passthrough { tee, .. } => tee.delivered(),
            StreamMode::Translated(translation) => translation.delivered(),
        }
    }

    /// What must be remembered for the turns that follow.
    pub fn retained_reasoning(&self) -> Option<RetainedReasoning> {
        match &self.way {
            StreamMode::Passthrough { .. } => None,
            StreamMode::Translated(translation) => translation.retained_reasoning(),
        }
    }
}

/// Where the last of several events begins. They are our own: each ends with an empty line, and has no other.
fn last_event(events: &[u8]) -> usize {
    let before = events.strip_suffix(b"\n\n").unwrap_or(events);
    memchr::memmem::rfind(before, b"\n\n").map_or(0, |end| end + 2)
}
