//! `Captures`, the handle: drafts of running calls, reads, purges and figures. Only reads and purges wait for the disk.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::domain::id::RequestId;
use crate::domain::time::Time;
use crate::store::captures::content::StoredCapture;
use crate::store::captures::draft::{CaptureDraft, CaptureOrigin};
use crate::store::captures::file::{CaptureFile, FILE, UNFINISHED};
use crate::store::captures::queue::{CaptureBounds, CaptureStats, Command, PurgeScope, Queue};
use crate::store::captures::writer::Writer;
use crate::store::disk::Disk;
use crate::store::error::StoreError;
use crate::store::seal::{Seal, SealKey};

/// Captured calls of a running process.
pub struct Captures {
    queue: Arc<Queue>,
    time: Arc<Time>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Captures {
    /// Opens the file if there is one, discards an unreadable one, and starts the writer.
    pub fn open(
        disk: Arc<dyn Disk>,
        time: Arc<Time>,
        key: &SealKey,
        bounds: CaptureBounds,
    ) -> Captures {
        let queue = Arc::new(Queue::new(bounds.queue_bytes_max));
        let seal = Seal::new(key.for_purpose("capture: entries"));
        let file = CaptureFile::new(disk, seal, bounds.file_bytes_max);
        let writer = Writer::new(queue.clone(), time.clone(), file, bounds)
            .start()
            .map_err(|error| {
                tracing::error!(%error, "failed to start the writer of captures");
                queue.stop();
            })
            .ok();
        Captures {
            queue,
            time,
            writer: Mutex::new(writer),
        }
    }

    /// Removes the file of an earlier start, because capture is turned off in the configuration.
    pub fn remove_file(disk: &dyn Disk) {
        for name in [FILE, UNFINISHED] {
            if disk.exists(name)
                && let Err(error) = disk.remove(name)
            {
                tracing::error!(%error, file = name, "failed to remove the file of disabled captures");
            }
        }
    }

    /// Begins the capture of a call.
    pub fn draft(&self, origin: CaptureOrigin, request: &[u8]) -> CaptureDraft {
        CaptureDraft::new(self.queue.clone(), self.time.clone(), origin, request)
    }

    /// Reads a captured call; `None` if there is none. Waits for the disk.
    pub fn read(&self, request: RequestId) -> Result<Option<StoredCapture>, StoreError> {
        self.ask(|reply| Command::Read(request, reply))
    }

    /// Deletes captured calls, so that none of their bytes remains in the file; returns their number. Waits for the disk.
    pub fn purge(&self, scope: PurgeScope) -> Result<u64, StoreError> {
        self.ask(|reply| Command::Purge(scope, reply))
    }

    pub fn stats(&self) -> CaptureStats {
        self.queue.stats()
    }

    /// Writes the pending captures and ends the writer.
    pub fn close(&self) {
        self.queue.stop();
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("writer of captures panicked");
        }
    }

    fn ask<T>(
        &self,
        command: impl FnOnce(SyncSender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = sync_channel(1);
        if !self.queue.command(command(sender)) {
            return Err(StoreError::Closed);
        }
        receiver.recv().unwrap_or(Err(StoreError::Closed))
    }
}
