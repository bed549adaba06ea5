//! Failure of a streamed response, from the last step that was read of it.

use crate::config::Provider;
use crate::domain::attempt::FailureClass;
use crate::domain::event::Status;
use crate::gateway::exchange::failure;
use crate::gateway::exchange::outcome::{AttemptFailure, FailurePhase};
use crate::gateway::exchange::read_step::ReadStep;
use crate::upstream::TransportError;

/// A failed stream: the failure, and the status of its record while no content has reached the client, and after.
pub(super) struct StreamFailure {
    pub failure: AttemptFailure,
    pub early_status: Status,
    pub status: Status,
}

impl StreamFailure {
    /// The failure behind the last step of a stream that did not end well.
    pub fn of_step(step: ReadStep, of: &Provider, call_timeout_ms: u64) -> StreamFailure {
        let provider = of.name.as_str();
        let timeout = |message: String| {
            AttemptFailure::new(FailureClass::TimedOut, FailurePhase::AfterHead, message)
        };
        let (status, failure) = match step {
            ReadStep::Error { error, .. } => {
                return StreamFailure {
                    early_status: failure::status_of_error(&error),
                    status: Status::Broken,
                    failure: failure::in_band(of, &error),
                };
            }
            ReadStep::Transport(TransportError::IdleTimeout(ms)) => {
                let silent_s = ms.div_ceil(1_000);
                let message = format!("provider {provider} sent nothing more for {silent_s} s");
                let detail = format!("no data for {ms} ms");
                let failure = timeout(message).with_fault(provider, "idle_timeout", detail);
                (Status::Broken, failure)
            }
            ReadStep::Late => {
                let within_s = call_timeout_ms.div_ceil(1_000);
                let message =
                    format!("the answer of provider {provider} was not whole within {within_s} s");
                let detail = format!("stream incomplete after {call_timeout_ms} ms");
                let failure = timeout(message).with_fault(provider, "call_timeout", detail);
                (Status::Broken, failure)
            }
            ReadStep::Transport(error) => {
                let message = format!("the stream of provider {provider} failed: {error}");
                let failure = failure::bad_response(message);
                let (reason, detail) = (error.reason(), error.to_string());
                let failure = failure.with_fault(provider, reason, detail);
                (Status::Broken, failure)
            }
            ReadStep::BadFrame(error) => {
                let message = format!("the stream of provider {provider} cannot be read: {error}");
                (Status::Broken, failure::bad_response(message))
            }
            ReadStep::Truncated { .. } | ReadStep::Events { .. } | ReadStep::End { .. } => {
                let message = format!("the stream of provider {provider} broke off before its end");
                let detail = "stream without its last event";
                let failure = failure::bad_response(message);
                let failure = failure.with_fault(provider, "stream_truncated", detail);
                (Status::Truncated, failure)
            }
        };
        StreamFailure {
            failure,
            early_status: status,
            status,
        }
    }
}
