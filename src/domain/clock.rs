//! The only place that asks what time it is. Everything else is handed a `Clock`, and nearly everything the `Time` that is
//! made of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// The clocks of a machine.
pub trait Clock: Send + Sync {
    /// What the wall clock says: milliseconds since 1970, UTC. It may jump either way at any moment.
    fn wall_ms(&self) -> u64;

    /// Milliseconds since the machine was started, sleep included: it never jumps and begins anew with the machine.
    fn boot_ms(&self) -> u64;

    /// Which start of the machine that was; `None` if it cannot be known.
    fn boot(&self) -> Option<u128>;
}

/// The machine's own clocks.
pub struct SystemClock {
    /// as the kernel numbers this start of the machine
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

/// Clocks that stand still until they are told to move: for tests.
#[derive(Clone)]
pub struct ManualClock(Arc<Mutex<Hands>>);

struct Hands {
    wall_ms: u64,
    boot_ms: u64,
    boot: u128,
}

impl ManualClock {
    /// A machine that was started an hour ago.
    pub fn at_ms(wall_ms: u64) -> ManualClock {
        ManualClock(Arc::new(Mutex::new(Hands {
            wall_ms,
            boot_ms: 3_600_000,
            boot: 1,
        })))
    }

    /// Time passes, for both clocks.
    pub fn advance_ms(&self, by_ms: u64) {
        let mut hands = self.hands();
        hands.wall_ms += by_ms;
        hands.boot_ms += by_ms;
    }

    /// Time passes until the wall clock says this; it never passes backwards.
    pub fn advance_to_ms(&self, wall_ms: u64) {
        let from_ms = self.hands().wall_ms;
        self.advance_ms(
            wall_ms
                .checked_sub(from_ms)
                .expect("a later instant: time does not pass backwards"),
        );
    }

    /// Somebody sets the wall clock; no time passes.
    pub fn jump_ms(&self, by_ms: i64) {
        let mut hands = self.hands();
        hands.wall_ms = hands.wall_ms.saturating_add_signed(by_ms);
    }

    /// The machine is off for so long, and has just been started again.
    pub fn reboot_after_ms(&self, off_ms: u64) {
        let mut hands = self.hands();
        *hands = Hands {
            wall_ms: hands.wall_ms + off_ms,
            boot_ms: 20_000,
            boot: hands.boot + 1,
        };
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> u64 {
        self.hands().wall_ms
    }

    fn boot_ms(&self) -> u64 {
        self.hands().boot_ms
    }

    fn boot(&self) -> Option<u128> {
        Some(self.hands().boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_been_running_and_both_its_clocks_go() {
        let clock = SystemClock { boot: None };
        let (wall_ms, boot_ms) = (clock.wall_ms(), clock.boot_ms());
        assert!(boot_ms > 0 && wall_ms > boot_ms, "{wall_ms} {boot_ms}");
        assert!(clock.boot_ms() >= boot_ms);
    }
}
