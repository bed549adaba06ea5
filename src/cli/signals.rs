//! The wish of a person or of systemd that the process ends: SIGTERM or Ctrl-C.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use crate::process::RunningServer;

/// Both signals, caught from the moment this exists.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn catch() -> Result<Signals, Failure> {
        let caught = |kind| {
            signal(kind)
                .map_err(|error| Failure::refused(format!("signals cannot be caught: {error}")))
        };
        Ok(Signals {
            terminate: caught(SignalKind::terminate())?,
            interrupt: caught(SignalKind::interrupt())?,
        })
    }

    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the first signal, then lets running requests finish; a second signal ends the wait.
    pub async fn until_stopped(&mut self, server: RunningServer) -> Result<(), Failure> {
        self.next().await;
        tokio::select! {
            () = server.stop() => Ok(()),
            () = self.next() => Err(Failure::refused("stopped by a second signal before running requests had finished")),
        }
    }
}
