//! Background task that signs the audit log: a checkpoint each minute in which events were added, and one at shutdown.

use std::time::Duration;

use tokio::sync::watch;

use crate::control::plane::Control;
use crate::domain::api_error::ApiError;
use crate::store::StoreError;

/// Longest time between an event and the checkpoint that covers it.
const INTERVAL: Duration = Duration::from_secs(60);

impl Control {
    /// Signs the present end of the audit log; the newest checkpoint if nothing was added. `None`: the log has no event.
    pub(in crate::control) async fn sign_audit(&self) -> Result<Option<String>, ApiError> {
        let sign = self
            .store
            .write::<_, StoreError>(|books| books.sign_audit())
            .await;
        Ok(sign?)
    }

    async fn sign_if_grown(&self, signed: &mut u64) {
        let end = *self.store.audit_end().borrow();
        if end == *signed {
            return;
        }
        match self.sign_audit().await {
            Ok(_) => *signed = end,
            Err(error) => {
                tracing::warn!(%error, "failed to sign the audit log; retrying in a minute")
            }
        }
    }
}

/// Signs until shutdown, and once more then.
pub(in crate::control) async fn run(control: Control, mut shutdown: watch::Receiver<bool>) {
    let mut signed = 0;
    loop {
        control.sign_if_grown(&mut signed).await;
        tokio::select! {
            _ = shutdown.wait_for(|is_shutdown| *is_shutdown) => break,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
    control.sign_if_grown(&mut signed).await;
}
