//! Disk in memory for crash tests. It tracks which writes are synced, takes snapshots of itself, and yields from each
//! snapshot disks as a power loss may leave them: unsynced sectors, sizes and names kept, dropped or mixed. It can fail
//! syncs and inject faults.

mod content;
mod fault;
mod files;
mod mapping;
mod power_loss;
mod snapshot;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use gatekeeper::store::disk::{Disk, DiskFile};
use gatekeeper::store::mapping::MappedRecords;

use self::content::{Content, sector_ranges};
pub use self::fault::Fault;
use self::fault::{Operation, ScheduledFault};
use self::files::Files;
use self::mapping::SimulatedMapping;
use self::power_loss::PendingVersions;
pub use self::power_loss::PowerLoss;
use self::snapshot::SnapshotSampler;
pub use self::snapshot::{AckCounters, AckCounts, DiskSnapshot};
use super::rng::SeededRng;

/// Simulated disk; the test controls it, the store uses it through `SharedDisk`.
#[derive(Debug, Default)]
pub struct SimulatedDisk {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: Files,
    sampler: Option<SnapshotSampler>,
    fault: Option<ScheduledFault>,
    /// percentage of failing syncs: of the books, of the WAL
    sync_failures: [Option<(SeededRng, u64)>; 2],
    /// state right after the first failed sync of the WAL
    at_sync_failure: Option<Files>,
}

impl SimulatedDisk {
    /// Empty disk whose files may be mapped, or are always written.
    pub fn new(maps: bool) -> SimulatedDisk {
        SimulatedDisk::with_files(Files {
            maps,
            ..Files::default()
        })
    }

    fn with_files(files: Files) -> SimulatedDisk {
        SimulatedDisk {
            state: Mutex::new(State {
                files,
                ..State::default()
            }),
        }
    }

    /// Starts to take snapshots, `count_max` at most.
    pub fn record_snapshots(&self, seed: u64, count_max: usize, acks: &Arc<AckCounters>) {
        self.lock().sampler = Some(SnapshotSampler::new(seed, count_max, acks));
    }

    /// Stops taking snapshots and returns them.
    pub fn take_snapshots(&self) -> Vec<DiskSnapshot> {
        let sampler = self.lock().sampler.take();
        sampler.map_or_else(Vec::new, |sampler| sampler.snapshots)
    }

    /// Fails this percentage of the WAL syncs; a failed sync drops the unsynced writes.
    pub fn fail_log_syncs(&self, seed: u64, percent: u64) {
        self.lock().sync_failures[1] = Some((SeededRng::new(seed), percent));
    }

    /// Fails every sync of the books.
    pub fn fail_book_syncs(&self) {
        self.lock().sync_failures[0] = Some((SeededRng::new(0), 100));
    }

    pub fn heal_book_syncs(&self) {
        self.lock().sync_failures[0] = None;
    }

    /// Injects a fault from the `kth` operation from now on, for `length` operations and at least one hit.
    pub fn inject_fault(&self, fault: Fault, kth: u64, length: u64) {
        self.lock().fault = Some(ScheduledFault::new(fault, kth, length));
    }

    /// Operations that failed from the current fault.
    pub fn fault_count(&self) -> u64 {
        self.lock().fault.as_ref().map_or(0, |fault| fault.hits)
    }

    /// Removes the fault; returns how many operations failed.
    pub fn heal(&self) -> u64 {
        self.lock().fault.take().map_or(0, |fault| fault.hits)
    }

    /// The disk right after the first failed sync of the WAL.
    pub fn snapshot_at_sync_failure(&self) -> Option<DiskSnapshot> {
        Some(DiskSnapshot {
            files: self.lock().at_sync_failure.clone()?,
            acked: AckCounts::default(),
        })
    }

    /// The disk now.
    pub fn snapshot(&self) -> DiskSnapshot {
        DiskSnapshot {
            files: self.lock().files.clone(),
            acked: AckCounts::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no panic while the disk is locked")
    }
}

impl DiskSnapshot {
    /// The disk as a power loss at that instant may have left it.
    pub fn after(&self, loss: &PowerLoss, rng: &mut SeededRng) -> SimulatedDisk {
        match loss {
            // unsynced writes stay unsynced: the next power loss may drop them
            PowerLoss::KeepAll => SimulatedDisk::with_files(self.files.clone()),
            _ => SimulatedDisk::with_files(self.files.after(loss, rng)),
        }
    }
}

impl State {
    /// Offers the state before a change to the sampler.
    fn offer_snapshot(&mut self, is_sync: bool) {
        if let Some(sampler) = &mut self.sampler {
            sampler.offer(&self.files, is_sync);
        }
    }

