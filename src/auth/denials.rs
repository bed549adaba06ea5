//! Denied uses on their way to the audit log, bounded because strangers cause them: the first per subject, reason and minute is an event,
//! at most 60 a minute in all; the rest are counted. Never waits and never reads the store.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::id::RequestId;

/// Events of all subjects in a minute.
const EVENTS_PER_MINUTE: usize = 60;
const MINUTE_MS: u64 = 60_000;

/// A use that was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub at_ms: u64,
    /// `use.denied`, `sign_in.failed`
    pub action: &'static str,
    /// id of the key or user; `None` if the credential is of nobody
    pub subject: Option<String>,
    pub address: Option<IpAddr>,
    pub request: Option<RequestId>,
    /// an error code
    pub reason: &'static str,
}

/// Denials that are counted only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnlistedDenials {
    pub at_ms: u64,
    pub count: u64,
}

/// Quota of the current minute, and what is to be recorded.
#[derive(Debug, Default)]
pub struct Denials(Mutex<DenialState>);

#[derive(Debug, Default)]
struct DenialState {
    /// number of the minute, by the boot-time clock, which never jumps
    minute: u64,
    seen: HashSet<(&'static str, String, &'static str)>,
    pending: Vec<Denial>,
    unlisted: u64,
    last_ms: u64,
}

impl Denials {
    /// Notes a denial.
    pub fn note(&self, denial: Denial, boot_ms: u64) {
        let mut state = self.lock();
        let minute = boot_ms / MINUTE_MS;
        if state.minute != minute {
            state.minute = minute;
            state.seen.clear();
        }
        state.last_ms = denial.at_ms;
        let subject = denial.subject.clone().unwrap_or_else(|| {
            let address = denial.address.map(|address| address.to_string());
            address.unwrap_or_default()
        });
        let is_listed = state.seen.len() < EVENTS_PER_MINUTE
            && state.pending.len() < EVENTS_PER_MINUTE
            && state.seen.insert((denial.action, subject, denial.reason));
        if is_listed {
            state.pending.push(denial);
        } else {
            state.unlisted += 1;
        }
    }

    /// Takes the denials to record; the counted ones once their minute is over, or if `is_last`.
    pub fn take(&self, boot_ms: u64, is_last: bool) -> (Vec<Denial>, Option<UnlistedDenials>) {
        let mut state = self.lock();
        let is_over = is_last || state.minute != boot_ms / MINUTE_MS;
        let count = if is_over {
            std::mem::take(&mut state.unlisted)
        } else {
            0
        };
        let unlisted = UnlistedDenials {
            at_ms: state.last_ms,
            count,
        };
        let pending = std::mem::take(&mut state.pending);
        (pending, (count > 0).then_some(unlisted))
    }

    /// Returns what could not be recorded.
    pub fn put_back(&self, denials: Vec<Denial>, unlisted: Option<UnlistedDenials>) {
        let mut state = self.lock();
        state.unlisted += unlisted.map_or(0, |unlisted| unlisted.count);
        let free = EVENTS_PER_MINUTE.saturating_sub(state.pending.len());
        state.unlisted += denials.len().saturating_sub(free) as u64;
        let returned = denials.into_iter().take(free);
        state.pending.extend(returned);
    }

    fn lock(&self) -> MutexGuard<'_, DenialState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(subject: u64, reason: &'static str) -> Denial {
        Denial {
            at_ms: 5,
            action: "use.denied",
            subject: Some(format!("key_{subject}")),
            address: None,
            request: None,
            reason,
        }
    }

    #[test]
    fn first_denial_per_subject_reason_and_minute_is_listed_and_the_rest_counted() {
        let denials = Denials::default();
        for _ in 0..10 {
            denials.note(denial(1, "key_expired"), 59_999);
            denials.note(denial(1, "budget_exceeded"), 59_999);
            denials.note(denial(2, "key_expired"), 59_999);
        }
        let (listed, unlisted) = denials.take(59_999, false);
        assert_eq!(
            (listed.len(), unlisted),
            (3, None),
            "the minute is not over"
        );
        denials.note(denial(1, "key_expired"), 60_000);
        let (listed, unlisted) = denials.take(60_001, true);
        assert_eq!(listed, [denial(1, "key_expired")]);
        assert_eq!(unlisted.expect("counted").count, 27);
        assert_eq!(denials.take(180_000, true), (Vec::new(), None));
    }

    #[test]
    fn denials_of_any_number_of_subjects_are_bounded() {
        let denials = Denials::default();
        (0..10_000).for_each(|subject| denials.note(denial(subject, "key_expired"), 1));
        let (listed, _) = denials.take(1, false);
        assert_eq!(listed.len(), EVENTS_PER_MINUTE);
        denials.put_back(listed, None);
        let (listed, unlisted) = denials.take(60_000, false);
        assert_eq!(listed.len(), EVENTS_PER_MINUTE);
        assert_eq!(unlisted.expect("counted").count, 9_940);
    }
}
