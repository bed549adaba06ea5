//! The audit log as evidence: exports, checkpoints and proofs of a running server, checked by the command as on another machine.

mod attacks;
mod export;
mod forward;
mod kill;
mod recorded;
mod restore;
mod sign_ins;

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::harness::process::gatekeeper_command;

/// Exit code, standard output and standard error of a command.
struct Outcome {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Outcome {
        Outcome {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Outcome {
    #[track_caller]
    fn assert(self, code: i32, parts: &[&str]) -> Outcome {
        let text = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, Some(code), "{text}");
        for part in parts {
            assert!(text.contains(part), "`{part}` missing in: {text}");
        }
        self
    }
}

/// Runs `audit verify` in an empty folder: without a server and without a data folder.
fn verify(arguments: &[&str]) -> Outcome {
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    gatekeeper_command()
        .current_dir(elsewhere.path())
        .args(["audit", "verify"])
        .args(arguments)
        .output()
        .expect("the binary runs")
        .into()
}

/// Events of an export.
fn events(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("events.jsonl")).expect("the events");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("an event is JSON"))
        .collect()
}

fn path(folder: &Path) -> &str {
    folder.to_str().expect("a path in UTF-8")
}
