//! Refused model calls: takes who was refused what and why, and notes it for the request log. At most ten rows per key, word
//! and minute; the rest are counted. Calls that are admitted never come here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::auth::directory::Caller;
use crate::dialect::{self, Dialect, Operation, Request};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attribution::{Attribution, Tag};
use crate::domain::id::{KeyId, RequestId};
use crate::domain::refusal::{Refusal, truncate_model};
use crate::gateway::Gateway;

const ROWS_PER_MINUTE: u32 = 10;
const MINUTE_MS: u64 = 60_000;

/// Rows of this minute: no more entries than there are keys and words.
#[derive(Default)]
pub(crate) struct RefusalSampler(Mutex<SampledMinute>);

#[derive(Default)]
struct SampledMinute {
    number: u64,
    rows: HashMap<(KeyId, ErrorCode), u32>,
}

impl RefusalSampler {
    /// Whether one more may be a row. Minutes are those of the boot-time clock, which never jumps.
    fn one_more(&self, key: KeyId, word: ErrorCode, boot_ms: u64) -> bool {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = boot_ms / MINUTE_MS;
        if minute.number != number {
            *minute = SampledMinute {
                number,
                rows: HashMap::new(),
            };
        }
        let rows = minute.rows.entry((key, word)).or_default();
        *rows += 1;
        *rows <= ROWS_PER_MINUTE
    }
}

/// A call on its way in, of a key that is known.
pub(crate) struct RefusalEntry<'g> {
    gateway: &'g Gateway,
    request: RequestId,
    dialect: Dialect,
    operation: Operation,
    caller: Arc<Caller>,
    pub tag: Option<Tag>,
    /// empty until it was read
    model_asked: String,
    /// as the client names them: the pseudonym is reckoned only where the call is refused
    user: Option<String>,
}

impl<'g> RefusalEntry<'g> {
    pub fn new(
        gateway: &'g Gateway,
        request: RequestId,
        dialect: Dialect,
        operation: Operation,
        caller: Arc<Caller>,
    ) -> RefusalEntry<'g> {
        RefusalEntry {
            gateway,
            request,
            dialect,
            operation,
            caller,
            tag: None,
            model_asked: String::new(),
            user: None,
        }
    }

    /// The body is read: it says which model is asked for, and perhaps for whom.
    pub fn read(&mut self, request: &Request) {
        self.model_asked.clone_from(&request.model);
        self.user.clone_from(&request.user);
    }

    /// A call that is refused whatever stands in it: its row is found like others where the rest can be read.
    pub fn read_what_can_be(&mut self, tag: Option<&[u8]>, body: &Bytes) {
        self.tag = tag.and_then(Tag::parse);
        if let Ok(request) = dialect::read(self.dialect, self.operation, body.clone()) {
            self.read(&request);
        }
    }

    /// Notes that the call is refused.
    pub fn refused(&self, problem: ApiError) -> ApiError {
        let (gateway, key, code) = (self.gateway, &self.caller.key, problem.code);
        let at_ms = gateway.time.now_ms();
        let user = self
            .user
            .as_deref()
            .map(|user| gateway.pseudonyms.user(user));
        let refusal = Refusal {
            request: self.request,
            at_ms,
            organization: key.organization,
            team: key.team,
            key: key.id,
            model_asked: truncate_model(&self.model_asked),
            attribution: Attribution {
                user,
                tag: self.tag.clone(),
            },
            dialect: self.operation.record_name(self.dialect).to_owned(),
            code,
        };
        let as_row = gateway
            .refusals
            .one_more(key.id, code, gateway.time.boot_ms());
        gateway.ledger.wal().refusals().add(refusal, as_row);
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_rows_per_key_word_and_minute() {
        let rows = RefusalSampler::default();
        let allowed = |key, word, at_ms| {
            (0..20)
                .filter(|_| rows.one_more(KeyId(key), word, at_ms))
                .count()
        };
        assert_eq!(allowed(1, ErrorCode::BudgetExceeded, 59_999), 10);
        assert_eq!(allowed(1, ErrorCode::RateLimitExceeded, 59_999), 10);
        assert_eq!(allowed(2, ErrorCode::BudgetExceeded, 59_999), 10);
        assert_eq!(allowed(1, ErrorCode::BudgetExceeded, 59_999), 0);
        assert_eq!(allowed(1, ErrorCode::BudgetExceeded, 60_000), 10);
    }
}