    fn check(&mut self, operation: Operation) -> io::Result<()> {
        self.fault
            .as_mut()
            .map_or(Ok(()), |fault| fault.check(operation))
    }

    fn change(&mut self) -> (u64, &mut Files) {
        self.offer_snapshot(false);
        self.files.writes += 1;
        (self.files.writes, &mut self.files)
    }
}

/// Handle for the store; the test keeps another to control the disk.
#[derive(Clone, Debug)]
pub struct SharedDisk(pub Arc<SimulatedDisk>);

#[derive(Debug)]
struct SimulatedFile {
    disk: Arc<SimulatedDisk>,
    id: u64,
    is_wal: bool,
}

impl Disk for SharedDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        let id = match state.files.find(name) {
            Some(id) => id,
            None => {
                state.check(Operation::Change)?;
                let (number, files) = state.change();
                files.contents.insert(number, Content::empty());
                files
                    .names
                    .entry(name.to_owned())
                    .or_insert_with(|| PendingVersions::new(None))
                    .write(number, Some(number));
                number
            }
        };
        Ok(Arc::new(SimulatedFile {
            disk: Arc::clone(&self.0),
            id,
            is_wal: name.starts_with("ledger/"),
        }))
    }

    fn exists(&self, name: &str) -> bool {
        self.0.lock().files.find(name).is_some()
    }

    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        let present = state
            .files
            .names
            .iter()
            .filter(|(_, versions)| versions.now().is_some());
        Ok(present
            .filter_map(|(name, _)| Some(name.strip_prefix(folder)?.strip_prefix('/')?.to_owned()))
            .collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.check(Operation::Change)?;
        let (number, files) = state.change();
        match files
            .names
            .get_mut(name)
            .filter(|versions| versions.now().is_some())
        {
            Some(versions) => versions.write(number, None),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.check(Operation::Change)?;
        let id = state.files.find(from).ok_or(io::ErrorKind::NotFound)?;
        let (number, files) = state.change();
        files
            .names
            .entry(to.to_owned())
            .or_insert_with(|| PendingVersions::new(None))
            .write(number, Some(id));
        files
            .names
            .entry(from.to_owned())
            .and_modify(|versions| versions.write(number, None));
        Ok(())
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.check(Operation::Sync)?;
        state.offer_snapshot(true);
        let in_folder =
            |name: &str| name.rsplit_once('/').map_or("", |(folder, _)| folder) == folder;
        state
            .files
            .names
            .iter_mut()
            .filter(|(name, _)| in_folder(name))
            .for_each(|(_, versions)| versions.sync());
        Ok(())
    }

    fn free_mb(&self) -> io::Result<u64> {
        Ok(1_000_000)
    }
}

impl DiskFile for SimulatedFile {
    fn size(&self) -> io::Result<u64> {
        Ok(*self.disk.lock().files.content(self.id).size.now())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.check(Operation::Write)?;
        let (number, files) = state.change();
        files.content(self.id).resize(number, size);
        Ok(())
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.set_size(size)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.check(Operation::Read)?;
        let content = state.files.content(self.id);
        if offset + into.len() as u64 > *content.size.now() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (at, in_sector, in_buffer) in sector_ranges(offset, into.len()) {
            into[in_buffer].copy_from_slice(&content.sector(at)[in_sector]);
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let result = state.check(Operation::Write);
        let is_short_write = state
            .fault
            .as_ref()
            .is_some_and(|fault| fault.kind == Fault::ShortWrite);
        let written = match &result {
            Ok(()) => bytes,
            Err(_) if is_short_write => &bytes[..bytes.len() / 2],
            Err(_) => &[],
        };
        if !written.is_empty() {
            let (number, files) = state.change();
            files.content(self.id).write(number, offset, written);
        }
        result
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.offer_snapshot(true);
        let fails = state.check(Operation::Sync).is_err()
            || state.sync_failures[usize::from(self.is_wal)]
                .as_mut()
                .is_some_and(|(rng, percent)| rng.between(1, 100) <= *percent);
        let content = state.files.content(self.id);
        if fails {
            content.drop_unsynced();
            if self.is_wal && state.at_sync_failure.is_none() {
                state.at_sync_failure = Some(state.files.clone());
            }
            return Err(io::Error::other(
                "simulated sync failure; unsynced writes dropped",
            ));
        }
        content.sync();
        Ok(())
    }

    fn map(&self) -> Option<Arc<dyn MappedRecords>> {
        let maps = self.disk.lock().files.maps;
        maps.then(|| SimulatedMapping::of(&self.disk, self.id))
    }
}
