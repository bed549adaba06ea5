//! Error table of the API: every error code with its HTTP status and its Anthropic error type, and `ApiError`, one error with
//! its message. The codes are a contract; a message never contains a secret or a prompt.

use std::fmt;

use crate::domain::budget::Remainder;
use crate::domain::limit::Allowance;

/// Error code; clients match on its text, which is a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    InvalidRequest,
    ModelAmbiguous,
    Authentication,
    KeyExpired,
    BudgetExceeded,
    PriceUnknown,
    CostUnbounded,
    PermissionDenied,
    ModelNotAllowed,
    ModelNotFound,
    NotFound,
    /// the URL exists and does not take this method
    MethodNotAllowed,
    Conflict,
    ManagedByFile,
    PreconditionFailed,
    RequestTooLarge,
    /// a body in a coding or of a type that is not read
    UnsupportedMediaType,
    /// WebSocket upgrade; not supported
    UpgradeRefused,
    RateLimitExceeded,
    BudgetHeld,
    NotSupported,
    UpstreamError,
    UpstreamTimeout,
    Overloaded,
    LedgerUnavailable,
    ShuttingDown,
    /// defect of the gateway
    Internal,
}

impl ErrorCode {
    /// HTTP status, code, Anthropic error type.
    const fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            ErrorCode::InvalidRequest => (400, "invalid_request_error", "invalid_request_error"),
            ErrorCode::ModelAmbiguous => (400, "model_ambiguous", "invalid_request_error"),
            ErrorCode::Authentication => (401, "authentication_error", "authentication_error"),
            ErrorCode::KeyExpired => (401, "key_expired", "authentication_error"),
            ErrorCode::BudgetExceeded => (402, "budget_exceeded", "billing_error"),
            ErrorCode::PriceUnknown => (402, "price_unknown", "billing_error"),
            ErrorCode::CostUnbounded => (402, "cost_unbounded", "billing_error"),
            ErrorCode::PermissionDenied => (403, "permission_denied", "permission_error"),
            ErrorCode::ModelNotAllowed => (403, "model_not_allowed", "permission_error"),
            ErrorCode::ModelNotFound => (404, "model_not_found", "not_found_error"),
            ErrorCode::NotFound => (404, "not_found", "not_found_error"),
            ErrorCode::MethodNotAllowed => (405, "method_not_allowed", "invalid_request_error"),
            ErrorCode::Conflict => (409, "conflict", "invalid_request_error"),
            ErrorCode::ManagedByFile => (409, "managed_by_file", "invalid_request_error"),
            ErrorCode::PreconditionFailed => (412, "precondition_failed", "invalid_request_error"),
            ErrorCode::RequestTooLarge => (413, "request_too_large", "request_too_large"),
            ErrorCode::UnsupportedMediaType => {
                (415, "unsupported_media_type", "invalid_request_error")
            }
            ErrorCode::UpgradeRefused => (426, "upgrade_refused", "invalid_request_error"),
            ErrorCode::RateLimitExceeded => (429, "rate_limit_exceeded", "rate_limit_error"),
            ErrorCode::BudgetHeld => (429, "budget_held", "rate_limit_error"),
            ErrorCode::NotSupported => (501, "not_supported", "invalid_request_error"),
            ErrorCode::UpstreamError => (502, "upstream_error", "api_error"),
            ErrorCode::UpstreamTimeout => (504, "upstream_timeout", "api_error"),
            ErrorCode::Overloaded => (503, "overloaded", "overloaded_error"),
            ErrorCode::LedgerUnavailable => (503, "ledger_unavailable", "overloaded_error"),
            ErrorCode::ShuttingDown => (503, "shutting_down", "overloaded_error"),
            ErrorCode::Internal => (500, "internal_error", "api_error"),
        }
    }

    pub const ALL: [ErrorCode; 27] = [
        ErrorCode::InvalidRequest,
        ErrorCode::ModelAmbiguous,
        ErrorCode::Authentication,
        ErrorCode::KeyExpired,
        ErrorCode::BudgetExceeded,
        ErrorCode::PriceUnknown,
        ErrorCode::CostUnbounded,
        ErrorCode::PermissionDenied,
        ErrorCode::ModelNotAllowed,
        ErrorCode::ModelNotFound,
        ErrorCode::NotFound,
        ErrorCode::MethodNotAllowed,
        ErrorCode::Conflict,
        ErrorCode::ManagedByFile,
        ErrorCode::PreconditionFailed,
        ErrorCode::RequestTooLarge,
        ErrorCode::UnsupportedMediaType,
        ErrorCode::UpgradeRefused,
        ErrorCode::RateLimitExceeded,
        ErrorCode::BudgetHeld,
        ErrorCode::NotSupported,
        ErrorCode::UpstreamError,
        ErrorCode::UpstreamTimeout,
        ErrorCode::Overloaded,
        ErrorCode::LedgerUnavailable,
        ErrorCode::ShuttingDown,
        ErrorCode::Internal,
    ];

    pub fn parse(text: &str) -> Option<ErrorCode> {
        ErrorCode::ALL
            .into_iter()
            .find(|code| code.as_str() == text)
    }

    pub const fn status(self) -> u16 {
        self.row().0
    }

    pub const fn as_str(self) -> &'static str {
        self.row().1
    }

    pub const fn anthropic_type(self) -> &'static str {
        self.row().2
    }

    /// True for a refusal that repeating the same request cannot mend.
    pub const fn is_final(self) -> bool {
        matches!(self.status(), 400..=428 | 430..=499 | 501)
    }
}

/// One API error. The message names the thing, the value and the remedy; it never contains a secret or a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub code: ErrorCode,
    pub message: String,
    /// request field at fault
    pub param: Option<String>,
    pub retry_after_s: Option<u64>,
    /// remaining rate limits, if a rate limit refused the request
    pub allowance: Option<Box<Allowance>>,
    /// remainder of the budget that refused the request
    pub remainder: Option<Remainder>,
}

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ApiError {
        ApiError {
            code,
            message: message.into(),
            param: None,
            retry_after_s: None,
            allowance: None,
            remainder: None,
        }
    }

    /// A fault that only a defect of the gateway can cause.
    pub fn defect(what: &str) -> ApiError {
        let message = format!("{what}; this is a defect of the gateway, please report it");
        ApiError::new(ErrorCode::Internal, message)
    }

    pub fn invalid(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorCode::InvalidRequest, message)
    }

    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> ApiError {
        self.param = Some(param.into());
        self
    }

    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> ApiError {
        self.retry_after_s = Some(seconds);
        self
    }

    #[must_use]
    pub fn with_allowance(mut self, allowance: Allowance) -> ApiError {
        self.allowance = Some(Box::new(allowance));
        self
    }

    #[must_use]
    pub fn with_remainder(mut self, remainder: Option<Remainder>) -> ApiError {
        self.remainder = remainder;
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for ApiError {}
