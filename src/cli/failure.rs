//! Failure of a command: a message for the operator and an exit code for scripts. Every error of a folder below becomes
//! a `Failure` here.

use std::fmt;
use std::io;

use crate::config::ConfigErrors;
use crate::process::StartError;

/// A message (cause, value, remedy) and an exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    message: String,
    exit_code: u8,
}

/// `EX_IOERR`: the data folder is gone.
const FOLDER_LOST: u8 = 74;
/// `EX_TEMPFAIL`: a later try may succeed.
const BUSY: u8 = 75;
/// `EX_CONFIG`: the systemd unit does not restart on it.
const CONFIGURATION: u8 = 78;

impl Failure {
    /// The server refused the command, or an operation failed.
    pub fn runtime(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            exit_code: 1,
        }
    }

    /// The data folder of the running server was deleted or replaced.
    pub fn folder_lost() -> Failure {
        Failure {
            message: "data folder deleted or replaced while the gateway ran; requests since then may be missing in the books; put \
                      the folder back, or restore a backup, and start again"
                .to_owned(),
            exit_code: FOLDER_LOST,
        }
    }

    /// Verification found a mismatch; the exit code identifies the part.
    pub fn mismatch(message: impl Into<String>, exit_code: u8) -> Failure {
        Failure {
            message: message.into(),
            exit_code,
        }
    }

    /// Invalid command line.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            exit_code: 2,
        }
    }

    /// Invalid configuration or data folder; a retry does not help.
    pub fn configuration(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            exit_code: CONFIGURATION,
        }
    }

    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Failure {
        let count = match errors.0.len() {
            1 => "1 error".to_owned(),
            count => format!("{count} errors"),
        };
        let lines: Vec<String> = errors
            .0
            .iter()
            .map(|error| format!("\n  {error}"))
            .collect();
        Failure::configuration(format!("invalid configuration, {count}:{}", lines.concat()))
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        // transient causes are worth a restart by systemd; the others need the operator
        match error {
            StartError::Listen { .. }
            | StartError::Server(_)
            | StartError::Random(_)
            | StartError::Ledger(_) => Failure::runtime(error.to_string()),
            StartError::Folder {
                error: ref cause, ..
            } if cause.kind() == io::ErrorKind::ResourceBusy => Failure {
                message: error.to_string(),
                exit_code: BUSY,
            },
            _ => Failure::configuration(error.to_string()),
        }
    }
}
