//! Tap on a stream that is passed through: classifies each event for the relay, reads the usage and counts the text. Must never
//! change an event, and must survive anything an upstream sends.

use bytes::Bytes;

use crate::dialect::error::UpstreamError;
use crate::dialect::text_counter::DeliveredText;
use crate::dialect::wire::sse::Fields;
use crate::dialect::wire::template::{Repetition, VariableParts};
use crate::domain::api_error::ApiError;
use crate::domain::usage::ReportedUsage;

/// Kind of an event, as the relay needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// no content: heads, pings, comments, role-only deltas, usage, unknown events
    Head,
    /// part of the answer
    Content,
    /// end of a complete stream: `[DONE]`, `message_stop`
    Terminal,
    /// end of an incomplete answer, equivalent to a body that breaks off
    Truncated,
    /// the usage chunk that the client did not ask for
    Hidden,
    /// in-band error of the upstream, or an event that cannot be read
    Error(UpstreamError),
}

/// Reader of one stream of one attempt.
pub(super) trait PassthroughTap {
    /// Reads one event.
    fn read(&mut self, event: &Fields<'_>) -> EventKind;

    /// Parts of the event just read that the next may have otherwise, if it would be content too and change nothing but count and
    /// number.
    fn variable_parts(&self) -> Option<VariableParts>;

    /// Counts an event that repeats the last one but for its variable parts.
    fn repeat(&mut self, event: &Repetition<'_>);

    /// Reads an event that is not forwarded, for its usage only.
    fn read_trailing_usage(&mut self, event: &Fields<'_>) -> EventKind;

    /// Usage so far: the last value of each field. Messages report the input at the start and the output at the end.
    fn report(&self) -> ReportedUsage;

    /// The reported output is final and not to be replaced by an estimate.
    fn output_is_final(&self) -> bool;

    /// Text forwarded so far.
    fn delivered(&self) -> DeliveredText;

    /// Events that end the stream with an error.
    fn error_events(&self, error: &ApiError, request_id: &str) -> Bytes;
}
