//! The thread that syncs the log, so that clients who wait for the disk do not wait for the books. It also watches the free disk
//! space and the names of the open files. It ends when the store is closing and everything is synced, or cannot be.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::store::log_throttle::LogThrottle;
use crate::store::options::Options;
use crate::store::wal::handle::Wal;

/// Pause after a failed fsync, so that a disk that fails at once is not tried a thousand times per second.
const RETRY: Duration = Duration::from_millis(50);
/// Failed fsyncs of a closing store after which the thread gives up.
const CLOSING_TRIES: usize = 3;
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Starts the thread. `watched`: beginnings of the names that must stay linked.
pub(in crate::store) fn start(
    wal: Arc<Wal>,
    options: Options,
    watched: &'static [&'static str],
) -> JoinHandle<()> {
    let thread = SyncThread {
        wal,
        options,
        watched,
        checked: None,
        free_space_unknown: false,
        mapped: None,
        tries: CLOSING_TRIES,
        failures: LogThrottle::default(),
    };
    match std::thread::Builder::new()
        .name("gk-syncer".into())
        .spawn(move || thread.run())
    {
        Ok(handle) => handle,
        Err(error) => panic!("failed to start the sync thread: {error}"),
    }
}

struct SyncThread {
    wal: Arc<Wal>,
    options: Options,
    watched: &'static [&'static str],
    /// free space and names
    checked: Option<Instant>,
    free_space_unknown: bool,
    /// whether the log was mapped at the last check
    mapped: Option<bool>,
    /// failed fsyncs left while the store is closing
    tries: usize,
    failures: LogThrottle,
}

/// Reports the end of the thread, also after a panic: the writer must not wait for it.
struct EndGuard(Arc<Wal>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.sync_thread_ended();
    }
}

impl SyncThread {
    /// Never inlined: a profile finds the thread by this name (`tests/instructions/run`).
    #[inline(never)]
    fn run(mut self) {
        let _end = EndGuard(self.wal.clone());
        while let Some(due) = self.wal.next_sync() {
            self.check_disk();
            if !due {
                continue;
            }
            match self.wal.sync() {
                Ok(()) if self.failures.recovered() => tracing::info!("ledger log synced again"),
                Ok(()) => {}
                Err(error) => {
                    if !self.retry(&error) {
                        return;
                    }
                }
            }
        }
    }

    /// Logs a failed fsync and pauses; `false` when a closing store gives up.
    fn retry(&mut self, error: &io::Error) -> bool {
        if self.failures.should_log() {
            tracing::error!(%error, "ledger log sync failed; its records are written to a new segment");
        }
        if self.wal.is_stopping() {
            self.tries -= 1;
        }
        if self.tries == 0 {
            // the disk may never recover; the records stay in the log
            tracing::error!(%error, "ledger log not synced at shutdown");
            return false;
        }
        std::thread::sleep(RETRY);
        true
    }

    fn check_disk(&mut self) {
        if self.checked.is_some_and(|at| at.elapsed() < CHECK_INTERVAL) {
            return;
        }
        self.checked = Some(Instant::now());
        self.check_free_space();
        self.report_append_mode();
        if let Some(path) = self.options.disk.lost(self.watched)
            && self.wal.set_folder_lost()
        {
            tracing::error!(
                path = %path.display(),
                "data folder deleted or replaced; requests are refused and the process ends"
            );
        }
    }

    /// Logs a change of how records reach the log, as the line of the start says it.
    fn report_append_mode(&mut self) {
        let mapped = self.wal.metrics().mapped;
        let before = self.mapped.replace(mapped);
        if before.is_some_and(|before| before != mapped) {
            let append = if mapped { "mapped" } else { "written" };
            tracing::info!(append, "append mode of the ledger log changed");
        }
    }

    fn check_free_space(&mut self) {
        match self.options.disk.free_mb() {
            Ok(free_mb) => self
                .wal
                .set_disk_low(free_mb < self.options.disk_reserve_mb),
            // logged once, not every second
            Err(error) if !std::mem::replace(&mut self.free_space_unknown, true) => {
                tracing::warn!(%error, "free disk space of the data folder unknown");
            }
            Err(_) => {}
        }
    }
}
