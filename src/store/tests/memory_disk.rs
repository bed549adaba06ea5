//! A disk in memory that dies at its n-th change: a write (of which the first half may still arrive), a size, a sync, a rename, a removal
//! or a new name. Its images are what a kill leaves (every earlier change) and what a power cut leaves (synced bytes and names only).

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::disk::{Disk, DiskFile};

#[derive(Clone, Default)]
pub(in crate::store) struct MemoryDisk(Arc<Mutex<DiskState>>);

#[derive(Clone, Default)]
struct DiskState {
    files: Vec<FileState>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: u64,
    bytes_written: u64,
    dies_at: Option<u64>,
    dead: bool,
    free_mb: Option<u64>,
}

#[derive(Clone, Default)]
struct FileState {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

struct MemoryFile {
    disk: MemoryDisk,
    number: usize,
}

/// Outcome of a change on a disk that is about to die.
enum Change {
    Complete,
    /// the disk dies in the middle of it
    Torn,
}

impl MemoryDisk {
    /// Bytes of all writes so far.
    pub(in crate::store) fn bytes_written(&self) -> u64 {
        self.lock().bytes_written
    }

    /// Number of changes so far.
    pub(in crate::store) fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Makes this and every later operation fail from the n-th change on, counted from now.
    pub(in crate::store) fn die_at(&self, change: u64) {
        let mut state = self.lock();
        state.dies_at = Some(state.changes + change);
    }

    pub(in crate::store) fn set_free_mb(&self, free_mb: u64) {
        self.lock().free_mb = Some(free_mb);
    }

    /// Working copy of the present content.
    pub(in crate::store) fn after_kill(&self) -> MemoryDisk {
        let state = self.lock();
        let files = state.files.iter().map(|file| FileState {
            bytes: file.bytes.clone(),
            durable: file.bytes.clone(),
        });
        MemoryDisk::of(files.collect(), state.names.clone())
    }

    /// Working copy of the durable content.
    pub(in crate::store) fn after_power_cut(&self) -> MemoryDisk {
        let state = self.lock();
        let files = state.files.iter().map(|file| FileState {
            bytes: file.durable.clone(),
            durable: file.durable.clone(),
        });
        MemoryDisk::of(files.collect(), state.durable_names.clone())
    }

    fn of(files: Vec<FileState>, names: BTreeMap<String, usize>) -> MemoryDisk {
        MemoryDisk(Arc::new(Mutex::new(DiskState {
            files,
            durable_names: names.clone(),
            names,
            ..DiskState::default()
        })))
    }

    fn lock(&self) -> MutexGuard<'_, DiskState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskState {
    fn check(&self) -> io::Result<()> {
        if self.dead {
            return Err(io::Error::other("the disk is dead"));
        }
        Ok(())
    }

    fn change(&mut self) -> io::Result<Change> {
        self.check()?;
        self.changes += 1;
        if self.dies_at.is_some_and(|at| self.changes >= at) {
            self.dead = true;
            return Ok(Change::Torn);
        }
        Ok(Change::Complete)
    }

    /// A change that happens completely or not at all.
    fn atomic_change(&mut self) -> io::Result<()> {
        match self.change()? {
            Change::Complete => Ok(()),
            Change::Torn => self.check(),
        }
    }
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, name.to_owned())
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.lock();
        state.check()?;
        let number = match state.names.get(name) {
            Some(number) => *number,
            None => {
                state.atomic_change()?;
                let number = state.files.len();
                state.files.push(FileState::default());
                state.names.insert(name.to_owned(), number);
                number
            }
        };
        Ok(Arc::new(MemoryFile {
            disk: self.clone(),
            number,
        }))
    }

    fn exists(&self, name: &str) -> bool {
        self.lock().names.contains_key(name)
    }

    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let state = self.lock();
        state.check()?;
        let names = state.names.keys().filter(|name| folder_of(name) == folder);
        Ok(names
            .map(|name| name.rsplit('/').next().unwrap_or_default().to_owned())
            .collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.atomic_change()?;
        state
            .names
            .remove(name)
            .map(drop)
            .ok_or_else(|| not_found(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.atomic_change()?;
        let number = state.names.remove(from).ok_or_else(|| not_found(from))?;
        state.names.insert(to.to_owned(), number);
        Ok(())
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.atomic_change()?;
        let DiskState {
            names,
            durable_names,
            ..
        } = &mut *state;
        durable_names.retain(|name, _| folder_of(name) != folder);
        for (name, number) in names.iter().filter(|(name, _)| folder_of(name) == folder) {
            durable_names.insert(name.clone(), *number);
        }
        Ok(())
    }

    fn free_mb(&self) -> io::Result<u64> {
        Ok(self.lock().free_mb.unwrap_or(1 << 20))
    }
}

impl MemoryFile {
    fn resize(&self, size: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.atomic_change()?;
        state.files[self.number].bytes.resize(size as usize, 0);
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        let state = self.disk.lock();
        state.check()?;
        Ok(state.files[self.number].bytes.len() as u64)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.resize(size)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.resize(size)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let state = self.disk.lock();
        state.check()?;
        let range = offset as usize..offset as usize + into.len();
        let bytes = state.files[self.number]
            .bytes
            .get(range)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let written = match state.change()? {
            Change::Complete => bytes,
            Change::Torn => &bytes[..bytes.len() / 2],
        };
        let (start, end) = (offset as usize, offset as usize + written.len());
        let file = &mut state.files[self.number].bytes;
        if file.len() < end {
            file.resize(end, 0);
        }
        file[start..end].copy_from_slice(written);
        state.bytes_written += (end - start) as u64;
        state.check()
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.atomic_change()?;
        let file = &mut state.files[self.number];
        file.durable = file.bytes.clone();
        Ok(())
    }
}
