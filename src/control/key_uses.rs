//! Background task that stores when keys were last used: at most once a minute for each key, never a write per request.

use std::time::Duration;

use tokio::sync::watch;

use crate::control::plane::Control;
use crate::domain::api_error::ApiError;
use crate::domain::id::KeyId;

const INTERVAL: Duration = Duration::from_secs(60);

/// Runs until shutdown, and stores once more then.
pub(super) async fn run(control: Control, mut shutdown: watch::Receiver<bool>) {
    loop {
        let stopping = tokio::select! {
            _ = shutdown.wait_for(|is_shutdown| *is_shutdown) => true,
            () = tokio::time::sleep(INTERVAL) => false,
        };
        if let Err(error) = store(&control).await {
            tracing::debug!(%error, "failed to store the last use of keys; retrying");
        }
        if stopping {
            return;
        }
    }
}

/// Stores the uses that are not stored yet, in one transaction.
async fn store(control: &Control) -> Result<(), ApiError> {
    let directory = control.directory();
    let unstored: Vec<(KeyId, u64)> = directory
        .keys()
        .filter_map(|caller| Some((caller.key.id, caller.last_use.unstored_ms()?)))
        .collect();
    if unstored.is_empty() {
        return Ok(());
    }
    let rows = unstored.clone();
    let write = control.store.write(move |books| {
        for (id, at_ms) in rows {
            books.put_key_use(id, at_ms)?;
        }
        Ok::<(), ApiError>(())
    });
    write.await?;
    for (id, at_ms) in unstored {
        if let Some(caller) = directory.key(id) {
            caller.last_use.mark_stored(at_ms);
        }
    }
    Ok(())
}
