//! Verification of the stored audit log as a job: started by one call, asked for by others, one at a time. It reads one state of the log
//! outside the threads that serve requests, and ends early at shutdown.

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::plane::Control;
use crate::control::verification_job::VerificationStatus;
use crate::domain::api_error::{ApiError, ErrorCode};

/// Kept checkpoints that one verification compares.
pub const CHECKPOINTS_MAX: usize = 100;

impl Control {
    /// Starts a verification of everything until now, with checkpoints that the caller kept; refused while one runs.
    pub async fn start_audit_verification(
        &self,
        _grant: &Grant<may::ReadAudit>,
        kept: Vec<String>,
    ) -> Result<VerificationStatus, ApiError> {
        self.sign_audit().await?;
        let mut job = self.verification.lock();
        let is_running = |status: &VerificationStatus| status.result.is_none();
        if job.status.as_ref().is_some_and(is_running) {
            let message = "a verification of the audit log is running; ask for its result";
            return Err(ApiError::new(ErrorCode::Conflict, message));
        }
        let started = VerificationStatus {
            started_ms: self.now_ms(),
            result: None,
            ended_ms: 0,
        };
        job.status = Some(started.clone());
        let control = self.clone();
        job.task = Some(tokio::task::spawn_blocking(move || {
            let is_wanted = || !control.follower_permits.is_closed();
            let result = control.store.verify_audit(&kept, is_wanted);
            let ended = VerificationStatus {
                result: Some(result),
                ended_ms: control.now_ms(),
                ..started
            };
            control.verification.lock().status = Some(ended);
        }));
        job.status
            .clone()
            .ok_or_else(|| ApiError::defect("no verification was started"))
    }

    /// The newest verification since the start of the process.
    pub fn audit_verification(
        &self,
        _grant: &Grant<may::ReadAudit>,
    ) -> Result<VerificationStatus, ApiError> {
        self.verification.lock().status.clone().ok_or_else(|| {
            let message = "no verification since the start; begin one with POST /v1/audit/verify";
            ApiError::new(ErrorCode::NotFound, message)
        })
    }

    /// Waits for a running verification, which ends early once the followers are closed.
    pub async fn end_audit_verification(&self) {
        let task = self.verification.lock().task.take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "verification of the audit log failed");
        }
    }
}
