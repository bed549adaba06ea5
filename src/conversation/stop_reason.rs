//! Why an answer ended (shared by all dialects: WIRE.md 2.11).

/// The hub's word for it; errors are no stop but an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StopReason {
    #[default]
    End,
    /// a stop text was met; which, where the upstream says it
    Sequence(Option<String>),
    /// the output cap
    Length,
    Tool,
    /// refused, filtered, guardrail, a blocked prompt
    Filtered,
    ContextWindow,
    /// the vendor asks to be called again with what there is
    Pause,
}

impl StopReason {
    /// With what was seen of the answer: a call means `tool` whatever the upstream says of the end, and without one there is no
    /// `tool`. Length, filters and the like stand: the call may be cut off.
    #[must_use]
    pub fn with_calls(self, called: bool) -> StopReason {
        match (self, called) {
            (StopReason::End, true) => StopReason::Tool,
            (StopReason::Tool, false) => StopReason::End,
            (stop, _) => stop,
        }
    }
}
