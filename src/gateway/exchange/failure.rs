//! Failures of an attempt by their cause: transport errors, errors inside a response, a stopping process, an unavailable
//! ledger. Chooses class, phase and text; settles the hold where asked to.

use crate::config::Provider;
use crate::dialect::UpstreamError;
use crate::domain::api_error::ApiError;
use crate::domain::api_error::ErrorCode;
use crate::domain::attempt::FailureClass;
use crate::domain::event::Status;
use crate::gateway::admission::refusal;
use crate::gateway::exchange::hold::OpenHold;
use crate::gateway::exchange::outcome::{AttemptFailure, DeliveredPart, FailurePhase};
use crate::gateway::exchange::secrets;
use crate::gateway::inflight::InflightGuard;
use crate::meter::Receipt;
use crate::store::AppendError;
use crate::upstream::TransportError;

/// Failure of a request for which no response head came, and the status it is booked with.
pub(super) fn transport(provider: &str, error: &TransportError) -> (Status, AttemptFailure) {
    let (status, failure) = classify_transport(provider, error);
    let failure = failure.with_fault(provider, error.reason(), error.to_string());
    (status, failure)
}

fn classify_transport(provider: &str, error: &TransportError) -> (Status, AttemptFailure) {
    match error {
        // nothing was sent: nothing can have been billed
        TransportError::Connect { .. } | TransportError::Malformed(_) => {
            let message = format!("provider {provider} was not reached: {error}");
            let class = FailureClass::ConnectFailed;
            let failure = AttemptFailure::new(class, FailurePhase::BeforeDispatch, message);
            (Status::UpstreamError, failure)
        }
        TransportError::HeadTimeout(ms) => {
            let message = format!("provider {provider} sent no answer within {} s", ms / 1_000);
            let class = FailureClass::TimedOut;
            let failure = AttemptFailure::new(class, FailurePhase::Uncertain, message);
            (Status::Broken, failure)
        }
        other => {
            let message = format!("provider {provider}: {other}");
            let class = FailureClass::Broken;
            let failure = AttemptFailure::new(class, FailurePhase::Uncertain, message);
            (Status::Broken, failure)
        }
    }
}

/// Failure of a unary body that did not come whole.
pub(super) fn incomplete_body(provider: &str, error: &TransportError) -> AttemptFailure {
    let timed_out = matches!(
        error,
        TransportError::IdleTimeout(_) | TransportError::CallTimeout(_)
    );
    let class = if timed_out {
        FailureClass::TimedOut
    } else {
        FailureClass::Broken
    };
    let message = format!("the answer of provider {provider} did not come whole: {error}");
    AttemptFailure::new(class, FailurePhase::AfterHead, message).with_fault(
        provider,
        error.reason(),
        error.to_string(),
    )
}

/// A response that is cut short, malformed or of the wrong kind.
pub(super) fn bad_response(message: String) -> AttemptFailure {
    AttemptFailure::new(FailureClass::Broken, FailurePhase::AfterHead, message)
}

/// Failure for an error inside a response with status 200.
pub(super) fn in_band(provider: &Provider, error: &UpstreamError) -> AttemptFailure {
    let error = &secrets::masked_error(provider, error);
    let class = match provider
        .preset
        .failure_class(error.status, &error.kind, &error.message)
    {
        _ if error.unreadable => FailureClass::Broken,
        class => class,
    };
    // the client's to mend, as if the status had said so: a retry would be paid again
    let is_for_the_client = matches!(
        class,
        FailureClass::BadRequest | FailureClass::ContextTooLong | FailureClass::ContentFiltered
    );
    let provider = &provider.name;
    let message = if is_for_the_client {
        error.message.clone()
    } else if error.unreadable {
        format!(
            "the answer of provider {provider} cannot be read: {}",
            error.message
        )
    } else {
        format!("provider {provider} reported an error: {}", error.message)
    };
    let mut failure = AttemptFailure::new(class, FailurePhase::AfterHead, message);
    if error.status == Some(413) {
        failure.code = ErrorCode::RequestTooLarge;
    }
    AttemptFailure {
        vendor_status: error.status,
        vendor_code: error.kind.clone(),
        ..failure
    }
}

