//! Alerts of deployments that leave the rotation or return to it: each is stored and sent to the webhook. No call waits for it; the log
//! has every change, whether or not it is an alert.

use std::time::Duration;

use serde_json::json;
use tokio::sync::{Notify, mpsc};

use crate::control::plane::Control;
use crate::domain::api_error::ApiError;
use crate::domain::attempt::FailureClass;
use crate::domain::zone::Zone;
use crate::route::{BreakerState, HealthChange};

/// Changes that may wait to be stored; more are in the log alone.
pub(super) const QUEUE_MAX: usize = 256;
/// Pause after a failed write.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Stores alerts for the webhook as they come, until the gateway is gone.
pub(super) async fn store_all(
    control: &Control,
    queue: &mut mpsc::Receiver<HealthChange>,
    is_delivered: bool,
    stored: &Notify,
) {
    while let Some(change) = queue.recv().await {
        if !is_delivered {
            continue;
        }
        let at_ms = control.now_ms();
        let message = message(&change, at_ms);
        while let Err(error) = store(control, at_ms, &message).await {
            tracing::debug!(%error, "failed to store an alert of a deployment; retrying");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        stored.notify_one();
    }
    std::future::pending().await
}

async fn store(control: &Control, at_ms: u64, message: &str) -> Result<(), ApiError> {
    let message = message.to_owned();
    let write = control.store.write(move |books| {
        books.record_notice(at_ms, &message)?;
        Ok::<(), ApiError>(())
    });
    write.await
}

fn message(change: &HealthChange, at_ms: u64) -> String {
    let event = match change.state {
        BreakerState::Closed => "deployment.available",
        BreakerState::Open | BreakerState::HalfOpen => "deployment.unavailable",
    };
    let key = change.key.as_deref();
    let name = key.map_or(String::new(), |key| format!("#{key}"));
    json!({
        "event": event,
        "id": format!("{}{name}.{at_ms}.{event}", change.deployment),
        "at": Zone::utc().rfc3339(at_ms),
        "deployment": change.deployment,
        "key": key,
        "class": change.class.map(FailureClass::as_str),
        "cooldown_ms": change.cooldown_ms,
    })
    .to_string()
}
