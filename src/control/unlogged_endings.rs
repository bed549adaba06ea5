//! Calls whose end the log did not take, because its disk was full or broken: once it takes records again, they are booked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::meter::Ledger;

/// How often the log is tried. While something is owed this also tells `/readyz` how the log stands.
const TRY: Duration = Duration::from_secs(1);

/// Second after second, and once more when it is told to end: then no call is left.
pub(super) async fn book(ledger: Arc<Ledger>, mut told: watch::Receiver<bool>) {
    loop {
        let ends = tokio::time::timeout(TRY, told.wait_for(|ends| *ends))
            .await
            .is_ok();
        let logged = ledger.settle_unlogged();
        if logged > 0 {
            tracing::info!(
                "the ends of {logged} calls, which could not be logged when they came, are logged now"
            );
        }
        if ends {
            let left = ledger.unlogged();
            if left > 0 {
                tracing::error!(
                    "the ends of {left} calls cannot be logged: the next start books them at their ceilings"
                );
            }
            return;
        }
    }
}
