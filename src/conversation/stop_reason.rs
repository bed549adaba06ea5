//! Canonical stop reason of a response. Failed responses have none: they must be errors.

/// Reason for the end of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StopReason {
    #[default]
    End,
    /// a stop sequence matched; its text, if the upstream reports it
    Sequence(Option<String>),
    /// the output cap
    Length,
    Tool,
    /// model refusal, content filter, guardrail or blocked prompt
    Filtered,
    ContextWindow,
    /// the vendor requests another call to continue the turn
    Pause,
}

impl StopReason {
    /// Reason corrected by the content: a normal end with a call is `Tool`, and `Tool` without a
    /// call is a normal end. Other reasons stay, because the call can be truncated.
    #[must_use]
    pub fn with_calls(self, has_call: bool) -> StopReason {
        match (self, has_call) {
            (StopReason::End, true) => StopReason::Tool,
            (StopReason::Tool, false) => StopReason::End,
            (stop, _) => stop,
        }
    }
}
