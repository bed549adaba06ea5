//! Signals of the process: SIGTERM and SIGINT (Ctrl-C) stop it, the first with a graceful shutdown, a second one at once;
//! SIGHUP reloads what can change while it runs.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use crate::config::{Config, ConfigErrors};
use crate::process::RunningServer;

/// Handlers of the signals, installed on creation.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
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
            hangup: handler(SignalKind::hangup())?,
        })
    }

    /// Waits for either stop signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for a signal or the loss of the data folder, then for in-flight requests; a second signal ends the wait. `load` reads
    /// the configuration for a reload; `None`: there is none to read.
    pub async fn run_until_stopped(
        &mut self,
        server: RunningServer,
        on_stop: impl FnOnce(),
        load: impl Fn() -> Option<Result<Config, ConfigErrors>>,
    ) -> Result<(), Failure> {
        let stopped = loop {
            tokio::select! {
                _ = self.terminate.recv() => break Ok(()),
                _ = self.interrupt.recv() => break Ok(()),
                _ = self.hangup.recv() => server.reload(load()).await,
                () = server.folder_lost() => break Err(Failure::folder_lost()),
            }
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
