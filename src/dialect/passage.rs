//! The passage of one answer from upstream to client: alike bytes with a tee reading along, or a translation. Takes what the
//! upstream sends in any pieces, gives back what the client is to see and what it is for the relay.

use bytes::Bytes;

use crate::conversation::Remembered;
use crate::dialect::framing::{BadFrame, Frames, Framing};
use crate::dialect::output::Delivered;
use crate::dialect::tee::{Kind, Tee};
use crate::dialect::translation::Translation;
use crate::dialect::unary::{NotComplete, Unary, read_unary};
use crate::dialect::{Dialect, error_event};
use crate::domain::problem::Problem;
use crate::domain::usage::{Report, Usage};

/// One answer on its way.
pub struct Passage {
    frames: Frames,
    way: Way,
    /// the upstream's terminal event, to be passed on once the cost is booked
    terminal: Bytes,
}

enum Way {
    Alike { dialect: Dialect, tee: Tee },
    Translated(Box<Translation>),
}

/// One event of the upstream: what it is, and what the client sees of it (nothing yet of a terminal one).
pub struct Passed {
    pub kind: Kind,
    pub bytes: Bytes,
}

impl Passage {
    /// Both sides speak alike. `hide_usage_chunk`: the client did not ask for the usage chunk that the gateway asked for.
    pub fn alike(
        dialect: Dialect,
        framing: Framing,
        hide_usage_chunk: bool,
        event_bytes_max: usize,
    ) -> Passage {
        let way = Way::Alike {
            dialect,
            tee: Tee::new(dialect, hide_usage_chunk),
        };
        Passage {
            frames: Frames::new(framing, event_bytes_max),
            way,
            terminal: Bytes::new(),
        }
    }

    pub fn translated(
        translation: Translation,
        framing: Framing,
        event_bytes_max: usize,
    ) -> Passage {
        let way = Way::Translated(Box::new(translation));
        Passage {
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
    pub fn next_event(&mut self) -> Option<Passed> {
        let event = self.frames.next_event()?;
        Some(self.pass(event))
    }

    fn pass(&mut self, event: Bytes) -> Passed {
        match &mut self.way {
            Way::Alike { tee, .. } => match tee.read(&event) {
                Kind::Terminal => {
                    self.terminal = event;
                    Passed {
                        kind: Kind::Terminal,
                        bytes: Bytes::new(),
                    }
                }
                kind @ (Kind::Content | Kind::Head) => Passed { kind, bytes: event },
                kind @ (Kind::Hidden | Kind::Error(_) | Kind::CutOff) => Passed {
                    kind,
                    bytes: Bytes::new(),
                },
            },
            Way::Translated(translation) => {
                let mut bytes = Vec::new();
                let kind = translation.read(&event, &mut bytes);
                Passed {
                    kind,
                    bytes: bytes.into(),
                }
            }
        }
    }

    /// Reads the next whole event that has come for its usage alone, after a stream failed: nothing of it is for the client.
    pub fn overhear(&mut self) -> Option<Kind> {
        let event = self.frames.next_event()?;
        Some(match &mut self.way {
            Way::Alike { tee, .. } => tee.overhear(&event),
            Way::Translated(translation) => translation.overhear(&event),
        })
    }

    /// The upstream's body has ended. What it left without an end is told if it makes the answer whole, or is a whole error;
    /// else nothing: the stream is truncated.
    pub fn ended(&mut self) -> Option<Passed> {
        if let Some(rest) = self.frames.rest() {
            let is_whole_json =
                serde_json::from_slice::<serde::de::IgnoredAny>(&crate::dialect::parse(&rest).data)
                    .is_ok();
            let passed = self.pass(rest);
            match passed.kind {
                Kind::Terminal => return Some(passed),
                Kind::Error(_) if is_whole_json => return Some(passed),
                Kind::Content | Kind::Head if self.is_whole() => {
                    return Some(Passed {
                        kind: Kind::Terminal,
                        ..passed
                    });
                }
                _ => return None,
            }
        }
        self.is_whole().then(|| Passed {
            kind: Kind::Terminal,
            bytes: Bytes::new(),
        })
    }

    fn is_whole(&self) -> bool {
        match &self.way {
            Way::Alike { .. } => false,
            Way::Translated(translation) => translation.is_whole(),
        }
    }

    /// The end of the client's stream, after the cost is booked: `comment` stands just before the terminal event.
    pub fn end(&mut self, usage: &Usage, comment: &[u8]) -> Bytes {
        let end = match &mut self.way {
            Way::Alike { .. } => std::mem::take(&mut self.terminal),
            Way::Translated(translation) => translation.end(usage),
        };
        let before = match &self.way {
            Way::Alike { .. } => 0,
            Way::Translated(_) => last_event(&end),
        };
        [&end[..before], comment, &end[before..]].concat().into()
    }

    /// A failure within a stream that has begun, as the client reads it.
    pub fn failed(&mut self, problem: &Problem, request_id: &str) -> Bytes {
        match &mut self.way {
            Way::Alike { dialect, tee } => tee
                .failed(problem, request_id)
                .unwrap_or_else(|| error_event(*dialect, problem, request_id)),
            Way::Translated(translation) => translation.failed(problem, request_id),
        }
    }

    /// Reads a whole answer.
    pub fn whole(&mut self, body: &[u8]) -> Result<Unary, NotComplete> {
        match &mut self.way {
            Way::Alike { dialect, .. } => read_unary(*dialect, body),
            Way::Translated(translation) => translation.whole(body),
        }
    }

    /// A whole answer that was read, as the client reads it.
    pub fn written(&self, body: Bytes, usage: &Usage) -> Bytes {
        match &self.way {
            Way::Alike { .. } => body,
            Way::Translated(translation) => translation.written(usage),
        }
    }

    /// The client's dialect.
    pub fn dialect(&self) -> Dialect {
        match &self.way {
            Way::Alike { dialect, .. } => *dialect,
            Way::Translated(translation) => translation.client(),
        }
    }

    /// The usage as it stands.
    pub fn report(&self) -> Report {
        match &self.way {
            Way::Alike { tee, .. } => tee.report(),
            Way::Translated(translation) => translation.report(),
        }
    }

    /// Whether the report's output count is the last word, not to be replaced by an estimate.
    pub fn output_is_final(&self) -> bool {
        match &self.way {
            Way::Alike { tee, .. } => tee.output_is_final(),
            Way::Translated(translation) => translation.output_is_final(),
        }
    }

    /// All text of the answer so far.
    pub fn delivered(&self) -> Delivered {
        match &self.way {
            Way::Alike { tee, .. } => tee.delivered(),
            Way::Translated(translation) => translation.delivered(),
        }
    }

    /// What must be remembered for the turns that follow.
    pub fn remembered(&self) -> Option<Remembered> {
        match &self.way {
            Way::Alike { .. } => None,
            Way::Translated(translation) => translation.remembered(),
        }
    }
}

/// Where the last of several events begins. They are our own: each ends with an empty line, and has no other.
fn last_event(events: &[u8]) -> usize {
    let before = events.strip_suffix(b"\n\n").unwrap_or(events);
    memchr::memmem::rfind(before, b"\n\n").map_or(0, |end| end + 2)
}
