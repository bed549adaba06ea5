//! `Store`, the handle of the open store: books, log and their threads. Cheap to clone. The reads and changes of the books are `impl`
//! blocks in `books/`; dropping the last clone does not end the threads, `close` does.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::audit::note::Signer;
use crate::store::books::slot::DatabaseSlot;
use crate::store::disk::Disk;
use crate::store::wal::handle::Wal;

#[derive(Clone)]
pub struct Store {
    pub(in crate::store) instance: [u8; 16],
    pub(in crate::store) disk: Arc<dyn Disk>,
    pub(in crate::store) database: Arc<DatabaseSlot>,
    pub(in crate::store) wal: Arc<Wal>,
    /// key that signs the audit log, once it is opened
    pub(in crate::store) audit_signer: Arc<OnceLock<Arc<Signer>>>,
    /// last committed event of the audit log
    pub(in crate::store) audit_end: watch::Sender<u64>,
    /// sync thread and writer
    pub(in crate::store) threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Store {
    /// Instance id: random, assigned when the books were created.
    pub fn instance(&self) -> [u8; 16] {
        self.instance
    }

    /// The write-ahead log, for the ledger.
    pub fn wal(&self) -> Arc<Wal> {
        self.wal.clone()
    }

    /// Last committed event of the audit log, and notice of each later one.
    pub fn audit_end(&self) -> watch::Receiver<u64> {
        self.audit_end.subscribe()
    }

    /// Lets both threads finish their work and ends them.
    pub fn close(&self) {
        self.wal.stop();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("store thread panicked");
            }
        }
        self.database.put(None);
    }
}
