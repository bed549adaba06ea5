//! Life of a client's connection: every state has a deadline, every address and the process have a bound, and the oldest
//! connections that wait for their client go first. Works on any stream (TCP, local socket, TLS), below the HTTP library, whose
//! own timers cover a first head only.
//!
//! [`Registry`] bounds and counts; [`Watch`] is the state of one connection; [`WatchedStream`] and [`observe`] tell it what
//! happens; [`Watchdog`] ends the connection by dropping its future, and the calls in it, like a client that disconnects.

mod bounds;
mod framing;
mod observe;
mod registry;
mod stream;
mod watch;
mod watchdog;

pub(super) use bounds::ConnectionBounds;
pub(super) use observe::{answer, begin};
pub(super) use registry::Registry;
pub(super) use stream::WatchedStream;
pub(super) use watch::{Timeouts, Watch};
pub(super) use watchdog::Watchdog;
