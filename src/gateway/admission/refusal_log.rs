//! Request log of refusals: at most ten rows per key, error code and minute; the rest are counted. Takes the error of a model
//! request that was refused, returns it unchanged. Admitted requests never come here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::denials::{Denial, Denials};
use crate::auth::directory::Caller;
use crate::dialect::{Dialect, Operation, Request};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attribution::{Attribution, Pseudonyms, Tag};
use crate::domain::id::{KeyId, RequestId};
use crate::domain::refusal::{Refusal, truncate_model};
use crate::domain::time::Time;
use crate::meter::Ledger;

const ROWS_PER_MINUTE: u32 = 10;
const MINUTE_MS: u64 = 60_000;
/// Refusals that are denied uses; the others are of malformed or untimely requests.
const DENIED: [ErrorCode; 5] = [
    ErrorCode::Authentication,
    ErrorCode::KeyExpired,
    ErrorCode::PermissionDenied,
    ErrorCode::ModelNotAllowed,
    ErrorCode::BudgetExceeded,
];

/// Row quota of the current minute: no more entries than keys times error codes.
#[derive(Default)]
struct RefusalSampler(Mutex<SampledMinute>);

#[derive(Default)]
struct SampledMinute {
    number: u64,
    rows: HashMap<(KeyId, ErrorCode), u32>,
}

impl RefusalSampler {
    /// Takes one row of the quota. Minutes are those of the boot-time clock, which never jumps.
    fn take_row(&self, key: KeyId, code: ErrorCode, boot_ms: u64) -> bool {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = boot_ms / MINUTE_MS;
        if minute.number != number {
            *minute = SampledMinute {
                number,
                rows: HashMap::new(),
            };
        }
        let rows = minute.rows.entry((key, code)).or_default();
        *rows += 1;
        *rows <= ROWS_PER_MINUTE
    }
}

/// Facts of a request for the request log, in case it is refused.
pub(in crate::gateway) struct RefusalEntry {
    pub request: RequestId,
    dialect: Dialect,
    operation: Operation,
    caller: Arc<Caller>,
    pub tag: Option<Tag>,
    /// of the peer
    pub address: Option<IpAddr>,
    /// empty until the body is decoded
    model_asked: String,
    /// as the client names it: the pseudonym is computed only for a refusal
    user: Option<String>,
}

impl RefusalEntry {
    pub fn new(
        request: RequestId,
        dialect: Dialect,
        operation: Operation,
        caller: Arc<Caller>,
    ) -> RefusalEntry {
        RefusalEntry {
            request,
            dialect,
            operation,
            caller,
            tag: None,
            address: None,
            model_asked: String::new(),
            user: None,
        }
    }

    /// Notes model and user of the decoded body.
    pub fn note_request(&mut self, request: &Request) {
        self.model_asked.clone_from(&request.model);
        self.user.clone_from(&request.user);
    }
}

/// Writes refusals to the request log.
pub(in crate::gateway) struct RefusalLog {
    ledger: Arc<Ledger>,
    pseudonyms: Pseudonyms,
    denials: Arc<Denials>,
    time: Arc<Time>,
    sampler: RefusalSampler,
}

impl RefusalLog {
    pub fn new(
        ledger: Arc<Ledger>,
        pseudonyms: Pseudonyms,
        denials: Arc<Denials>,
        time: Arc<Time>,
    ) -> RefusalLog {
        RefusalLog {
            ledger,
            pseudonyms,
            denials,
            time,
            sampler: RefusalSampler::default(),
        }
    }

    /// Logs one refusal and returns its error.
    pub fn log(&self, entry: &RefusalEntry, error: ApiError) -> ApiError {
        let (key, code) = (&entry.caller.key, error.code);
        let user = entry.user.as_deref();
        let refusal = Refusal {
            request: entry.request,
            at_ms: self.time.now_ms(),
            organization: key.organization,
            team: key.team,
            key: key.id,
            model_asked: truncate_model(&entry.model_asked),
            attribution: Attribution {
                user: user.map(|user| self.pseudonyms.user(user)),
                tag: entry.tag.clone(),
            },
            dialect: entry.operation.record_name(entry.dialect).to_owned(),
            code,
        };
        let as_row = self.sampler.take_row(key.id, code, self.time.boot_ms());
        self.ledger.wal().refusals().add(refusal, as_row);
        self.note(entry.request, entry.address, Some(key.id), code);
        error
    }

    /// Notes a refusal whose credential is of no key; returns its error.
    pub fn note_stranger(
        &self,
        request: RequestId,
        address: Option<IpAddr>,
        error: ApiError,
    ) -> ApiError {
        self.note(request, address, None, error.code);
        error
    }

    /// Passes a denied use on to the audit log.
    fn note(
        &self,
        request: RequestId,
        address: Option<IpAddr>,
        key: Option<KeyId>,
        code: ErrorCode,
    ) {
        if !DENIED.contains(&code) {
            return;
        }
        let denial = Denial {
            at_ms: self.time.now_ms(),
            action: "use.denied",
            subject: key.map(|key| key.to_string()),
            address,
            request: Some(request),
            reason: code.as_str(),
        };
        self.denials.note(denial, self.time.boot_ms());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_sampler_allows_ten_rows_per_key_code_and_minute() {
        let rows = RefusalSampler::default();
        let allowed = |key, word, at_ms| {
            (0..20)
                .filter(|_| rows.take_row(KeyId(key), word, at_ms))
                .count()
        };
        assert_eq!(allowed(1, ErrorCode::BudgetExceeded, 59_999), 10);
        assert_eq!(allowed(1, ErrorCode::RateLimitExceeded, 59_999), 10);
        assert_eq!(allowed(2, ErrorCode::BudgetExceeded, 59_999), 10);
        assert_eq!(allowed(1, ErrorCode::BudgetExceeded, 59_999), 0);
        assert_eq!(allowed(1, ErrorCode::BudgetExceeded, 60_000), 10);
    }
}
