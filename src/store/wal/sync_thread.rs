//! The thread that syncs the log, so that nobody who waits for the disk waits for the books. It ends when the store is closed
//! and everything is synced, or cannot be.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::store::Options;
use crate::store::log_throttle::LogThrottle;
use crate::store::wal::Wal;

/// After a failed sync, so that a disk that fails at once is not asked a thousand times a second.
const SYNC_PAUSE: Duration = Duration::from_millis(50);
/// How often a sync is tried while the store is closing.
const LAST_TRIES: usize = 3;
/// How often the free space is looked at.
const DISK_LOOK: Duration = Duration::from_secs(1);

pub(crate) fn start(journal: Arc<Wal>, options: Options) -> JoinHandle<()> {
    let syncer = SyncThread {
        journal,
        options,
        disk_looked: None,
        disk_unknown: false,
        log_trouble: LogThrottle::default(),
    };
    match std::thread::Builder::new()
        .name("gk-syncer".into())
        .spawn(move || syncer.run())
    {
        Ok(handle) => handle,
        Err(error) => panic!("no thread can be started to sync the ledger's log: {error}"),
    }
}

struct SyncThread {
    journal: Arc<Wal>,
    options: Options,
    disk_looked: Option<Instant>,
    disk_unknown: bool,
    log_trouble: LogThrottle,
}

/// However the thread ends, the writer does not wait for it.
struct End(Arc<Wal>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.syncs_no_more();
    }
}

impl SyncThread {
    fn run(mut self) {
        let _end = End(self.journal.clone());
        let mut tries = LAST_TRIES;
        while let Some(sync) = self.journal.next_sync() {
            self.look_at_disk();
            if !sync {
                continue;
            }
            match self.journal.sync() {
                Ok(()) if self.log_trouble.ends() => {
                    tracing::info!("the ledger's log is synced again")
                }
                Ok(()) => {}
                Err(error) => {
                    if self.log_trouble.should_log() {
                        tracing::error!(
                            "the ledger's log cannot be synced; its records are written again to a new segment: {error}"
                        );
                    }
                    if self.journal.is_stopping() {
                        tries -= 1;
                    }
                    if tries == 0 {
                        // a disk that may never heal is not waited for: the log keeps what it has
                        tracing::error!("the ledger's log could not be synced at the end: {error}");
                        return;
                    }
                    std::thread::sleep(SYNC_PAUSE);
                }
            }
        }
    }

    fn look_at_disk(&mut self) {
        if self
            .disk_looked
            .is_some_and(|looked| looked.elapsed() < DISK_LOOK)
        {
            return;
        }
        self.disk_looked = Some(Instant::now());
        match self.options.disk.free_mb() {
            Ok(free) => self
                .journal
                .set_disk_low(free < self.options.disk_reserve_mb),
            // said once; it would be said every second
            Err(error) if !std::mem::replace(&mut self.disk_unknown, true) => {
                tracing::warn!("the free space of the data folder is unknown: {error}");
            }
            Err(_) => {}
        }
    }
}
