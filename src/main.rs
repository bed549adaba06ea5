//! Entry point of the process: parses the arguments, runs one command and returns its exit code.
#![deny(unsafe_code)]

use std::process::ExitCode;

use gatekeeper::cli;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
