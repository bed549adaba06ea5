//! Queue of finished captures, bounded in bytes together with the calls that are still running, and the counters of the captures.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::domain::id::{KeyId, RequestId, TeamId};
use crate::store::captures::content::StoredCapture;
use crate::store::error::StoreError;

/// Limits of the captures.
#[derive(Clone, Copy, Debug)]
pub struct CaptureBounds {
    /// size of the file; the oldest captures make room
    pub file_bytes_max: u64,
    /// bytes of running and waiting captures; further ones are dropped
    pub queue_bytes_max: usize,
    /// larger media are stored as their hash
    pub media_bytes_max: usize,
    /// free space of the disk below which captures are dropped
    pub disk_free_mb_min: u64,
}

/// Captured calls to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeScope {
    Request(RequestId),
    Key(KeyId),
    Team(TeamId),
    All,
}

/// Request of a caller to the writer.
pub(super) enum Command {
    Read(
        RequestId,
        SyncSender<Result<Option<StoredCapture>, StoreError>>,
    ),
    Purge(PurgeScope, SyncSender<Result<u64, StoreError>>),
}

/// Reason for which a capture is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DropReason {
    QueueFull,
    Disk,
}

/// Figures of the captures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureStats {
    pub stored: u64,
    pub dropped_queue_full: u64,
    pub dropped_disk: u64,
    /// damaged files that were discarded
    pub files_discarded: u64,
    pub queue_bytes: u64,
    /// captured calls in the file, and the bytes that they take there
    pub entries: u64,
    pub bytes: u64,
}

/// Counters shared by callers and the writer.
#[derive(Default)]
pub(super) struct Counters {
    pub stored: AtomicU64,
    queue_full: AtomicU64,
    disk: AtomicU64,
    pub files_discarded: AtomicU64,
    pub entries: AtomicU64,
    pub bytes: AtomicU64,
}

impl Counters {
    pub fn drop_captures(&self, reason: DropReason, captures: u64) {
        let counter = match reason {
            DropReason::QueueFull => &self.queue_full,
            DropReason::Disk => &self.disk,
        };
        counter.fetch_add(captures, Ordering::Relaxed);
    }
}

/// Queue and counters.
pub(super) struct Queue {
    bytes_max: usize,
    bytes: AtomicUsize,
    pending: Mutex<Pending>,
    wake: Condvar,
    pub counters: Counters,
    /// no capture is accepted any more
    is_closed: AtomicBool,
}

/// Finished captures and requests of callers, in the order in which they came.
#[derive(Default)]
pub(super) struct Pending {
    pub captures: VecDeque<(StoredCapture, HeldBytes)>,
    pub commands: Vec<Command>,
    pub stopping: bool,
}

impl Queue {
    pub fn new(bytes_max: usize) -> Queue {
        Queue {
            bytes_max,
            bytes: AtomicUsize::new(0),
            pending: Mutex::default(),
            wake: Condvar::new(),
            counters: Counters::default(),
            is_closed: AtomicBool::new(false),
        }
    }

    pub fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, capture: StoredCapture, held: HeldBytes) {
        if self.is_closed.load(Ordering::Relaxed) {
            return;
        }
        self.pending().captures.push_back((capture, held));
        self.wake.notify_one();
    }

    /// Returns `false` once the writer is about to end.
    pub fn command(&self, command: Command) -> bool {
        let mut pending = self.pending();
        if pending.stopping {
            return false;
        }
        pending.commands.push(command);
        drop(pending);
        self.wake.notify_one();
        true
    }

    pub fn stop(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.pending().stopping = true;
        self.wake.notify_one();
    }

    /// Waits for work, at most so long.
    pub fn wait_for_work(&self, timeout: std::time::Duration) -> MutexGuard<'_, Pending> {
        let is_idle = |pending: &mut Pending| {
            pending.captures.is_empty() && pending.commands.is_empty() && !pending.stopping
        };
        let waited = self
            .wake
            .wait_timeout_while(self.pending(), timeout, is_idle);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Lets further captures come, unless a caller waits.
    pub fn gather(&self, pause: std::time::Duration) {
        let is_unhurried = |pending: &mut Pending| pending.commands.is_empty() && !pending.stopping;
        let waited = self
            .wake
            .wait_timeout_while(self.pending(), pause, is_unhurried);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    pub fn stats(&self) -> CaptureStats {
        let counters = &self.counters;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CaptureStats {
            stored: load(&counters.stored),
            dropped_queue_full: load(&counters.queue_full),
            dropped_disk: load(&counters.disk),
            files_discarded: load(&counters.files_discarded),
            queue_bytes: self.bytes.load(Ordering::Relaxed) as u64,
            entries: load(&counters.entries),
            bytes: load(&counters.bytes),
        }
    }
}

/// Bytes of a capture that count towards the bound of the queue until they are dropped.
pub(super) struct HeldBytes {
    queue: Arc<Queue>,
    bytes: usize,
}

impl HeldBytes {
    /// `None` if so many bytes do not fit.
    pub fn take(queue: &Arc<Queue>, bytes: usize) -> Option<HeldBytes> {
        let mut held = HeldBytes {
            queue: queue.clone(),
            bytes: 0,
        };
        held.grow(bytes).then_some(held)
    }

    /// Returns `false`, and takes nothing, if so many further bytes do not fit.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let queue = &self.queue;
        let before = queue.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > queue.bytes_max {
            queue.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.queue.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
