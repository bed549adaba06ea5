//! What time it is, as far as money is concerned: the last adopted wall time, carried on by the boot-time clock. A jump of
//! the wall clock moves nothing here until somebody adopts it. Pure: it says when adopting is due, and never does it itself.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::clock::Clock;

/// A wall clock that has run this long without a jump is believed.
pub const STEADY_MS: u64 = 600_000;
/// A wall clock this near to adopted time is in step with it: daemons that keep the time make steps of this size.
pub const IN_STEP_MS: u64 = 5_000;
/// More than this against the boot-time clock, within the time it is watched, is a jump.
const JUMP_MS: u64 = 1_000;

/// An instant of adopted time and of the boot-time clock: enough to go on from after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub now_ms: u64,
    pub boot_ms: u64,
    pub boot: Option<u128>,
    /// to what time it was that a jump of the wall clock was last adopted; 0: never
    pub jumped_ms: u64,
}

impl Anchor {
    fn offset_ms(self) -> i64 {
        signed(self.now_ms).saturating_sub(signed(self.boot_ms))
    }
}

/// The clocks as they stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStatus {
    /// adopted time: what windows, keys and records go by
    pub now_ms: u64,
    pub wall_ms: u64,
    /// how long the wall clock has run without a jump, as far as it was watched
    pub steady_ms: u64,
}

impl ClockStatus {
    /// How far the wall clock is ahead of adopted time; negative: behind.
    pub fn ahead_ms(&self) -> i64 {
        signed(self.wall_ms).saturating_sub(signed(self.now_ms))
    }

    pub fn in_step(&self) -> bool {
        self.ahead_ms().unsigned_abs() <= IN_STEP_MS
    }
}

/// A wall time that was read and may be adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// adopted time as it was when the clocks were read
    pub from_ms: u64,
    /// adopted time and boot-time clock as of then, once it is adopted
    pub anchor: Anchor,
}

impl Adoption {
    /// How far adopted time moves.
    pub fn by_ms(&self) -> i64 {
        signed(self.anchor.now_ms).saturating_sub(signed(self.from_ms))
    }

    pub fn in_step(&self) -> bool {
        self.by_ms().unsigned_abs() <= IN_STEP_MS
    }
}

/// The wall clock under watch: where it stands against the boot-time clock, and since when.
#[derive(Clone, Copy, Debug)]
struct WallClockWatch {
    offset_ms: i64,
    since_boot_ms: u64,
}

impl WallClockWatch {
    fn agrees(self, offset_ms: i64) -> bool {
        self.offset_ms.abs_diff(offset_ms) <= JUMP_MS
    }
}

/// Adopted time. Shared by everything that asks what time it is.
pub struct Time {
    clock: Arc<dyn Clock>,
    /// adopted time less the boot-time clock
    offset_ms: AtomicI64,
    jumped_ms: AtomicU64,
    wall: Mutex<WallClockWatch>,
}

impl Time {
    /// Of an instance that has never run: the wall clock is adopted as it is, for nothing has been spent.
    pub fn new(clock: Arc<dyn Clock>) -> Time {
        let offset_ms = signed(clock.wall_ms()).saturating_sub(signed(clock.boot_ms()));
        Time::with_offset(clock, offset_ms, 0)
    }

