//! Retention of each kind of row, in whole days of the instance's zone. Passes the cutoffs to the store, which deletes; deletes
//! nothing itself.

use std::time::Duration;

use tokio::sync::watch;

use crate::config::Retention;
use crate::control::plane::Control;
use crate::domain::zone::Zone;
use crate::store::RetentionCutoffs;

/// Interval between two computations of the cutoffs.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const DAY_MS: u64 = 86_400_000;

impl Control {
    /// Current cutoffs. `None`: nothing is deleted, because retention is not set, or because time jumped less than a day ago:
    /// a clock that is wrong by years must not delete the records of years.
    fn cutoffs_now(&self) -> Option<RetentionCutoffs> {
        let retention = self
            .retention()
            .filter(|_| !self.time.has_jumped_within(DAY_MS))?;
        Some(cutoffs(retention, &self.zone, self.now_ms()))
    }
}

/// Background task: updates the cutoffs until shutdown.
pub(super) async fn run(control: Control, mut shutdown: watch::Receiver<bool>) {
    loop {
        if let Some(cutoffs) = control.cutoffs_now() {
            control.store.set_retention(cutoffs);
        }
        tokio::select! {
            _ = shutdown.wait_for(|is_shutdown| *is_shutdown) => return,
            () = tokio::time::sleep(CHECK_INTERVAL) => {}
        }
    }
}

fn cutoffs(retention: Retention, zone: &Zone, now_ms: u64) -> RetentionCutoffs {
    let from = |days: u64| match days {
        0 => 0,
        days => {
            zone.day(now_ms.saturating_sub(days.saturating_mul(DAY_MS)))
                .start_ms
        }
    };
    let requests_ms = from(retention.requests_days);
    // refusals are part of the request log and are kept no longer than it
    let refusals_ms = from(retention.refused_days).max(requests_ms);
    RetentionCutoffs {
        requests_ms,
        refusals_ms,
        hours_ms: from(retention.hours_days),
        days_ms: from(retention.days_days),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::role::may;
    use crate::control::test_control::{TestControl, grant};

    #[tokio::test]
    async fn clock_jump_suspends_deletion_for_a_day() {
        let instance = TestControl::open().await;
        let retention = Retention {
            requests_days: 10,
            refused_days: 10,
            hours_days: 10,
            days_days: 10,
        };
        let control = instance
            .control
            .clone()
            .with_stored_settings(retention, 85)
            .expect("no setting");
        let before = control.cutoffs_now().expect("it runs steadily").days_ms;
        instance.clock.jump_ms(3_650 * DAY_MS as i64);
        assert_eq!(
            control.cutoffs_now().expect("nothing is adopted").days_ms,
            before
        );
        control
            .accept_clock(&grant(may::AcceptClock))
            .await
            .expect("adopted");
        instance.clock.advance_ms(DAY_MS - 1);
        assert!(control.cutoffs_now().is_none());
        instance.clock.advance_ms(1);
        assert_eq!(
            control.cutoffs_now().expect("a day has passed").days_ms,
            before + 3_651 * DAY_MS
        );
    }

    #[test]
    fn cutoffs_are_whole_days_of_the_zone() {
        let berlin = Zone::parse("Europe/Berlin").expect("zone");
        let ms = |text: &str| Zone::parse_rfc3339(text).expect(text);
        let retention = Retention {
            requests_days: 10,
            refused_days: 30,
            hours_days: 30,
            days_days: 0,
        };
        let cutoffs = cutoffs(retention, &berlin, ms("2026-11-04T22:30:00Z"));
        // summer time ended in between
        assert_eq!(cutoffs.requests_ms, ms("2026-10-24T22:00:00Z"));
        assert_eq!(
            cutoffs.refusals_ms, cutoffs.requests_ms,
            "never longer than requests"
        );
        assert_eq!(
            (cutoffs.hours_ms, cutoffs.days_ms),
            (ms("2026-10-05T22:00:00Z"), 0)
        );
    }
}
