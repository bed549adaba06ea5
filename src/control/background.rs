//! What runs beside requests: begun before the first is taken, ended and waited for before the books are closed.

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::control::alerts::Alerts;
use crate::control::{Control, clock, retention, unlogged_endings};

/// The background tasks, and the word that ends them.
pub struct BackgroundTasks {
    ends: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl BackgroundTasks {
    pub async fn start(control: &Control, alerts: Alerts) -> BackgroundTasks {
        clock::note(control).await;
        let (ends, told) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(clock::watch(control.clone(), told.clone()));
        tasks.spawn(retention::keep(control.clone(), told.clone()));
        tasks.spawn(unlogged_endings::book(control.ledger.clone(), told.clone()));
        // its client belongs to this thread
        tasks.spawn_local(alerts.run(told));
        BackgroundTasks { ends, tasks }
    }

    /// Ends every task and waits for it.
    pub async fn stop(mut self) {
        self.ends.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!("a background task broke off: {error}");
            }
        }
    }
}
