//! Writer of the captures: the one thread that touches their file. It replaces large media by their hashes, writes in batches, answers
//! reads and purges, deletes expired calls, and discards a damaged file. What the disk does not take is dropped and counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::domain::id::RequestId;
use crate::domain::time::Time;
use crate::store::backend::catch_panic;
use crate::store::captures::content::StoredCapture;
use crate::store::captures::file::{CaptureFile, FILE};
use crate::store::captures::media::replace_media;
use crate::store::captures::queue::{
    CaptureBounds, Command, DropReason, HeldBytes, PurgeScope, Queue,
};
use crate::store::error::StoreError;

/// Pause between two commits, so that captures share one.
const GATHER: Duration = Duration::from_millis(100);
/// Longest wait until expired calls are deleted.
const SWEEP: Duration = Duration::from_secs(600);
/// Interval at which the bytes of expired calls are removed from the file.
const SCRUB_MS: u64 = 3_600_000;
/// Captures of one commit.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct Writer {
    queue: Arc<Queue>,
    time: Arc<Time>,
    file: CaptureFile,
    bounds: CaptureBounds,
    /// boot-time instant of the last rewrite of the file
    scrubbed_ms: Option<u64>,
}

impl Writer {
    pub fn new(
        queue: Arc<Queue>,
        time: Arc<Time>,
        file: CaptureFile,
        bounds: CaptureBounds,
    ) -> Writer {
        Writer {
            queue,
            time,
            file,
            bounds,
            scrubbed_ms: None,
        }
    }

    pub fn start(self) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name("gk-captures".into())
            .spawn(move || self.run())
    }

    fn run(mut self) {
        if let Err(error) = self.file.remove_unfinished() {
            tracing::error!(%error, "failed to remove an unfinished rewrite of the captured calls");
        }
        self.sweep();
        loop {
            let (batch, commands, is_over) = self.next_work();
            let is_written = !batch.is_empty();
            if is_written {
                self.write(batch);
            }
            self.sweep();
            for command in commands {
                self.answer(command);
            }
            self.note_size();
            if is_over {
                return self.file.close();
            }
            if is_written {
                self.queue.gather(GATHER);
            }
        }
    }

    /// Waits for work. Requests of callers come once all captures before them are in the batch.
    fn next_work(&self) -> (Vec<(StoredCapture, HeldBytes)>, Vec<Command>, bool) {
        let mut pending = self.queue.wait_for_work(SWEEP);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES
            && let Some((capture, held)) = pending.captures.pop_front()
        {
            bytes += capture.call.request.len() + capture.call.response.len();
            batch.push((capture, held));
        }
        if !pending.captures.is_empty() {
            return (batch, Vec::new(), false);
        }
        let commands = std::mem::take(&mut pending.commands);
        (batch, commands, pending.stopping)
    }

    fn write(&mut self, batch: Vec<(StoredCapture, HeldBytes)>) {
        let count = batch.len() as u64;
        let (mut captures, held): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let counters = &self.queue.counters;
        if !self.has_space() {
            return counters.drop_captures(DropReason::Disk, count);
        }
        for capture in &mut captures {
            self.shorten(capture);
        }
        match self.attempt(|file| file.write(&captures)) {
            Ok(too_large) => {
                let counters = &self.queue.counters;
                counters.drop_captures(DropReason::Disk, too_large);
                let stored = count - too_large;
                counters.stored.fetch_add(stored, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!(%error, captures = count, "captures dropped: failed to write their file");
                self.queue.counters.drop_captures(DropReason::Disk, count);
            }
        }
        drop(held);
    }

    /// The books need the rest of the disk.
    fn has_space(&self) -> bool {
        let free_mb = self.file.disk.free_mb();
        free_mb.is_ok_and(|free_mb| free_mb >= self.bounds.disk_free_mb_min)
    }

    fn shorten(&self, capture: &mut StoredCapture) {
        let call = &mut capture.call;
        for body in [&mut call.request, &mut call.response] {
            let (shortened, media) = replace_media(body, self.bounds.media_bytes_max);
            *body = shortened;
            call.media += media;
        }
    }

    /// Works on the file. After a failure it is opened anew by the next attempt; one that cannot be opened is discarded.
    fn attempt<T>(
        &mut self,
        mut work: impl FnMut(&mut CaptureFile) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Err(error) = self.file.open()
            && self.has_space()
        {
            self.discard(&error);
        }
        let outcome = catch_panic(|| work(&mut self.file));
        if outcome.is_err() {
            self.file.close();
        }
        outcome
    }

    fn discard(&mut self, error: &StoreError) {
        tracing::warn!(%error, file = FILE, "captured calls unreadable and discarded");
        let counters = &self.queue.counters;
        counters.files_discarded.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.file.discard() {
            tracing::error!(%error, file = FILE, "failed to remove the damaged file of captures");
        }
    }

    /// Deletes expired calls, and from time to time the bytes that deleted ones left.
    fn sweep(&mut self) {
        if !self.file.exists() {
            return;
        }
        let now_ms = self.time.now_ms();
        if let Err(error) = self.attempt(|file| file.expire(now_ms)) {
            return self.discard(&error);
        }
        let boot_ms = self.time.boot_ms();
        let is_due = self
            .scrubbed_ms
            .is_none_or(|scrubbed_ms| boot_ms.saturating_sub(scrubbed_ms) >= SCRUB_MS);
        let is_unscrubbed = self
            .file
            .open
            .as_ref()
            .is_some_and(|open| open.is_unscrubbed);
        if is_due && is_unscrubbed {
            self.scrubbed_ms = Some(boot_ms);
            if let Err(error) = self.attempt(CaptureFile::scrub) {
                tracing::warn!(%error, "failed to remove the bytes of deleted captures; retried in an hour");
            }
        }
        self.note_size();
    }

    fn answer(&mut self, command: Command) {
        // the caller may have gone
        match command {
            Command::Read(id, reply) => {
                let _ = reply.send(Ok(self.read(id)));
            }
            Command::Purge(scope, reply) => {
                let purged = self.purge(scope);
                self.note_size();
                let _ = reply.send(purged);
            }
        }
    }

    fn read(&mut self, id: RequestId) -> Option<StoredCapture> {
        if !self.file.exists() {
            return None;
        }
        let now_ms = self.time.now_ms();
        self.attempt(|file| file.read(id, now_ms))
            .unwrap_or_else(|error| {
                self.discard(&error);
                None
            })
    }

    fn purge(&mut self, scope: PurgeScope) -> Result<u64, StoreError> {
        if !self.file.exists() {
            return Ok(0);
        }
        if scope == PurgeScope::All {
            // an unreadable file is removed as well
            let _ = self.file.open();
            return self.file.discard();
        }
        let deleted = self.attempt(|file| file.delete(scope))?;
        if deleted > 0 {
            self.attempt(CaptureFile::scrub)?;
        }
        Ok(deleted)
    }

    fn note_size(&self) {
        let (size, counters) = (self.file.size(), &self.queue.counters);
        counters.entries.store(size.entries, Ordering::Relaxed);
        counters.bytes.store(size.bytes, Ordering::Relaxed);
    }
}
