//! A disk in memory that knows what of it a power cut could still take away, and takes pictures of itself. A picture gives
//! images: disks as the cut may have left them, with unsynced sectors, sizes and names kept, dropped or mixed. Within one
//! sector and one name the order of writing is kept, as a page cache keeps it; nothing else is promised.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use gatekeeper::store::disk::{Disk, DiskFile};

use super::rng::SeededRng;

const SECTOR: usize = 512;

type Sector = [u8; SECTOR];

/// A value with what was written over it since it was last known to be on disk.
#[derive(Clone, Debug)]
struct Versions<T> {
    durable: T,
    /// the number of the write, and what it wrote
    pending: Vec<(u64, T)>,
    /// a failed sync has let go of it: it is in memory, and no later sync will write it
    given_up: bool,
}

impl<T: Clone> Versions<T> {
    fn new(durable: T) -> Versions<T> {
        Versions {
            durable,
            pending: Vec::new(),
            given_up: false,
        }
    }

    fn now(&self) -> &T {
        self.pending
            .last()
            .map_or(&self.durable, |(_, value)| value)
    }

    fn write(&mut self, number: u64, value: T) {
        self.pending.push((number, value));
        self.given_up = false;
    }

    fn sync(&mut self) {
        if !self.given_up
            && let Some((_, value)) = self.pending.pop()
        {
            self.durable = value;
            self.pending.clear();
        }
    }

    fn left_by(&self, cut: &PowerLoss, seeded: &mut SeededRng) -> T {
        let count = match *cut {
            PowerLoss::LosesAll => 0,
            PowerLoss::LosesNothing => self.pending.len(),
            PowerLoss::At(number) => self
                .pending
                .partition_point(|(written, _)| *written <= number),
            PowerLoss::Keeps { percent } if seeded.between(1, 100) <= percent => self.pending.len(),
            PowerLoss::Keeps { .. } => 0,
            PowerLoss::Mixes => seeded.between(0, self.pending.len() as u64) as usize,
        };
        self.pending[..count]
            .last()
            .map_or_else(|| self.durable.clone(), |(_, value)| value.clone())
    }
}

/// What a power cut leaves of what was never synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerLoss {
    LosesAll,
    /// no power cut, but a `kill -9`
    LosesNothing,
    /// what was written up to here, in order
    At(u64),
    /// so many of a hundred sectors
    Keeps {
        percent: u64,
    },
    /// of each sector any state it was in
    Mixes,
}

#[derive(Clone, Debug)]
struct Content {
    sectors: BTreeMap<u64, Arc<Sector>>,
    /// sectors written since they were last synced
    unsynced: BTreeMap<u64, Versions<Arc<Sector>>>,
    size: Versions<u64>,
}

impl Content {
    fn empty() -> Content {
        Content {
            sectors: BTreeMap::new(),
            unsynced: BTreeMap::new(),
            size: Versions::new(0),
        }
    }

    fn sector(&self, at: u64) -> Arc<Sector> {
        let written = self
            .unsynced
            .get(&at)
            .map(|versions| versions.now().clone());
        written
            .or_else(|| self.sectors.get(&at).cloned())
            .unwrap_or_else(|| Arc::new([0; SECTOR]))
    }

    fn write(&mut self, number: u64, offset: u64, bytes: &[u8]) {
        for (at, inside, outside) in pieces(offset, bytes.len()) {
            let mut sector = *self.sector(at);
            sector[inside].copy_from_slice(&bytes[outside]);
            self.put(number, at, sector);
        }
        let end = offset + bytes.len() as u64;
        if end > *self.size.now() {
            self.size.write(number, end);
        }
    }

