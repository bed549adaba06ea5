//! Standard output: text for people, JSON for scripts. Must never print more than the server returned.

use std::io::{self, Write};

use serde_json::Value;

use crate::cli::failure::Failure;

/// Writes a text to standard output. A closed pipe (`| head -1`) is not a failure.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::runtime(format!(
            "failed to write standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// Prints the server's response as JSON.
pub fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}
