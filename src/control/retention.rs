//! How long each kind of row is kept: whole days of the instance's zone, as the settings say. Tells the store from when on;
//! deletes nothing itself.

use std::time::Duration;

use tokio::sync::watch;

use crate::config::Retention;
use crate::control::Control;
use crate::domain::zone::Zone;
use crate::store::RetentionCutoffs;

/// How often it is looked whether a day has passed.
const LOOK: Duration = Duration::from_secs(1);
const DAY_MS: u64 = 86_400_000;

impl Control {
    /// Sets how long each kind is kept; without this all is kept for ever.
    #[must_use]
    pub fn with_retention(self, retention: Retention) -> Control {
        Control {
            retention: Some(retention),
            ..self
        }
    }

    /// From when on each kind is kept now. `None`: nothing more is deleted, by the settings or because time has jumped less
    /// than a day ago: a clock that is wrong by years must not cost the records of years.
    fn kept_now(&self) -> Option<RetentionCutoffs> {
        let retention = self
            .retention
            .filter(|_| !self.time.has_jumped_within(DAY_MS))?;
        Some(kept(retention, &self.zone, self.now_ms()))
    }
}

/// Day after day, until it is told to end.
pub(super) async fn keep(control: Control, mut told: watch::Receiver<bool>) {
    loop {
        if let Some(kept) = control.kept_now() {
            control.store.set_retention(kept);
        }
        tokio::select! {
            _ = told.wait_for(|ends| *ends) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn kept(retention: Retention, zone: &Zone, now_ms: u64) -> RetentionCutoffs {
    let from = |days: u64| match days {
        0 => 0,
        days => {
            zone.day(now_ms.saturating_sub(days.saturating_mul(DAY_MS)))
                .start_ms
        }
    };
    let requests_ms = from(retention.requests_days);
    // what was refused stands among the requests, and goes with them at the latest
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
    async fn a_clock_that_jumps_deletes_nothing_for_a_day() {
        let house = TestControl::open().await;
        let retention = Retention {
            requests_days: 10,
            refused_days: 10,
            hours_days: 10,
            days_days: 10,
        };
        let control = house.control.clone().with_retention(retention);
        let before = control.kept_now().expect("it runs steadily").days_ms;
        house.clock.jump_ms(3_650 * DAY_MS as i64);
        assert_eq!(
            control.kept_now().expect("nothing is adopted").days_ms,
            before
        );
        control
            .accept_clock(&grant(may::AcceptClock))
            .await
            .expect("adopted");
        house.clock.advance_ms(DAY_MS - 1);
        assert!(control.kept_now().is_none());
        house.clock.advance_ms(1);
        assert_eq!(
            control.kept_now().expect("a day has passed").days_ms,
            before + 3_651 * DAY_MS
        );
    }

    #[test]
    fn each_kind_is_kept_for_whole_days_of_the_zone() {
        let berlin = Zone::parse("Europe/Berlin").expect("zone");
        let ms = |text: &str| Zone::parse_rfc3339(text).expect(text);
        let retention = Retention {
            requests_days: 10,
            refused_days: 30,
            hours_days: 30,
            days_days: 0,
        };
        let kept = kept(retention, &berlin, ms("2026-11-04T22:30:00Z"));
        // summer time ended in between
        assert_eq!(kept.requests_ms, ms("2026-10-24T22:00:00Z"));
        assert_eq!(
            kept.refusals_ms, kept.requests_ms,
            "never longer than requests"
        );
        assert_eq!(
            (kept.hours_ms, kept.days_ms),
            (ms("2026-10-05T22:00:00Z"), 0)
        );
    }
}
