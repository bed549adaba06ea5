//! Typed outcome of an attempt: a reply, or a failure with its class, its phase and what the vendor said. The failure becomes
//! an error of the gateway in one place, [`AttemptFailure::into_api_error`].

use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attempt::FailureClass;
use crate::domain::id::RequestId;
use crate::gateway::reply::Reply;

/// Outcome of one attempt.
pub(in crate::gateway) enum Outcome {
    Reply(Reply),
    /// the client had the head already and got the response through it
    Relayed,
    Failed(Box<AttemptFailure>),
}

/// Progress of the attempt when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum FailurePhase {
    /// nothing reached the vendor: it cannot bill
    BeforeDispatch,
    /// the request was sent and no head came: the vendor may bill
    Uncertain,
    /// the vendor answered
    AfterHead,
}

/// Fault of a provider, for the operator's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct ProviderFault {
    pub provider: String,
    /// one of a fixed set of words
    pub reason: &'static str,
    /// cause in the words of the system or a library; nothing of a client or of a vendor's body
    pub detail: String,
}

/// Failure of one attempt before any content reached the client.
pub(in crate::gateway) struct AttemptFailure {
    pub class: FailureClass,
    /// error code for the client, with its HTTP status
    pub code: ErrorCode,
    pub phase: FailurePhase,
    /// seconds after which the vendor, or the gateway, expects a retry
    pub retry_after_s: Option<u64>,
    /// effective status of the vendor's response, if a head came or an error inside the response names one
    pub vendor_status: Option<u16>,
    /// the vendor's own error code, empty if it gave none
    pub vendor_code: String,
    /// text for the client
    pub message: String,
    /// reply that forwards the vendor's rejection, where the client can mend the request
    pub forwarded: Option<Box<Reply>>,
    /// present where the provider is at fault
    pub fault: Option<Box<ProviderFault>>,
}

impl AttemptFailure {
    pub fn new(
        class: FailureClass,
        phase: FailurePhase,
        message: impl Into<String>,
    ) -> AttemptFailure {
        AttemptFailure {
            class,
            code: code_of(class),
            phase,
            retry_after_s: None,
            vendor_status: None,
            vendor_code: String::new(),
            message: message.into(),
            forwarded: None,
            fault: None,
        }
    }

    #[must_use]
    pub fn with_fault(
        mut self,
        provider: &str,
        reason: &'static str,
        detail: impl Into<String>,
    ) -> AttemptFailure {
        self.fault = Some(Box::new(ProviderFault {
            provider: provider.to_owned(),
            reason,
            detail: detail.into(),
        }));
        self
    }

    /// A failure that only a defect of the gateway can cause.
    pub fn defect(what: &str) -> AttemptFailure {
        let message = ApiError::defect(what).message;
        AttemptFailure::new(FailureClass::Gateway, FailurePhase::Uncertain, message)
    }

    /// The gateway stops before the response is complete.
    pub fn shutting_down(phase: FailurePhase) -> AttemptFailure {
        let message = "the gateway had to stop before the answer was whole";
        AttemptFailure {
            retry_after_s: Some(5),
            code: ErrorCode::ShuttingDown,
            ..AttemptFailure::new(FailureClass::Gateway, phase, message)
        }
    }

    /// The key of the call was disabled or deleted, and its running calls were to end.
    pub fn key_revoked(phase: FailurePhase) -> AttemptFailure {
        let message = "the key was revoked while the answer was under way; ask your administrator";
        AttemptFailure {
            code: ErrorCode::Authentication,
            ..AttemptFailure::new(FailureClass::Gateway, phase, message)
        }
    }

    /// Logs the failure of one attempt for the operator; the client gets at most its message.
    pub fn log(&self, request: RequestId) {
        tracing::debug!(
            %request,
            class = self.class.as_str(),
            phase = ?self.phase,
            vendor_status = self.vendor_status,
            vendor_code = self.vendor_code.as_str(),
            "attempt failed"
        );
    }

