//! The disk as the store needs it: a few files in one folder. Tests put another disk under the log and the books, one
//! that stalls, fails, tears or forgets.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Files by their name below the data folder, such as `ledger/0001.log`.
pub trait Disk: Send + Sync + 'static {
    /// Opens for reading and writing, creating what is not there. A new file's name lasts once its folder is synced; that
    /// of a new folder lasts at once.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    fn exists(&self, name: &str) -> bool;
    /// The names of the files in a folder, sorted; an absent folder is empty.
    fn names(&self, folder: &str) -> io::Result<Vec<String>>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Gives a file another name, at once: a power cut leaves it under one of the two.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes created and removed names last.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;
    fn free_mb(&self) -> io::Result<u64>;
}

/// One open file, written at offsets.
pub trait DiskFile: Send + Sync + 'static {
    fn size(&self) -> io::Result<u64>;
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Sets a size, with room on the disk for all of it: later writes inside find the disk never full.
    fn allocate(&self, size: u64) -> io::Result<()>;
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
}

/// How long a lock that somebody holds is asked for.
const LOCK_WAIT: Duration = Duration::from_millis(500);

/// The real folder, locked for as long as this value lives.
pub struct FolderDisk {
    folder: PathBuf,
    _lock: File,
}

impl FolderDisk {
    /// Creates the folder (0700) if need be and takes its lock, so that two processes never write the same books.
    pub fn lock(folder: &Path) -> io::Result<FolderDisk> {
        create_folder(folder)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(folder.join("lock"))?;
        locked(&lock).map_err(|_| {
            let message = format!(
                "{} is in use by another gatekeeper process; stop it first",
                folder.display()
            );
            io::Error::new(io::ErrorKind::ResourceBusy, message)
        })?;
        Ok(FolderDisk {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }
}

/// Creates a folder, and what lies above it, so that no power cut takes it away again.
fn create_folder(folder: &Path) -> io::Result<()> {
    let exists = folder.is_dir();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let parent = folder.parent().map(|parent| {
        if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        }
    });
    match parent.map(File::open) {
        Some(Ok(parent)) if !exists => parent.sync_all(),
        // one who may create here but not look: nothing more can be done
        _ => Ok(()),
    }
}

/// Takes the lock. One that has just been let go of may be held for a moment by a child on its way to become another program.
fn locked(lock: &File) -> Result<(), std::fs::TryLockError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match lock.try_lock() {
            Err(_) if Instant::now() < deadline => std::thread::sleep(LOCK_WAIT / 50),
            taken => return taken,
        }
    }
}

impl Disk for FolderDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
            create_folder(parent)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn exists(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.folder.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        File::open(self.folder.join(folder))?.sync_all()
    }

    fn free_mb(&self) -> io::Result<u64> {
        let figures = rustix::fs::statvfs(&self.folder)?;
        Ok(figures.f_bavail.saturating_mul(figures.f_frsize) / (1024 * 1024))
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        match fallocate(&self.0, FallocateFlags::empty(), 0, size) {
            // a file system without it: the size alone
            Err(rustix::io::Errno::OPNOTSUPP) => self.0.set_len(size),
            done => Ok(done?),
        }
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// A page of the books, in bytes.
const PAGE: u64 = 4096;

/// What happens to a database's file below redb.
#[derive(Default)]
pub(super) struct Below {
    /// an operation has failed: from there on redb refuses everything
    pub failed: AtomicBool,
    /// what redb did not have in its cache
    pub pages_read: AtomicU64,
}

/// redb on the same disk as the log.
pub(super) struct Backend {
    file: Arc<dyn DiskFile>,
    below: Arc<Below>,
}

impl Backend {
    pub(super) fn on(file: Arc<dyn DiskFile>, below: Arc<Below>) -> Backend {
        Backend { file, below }
    }

    fn noted<T>(&self, done: io::Result<T>) -> io::Result<T> {
        if done.is_err() {
            self.below.failed.store(true, Ordering::Release);
        }
        done
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.noted(self.file.size())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.below
            .pages_read
            .fetch_add((out.len() as u64).div_ceil(PAGE), Ordering::Relaxed);
        self.noted(self.file.read_at(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.noted(self.file.set_size(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.noted(self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.noted(self.file.write_at(offset, data))
    }
}
