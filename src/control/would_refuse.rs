//! Background task that stores what budgets which warn would have refused: at most once a minute, never a write per request. A crash loses
//! the counts of the last minute, and no money.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;

use crate::control::plane::Control;
use crate::domain::event::Charge;
use crate::meter::WouldRefuse;
use crate::store::StoreError;

const INTERVAL: Duration = Duration::from_secs(60);

type StoredCounts = HashMap<Charge, WouldRefuse>;

/// Runs until shutdown, and stores once more then.
pub(super) async fn run(control: Control, mut shutdown: watch::Receiver<bool>) {
    let mut stored = StoredCounts::new();
    loop {
        let stopping = tokio::select! {
            _ = shutdown.wait_for(|is_shutdown| *is_shutdown) => true,
            () = tokio::time::sleep(INTERVAL) => false,
        };
        if let Err(error) = store(&control, &mut stored).await {
            tracing::debug!(%error, "failed to store the counts of budgets that warn; retrying");
        }
        if stopping {
            return;
        }
    }
}

async fn store(control: &Control, stored: &mut StoredCounts) -> Result<(), StoreError> {
    let mut changed = control.ledger.would_refuse();
    changed.retain(|(charge, counted)| stored.get(charge) != Some(counted));
    if changed.is_empty() {
        return Ok(());
    }
    let rows = changed.clone();
    let write = control.store.write(move |books| {
        for (charge, counted) in rows {
            books.put_would_refuse(charge, counted.requests, counted.cost)?;
        }
        Ok::<(), StoreError>(())
    });
    write.await?;
    stored.extend(changed);
    Ok(())
}
