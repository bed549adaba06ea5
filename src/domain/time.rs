//! Adopted time, the time base of budget windows and records: the last adopted wall time, advanced by the boot-time clock. A
//! jump of the wall clock has no effect until it is adopted. This module reports when adoption is due and never adopts by
//! itself.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::clock::Clock;

/// A wall clock without a jump for this long is trusted.
pub const STEADY_MS: u64 = 600_000;
/// Maximum difference from adopted time that counts as in step; time daemons make steps of this size.
pub const IN_STEP_MS: u64 = 5_000;
/// A larger change relative to the boot-time clock is a jump.
const JUMP_MS: u64 = 1_000;

/// Adopted time and boot-time clock at one instant; sufficient to resume after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub now_ms: u64,
    pub boot_ms: u64,
    pub boot: Option<u128>,
    /// wall time of the last adopted jump; 0 for none
    pub jumped_ms: u64,
}

impl Anchor {
    fn offset_ms(self) -> i64 {
        signed(self.now_ms).saturating_sub(signed(self.boot_ms))
    }
}

/// Adopted time compared with the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStatus {
    /// adopted time, used by windows, keys and records
    pub now_ms: u64,
    pub wall_ms: u64,
    /// time since the last observed jump of the wall clock
    pub steady_ms: u64,
}

impl ClockStatus {
    /// Lead of the wall clock over adopted time; negative if it is behind.
    pub fn ahead_ms(&self) -> i64 {
        signed(self.wall_ms).saturating_sub(signed(self.now_ms))
    }

    pub fn in_step(&self) -> bool {
        self.ahead_ms().unsigned_abs() <= IN_STEP_MS
    }
}

/// A wall-clock reading that may be adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// adopted time when the clocks were read
    pub from_ms: u64,
    /// anchor that is in force after the adoption
    pub anchor: Anchor,
}

impl Adoption {
    /// Change of adopted time.
    pub fn by_ms(&self) -> i64 {
        signed(self.anchor.now_ms).saturating_sub(signed(self.from_ms))
    }

    pub fn in_step(&self) -> bool {
        self.by_ms().unsigned_abs() <= IN_STEP_MS
    }
}

/// Observed offset of the wall clock from the boot-time clock, and since when it holds.
#[derive(Clone, Copy, Debug)]
struct WallClockWatch {
    offset_ms: i64,
    since_boot_ms: u64,
}

impl WallClockWatch {
    fn matches(self, offset_ms: i64) -> bool {
        self.offset_ms.abs_diff(offset_ms) <= JUMP_MS
    }
}

/// Adopted time, shared by all modules that need the current time.
pub struct Time {
    clock: Arc<dyn Clock>,
    /// adopted time minus boot-time clock
    offset_ms: AtomicI64,
    jumped_ms: AtomicU64,
    wall: Mutex<WallClockWatch>,
}

impl Time {
    /// Time of a new instance: adopts the wall clock as it is, because nothing has been spent yet.
    pub fn new(clock: Arc<dyn Clock>) -> Time {
        let offset_ms = signed(clock.wall_ms()).saturating_sub(signed(clock.boot_ms()));
        Time::with_offset(clock, offset_ms, 0)
    }

    /// Resumes from the stored anchor. Exact within one boot; after a reboot the off time is unknown, and time continues from
    /// the anchor.
    pub fn resume(clock: Arc<dyn Clock>, anchor: Anchor) -> Time {
        let boot_ms = clock.boot_ms();
        let wall_offset_ms = signed(clock.wall_ms()).saturating_sub(signed(boot_ms));
        let same_boot = match (anchor.boot, clock.boot()) {
            (Some(then), Some(now)) => then == now,
            // wall clock minus boot-time clock is the boot time of the machine
            _ => anchor.offset_ms().abs_diff(wall_offset_ms) <= IN_STEP_MS,
        };
        let offset_ms = match same_boot && boot_ms >= anchor.boot_ms {
            true => anchor.offset_ms(),
            false => signed(anchor.now_ms).saturating_sub(signed(boot_ms)),
        };
        Time::with_offset(clock, offset_ms, anchor.jumped_ms)
    }

    fn with_offset(clock: Arc<dyn Clock>, offset_ms: i64, jumped_ms: u64) -> Time {
        let boot_ms = clock.boot_ms();
        let wall = WallClockWatch {
            offset_ms: signed(clock.wall_ms()).saturating_sub(signed(boot_ms)),
            since_boot_ms: boot_ms,
        };
        Time {
            clock,
            offset_ms: AtomicI64::new(offset_ms),
            jumped_ms: AtomicU64::new(jumped_ms),
            wall: Mutex::new(wall),
        }
    }

    /// Milliseconds since 1970, UTC, by adopted time.
    pub fn now_ms(&self) -> u64 {
        self.now_at(self.clock.boot_ms())
    }

    /// Boot-time clock, for intervals that need no date.
    pub fn boot_ms(&self) -> u64 {
        self.clock.boot_ms()
    }

