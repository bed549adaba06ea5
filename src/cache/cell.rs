//! Cell with the cache of an instance: opened at the start where a name has a cache, else on a thread of its own once a request could use
//! it, because routes change while the process runs. No request waits for the opening.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use crate::cache::ResponseCache;

#[derive(Clone)]
pub struct CacheCell(Arc<CellState>);

struct CellState {
    cache: OnceLock<Arc<ResponseCache>>,
    open: Box<dyn Fn() -> ResponseCache + Send + Sync>,
    opener: Mutex<Opener>,
}

/// State of the opening.
enum Opener {
    Idle,
    Running(JoinHandle<()>),
    Closed,
}

impl CacheCell {
    pub fn new(open: impl Fn() -> ResponseCache + Send + Sync + 'static) -> CacheCell {
        CacheCell(Arc::new(CellState {
            cache: OnceLock::new(),
            open: Box::new(open),
            opener: Mutex::new(Opener::Idle),
        }))
    }

    /// The open cache.
    pub fn get(&self) -> Option<&Arc<ResponseCache>> {
        self.0.cache.get()
    }

    /// Opens the cache, waiting for the disk.
    pub fn open(&self) -> &Arc<ResponseCache> {
        self.0.open()
    }

    /// Has the cache opened, unless that has begun or the cell is closed.
    pub fn open_soon(&self) {
        let mut opener = self.opener();
        if !matches!(*opener, Opener::Idle) {
            return;
        }
        let state = self.0.clone();
        let thread = std::thread::Builder::new()
            .name("gk-cache-open".into())
            .spawn(move || {
                state.open();
            });
        match thread {
            Ok(thread) => *opener = Opener::Running(thread),
            Err(error) => tracing::error!(%error, "failed to start the opening of the cache"),
        }
    }

    /// Closes the cache, once an opening that has begun is over.
    pub fn close(&self) {
        let opener = std::mem::replace(&mut *self.opener(), Opener::Closed);
        if let Opener::Running(thread) = opener
            && thread.join().is_err()
        {
            tracing::error!("the opening of the cache panicked");
        }
        self.get().iter().for_each(|cache| cache.close());
    }

    fn opener(&self) -> MutexGuard<'_, Opener> {
        self.0.opener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CellState {
    fn open(&self) -> &Arc<ResponseCache> {
        self.cache.get_or_init(|| Arc::new((self.open)()))
    }
}