/// Status that a call is booked with after an error inside its response: an upstream that reports a failure bills nothing, one
/// that cannot be understood may.
pub(super) fn status_of_error(error: &UpstreamError) -> Status {
    if error.unreadable {
        Status::Broken
    } else {
        Status::UpstreamError
    }
}

/// Failure of a settlement.
pub(super) fn ledger(error: &AppendError) -> AttemptFailure {
    durability(refusal::ledger_unavailable(error))
}

/// Failure of the wait for a durable settlement.
pub(super) fn durability(error: ApiError) -> AttemptFailure {
    AttemptFailure {
        retry_after_s: error.retry_after_s,
        code: error.code,
        ..AttemptFailure::new(
            FailureClass::Gateway,
            FailurePhase::AfterHead,
            error.message,
        )
    }
}

/// Settles a hold; a failed settlement is the failure of the attempt.
pub(super) fn settle(hold: &mut OpenHold, status: Status) -> Result<Receipt, AttemptFailure> {
    hold.settle(status).map_err(|error| ledger(&error))
}

/// Settles the hold of a failed attempt and returns the failure to tell: that of the settlement comes first.
pub(super) fn settled(
    hold: &mut OpenHold,
    status: Status,
    failure: AttemptFailure,
) -> AttemptFailure {
    hold.note_failure(&failure, DeliveredPart::Nothing);
    settle(hold, status).err().unwrap_or(failure)
}

/// Failure of a call that was ordered to end: its key was revoked, or the process stops.
pub(super) fn ordered(guard: &InflightGuard, phase: FailurePhase) -> AttemptFailure {
    if guard.is_revoked() {
        AttemptFailure::key_revoked(phase)
    } else {
        AttemptFailure::shutting_down(phase)
    }
}

/// Settles a call that was ordered to end before anything of it was relayed.
pub(super) fn ended(
    hold: &mut OpenHold,
    guard: &InflightGuard,
    phase: FailurePhase,
) -> AttemptFailure {
    settled(hold, Status::Broken, ordered(guard, phase))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::ConnectCause;

    #[test]
    fn transport_error_phase_tells_whether_the_vendor_may_bill() {
        let connect = TransportError::Connect {
            cause: ConnectCause::Refused,
            text: "refused".into(),
        };
        let timeout = TransportError::HeadTimeout(5_000);
        let reset = TransportError::ConnectionLost("reset".into());
        let (before, uncertain) = (FailurePhase::BeforeDispatch, FailurePhase::Uncertain);
        for (error, status, class, phase) in [
            (
                connect,
                Status::UpstreamError,
                FailureClass::ConnectFailed,
                before,
            ),
            (timeout, Status::Broken, FailureClass::TimedOut, uncertain),
            (reset, Status::Broken, FailureClass::Broken, uncertain),
        ] {
            let (booked, failure) = transport("up", &error);
            assert_eq!(
                (booked, failure.class, failure.phase),
                (status, class, phase),
                "{error}"
            );
            let fault = failure.fault.expect("the provider is at fault");
            assert_eq!(
                (fault.provider.as_str(), fault.reason),
                ("up", error.reason())
            );
        }
    }

    #[test]
    fn in_band_error_class_follows_the_vendors_status_and_code() {
        let preset = crate::provider::find("openai").expect("openai");
        let error = |status, kind: &str| UpstreamError {
            status,
            kind: kind.to_owned(),
            ..UpstreamError::new("m")
        };
        for (error, class) in [
            (error(Some(529), ""), FailureClass::Overloaded),
            (
                error(Some(429), "insufficient_quota"),
                FailureClass::QuotaExhausted,
            ),
            (error(Some(429), ""), FailureClass::RateLimited),
            (error(Some(504), ""), FailureClass::TimedOut),
            (error(Some(500), ""), FailureClass::Broken),
            (error(Some(400), ""), FailureClass::BadRequest),
            (error(Some(422), ""), FailureClass::BadRequest),
            (error(Some(413), ""), FailureClass::ContextTooLong),
        ] {
            let found = preset.failure_class(error.status, &error.kind, &error.message);
            assert_eq!(found, class, "{error:?}");
        }
    }
}