    /// Unverified wall clock; only for values compared with other systems' clocks.
    pub fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// Anchor to store for a restart.
    pub fn anchor(&self) -> Anchor {
        let boot_ms = self.clock.boot_ms();
        Anchor {
            now_ms: self.now_at(boot_ms),
            boot_ms,
            boot: self.clock.boot(),
            jumped_ms: self.jumped_ms(),
        }
    }

    /// Returns true if a jump was adopted within the last `ms`; data must not be deleted by age then.
    pub fn has_jumped_within(&self, ms: u64) -> bool {
        let jumped_ms = self.jumped_ms();
        jumped_ms > 0 && self.now_ms().saturating_sub(jumped_ms) < ms
    }

    fn jumped_ms(&self) -> u64 {
        self.jumped_ms.load(Ordering::SeqCst)
    }

    /// Reads the clocks without changing the watch.
    pub fn status(&self) -> ClockStatus {
        let (wall_ms, boot_ms) = (self.clock.wall_ms(), self.clock.boot_ms());
        let watch = *self.watch();
        let steady = watch.matches(signed(wall_ms).saturating_sub(signed(boot_ms)));
        let steady_ms = if steady {
            boot_ms.saturating_sub(watch.since_boot_ms)
        } else {
            0
        };
        ClockStatus {
            now_ms: self.now_at(boot_ms),
            wall_ms,
            steady_ms,
        }
    }

    /// Reads the clocks; call it periodically. Returns the adoption that is due once the wall clock has run without a jump for
    /// `STEADY_MS`, repeatedly until it is adopted.
    pub fn poll_adoption(&self) -> Option<Adoption> {
        let adoption = self.adoption();
        let (offset_ms, boot_ms) = (adoption.anchor.offset_ms(), adoption.anchor.boot_ms);
        let mut watch = self.watch();
        if !watch.matches(offset_ms) {
            *watch = WallClockWatch {
                offset_ms,
                since_boot_ms: boot_ms,
            };
        }
        (boot_ms.saturating_sub(watch.since_boot_ms) >= STEADY_MS).then_some(adoption)
    }

    /// Adoption of the wall clock as it is now, trusted or not.
    pub fn adoption(&self) -> Adoption {
        let (now_ms, boot_ms) = (self.clock.wall_ms(), self.clock.boot_ms());
        let anchor = Anchor {
            now_ms,
            boot_ms,
            boot: self.clock.boot(),
            jumped_ms: self.jumped_ms(),
        };
        let adoption = Adoption {
            from_ms: self.now_at(boot_ms),
            anchor,
        };
        if adoption.in_step() {
            adoption
        } else {
            Adoption {
                anchor: Anchor {
                    jumped_ms: now_ms,
                    ..anchor
                },
                ..adoption
            }
        }
    }

    /// Sets adopted time to the reading and restarts the watch.
    pub fn adopt(&self, adoption: &Adoption) {
        let (offset_ms, since_boot_ms) = (adoption.anchor.offset_ms(), adoption.anchor.boot_ms);
        self.offset_ms.store(offset_ms, Ordering::SeqCst);
        self.jumped_ms
            .store(adoption.anchor.jumped_ms, Ordering::SeqCst);
        *self.watch() = WallClockWatch {
            offset_ms,
            since_boot_ms,
        };
    }

    fn now_at(&self, boot_ms: u64) -> u64 {
        u64::try_from(signed(boot_ms).saturating_add(self.offset_ms.load(Ordering::SeqCst)))
            .unwrap_or(0)
    }

    fn watch(&self) -> MutexGuard<'_, WallClockWatch> {
        self.wall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::ManualClock;

    const NOW_MS: u64 = 1_795_428_000_000;
    const HOUR_MS: i64 = 3_600_000;
    const JUMPS_MS: [i64; 4] = [-HOUR_MS, HOUR_MS, -87_660 * HOUR_MS, 87_660 * HOUR_MS];

    fn started() -> (ManualClock, Time) {
        let clock = ManualClock::at_ms(NOW_MS);
        (clock.clone(), Time::new(Arc::new(clock)))
    }

    fn resumed(clock: &ManualClock, time: &Time) -> Time {
        Time::resume(Arc::new(clock.clone()), time.anchor())
    }

