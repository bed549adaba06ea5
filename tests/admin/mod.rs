//! Administration: the command line, its messages and exit codes, the audit log, and the secrecy of credentials.

mod audit;
mod backup;
mod check;
mod commands;
mod demo;
mod doctor;
mod init;
mod keys;
mod metrics;
mod oidc;
mod prices;
mod reload;
mod secrets;
mod sign_in;
mod sign_in_proxied;
mod tls;

use std::process::Output;

/// Exit code and output of a command.
struct CommandOutput {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for CommandOutput {
    fn from(output: Output) -> CommandOutput {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        CommandOutput {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

impl CommandOutput {
    /// Panics with the output unless the exit code is this one.
    #[track_caller]
    fn assert_exit_code(self, code: i32) -> CommandOutput {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    /// Panics unless standard output contains every part.
    #[track_caller]
    fn assert_stdout(self, parts: &[&str]) -> CommandOutput {
        parts.iter().for_each(|part| {
            assert!(
                self.out.contains(part),
                "`{part}` missing in: {}{}",
                self.out,
                self.err
            )
        });
        self
    }

    /// Panics unless standard error contains every part.
    #[track_caller]
    fn assert_stderr(self, parts: &[&str]) -> CommandOutput {
        parts.iter().for_each(|part| {
            assert!(
                self.err.contains(part),
                "`{part}` missing in: {}{}",
                self.out,
                self.err
            )
        });
        self
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("not JSON: {}", self.out))
    }

    /// First word of standard output with this prefix.
    #[track_caller]
    fn word_with_prefix(&self, prefix: &str) -> String {
        let word = self
            .out
            .split(|c: char| c.is_whitespace() || "()'\",".contains(c))
            .find(|word| word.starts_with(prefix));
        word.unwrap_or_else(|| panic!("no word `{prefix}…` in: {}", self.out))
            .to_owned()
    }
}
