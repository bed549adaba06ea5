//! Bounded slots for upstream calls that are read to their end without a client.

use std::time::Duration;

use tokio::sync::Semaphore;

const SLOTS: usize = 64;
const LONGEST: Duration = Duration::from_secs(60);

/// At most so many drained calls at once, each for so long.
pub(in crate::gateway) struct DrainSlots {
    slots: Semaphore,
    slots_max: usize,
    longest: Duration,
}

impl Default for DrainSlots {
    fn default() -> DrainSlots {
        DrainSlots::new(SLOTS, LONGEST)
    }
}

impl DrainSlots {
    fn new(slots_max: usize, longest: Duration) -> DrainSlots {
        DrainSlots {
            slots: Semaphore::new(slots_max),
            slots_max,
            longest,
        }
    }

    pub fn running(&self) -> usize {
        self.slots_max
            .saturating_sub(self.slots.available_permits())
    }

    /// Runs the rest of a call if a slot is free, and drops it at the time limit; without a slot the call is dropped at once.
    pub async fn run(&self, rest: impl Future) {
        if let Ok(_slot) = self.slots.try_acquire() {
            let _timed_out = tokio::time::timeout(self.longest, rest).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn drain_without_a_free_slot_is_dropped_and_a_long_one_ends() {
        let slots = DrainSlots::new(1, Duration::from_millis(50));
        let ran = AtomicBool::new(false);
        let first = slots.run(async {
            assert_eq!(slots.running(), 1);
            slots
                .run(async { ran.store(true, Ordering::Relaxed) })
                .await;
            std::future::pending::<()>().await;
        });
        tokio::time::timeout(Duration::from_secs(10), first)
            .await
            .expect("an endless drain is ended");
        assert!(!ran.load(Ordering::Relaxed), "there was no second slot");
        slots
            .run(async { ran.store(true, Ordering::Relaxed) })
            .await;
        assert!(ran.load(Ordering::Relaxed), "the slot came free");
        assert_eq!(slots.running(), 0);
    }
}
