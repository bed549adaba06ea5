//! Background task for calls whose end the WAL did not take because its disk was full or broken: logs them once it takes
//! records again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::meter::Ledger;

/// Interval between two tries. While an ending is unlogged, the tries also keep the WAL's status in `/readyz` current.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Tries until shutdown, and once more then.
pub(super) async fn log(ledger: Arc<Ledger>, mut shutdown: watch::Receiver<bool>) {
    loop {
        let signalled = shutdown.wait_for(|is_shutdown| *is_shutdown);
        let is_shutdown = tokio::time::timeout(RETRY_INTERVAL, signalled)
            .await
            .is_ok();
        let count = ledger.settle_unlogged();
        if count > 0 {
            tracing::info!(count, "pending settlements logged");
        }
        if is_shutdown {
            let count = ledger.unlogged();
            if count > 0 {
                tracing::error!(
                    count,
                    "settlements not logged; the next start books these calls at their ceilings"
                );
            }
            return;
        }
    }
}