    fn put(&mut self, number: u64, at: u64, sector: Sector) {
        let durable = || {
            Versions::new(
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

    fn resize(&mut self, number: u64, size: u64) {
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

    fn sync(&mut self) {
        self.size.sync();
        let synced = std::mem::take(&mut self.unsynced);
        for (at, mut versions) in synced {
            versions.sync();
            self.sectors.insert(at, versions.durable.clone());
            if versions.given_up {
                self.unsynced.insert(at, versions);
            }
        }
    }

    fn give_up(&mut self) {
        self.size.given_up = true;
        self.unsynced
            .values_mut()
            .for_each(|versions| versions.given_up = true);
    }

    fn left_by(&self, cut: &PowerLoss, seeded: &mut SeededRng) -> Content {
        let mut left = Content {
            size: Versions::new(self.size.left_by(cut, seeded)),
            ..self.clone()
        };
        for (at, versions) in std::mem::take(&mut left.unsynced) {
            left.sectors.insert(at, versions.left_by(cut, seeded));
        }
        left.sectors
            .retain(|at, _| at * (SECTOR as u64) < *left.size.now());
        left
    }
}

/// The sectors that a range touches: number, range within it, range within the caller's buffer.
fn pieces(
    offset: u64,
    length: usize,
) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let (sector, end) = (SECTOR as u64, offset + length as u64);
    (offset / sector..end.div_ceil(sector)).map(move |at| {
        let (from, to) = (offset.max(at * sector), end.min((at + 1) * sector));
        let inside = (from - at * sector) as usize..(to - at * sector) as usize;
        (at, inside, (from - offset) as usize..(to - offset) as usize)
    })
}

#[derive(Clone, Debug, Default)]
struct Files {
    names: BTreeMap<String, Versions<Option<u64>>>,
    contents: BTreeMap<u64, Content>,
    /// numbers the writes
    writes: u64,
}

/// What had been promised when a picture was taken: counted up by who makes promises.
#[derive(Debug, Default)]
pub struct AckCounters {
    /// the highest record of the log that was reported to be on disk
    pub synced: AtomicU64,
    /// the highest record of the log that was reported to be written
    pub written: AtomicU64,
    /// the highest number that the control plane was given
    pub number: AtomicU64,
}

/// The same at one instant.
#[derive(Clone, Copy, Debug, Default)]
pub struct AckCounts {
    pub synced: u64,
    pub written: u64,
    pub number: u64,
}

/// The disk at one instant.
#[derive(Clone, Debug)]
pub struct DiskSnapshot {
    files: Files,
    pub promised: AckCounts,
}

impl DiskSnapshot {
    /// The disk as a power cut at that instant may have left it.
    pub fn after(&self, cut: &PowerLoss, seeded: &mut SeededRng) -> SimulatedDisk {
        if *cut == PowerLoss::LosesNothing {
            // what was not synced still is not: the next cut may take it
            return SimulatedDisk {
                state: Mutex::new(State {
                    files: self.files.clone(),
                    ..State::default()
                }),
            };
        }
        let mut left = Files::default();
        for (name, versions) in &self.files.names {
            left.names
                .insert(name.clone(), Versions::new(versions.left_by(cut, seeded)));
        }
        let named: BTreeSet<u64> = left
            .names
            .values()
            .filter_map(|versions| versions.durable)
            .collect();
        for (id, content) in self
            .files
            .contents
            .iter()
            .filter(|(id, _)| named.contains(id))
        {
            // a file is written back by itself: one may be whole where another has nothing
            let own = if seeded.between(0, 3) > 0 {
                *cut
            } else {
                PowerLoss::any(seeded, self.files.writes)
            };
            left.contents.insert(*id, content.left_by(&own, seeded));
        }
        left.writes = self.files.writes;
        SimulatedDisk {
            state: Mutex::new(State {
                files: left,
                ..State::default()
            }),
        }
    }

    /// The number of the last write before it was taken.
    pub fn writes(&self) -> u64 {
        self.files.writes
    }
}

impl PowerLoss {
    /// Any but a mere `kill -9`.
    pub fn any(seeded: &mut SeededRng, writes: u64) -> PowerLoss {
        match seeded.between(0, 5) {
            0 => PowerLoss::LosesAll,
            1 => PowerLoss::At(writes.saturating_sub(seeded.between(0, 40))),
            2 => PowerLoss::Keeps { percent: 10 },
            3 => PowerLoss::Keeps { percent: 90 },
            _ => PowerLoss::Mixes,
        }
    }
}

/// Takes pictures before syncs and, now and then, before other changes: of all these instants an even choice.
#[derive(Debug)]
struct Camera {
    seeded: SeededRng,
    promises: Arc<AckCounters>,
    room: usize,
    instants: u64,
    pictures: Vec<DiskSnapshot>,
}

/// What can go wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// ENOSPC: nothing can be written
    NoSpace,
    /// EROFS: nothing can be changed
    ReadOnly,
    /// EIO: nothing can be done
    BadDisk,
    /// ENOSPC in the middle of a write
    ShortWrite,
    /// EIO: syncs fail, and forget what they should have written
    FailingSync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Read,
    Write,
    Change,
    Sync,
}

/// A fault that begins and ends with a numbered operation, but never ends before it has struck: of the operations in between
/// there may be none that it is for.
#[derive(Debug)]
struct Striking {
    fault: Fault,
    from: u64,
    to: u64,
    seen: u64,
    struck: u64,
}

impl Striking {
    fn strikes(&mut self, operation: Operation) -> io::Result<()> {
        if operation != Operation::Read {
            self.seen += 1;
        }
        let number = match (self.fault, operation) {
            (Fault::NoSpace | Fault::ShortWrite, Operation::Write) => 28,
            (Fault::ReadOnly, Operation::Write | Operation::Change) => 30,
            (Fault::BadDisk, _) | (Fault::FailingSync, Operation::Sync) => 5,
            _ => return Ok(()),
        };
        let is_over = self.seen >= self.to && self.struck > 0;
        if self.seen < self.from || is_over {
            return Ok(());
        }
        self.struck += 1;
        Err(io::Error::from_raw_os_error(number))
    }
}

#[derive(Debug, Default)]
struct State {
    files: Files,
    camera: Option<Camera>,
    striking: Option<Striking>,
    /// of a hundred syncs of the log, or of the books, so many fail
    failing: [Option<(SeededRng, u64)>; 2],
    /// as it was when a sync of the log had just failed for the first time
    failed: Option<Files>,
}

/// The disk.
#[derive(Debug, Default)]
pub struct SimulatedDisk {
    state: Mutex<State>,
}

impl SimulatedDisk {
    /// Takes up to so many pictures from now on.
    pub fn record_snapshots(&self, seed: u64, room: usize, promises: &Arc<AckCounters>) {
        let (seeded, promises) = (SeededRng::new(seed), Arc::clone(promises));
        self.lock().camera = Some(Camera {
            seeded,
            promises,
            room,
            instants: 0,
            pictures: Vec::new(),
        });
    }

    pub fn take_snapshots(&self) -> Vec<DiskSnapshot> {
        self.lock()
            .camera
            .take()
            .map_or_else(Vec::new, |camera| camera.pictures)
    }

    /// Lets so many of a hundred syncs of the log fail, and forget what they should have written.
    pub fn fail_log_syncs(&self, seed: u64, percent: u64) {
        self.lock().failing[1] = Some((SeededRng::new(seed), percent));
    }

    /// The books can no longer be written.
    pub fn fail_book_syncs(&self) {
        self.lock().failing[0] = Some((SeededRng::new(0), 100));
    }

    /// They can be written again.
    pub fn heal_book_syncs(&self) {
        self.lock().failing[0] = None;
    }

    /// The disk fails from its k-th operation from now on, for so many operations, and at least once.
    pub fn inject_fault(&self, fault: Fault, kth: u64, length: u64) {
        self.lock().striking = Some(Striking {
            fault,
            from: kth,
            to: kth + length,
            seen: 0,
            struck: 0,
        });
    }

    /// How often a fault has struck so far.
    pub fn fault_count(&self) -> u64 {
        self.lock()
            .striking
            .as_ref()
            .map_or(0, |striking| striking.struck)
    }

    /// Ends a fault; how often it has struck.
    pub fn heal(&self) -> u64 {
        self.lock()
            .striking
            .take()
            .map_or(0, |striking| striking.struck)
    }

    /// The disk when a sync of the log had just failed for the first time.
    pub fn snapshot_at_sync_failure(&self) -> Option<DiskSnapshot> {
        Some(DiskSnapshot {
            files: self.lock().failed.clone()?,
            promised: AckCounts::default(),
        })
    }

    /// The disk now.
    pub fn snapshot(&self) -> DiskSnapshot {
        DiskSnapshot {
            files: self.lock().files.clone(),
            promised: AckCounts::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the disk is held")
    }
}

impl State {
    /// Something is about to change.
    fn look(&mut self, sync: bool) {
        let Some(camera) = &mut self.camera else {
            return;
        };
        if camera.room == 0 || !(sync || camera.seeded.between(0, 19) == 0) {
            return;
        }
        camera.instants += 1;
        let taken = camera.pictures.len();
        let place = if taken < camera.room {
            taken
        } else {
            camera.seeded.between(0, camera.instants - 1) as usize
        };
        if place >= camera.room {
            return;
        }
        let AckCounters {
            synced,
            written,
            number,
        } = &*camera.promises;
        let [synced, written, number] =
            [synced, written, number].map(|promise| promise.load(Ordering::SeqCst));
        let picture = DiskSnapshot {
            files: self.files.clone(),
            promised: AckCounts {
                synced,
                written,
                number,
            },
        };
        if place == taken {
            camera.pictures.push(picture)
        } else {
            camera.pictures[place] = picture
        }
    }

    fn strikes(&mut self, operation: Operation) -> io::Result<()> {
        self.striking
            .as_mut()
            .map_or(Ok(()), |striking| striking.strikes(operation))
    }

    fn change(&mut self) -> (u64, &mut Files) {
        self.look(false);
        self.files.writes += 1;
        (self.files.writes, &mut self.files)
    }
}

impl Files {
    fn content(&mut self, id: u64) -> &mut Content {
        self.contents
            .get_mut(&id)
            .expect("an open file has its content")
    }

    fn found(&self, name: &str) -> Option<u64> {
        self.names.get(name).and_then(|versions| *versions.now())
    }
}

/// Shared with the store, while the test keeps its own hand on it.
#[derive(Clone, Debug)]
pub struct SharedDisk(pub Arc<SimulatedDisk>);

#[derive(Debug)]
struct SimulatedFile {
    disk: Arc<SimulatedDisk>,
    id: u64,
    of_log: bool,
}

impl Disk for SharedDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        let id = match state.files.found(name) {
            Some(id) => id,
            None => {
                state.strikes(Operation::Change)?;
                let (number, files) = state.change();
                files.contents.insert(number, Content::empty());
                files
                    .names
                    .entry(name.to_owned())
                    .or_insert_with(|| Versions::new(None))
                    .write(number, Some(number));
                number
            }
        };
        Ok(Arc::new(SimulatedFile {
            disk: Arc::clone(&self.0),
            id,
            of_log: name.starts_with("ledger/"),
        }))
    }

    fn exists(&self, name: &str) -> bool {
        self.0.lock().files.found(name).is_some()
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
        state.strikes(Operation::Change)?;
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
        state.strikes(Operation::Change)?;
        let id = state.files.found(from).ok_or(io::ErrorKind::NotFound)?;
        let (number, files) = state.change();
        files
            .names
            .entry(to.to_owned())
            .or_insert_with(|| Versions::new(None))
            .write(number, Some(id));
        files
            .names
            .entry(from.to_owned())
            .and_modify(|versions| versions.write(number, None));
        Ok(())
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.strikes(Operation::Sync)?;
        state.look(true);
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
        state.strikes(Operation::Write)?;
        let (number, files) = state.change();
        files.content(self.id).resize(number, size);
        Ok(())
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.set_size(size)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.strikes(Operation::Read)?;
        let content = state.files.content(self.id);
        if offset + into.len() as u64 > *content.size.now() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (at, inside, outside) in pieces(offset, into.len()) {
            into[outside].copy_from_slice(&content.sector(at)[inside]);
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let struck = state.strikes(Operation::Write);
        let shortens = state
            .striking
            .as_ref()
            .is_some_and(|striking| striking.fault == Fault::ShortWrite);
        let written = match &struck {
            Ok(()) => bytes,
            Err(_) if shortens => &bytes[..bytes.len() / 2],
            Err(_) => &[],
        };
        if !written.is_empty() {
            let (number, files) = state.change();
            files.content(self.id).write(number, offset, written);
        }
        struck
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.look(true);
        let fails = state.strikes(Operation::Sync).is_err()
            || state.failing[usize::from(self.of_log)]
                .as_mut()
                .is_some_and(|(seeded, percent)| seeded.between(1, 100) <= *percent);
        let content = state.files.content(self.id);
        if fails {
            content.give_up();
            if self.of_log && state.failed.is_none() {
                state.failed = Some(state.files.clone());
            }
            return Err(io::Error::other(
                "the test's disk forgot what it should have written",
            ));
        }
        content.sync();
        Ok(())
    }
}
