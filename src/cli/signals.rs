//! Stop signals of the process: SIGTERM and SIGINT (Ctrl-C). The first starts a graceful shutdown, a second one ends it
//! at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use crate::process::RunningServer;

/// Handlers of both signals, installed on creation.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn install() -> Result<Signals, Failure> {
        let handler = |kind| {
            signal(kind).map_err(|error| {
                Failure::runtime(format!("failed to install signal handlers: {error}"))
            })
        };
        Ok(Signals {
            terminate: handler(SignalKind::terminate())?,
            interrupt: handler(SignalKind::interrupt())?,
        })
    }

    /// Waits for either signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for a signal or the loss of the data folder, then for in-flight requests; a second signal ends the wait.
    pub async fn run_until_stopped(
        &mut self,
        server: RunningServer,
        on_stop: impl FnOnce(),
    ) -> Result<(), Failure> {
        let stopped = tokio::select! {
            () = self.next() => Ok(()),
            () = server.folder_lost() => Err(Failure::folder_lost()),
        };
        on_stop();
        tokio::select! {
            () = server.stop() => stopped,
            () = self.next() => end_at_once(),
        }
    }
}

/// Ends the process without its runtime, which would wait for the disk.
fn end_at_once() -> ! {
    let failure = Failure::runtime(
        "graceful shutdown aborted by a second signal; in-flight requests were cut off",
    );
    eprintln!("gatekeeper: {failure}");
    std::process::exit(i32::from(failure.exit_code()))
}
