//! The one table of errors: every way of saying no, with its status and its word in both dialects.

use std::fmt;

use crate::domain::budget::Remainder;
use crate::domain::limit::Allowance;

/// A kind of refusal. The word is the contract; clients match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
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
    Conflict,
    ManagedByFile,
    PreconditionFailed,
    RequestTooLarge,
    /// no WebSocket here
    UpgradeRefused,
    RateLimitExceeded,
    BudgetHeld,
    NotSupported,
    UpstreamError,
    UpstreamTimeout,
    Overloaded,
    LedgerUnavailable,
    ShuttingDown,
    /// a fault of ours
    Internal,
}

impl Word {
    /// HTTP status, the word, Anthropic's type for it.
    const fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Word::InvalidRequest => (400, "invalid_request_error", "invalid_request_error"),
            Word::ModelAmbiguous => (400, "model_ambiguous", "invalid_request_error"),
            Word::Authentication => (401, "authentication_error", "authentication_error"),
            Word::KeyExpired => (401, "key_expired", "authentication_error"),
            Word::BudgetExceeded => (402, "budget_exceeded", "billing_error"),
            Word::PriceUnknown => (402, "price_unknown", "billing_error"),
            Word::CostUnbounded => (402, "cost_unbounded", "billing_error"),
            Word::PermissionDenied => (403, "permission_denied", "permission_error"),
            Word::ModelNotAllowed => (403, "model_not_allowed", "permission_error"),
            Word::ModelNotFound => (404, "model_not_found", "not_found_error"),
            Word::NotFound => (404, "not_found", "not_found_error"),
            Word::Conflict => (409, "conflict", "invalid_request_error"),
            Word::ManagedByFile => (409, "managed_by_file", "invalid_request_error"),
            Word::PreconditionFailed => (412, "precondition_failed", "invalid_request_error"),
            Word::RequestTooLarge => (413, "request_too_large", "request_too_large"),
            Word::UpgradeRefused => (426, "upgrade_refused", "invalid_request_error"),
            Word::RateLimitExceeded => (429, "rate_limit_exceeded", "rate_limit_error"),
            Word::BudgetHeld => (429, "budget_held", "rate_limit_error"),
            Word::NotSupported => (501, "not_supported", "invalid_request_error"),
            Word::UpstreamError => (502, "upstream_error", "api_error"),
            Word::UpstreamTimeout => (504, "upstream_timeout", "api_error"),
            Word::Overloaded => (503, "overloaded", "overloaded_error"),
            Word::LedgerUnavailable => (503, "ledger_unavailable", "overloaded_error"),
            Word::ShuttingDown => (503, "shutting_down", "overloaded_error"),
            Word::Internal => (500, "internal_error", "api_error"),
        }
    }

    const ALL: [Word; 25] = [
        Word::InvalidRequest,
        Word::ModelAmbiguous,
        Word::Authentication,
        Word::KeyExpired,
        Word::BudgetExceeded,
        Word::PriceUnknown,
        Word::CostUnbounded,
        Word::PermissionDenied,
        Word::ModelNotAllowed,
        Word::ModelNotFound,
        Word::NotFound,
        Word::Conflict,
        Word::ManagedByFile,
        Word::PreconditionFailed,
        Word::RequestTooLarge,
        Word::UpgradeRefused,
        Word::RateLimitExceeded,
        Word::BudgetHeld,
        Word::NotSupported,
        Word::UpstreamError,
        Word::UpstreamTimeout,
        Word::Overloaded,
        Word::LedgerUnavailable,
        Word::ShuttingDown,
        Word::Internal,
    ];

    pub fn parse(text: &str) -> Option<Word> {
        Word::ALL.into_iter().find(|word| word.as_str() == text)
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
}

/// One refusal: the kind, and the thing, the value and the remedy in plain words. Never a secret, never a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub word: Word,
    pub message: String,
    /// the member of the request that is at fault
    pub param: Option<String>,
    pub retry_after_s: Option<u64>,
    /// what the rate limits have left, where one of them refuses
    pub allowance: Option<Box<Allowance>>,
    /// what the budget has left that refuses
    pub remainder: Option<Remainder>,
}

impl Problem {
    pub fn new(word: Word, message: impl Into<String>) -> Problem {
        Problem {
            word,
            message: message.into(),
            param: None,
            retry_after_s: None,
            allowance: None,
            remainder: None,
        }
    }

    pub fn invalid(message: impl Into<String>) -> Problem {
        Problem::new(Word::InvalidRequest, message)
    }

    #[must_use]
    pub fn at(mut self, param: impl Into<String>) -> Problem {
        self.param = Some(param.into());
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Problem {
        self.retry_after_s = Some(seconds);
        self
    }

    #[must_use]
    pub fn left(mut self, allowance: Allowance) -> Problem {
        self.allowance = Some(Box::new(allowance));
        self
    }

    #[must_use]
    pub fn of_budget(mut self, remainder: Option<Remainder>) -> Problem {
        self.remainder = remainder;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.word.as_str(), self.message)
    }
}

impl std::error::Error for Problem {}
