//! Semantic step: vectors of the kept questions by namespace, and the thread that makes the vectors. A question waits for no longer than a
//! short queue and a short time; after that the step is left out. Must never compare questions of two namespaces.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::cache::embedder::{Embedder, Vector};
use crate::cache::guards::{self, Strictness};
use crate::cache::search::{Neighbor, VectorIndex};
use crate::domain::cache::{CacheEntryId, GuardMode};

/// Questions that wait for the embedder; for further ones the step is left out.
const QUEUE_MAX: usize = 8;
/// Longest wait for a vector.
const WAIT: Duration = Duration::from_millis(250);
/// Without optimization a vector takes seconds.
const DEBUG_WAIT: Duration = Duration::from_secs(300);
/// Kept questions of one namespace, and of all; further ones are found by equal requests only.
const NAMESPACE_MAX: usize = 50_000;
const QUESTIONS_MAX: usize = 200_000;
/// Nearest questions that the guards judge.
const CANDIDATES: usize = 5;
/// A question less near than this is no candidate, not even for the record.
const NEARNESS_MIN: f32 = 0.5;

/// Hash of everything but the text of the last message.
pub type Namespace = [u8; 16];

/// A text on its way to the embedder.
struct Job {
    text: String,
    reply: oneshot::Sender<Option<Vector>>,
}

/// Reason why a question has no vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoVector {
    /// the embedder has too much to do
    Busy,
    /// the text is too long or empty, or the executable has no embedder
    Unfit,
}

impl NoVector {
    pub fn as_str(self) -> &'static str {
        match self {
            NoVector::Busy => "embedder_busy",
            NoVector::Unfit => "prompt_length",
        }
    }
}

/// Vectors of the kept questions.
#[derive(Default)]
struct Questions {
    namespaces: HashMap<Namespace, VectorIndex<CacheEntryId>>,
    entries: HashMap<CacheEntryId, Namespace>,
}

/// Index and embedder, shared by the requests.
pub struct SemanticIndex {
    questions: RwLock<Questions>,
    embedder: OnceLock<Option<Arc<Embedder>>>,
    worker: Mutex<Option<Worker>>,
    /// questions of an earlier process have been added
    is_restored: AtomicBool,
    wait: Duration,
}

struct Worker {
    jobs: SyncSender<Job>,
    thread: JoinHandle<()>,
}

impl Default for SemanticIndex {
    fn default() -> SemanticIndex {
        SemanticIndex::with_wait(if cfg!(debug_assertions) {
            DEBUG_WAIT
        } else {
            WAIT
        })
    }
}

impl SemanticIndex {
    fn with_wait(wait: Duration) -> SemanticIndex {
        SemanticIndex {
            questions: RwLock::default(),
            embedder: OnceLock::new(),
            worker: Mutex::default(),
            is_restored: AtomicBool::new(false),
            wait,
        }
    }

    /// Makes the vector of a text, on the embedder's thread. The first call starts it and has it run `restore`, which adds what an earlier
    /// process kept; until that is done, no further call waits.
    pub async fn embed(
        self: &Arc<Self>,
        text: &str,
        restore: impl FnOnce(&SemanticIndex) + Send + 'static,
    ) -> Result<Vector, NoVector> {
        let (reply, vector) = oneshot::channel();
        let text = text.to_owned();
        self.send(Job { text, reply }, restore)?;
        match tokio::time::timeout(self.wait, vector).await {
            Ok(Ok(Some(vector))) => Ok(vector),
            Ok(Ok(None)) => Err(NoVector::Unfit),
            Ok(Err(_)) | Err(_) => Err(NoVector::Busy),
        }
    }

    fn send(
        self: &Arc<Self>,
        job: Job,
        restore: impl FnOnce(&SemanticIndex) + Send + 'static,
    ) -> Result<(), NoVector> {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if worker.is_none() {
            *worker = self.start(restore);
        } else if !self.is_restored.load(Ordering::Acquire) {
            return Err(NoVector::Busy);
        }
        let jobs = worker.as_ref().ok_or(NoVector::Busy)?;
        match jobs.jobs.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(NoVector::Busy),
        }
    }

    fn start(
        self: &Arc<Self>,
        restore: impl FnOnce(&SemanticIndex) + Send + 'static,
    ) -> Option<Worker> {
        let (jobs, receiver) = sync_channel(QUEUE_MAX);
        let index = self.clone();
        let thread = std::thread::Builder::new()
            .name("gk-embedder".into())
            .spawn(move || index.run(&receiver, restore))
            .inspect_err(|error| tracing::error!(%error, "failed to start the embedder's thread"))
            .ok()?;
        Some(Worker { jobs, thread })
    }

    fn run(&self, jobs: &Receiver<Job>, restore: impl FnOnce(&SemanticIndex)) {
        let embedder = self.embedder();
        restore(self);
        self.is_restored.store(true, Ordering::Release);
        while let Ok(Job { text, reply }) = jobs.recv() {
            if reply.is_closed() {
                continue;
            }
            let vector = embedder.and_then(|embedder| embedder.embed_prompt(&text));
            // the request may have gone on without it
            let _ = reply.send(vector);
        }
    }

    fn embedder(&self) -> Option<&Embedder> {
        let load = || Embedder::load().map(Arc::new);
        self.embedder.get_or_init(load).as_deref()
    }

    /// Nearest kept questions, the nearest first.
    pub fn nearest(&self, namespace: &Namespace, vector: &Vector) -> Vec<Neighbor<CacheEntryId>> {
        let questions = self
            .questions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let index = questions.namespaces.get(namespace);
        index.map_or_else(Vec::new, |index| {
            index.nearest(vector, NEARNESS_MIN, CANDIDATES)
        })
    }

    /// Name of the guard that refuses to serve the answer to `kept` for `asked`.
    pub fn refusal(&self, asked: &str, kept: &str, mode: GuardMode) -> Option<&'static str> {
        let strictness = match mode {
            GuardMode::Strict => Strictness::Strict,
            GuardMode::Balanced => Strictness::Balanced,
        };
        let Some(embedder) = self.embedder() else {
            return Some("content");
        };
        let is_word = |word: &str| embedder.is_word(word);
        guards::refusal(asked, kept, strictness, &is_word).map(guards::Guard::as_str)
    }

    /// Adds a kept question, or replaces it.
    pub fn insert(&self, namespace: Namespace, id: CacheEntryId, vector: &Vector) {
        let mut questions = self
            .questions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        questions.remove(id);
        if questions.entries.len() >= QUESTIONS_MAX {
            return;
        }
        let index = questions.namespaces.entry(namespace).or_default();
        if index.len() < NAMESPACE_MAX {
            index.insert(id, vector);
            questions.entries.insert(id, namespace);
        }
    }

    /// Removes deleted entries; none stands for all.
    pub fn forget(&self, deleted: &[CacheEntryId]) {
        let mut questions = self
            .questions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if deleted.is_empty() {
            *questions = Questions::default();
        }
        for id in deleted {
            questions.remove(*id);
        }
    }

    /// Ends the embedder's thread.
    pub fn close(&self) {
        let worker = self
            .worker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Worker { jobs, thread }) = worker {
            drop(jobs);
            if thread.join().is_err() {
                tracing::error!("the embedder's thread panicked");
            }
        }
    }
}

impl Questions {
    fn remove(&mut self, id: CacheEntryId) {
        let Some(namespace) = self.entries.remove(&id) else {
            return;
        };
        if let Some(index) = self.namespaces.get_mut(&namespace) {
            index.remove(id);
            if index.is_empty() {
                self.namespaces.remove(&namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests;
