//! Why a command did not do what was asked, in words for the person who typed it, and the exit code for the script.

use std::fmt;

use crate::config::ConfigErrors;
use crate::process::StartError;

/// A message (thing, value, remedy) and an exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    message: String,
    exit_code: u8,
}

/// `EX_CONFIG`: systemd is told not to restart on it.
const CONFIGURATION: u8 = 78;

impl Failure {
    /// Refused by the server, or failed on the way.
    pub fn refused(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            exit_code: 1,
        }
    }

    /// A part of the books differs; the exit code says which.
    pub fn differs(message: impl Into<String>, exit_code: u8) -> Failure {
        Failure {
            message: message.into(),
            exit_code,
        }
    }

    /// The arguments do not go together.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            exit_code: 2,
        }
    }

    /// The configuration or the data folder is wrong; trying again will not help.
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
    fn from(faults: ConfigErrors) -> Failure {
        let count = faults.0.len();
        let thing = if count == 1 {
            "a fault".to_owned()
        } else {
            format!("{count} faults")
        };
        let lines: Vec<String> = faults
            .0
            .iter()
            .map(|fault| format!("\n  {fault}"))
            .collect();
        Failure::configuration(format!("the configuration has {thing}:{}", lines.concat()))
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        // what may be different the next time is worth a restart; the rest is for a person
        match error {
            StartError::Listen { .. }
            | StartError::Server(_)
            | StartError::Random(_)
            | StartError::Ledger(_) => Failure::refused(error.to_string()),
            _ => Failure::configuration(error.to_string()),
        }
    }
}
