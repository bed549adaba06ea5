//! File content in sectors of 512 bytes, with the versions that are not synced yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::power_loss::{PendingVersions, PowerLoss};
use crate::harness::rng::SeededRng;

const SECTOR: usize = 512;

type Sector = [u8; SECTOR];

#[derive(Clone, Debug)]
pub struct Content {
    sectors: BTreeMap<u64, Arc<Sector>>,
    /// sectors written since their last sync
    unsynced: BTreeMap<u64, PendingVersions<Arc<Sector>>>,
    pub size: PendingVersions<u64>,
}

impl Content {
    pub fn empty() -> Content {
        Content {
            sectors: BTreeMap::new(),
            unsynced: BTreeMap::new(),
            size: PendingVersions::new(0),
        }
    }

    pub fn sector(&self, at: u64) -> Arc<Sector> {
        let written = self
            .unsynced
            .get(&at)
            .map(|versions| versions.now().clone());
        written
            .or_else(|| self.sectors.get(&at).cloned())
            .unwrap_or_else(|| Arc::new([0; SECTOR]))
    }

    pub fn write(&mut self, number: u64, offset: u64, bytes: &[u8]) {
        for (at, in_sector, in_buffer) in sector_ranges(offset, bytes.len()) {
            let mut sector = *self.sector(at);
            sector[in_sector].copy_from_slice(&bytes[in_buffer]);
            self.put(number, at, sector);
        }
        let end = offset + bytes.len() as u64;
        if end > *self.size.now() {
            self.size.write(number, end);
        }
    }

    fn put(&mut self, number: u64, at: u64, sector: Sector) {
        let durable = || {
            PendingVersions::new(
                self.sectors
                    .get(&at)
                    .cloned()
                    .unwrap_or_else(|| Arc::new([0; SECTOR])),
            )
        };
        self.unsynced
            .entry(at)
            .or_insert_with(durable)
            .write(number, Arc::new(sector));
    }

    pub fn resize(&mut self, number: u64, size: u64) {
        let past: BTreeSet<u64> = self
            .sectors
            .keys()
            .chain(self.unsynced.keys())
            .copied()
            .filter(|at| (at + 1) * SECTOR as u64 > size)
            .collect();
        for at in past {
            let mut sector = *self.sector(at);
            sector[size.saturating_sub(at * SECTOR as u64) as usize..].fill(0);
            self.put(number, at, sector);
        }
        self.size.write(number, size);
    }

    pub fn sync(&mut self) {
        self.size.sync();
        let synced = std::mem::take(&mut self.unsynced);
        for (at, mut versions) in synced {
            versions.sync();
            self.sectors.insert(at, versions.durable.clone());
            if versions.dropped {
                self.unsynced.insert(at, versions);
            }
        }
    }

    pub fn drop_unsynced(&mut self) {
        self.size.dropped = true;
        self.unsynced
            .values_mut()
            .for_each(|versions| versions.dropped = true);
    }

    pub fn left_by(&self, loss: &PowerLoss, rng: &mut SeededRng) -> Content {
        let mut left = Content {
            size: PendingVersions::new(self.size.left_by(loss, rng)),
            ..self.clone()
        };
        for (at, versions) in std::mem::take(&mut left.unsynced) {
            left.sectors.insert(at, versions.left_by(loss, rng));
        }
        left.sectors
            .retain(|at, _| at * (SECTOR as u64) < *left.size.now());
        left
    }
}

/// Sectors that a range touches: number, range within the sector, range within the caller's buffer.
pub fn sector_ranges(
    offset: u64,
    length: usize,
) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let (sector, end) = (SECTOR as u64, offset + length as u64);
    (offset / sector..end.div_ceil(sector)).map(move |at| {
        let (from, to) = (offset.max(at * sector), end.min((at + 1) * sector));
        let in_sector = (from - at * sector) as usize..(to - at * sector) as usize;
        (
            at,
            in_sector,
            (from - offset) as usize..(to - offset) as usize,
        )
    })
}
