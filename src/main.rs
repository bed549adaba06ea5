//! The process: arguments in, one command run, an exit code out. It decides nothing itself.
#![deny(unsafe_code)]

use std::process::ExitCode;

use gatekeeper::cli;

fn main() -> ExitCode {
    let command = cli::parse();
    match cli::run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gatekeeper: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
