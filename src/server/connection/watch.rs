//! State of one connection and the deadline that follows from it. Told by the stream (bytes read, writes that wait) and by the
//! HTTP service (a request begins, its body has come, its answer ends); never acts by itself.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::registry::{EndReason, Entry};

/// Time that an answer is given to leave after its last byte was produced, besides the time that its length takes.
const SLOWEST_BYTES_PER_S: u64 = 16 * 1024;
/// Time in which the client takes the answer to a request whose body is not read, and closes.
const LINGER: Duration = Duration::from_secs(2);

/// Deadlines of a client's connection.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Timeouts {
    /// of a request head, from its first byte, or from the connection for the first
    pub head: Duration,
    /// without a request
    pub idle: Duration,
    /// without reading
    pub stall: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// from the connection, or the first byte of a further request, to the end of the head
    Head {
        by: Instant,
    },
    /// a request is read, served or answered; its handler has deadlines of its own
    Request,
    /// the last byte of the answer is on its way
    Flush {
        by: Instant,
    },
    /// the answer was sent before the body had come
    Linger {
        by: Instant,
    },
    Idle {
        by: Instant,
    },
}

/// State of one connection.
pub(in crate::server) struct Watch {
    timeouts: Timeouts,
    phase: Cell<Phase>,
    /// the client has read nothing since
    stalled: Cell<Option<Instant>>,
    /// the body of the current request has not come to its end
    body_open: Cell<bool>,
    /// the handler of the current request must be polled once more, whether or not anything comes from the client
    poll_due: Cell<bool>,
    /// `None` for the local admin socket, which is not bounded
    entry: Option<Entry>,
}

impl Watch {
    pub fn new(timeouts: Timeouts, entry: Option<Entry>) -> Watch {
        Watch {
            timeouts,
            phase: Cell::new(Phase::Head {
                by: Instant::now() + timeouts.head,
            }),
            stalled: Cell::new(None),
            body_open: Cell::new(false),
            poll_due: Cell::new(false),
            entry,
        }
    }

    pub(super) fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    pub(super) fn count(&self, reason: EndReason) {
        if let Some(entry) = &self.entry {
            entry.count(reason);
        }
    }

    /// Deadline of the present state, with the reason of an end by it.
    pub(super) fn deadline(&self) -> Option<(Instant, EndReason)> {
        let by_phase = match self.phase.get() {
            Phase::Head { by } => Some((by, EndReason::HeadTimeout)),
            Phase::Idle { by } => Some((by, EndReason::Idle)),
            Phase::Flush { by } => Some((by, EndReason::Stalled)),
            Phase::Linger { by } => Some((by, EndReason::UnreadBody)),
            Phase::Request => None,
        };
        let stall = self.stalled.get();
        let by_stall = stall.map(|since| (since + self.timeouts.stall, EndReason::Stalled));
        by_phase
            .into_iter()
            .chain(by_stall)
            .min_by_key(|(by, _)| *by)
    }

    pub(super) fn note_read(&self) {
        if let Phase::Idle { .. } = self.phase.get() {
            self.phase.set(Phase::Head {
                by: Instant::now() + self.timeouts.head,
            });
        }
    }

    pub(super) fn note_write(&self, waits: bool) {
        if !waits {
            self.stalled.set(None);
        } else if self.stalled.get().is_none() {
            self.stalled.set(Some(Instant::now()));
        }
    }

    /// All bytes of the answers so far have left.
    pub(super) fn note_flushed(&self) {
        if let Phase::Flush { .. } = self.phase.get() {
            self.phase.set(Phase::Idle {
                by: Instant::now() + self.timeouts.idle,
            });
        }
    }

    /// A request head is complete. While its body is read, the connection still waits for its client.
    pub(super) fn request_began(&self, has_body: bool) {
        self.phase.set(Phase::Request);
        self.body_open.set(has_body);
        self.poll_due.set(false);
        if !has_body {
            self.works();
        }
    }

    /// The body was read to its end.
    pub fn body_came(&self) {
        self.body_open.set(false);
        self.works();
    }

    /// Sees to a further poll of the handler after this one. The HTTP library polls most handlers twice in a row, so that few need one
    /// of their own.
    pub fn want_poll(&self) {
        self.poll_due.set(true);
    }

    /// The handler was polled again.
    pub fn note_poll(&self) {
        self.poll_due.set(false);
    }

    pub(super) fn is_poll_due(&self) -> bool {
        self.poll_due.get()
    }

    pub(super) fn is_body_open(&self) -> bool {
        self.body_open.get()
    }

    /// The last byte of the answer was produced.
    pub(super) fn answer_ended(&self, bytes: u64) {
        let now = Instant::now();
        self.phase.set(if self.body_open.get() {
            Phase::Linger { by: now + LINGER }
        } else {
            let leaving = Duration::from_secs(bytes / SLOWEST_BYTES_PER_S);
            Phase::Flush {
                by: now + self.timeouts.stall + leaving,
            }
        });
        if let Some(entry) = &self.entry {
            entry.wait();
        }
    }

    fn works(&self) {
        if let Some(entry) = &self.entry {
            entry.work();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn watch() -> Watch {
        let timeouts = Timeouts {
            head: 15 * SECOND,
            idle: 75 * SECOND,
            stall: 60 * SECOND,
        };
        Watch::new(timeouts, None)
    }

    /// Whole seconds to the deadline, rounded, and its reason.
    fn left(watch: &Watch) -> Option<(u64, EndReason)> {
        let (by, reason) = watch.deadline()?;
        let left = by.duration_since(Instant::now()).as_secs_f64();
        Some((left.round() as u64, reason))
    }

    #[test]
    fn every_state_of_a_connection_but_a_running_request_has_a_deadline() {
        let watch = watch();
        assert_eq!(left(&watch), Some((15, EndReason::HeadTimeout)));
        watch.request_began(false);
        assert_eq!(left(&watch), None);
        watch.answer_ended(160 * 1024);
        assert_eq!(left(&watch), Some((70, EndReason::Stalled)));
        watch.note_flushed();
        assert_eq!(left(&watch), Some((75, EndReason::Idle)));
        watch.note_read();
        let first = watch.deadline();
        watch.note_read();
        assert_eq!(
            watch.deadline(),
            first,
            "later bytes of a head gain no time"
        );
        assert_eq!(left(&watch), Some((15, EndReason::HeadTimeout)));
    }

    #[test]
    fn client_that_reads_nothing_has_a_deadline_in_every_state() {
        let watch = watch();
        watch.request_began(false);
        watch.note_write(true);
        let first = watch.deadline();
        watch.note_write(true);
        assert_eq!(
            (watch.deadline(), left(&watch)),
            (first, Some((60, EndReason::Stalled)))
        );
        watch.note_write(false);
        assert_eq!(left(&watch), None);
    }

    #[test]
    fn answer_before_the_end_of_the_body_leaves_two_seconds() {
        let watch = watch();
        watch.request_began(true);
        watch.answer_ended(0);
        watch.note_flushed();
        assert_eq!(left(&watch), Some((2, EndReason::UnreadBody)));
        watch.request_began(true);
        watch.body_came();
        watch.answer_ended(0);
        assert_eq!(left(&watch), Some((60, EndReason::Stalled)));
    }
}
