//! Power loss: decides for each value with unsynced writes which version survives. Within one sector and one name the
//! order of writes is kept, as a page cache keeps it; nothing else is promised.

use crate::harness::rng::SeededRng;

/// Fate of the unsynced writes at a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerLoss {
    DropAll,
    /// `kill -9` without a power loss
    KeepAll,
    /// writes up to this number survive, in order
    UpToWrite(u64),
    /// this percentage of the sectors survives
    KeepSectors {
        percent: u64,
    },
    /// each sector survives in any of its states
    Mix,
}

impl PowerLoss {
    /// Random power loss, never `KeepAll`.
    pub fn any(rng: &mut SeededRng, writes: u64) -> PowerLoss {
        match rng.between(0, 5) {
            0 => PowerLoss::DropAll,
            1 => PowerLoss::UpToWrite(writes.saturating_sub(rng.between(0, 40))),
            2 => PowerLoss::KeepSectors { percent: 10 },
            3 => PowerLoss::KeepSectors { percent: 90 },
            _ => PowerLoss::Mix,
        }
    }
}

/// Value on disk plus the unsynced writes over it.
#[derive(Clone, Debug)]
pub struct PendingVersions<T> {
    pub durable: T,
    /// number of the write and the value it wrote
    pub pending: Vec<(u64, T)>,
    /// a failed sync dropped the pending writes: still readable, but no later sync writes them
    pub dropped: bool,
}

impl<T: Clone> PendingVersions<T> {
    pub fn new(durable: T) -> PendingVersions<T> {
        PendingVersions {
            durable,
            pending: Vec::new(),
            dropped: false,
        }
    }

    pub fn now(&self) -> &T {
        self.pending
            .last()
            .map_or(&self.durable, |(_, value)| value)
    }

    pub fn write(&mut self, number: u64, value: T) {
        self.pending.push((number, value));
        self.dropped = false;
    }

    pub fn sync(&mut self) {
        if !self.dropped
            && let Some((_, value)) = self.pending.pop()
        {
            self.durable = value;
            self.pending.clear();
        }
    }

    pub fn left_by(&self, loss: &PowerLoss, rng: &mut SeededRng) -> T {
        let count = match *loss {
            PowerLoss::DropAll => 0,
            PowerLoss::KeepAll => self.pending.len(),
            PowerLoss::UpToWrite(number) => self
                .pending
                .partition_point(|(written, _)| *written <= number),
            PowerLoss::KeepSectors { percent } if rng.between(1, 100) <= percent => {
                self.pending.len()
            }
            PowerLoss::KeepSectors { .. } => 0,
            PowerLoss::Mix => rng.between(0, self.pending.len() as u64) as usize,
        };
        self.pending[..count]
            .last()
            .map_or_else(|| self.durable.clone(), |(_, value)| value.clone())
    }
}
