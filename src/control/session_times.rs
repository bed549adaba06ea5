//! Background task that stores the last call of each session now and then, and deletes ended sessions.

use std::time::Duration;

use tokio::sync::watch;

use crate::control::plane::Control;

const PERIOD: Duration = Duration::from_secs(60);

pub(super) async fn run(control: Control, mut shutdown: watch::Receiver<bool>) {
    let mut timer = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            _ = timer.tick() => {}
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = control.store_sessions().await {
            tracing::warn!(error = %error.message, "failed to store the sessions");
        }
    }
}
