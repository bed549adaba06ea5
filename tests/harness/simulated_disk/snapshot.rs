//! Snapshots of the simulated disk: taken at random instants while a test runs, each with what the store had acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::files::Files;
use crate::harness::rng::SeededRng;

/// Acknowledgements given so far, advanced by the test as the store gives them.
#[derive(Debug, Default)]
pub struct AckCounters {
    /// highest WAL record reported as synced
    pub synced: AtomicU64,
    /// highest WAL record reported as written
    pub written: AtomicU64,
    /// highest number given to the control plane
    pub number: AtomicU64,
}

/// Acknowledgements at one instant.
#[derive(Clone, Copy, Debug, Default)]
pub struct AckCounts {
    pub synced: u64,
    pub written: u64,
    pub number: u64,
}

impl AckCounters {
    fn counts(&self) -> AckCounts {
        let [synced, written, number] = [&self.synced, &self.written, &self.number]
            .map(|counter| counter.load(Ordering::SeqCst));
        AckCounts {
            synced,
            written,
            number,
        }
    }
}

/// The disk at one instant.
#[derive(Clone, Debug)]
pub struct DiskSnapshot {
    pub(super) files: Files,
    pub acked: AckCounts,
}

impl DiskSnapshot {
    /// Number of the last write before the snapshot.
    pub fn writes(&self) -> u64 {
        self.files.writes
    }
}

/// Reservoir sampler of snapshots: each sync, and about every 20th other change, is kept with equal probability.
#[derive(Debug)]
pub struct SnapshotSampler {
    rng: SeededRng,
    acks: Arc<AckCounters>,
    count_max: usize,
    instants: u64,
    pub snapshots: Vec<DiskSnapshot>,
}

impl SnapshotSampler {
    pub fn new(seed: u64, count_max: usize, acks: &Arc<AckCounters>) -> SnapshotSampler {
        SnapshotSampler {
            rng: SeededRng::new(seed),
            acks: Arc::clone(acks),
            count_max,
            instants: 0,
            snapshots: Vec::new(),
        }
    }

    /// Offers the state before a change.
    pub fn offer(&mut self, files: &Files, is_sync: bool) {
        if self.count_max == 0 || !(is_sync || self.rng.between(0, 19) == 0) {
            return;
        }
        self.instants += 1;
        let taken = self.snapshots.len();
        let place = if taken < self.count_max {
            taken
        } else {
            self.rng.between(0, self.instants - 1) as usize
        };
        if place >= self.count_max {
            return;
        }
        let snapshot = DiskSnapshot {
            files: files.clone(),
            acked: self.acks.counts(),
        };
        if place == taken {
            self.snapshots.push(snapshot)
        } else {
            self.snapshots[place] = snapshot
        }
    }
}
