//! File-system trait of the store: a few files in one folder, and `FolderDisk`, which implements it on a locked data folder. Tests
//! substitute disks that stall, fail, tear writes or lose power.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::store::linked_files::LinkedFiles;
use crate::store::mapping::{self, MappedRecords};

/// Files by name below the data folder, e.g. `ledger/000001.log`.
pub trait Disk: Send + Sync + 'static {
    /// Opens for reading and writing, creating the file and its folder if need be. The name of a new file is durable once its folder is
    /// synced, that of a new folder at once.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    fn exists(&self, name: &str) -> bool;
    /// Names of the files in a folder, sorted; an absent folder is empty.
    fn names(&self, folder: &str) -> io::Result<Vec<String>>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Renames atomically: a power cut leaves the file under one of the two names.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes created, renamed and removed names durable.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;
    fn free_mb(&self) -> io::Result<u64>;
    /// The folder, or an open file whose name begins with one of these, that was deleted or replaced since. A disk that only the
    /// process can change has none.
    fn lost(&self, _names: &[&str]) -> Option<PathBuf> {
        None
    }
}

/// Open file, written at offsets.
pub trait DiskFile: Send + Sync + 'static {
    fn size(&self) -> io::Result<u64>;
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Sets a size and allocates all its blocks: later writes inside never find the disk full.
    fn allocate(&self, size: u64) -> io::Result<()>;
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
    /// The file as memory, for records that reach it without a call of the kernel; `None` where that is not safe, and for every disk
    /// that does not say otherwise.
    fn map(&self) -> Option<Arc<dyn MappedRecords>> {
        None
    }
    /// Ranges that read as zeros and keep the file from being mapped until zeros are written to them. Asked before the file is read.
    fn holes(&self) -> io::Result<Vec<Range<u64>>> {
        Ok(Vec::new())
    }
}

/// Time to wait for a lock that another process holds.
const LOCK_WAIT: Duration = Duration::from_millis(500);

/// A folder of the file system, locked for as long as this value lives.
pub struct FolderDisk {
    folder: PathBuf,
    linked: LinkedFiles,
    maps: bool,
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
        lock_with_timeout(&lock).map_err(|_| {
            let message = format!(
                "{} is in use by another gatekeeper process; stop it first",
                folder.display()
            );
            io::Error::new(io::ErrorKind::ResourceBusy, message)
        })?;
        Ok(FolderDisk {
            folder: folder.to_owned(),
            linked: LinkedFiles::of(folder),
            maps: true,
            _lock: lock,
        })
    }

    /// The same disk, whose files may be mapped or are always written.
    pub fn with_mapping(self, maps: bool) -> FolderDisk {
        FolderDisk { maps, ..self }
    }
}

/// Creates a folder and its parents durably.
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
        // the parent may be writable but not readable: then it cannot be synced
        _ => Ok(()),
    }
}

/// Takes the lock, with retries: a child process between fork and exec may hold a released lock for a moment.
fn lock_with_timeout(lock: &File) -> Result<(), std::fs::TryLockError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match lock.try_lock() {
            Err(_) if Instant::now() < deadline => std::thread::sleep(LOCK_WAIT / 50),
            outcome => return outcome,
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
        let file = Arc::new(file);
        self.linked.opened(name, &file);
        Ok(Arc::new(RealFile {
            file,
            maps: self.maps,
        }))
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
        self.linked.forget(name);
        fs::remove_file(self.folder.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.linked.forget(from);
        self.linked.forget(to);
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        File::open(self.folder.join(folder))?.sync_all()
    }

    fn free_mb(&self) -> io::Result<u64> {
        let stats = rustix::fs::statvfs(&self.folder)?;
        Ok(stats.f_bavail.saturating_mul(stats.f_frsize) / (1024 * 1024))
    }

    fn lost(&self, names: &[&str]) -> Option<PathBuf> {
        self.linked.first_lost(names)
    }
}

struct RealFile {
    file: Arc<File>,
    maps: bool,
}

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        match fallocate(&self.file, FallocateFlags::empty(), 0, size) {
            // the file system cannot allocate: set the size alone
            Err(rustix::io::Errno::OPNOTSUPP) => self.file.set_len(size),
            outcome => Ok(outcome?),
        }
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn map(&self) -> Option<Arc<dyn MappedRecords>> {
        mapping::map(&self.file).filter(|_| self.maps)
    }

    fn holes(&self) -> io::Result<Vec<Range<u64>>> {
        if self.maps {
            mapping::holes(&self.file)
        } else {
            Ok(Vec::new())
        }
    }
}
