//! Log of failing providers: one warning per provider, reason and minute, with the number of failures that were only counted.
//! Bounded by providers times reasons. Must never contain text of a client or of a vendor's body.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::id::RequestId;
use crate::gateway::exchange::outcome::{AttemptFailure, ProviderFault};

const MINUTE_MS: u64 = 60_000;

/// Last warning of each provider and reason.
#[derive(Default)]
pub(super) struct FailureLog(Mutex<HashMap<(String, &'static str), Warning>>);

struct Warning {
    minute: u64,
    /// failures since, which were not logged
    counted: u64,
}

impl FailureLog {
    /// Logs the failure if it is the provider's and the first of its reason in this minute. Minutes are those of the boot-time
    /// clock, which never jumps.
    pub fn warn(&self, failure: &AttemptFailure, request: RequestId, boot_ms: u64) {
        let Some(fault) = &failure.fault else {
            return;
        };
        let Some(counted) = self.take_warning(fault, boot_ms) else {
            return;
        };
        tracing::warn!(
            provider = fault.provider.as_str(),
            reason = fault.reason,
            detail = fault.detail.as_str(),
            phase = ?failure.phase,
            counted,
            %request,
            "provider failed"
        );
    }

    /// Number of failures that were counted since the last warning, if another one is due.
    fn take_warning(&self, fault: &ProviderFault, boot_ms: u64) -> Option<u64> {
        let minute = boot_ms / MINUTE_MS;
        let mut warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (fault.provider.clone(), fault.reason);
        match warnings.get_mut(&place) {
            Some(last) if last.minute == minute => {
                last.counted += 1;
                None
            }
            last => {
                let counted = last.map_or(0, |last| last.counted);
                let warning = Warning { minute, counted: 0 };
                warnings.insert(place, warning);
                Some(counted)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(provider: &str, reason: &'static str) -> ProviderFault {
        ProviderFault {
            provider: provider.to_owned(),
            reason,
            detail: String::new(),
        }
    }

    #[test]
    fn failing_provider_is_logged_once_per_reason_and_minute() {
        let log = FailureLog::default();
        let (refused, dns) = (fault("up", "connection_refused"), fault("up", "dns"));
        assert_eq!(log.take_warning(&refused, 0), Some(0));
        assert_eq!(log.take_warning(&refused, 1), None);
        assert_eq!(log.take_warning(&refused, 59_999), None);
        assert_eq!(log.take_warning(&dns, 59_999), Some(0));
        assert_eq!(log.take_warning(&fault("other", "dns"), 59_999), Some(0));
        assert_eq!(log.take_warning(&refused, 60_000), Some(2));
        assert_eq!(log.take_warning(&refused, 600_000), Some(0));
    }
}
