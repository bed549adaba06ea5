//! `gatekeeper manual FOLDER`: writes the man pages, one per command, from the definition of the command line. The package
//! build calls it.

use std::path::PathBuf;

use super::failure::Failure;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Folder for the pages `gatekeeper.1`, `gatekeeper-serve.1`, …
    folder: PathBuf,
}

/// `command` is the definition of the whole command line.
pub fn run(args: Args, command: clap::Command) -> Result<(), Failure> {
    let failed = |error| {
        let folder = args.folder.display();
        Failure::runtime(format!("failed to write man pages into {folder}: {error}"))
    };
    std::fs::create_dir_all(&args.folder).map_err(failed)?;
    // without `help` subcommands, which would be a page each
    let command = command.disable_help_subcommand(true);
    clap_mangen::generate_to(command, &args.folder).map_err(failed)
}