    /// The reply that forwards the vendor's rejection, or the failure itself.
    pub fn into_forwarded(mut self: Box<Self>) -> Result<Reply, Box<AttemptFailure>> {
        match self.forwarded.take() {
            Some(reply) => Ok(*reply),
            None => Err(self),
        }
    }

    /// The failure as an error of the gateway.
    pub fn into_api_error(self) -> ApiError {
        ApiError {
            retry_after_s: self.retry_after_s,
            ..ApiError::new(self.code, self.message)
        }
    }
}

/// Error code of a class, unless the cause has one of its own.
fn code_of(class: FailureClass) -> ErrorCode {
    match class {
        FailureClass::BadRequest | FailureClass::ContextTooLong | FailureClass::ContentFiltered => {
            ErrorCode::InvalidRequest
        }
        FailureClass::RateLimited => ErrorCode::RateLimitExceeded,
        FailureClass::Overloaded => ErrorCode::Overloaded,
        FailureClass::TimedOut => ErrorCode::UpstreamTimeout,
        FailureClass::Gateway => ErrorCode::Internal,
        FailureClass::BadCredential
        | FailureClass::QuotaExhausted
        | FailureClass::ModelNotFound
        | FailureClass::ConnectFailed
        | FailureClass::Broken => ErrorCode::UpstreamError,
    }
}

impl From<AttemptFailure> for Outcome {
    fn from(failure: AttemptFailure) -> Outcome {
        Outcome::Failed(Box::new(failure))
    }
}

impl From<Result<Reply, AttemptFailure>> for Outcome {
    fn from(result: Result<Reply, AttemptFailure>) -> Outcome {
        match result {
            Ok(reply) => Outcome::Reply(reply),
            Err(failure) => failure.into(),
        }
    }
}

/// Part of the response that the client has when an attempt fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum DeliveredPart {
    Nothing,
    Content,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::header_list::HeaderList;
    use FailureClass::*;

    #[test]
    fn failure_class_decides_the_error_code() {
        for (class, code) in [
            (BadRequest, ErrorCode::InvalidRequest),
            (ContextTooLong, ErrorCode::InvalidRequest),
            (ContentFiltered, ErrorCode::InvalidRequest),
            (BadCredential, ErrorCode::UpstreamError),
            (QuotaExhausted, ErrorCode::UpstreamError),
            (ModelNotFound, ErrorCode::UpstreamError),
            (RateLimited, ErrorCode::RateLimitExceeded),
            (Overloaded, ErrorCode::Overloaded),
            (TimedOut, ErrorCode::UpstreamTimeout),
            (ConnectFailed, ErrorCode::UpstreamError),
            (Broken, ErrorCode::UpstreamError),
            (Gateway, ErrorCode::Internal),
        ] {
            let mut failure = AttemptFailure::new(class, FailurePhase::AfterHead, "m");
            failure.retry_after_s = Some(7);
            let error = failure.into_api_error();
            assert_eq!(
                (error.code, error.retry_after_s, error.message.as_str()),
                (code, Some(7), "m"),
                "{class:?}"
            );
        }
    }

    #[test]
    fn failure_with_a_forwarded_rejection_yields_that_reply() {
        let rejection = Reply {
            status: 418,
            headers: HeaderList::default(),
            body: crate::gateway::reply::Body::Whole(bytes::Bytes::new()),
        };
        let failure = AttemptFailure::new(BadRequest, FailurePhase::AfterHead, "m");
        let plain = AttemptFailure::new(BadRequest, FailurePhase::AfterHead, "m");
        let forwarded = Box::new(AttemptFailure {
            forwarded: Some(Box::new(rejection)),
            ..failure
        });
        assert_eq!(
            forwarded.into_forwarded().map(|reply| reply.status).ok(),
            Some(418)
        );
        assert!(Box::new(plain).into_forwarded().is_err());
    }
}
