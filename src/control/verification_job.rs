//! State of the newest verification of the audit log, shared by the calls that start it and ask for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;

use crate::audit::verify::Verification;
use crate::store::StoreError;

/// The newest verification.
#[derive(Clone, Debug)]
pub struct VerificationStatus {
    pub started_ms: u64,
    /// `None` while it runs
    pub result: Option<Result<Verification, StoreError>>,
    pub ended_ms: u64,
}

/// State and task of the newest verification.
#[derive(Debug, Default)]
pub(super) struct VerificationJob(Mutex<JobState>);

#[derive(Debug, Default)]
pub(super) struct JobState {
    pub status: Option<VerificationStatus>,
    pub task: Option<JoinHandle<()>>,
}

impl VerificationJob {
    pub fn lock(&self) -> MutexGuard<'_, JobState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
