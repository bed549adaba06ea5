//! Clock abstraction: the system clocks and a manual clock for tests. No other module reads the system time; most take the
//! `Time` that is built on a `Clock`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Clocks of a machine.
pub trait Clock: Send + Sync {
    /// Wall clock: milliseconds since 1970, UTC. It may jump forward or back at any moment.
    fn wall_ms(&self) -> u64;

    /// Boot-time clock: milliseconds since boot, suspend included. It never jumps and restarts at each boot.
    fn boot_ms(&self) -> u64;

    /// Identity of the current boot; `None` if unknown.
    fn boot(&self) -> Option<u128>;
}

/// The machine's own clocks.
pub struct SystemClock {
    /// the kernel's boot id
    pub boot: Option<u128>,
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            })
    }

    fn boot_ms(&self) -> u64 {
        let since = clock_gettime(ClockId::Boottime);
        let (seconds, nanos) = (
            u64::try_from(since.tv_sec).unwrap_or(0),
            u64::try_from(since.tv_nsec).unwrap_or(0),
        );
        seconds
            .saturating_mul(1_000)
            .saturating_add(nanos / 1_000_000)
    }

    fn boot(&self) -> Option<u128> {
        self.boot
    }
}

/// Clocks for tests and for an invented past; they move only on request.
#[derive(Clone)]
pub struct ManualClock(Arc<Mutex<ClockReadings>>);

struct ClockReadings {
    wall_ms: u64,
    boot_ms: u64,
    boot: u128,
}

impl ManualClock {
    /// A machine that booted one hour ago.
    pub fn at_ms(wall_ms: u64) -> ManualClock {
        ManualClock(Arc::new(Mutex::new(ClockReadings {
            wall_ms,
            boot_ms: 3_600_000,
            boot: 1,
        })))
    }

    /// Advances both clocks.
    pub fn advance_ms(&self, by_ms: u64) {
        let mut readings = self.readings();
        readings.wall_ms += by_ms;
        readings.boot_ms += by_ms;
    }

    /// Advances both clocks until the wall clock shows `wall_ms`, which must not be earlier.
    pub fn advance_to_ms(&self, wall_ms: u64) {
        let from_ms = self.readings().wall_ms;
        self.advance_ms(
            wall_ms
                .checked_sub(from_ms)
                .expect("the new wall time is not earlier than the current one"),
        );
    }

    /// Sets the wall clock; no time passes.
    pub fn jump_ms(&self, by_ms: i64) {
        let mut readings = self.readings();
        readings.wall_ms = readings.wall_ms.saturating_add_signed(by_ms);
    }

    /// Reboots the machine after it was off for `off_ms`.
    pub fn reboot_after_ms(&self, off_ms: u64) {
        let mut readings = self.readings();
        *readings = ClockReadings {
            wall_ms: readings.wall_ms + off_ms,
            boot_ms: 20_000,
            boot: readings.boot + 1,
        };
    }

    fn readings(&self) -> MutexGuard<'_, ClockReadings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> u64 {
        self.readings().wall_ms
    }

    fn boot_ms(&self) -> u64 {
        self.readings().boot_ms
    }

    fn boot(&self) -> Option<u128> {
        Some(self.readings().boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_clock_readings_are_plausible_and_monotonic() {
        let clock = SystemClock { boot: None };
        let (wall_ms, boot_ms) = (clock.wall_ms(), clock.boot_ms());
        assert!(boot_ms > 0 && wall_ms > boot_ms, "{wall_ms} {boot_ms}");
        assert!(clock.boot_ms() >= boot_ms);
    }
}