    /// Goes on from where an instance was last. While the machine has been running all the time that is exact. After a
    /// start of the machine nobody knows how long it was off: time goes on from the anchor as if it had not been.
    pub fn resume(clock: Arc<dyn Clock>, anchor: Anchor) -> Time {
        let boot_ms = clock.boot_ms();
        let wall_offset_ms = signed(clock.wall_ms()).saturating_sub(signed(boot_ms));
        let same_boot = match (anchor.boot, clock.boot()) {
            (Some(then), Some(now)) => then == now,
            // the wall clock less the boot-time clock is when the machine was started
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

    /// The boot-time clock: for what counts minutes and cares for no date.
    pub fn boot_ms(&self) -> u64 {
        self.clock.boot_ms()
    }

    /// The wall clock as it is, right or wrong: for what is told to others who have clocks of their own, and nothing else.
    pub fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// Where to go on from after a restart.
    pub fn anchor(&self) -> Anchor {
        let boot_ms = self.clock.boot_ms();
        Anchor {
            now_ms: self.now_at(boot_ms),
            boot_ms,
            boot: self.clock.boot(),
            jumped_ms: self.jumped_ms(),
        }
    }

    /// Whether a jump of the wall clock was adopted so lately: then nothing may be thrown away because of its age.
    pub fn has_jumped_within(&self, ms: u64) -> bool {
        let jumped_ms = self.jumped_ms();
        jumped_ms > 0 && self.now_ms().saturating_sub(jumped_ms) < ms
    }

    fn jumped_ms(&self) -> u64 {
        self.jumped_ms.load(Ordering::SeqCst)
    }

    pub fn status(&self) -> ClockStatus {
        let (wall_ms, boot_ms) = (self.clock.wall_ms(), self.clock.boot_ms());
        let watched = *self.watched();
        let steady = watched.agrees(signed(wall_ms).saturating_sub(signed(boot_ms)));
        let steady_ms = if steady {
            boot_ms.saturating_sub(watched.since_boot_ms)
        } else {
            0
        };
        ClockStatus {
            now_ms: self.now_at(boot_ms),
            wall_ms,
            steady_ms,
        }
    }

    /// Looks at the clocks, which somebody must do now and then; the wall time to adopt once it has run steadily for long
    /// enough, which is due again until it is done.
    pub fn poll_adoption(&self) -> Option<Adoption> {
        let adoption = self.adoption();
        let (offset_ms, boot_ms) = (adoption.anchor.offset_ms(), adoption.anchor.boot_ms);
        let mut watched = self.watched();
        if !watched.agrees(offset_ms) {
            *watched = WallClockWatch {
                offset_ms,
                since_boot_ms: boot_ms,
            };
        }
        (boot_ms.saturating_sub(watched.since_boot_ms) >= STEADY_MS).then_some(adoption)
    }

    /// The wall clock as it is now, steady or not.
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

    /// Time goes by the wall clock from here on, as it was read. The watch begins anew.
    pub fn adopt(&self, adoption: &Adoption) {
        let (offset_ms, since_boot_ms) = (adoption.anchor.offset_ms(), adoption.anchor.boot_ms);
        self.offset_ms.store(offset_ms, Ordering::SeqCst);
        self.jumped_ms
            .store(adoption.anchor.jumped_ms, Ordering::SeqCst);
        *self.watched() = WallClockWatch {
            offset_ms,
            since_boot_ms,
        };
    }

    fn now_at(&self, boot_ms: u64) -> u64 {
        u64::try_from(signed(boot_ms).saturating_add(self.offset_ms.load(Ordering::SeqCst)))
            .unwrap_or(0)
    }

    fn watched(&self) -> MutexGuard<'_, WallClockWatch> {
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
    fn a_jump_moves_nothing_until_it_has_run_for_ten_minutes() {
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
    fn a_clock_that_goes_on_jumping_is_never_adopted() {
        let (clock, time) = started();
        for minute in 0..60 {
            clock.jump_ms(if minute % 2 == 0 { 90_000 } else { -80_000 });
            assert_eq!(time.poll_adoption(), None);
            clock.advance_ms(60_000);
        }
        assert_eq!(time.now_ms(), NOW_MS + 3_600_000);
    }

    #[test]
    fn a_jump_that_is_taken_back_leaves_no_trace() {
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
    fn small_steps_are_in_step_and_are_taken_over_after_ten_minutes() {
        let (clock, time) = started();
        clock.jump_ms(3_000);
        assert!(time.status().in_step() && time.poll_adoption().is_none());
        clock.advance_ms(STEADY_MS);
        let due = time.poll_adoption().expect("due");
        assert_eq!((due.by_ms(), due.in_step()), (3_000, true));
    }

    #[test]
    fn a_restart_of_the_process_goes_on_exactly_however_the_wall_clock_was_set_meanwhile() {
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
    fn after_a_start_of_the_machine_time_goes_on_from_the_anchor() {
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
            // and again, before the wall clock was believed
            clock.advance_ms(1_000);
            assert_eq!(resumed(&clock, &time).now_ms(), NOW_MS + 1_000);
        }
    }

    #[test]
    fn where_a_start_of_the_machine_has_no_number_the_clocks_tell() {
        let (clock, time) = started();
        let nameless = Anchor {
            boot: None,
            ..time.anchor()
        };
        clock.advance_ms(5_000);
        assert_eq!(
            Time::resume(Arc::new(clock.clone()), nameless).now_ms(),
            NOW_MS + 5_000
        );
        clock.jump_ms(HOUR_MS);
        assert_eq!(
            Time::resume(Arc::new(clock.clone()), nameless).now_ms(),
            NOW_MS,
            "perhaps another start: nothing is known"
        );
    }

    #[test]
    fn no_reading_makes_it_overflow() {
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