    #[test]
    fn wall_clock_jump_is_due_for_adoption_after_ten_steady_minutes() {
        for jump_ms in JUMPS_MS {
            let (clock, time) = started();
            clock.jump_ms(jump_ms);
            assert_eq!(
                (time.now_ms(), time.poll_adoption()),
                (NOW_MS, None),
                "{jump_ms}"
            );
            assert_eq!(
                (time.status().ahead_ms(), time.status().in_step()),
                (jump_ms, false)
            );
            clock.advance_ms(STEADY_MS - 1);
            assert_eq!(
                (time.now_ms(), time.poll_adoption()),
                (NOW_MS + STEADY_MS - 1, None),
                "{jump_ms}"
            );
            clock.advance_ms(1);
            let due = time.poll_adoption().expect("ten steady minutes");
            assert_eq!(
                (due.by_ms(), time.now_ms()),
                (jump_ms, NOW_MS + STEADY_MS),
                "due, not done"
            );
            assert!(!time.has_jumped_within(u64::MAX));
            time.adopt(&due);
            assert_eq!(
                time.now_ms(),
                NOW_MS.saturating_add_signed(jump_ms) + STEADY_MS
            );
            assert!(time.status().in_step() && time.poll_adoption().is_none());
            clock.advance_ms(1_000);
            let resumed = resumed(&clock, &time);
            assert!(resumed.has_jumped_within(1_001) && !resumed.has_jumped_within(1_000));
        }
    }

    #[test]
    fn wall_clock_that_keeps_jumping_is_never_adopted() {
        let (clock, time) = started();
        for minute in 0..60 {
            clock.jump_ms(if minute % 2 == 0 { 90_000 } else { -80_000 });
            assert_eq!(time.poll_adoption(), None);
            clock.advance_ms(60_000);
        }
        assert_eq!(time.now_ms(), NOW_MS + 3_600_000);
    }

    #[test]
    fn reverted_jump_has_no_effect() {
        let (clock, time) = started();
        time.poll_adoption();
        clock.jump_ms(HOUR_MS);
        time.poll_adoption();
        clock.advance_ms(30_000);
        clock.jump_ms(-HOUR_MS);
        assert!(time.status().in_step());
        assert_eq!(
            (time.poll_adoption(), time.now_ms()),
            (None, NOW_MS + 30_000)
        );
    }

    #[test]
    fn small_step_is_in_step_and_due_after_ten_minutes() {
        let (clock, time) = started();
        clock.jump_ms(3_000);
        assert!(time.status().in_step() && time.poll_adoption().is_none());
        clock.advance_ms(STEADY_MS);
        let due = time.poll_adoption().expect("due");
        assert_eq!((due.by_ms(), due.in_step()), (3_000, true));
    }

    #[test]
    fn process_restart_resumes_exactly_despite_wall_clock_jump() {
        for jump_ms in JUMPS_MS {
            let (clock, time) = started();
            let anchor = time.anchor();
            clock.advance_ms(3 * 86_400_000);
            clock.jump_ms(jump_ms);
            let time = Time::resume(Arc::new(clock.clone()), anchor);
            assert_eq!(
                (time.now_ms(), time.status().in_step()),
                (NOW_MS + 3 * 86_400_000, false),
                "{jump_ms}"
            );
            clock.advance_ms(STEADY_MS);
            assert_eq!(time.poll_adoption().expect("steady").by_ms(), jump_ms);
        }
        let (clock, time) = started();
        clock.advance_ms(3 * 86_400_000);
        assert!(resumed(&clock, &time).status().in_step());
    }

    #[test]
    fn reboot_resumes_from_the_anchor() {
        for (off_ms, jump_ms) in [
            (60_000, 0),
            (3 * 86_400_000, 0),
            (60_000, HOUR_MS),
            (60_000, -87_660 * HOUR_MS),
        ] {
            let (clock, time) = started();
            let anchor = time.anchor();
            clock.reboot_after_ms(off_ms);
            clock.jump_ms(jump_ms);
            let time = Time::resume(Arc::new(clock.clone()), anchor);
            assert_eq!(
                (time.now_ms(), time.status().in_step()),
                (NOW_MS, false),
                "{off_ms} {jump_ms}"
            );
            // a second restart before the wall clock is trusted
            clock.advance_ms(1_000);
            assert_eq!(resumed(&clock, &time).now_ms(), NOW_MS + 1_000);
        }
    }

    #[test]
    fn resume_without_boot_id_compares_the_clocks() {
        let (clock, time) = started();
        let without_boot_id = Anchor {
            boot: None,
            ..time.anchor()
        };
        clock.advance_ms(5_000);
        assert_eq!(
            Time::resume(Arc::new(clock.clone()), without_boot_id).now_ms(),
            NOW_MS + 5_000
        );
        clock.jump_ms(HOUR_MS);
        assert_eq!(
            Time::resume(Arc::new(clock.clone()), without_boot_id).now_ms(),
            NOW_MS,
            "possibly another boot: the off time is unknown"
        );
    }

    #[test]
    fn extreme_clock_readings_do_not_overflow() {
        let (clock, time) = started();
        clock.jump_ms(i64::MIN);
        assert!(time.status().ahead_ms() < 0 && time.poll_adoption().is_none());
        clock.jump_ms(i64::MAX);
        assert!(time.status().ahead_ms() > 0 && time.poll_adoption().is_none());
        clock.jump_ms(i64::MIN / 2);
        assert_eq!(time.poll_adoption(), None);
        clock.advance_ms(STEADY_MS);
        time.adopt(&time.poll_adoption().expect("steady"));
        assert!(time.now_ms() > NOW_MS && time.status().in_step());
    }
}
