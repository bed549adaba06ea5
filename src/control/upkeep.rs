//! What runs beside requests: begun before the first is taken, ended and waited for before the books are closed.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::control::Control;
use crate::domain::time::STEADY_MS;

/// How often the clocks are looked at.
const CLOCK_LOOK: Duration = Duration::from_secs(1);
/// How long a start or an end waits for time to be noted; a disk that stalls holds neither up.
const NOTE_WAIT: Duration = Duration::from_secs(2);

/// The background tasks, and the word that ends them.
pub struct Upkeep {
    ends: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Upkeep {
    pub async fn start(control: &Control) -> Upkeep {
        note_time(control).await;
        let (ends, told) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_clock(control.clone(), told));
        Upkeep { ends, tasks }
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

async fn watch_clock(control: Control, mut told: watch::Receiver<bool>) {
    let mut was_in_step = true;
    loop {
        control.look_at_clock().await;
        let standing = control.time.standing();
        if was_in_step && !standing.in_step() {
            tracing::warn!(
                "the wall clock is {} s off adopted time, by which budgets, keys and reports go until it has run steadily for \
                 {} minutes; `gatekeeper clock` shows both, `gatekeeper clock accept` adopts it at once",
                standing.ahead_ms() / 1_000,
                STEADY_MS / 60_000
            );
        }
        was_in_step = standing.in_step();
        tokio::select! {
            _ = told.wait_for(|ends| *ends) => break,
            () = tokio::time::sleep(CLOCK_LOOK) => {}
        }
    }
    note_time(&control).await;
}

async fn note_time(control: &Control) {
    match tokio::time::timeout(NOTE_WAIT, control.note_time()).await {
        Ok(Ok(())) => {}
        Ok(Err(problem)) => tracing::warn!(%problem, "the time could not be noted for the next start"),
        Err(_) => tracing::warn!("the time could not be noted for the next start: the disk does not answer"),
    }
}
