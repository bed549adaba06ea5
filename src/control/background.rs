//! Background tasks of the instance: started before the first request, stopped and awaited before the books close.

use std::path::PathBuf;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::control::alerts::Alerts;
use crate::control::audit::forward::AuditCopies;
use crate::control::audit::{checkpoints, denials, forward, process_events};
use crate::control::plane::Control;
use crate::control::{
    clock, key_uses, oidc, prices, retention, session_times, unlogged_endings, would_refuse,
};

/// Running background tasks and their shutdown signal.
pub struct BackgroundTasks {
    shutdown: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl BackgroundTasks {
    /// `binary`: file of this process, to be hashed. `copies`: destinations of the audit log.
    pub async fn start(
        control: &Control,
        alerts: Alerts,
        binary: Option<PathBuf>,
        copies: AuditCopies,
    ) -> BackgroundTasks {
        clock::store_time(control).await;
        prices::note_sheet(control).await;
        let (shutdown, receiver) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(clock::watch(control.clone(), receiver.clone()));
        tasks.spawn(checkpoints::run(control.clone(), receiver.clone()));
        tasks.spawn(key_uses::run(control.clone(), receiver.clone()));
        tasks.spawn(denials::run(control.clone(), receiver.clone()));
        tasks.spawn(process_events::hash_binary(control.clone(), binary));
        tasks.spawn(retention::run(control.clone(), receiver.clone()));
        tasks.spawn(session_times::run(control.clone(), receiver.clone()));
        tasks.spawn(would_refuse::run(control.clone(), receiver.clone()));
        tasks.spawn(unlogged_endings::log(
            control.ledger.clone(),
            receiver.clone(),
        ));
        tasks.spawn_local(oidc::sign_in::announce(
            control.clone(),
            copies.client.clone(),
        ));
        for destination in copies.destinations() {
            tasks.spawn_local(forward::run(control.clone(), destination, receiver.clone()));
        }
        // its HTTP client belongs to this thread
        tasks.spawn_local(alerts.run(receiver));
        BackgroundTasks { shutdown, tasks }
    }

    /// Signals shutdown and waits for every task.
    pub async fn stop(mut self) {
        self.shutdown.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "background task failed");
            }
        }
    }
}
