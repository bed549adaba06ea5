//! `gatekeeper manual FOLDER`: writes the man pages, one per command, from the definition of the command line. The package
//! build calls it.

use std::path::PathBuf;

use clap::CommandFactory;

use super::failure::Failure;
use crate::cli::Cli;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Folder for the pages `gatekeeper.1`, `gatekeeper-serve.1`, …
    folder: PathBuf,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let failed = |error| {
        let folder = args.folder.display();
        Failure::runtime(format!("failed to write man pages into {folder}: {error}"))
    };
    std::fs::create_dir_all(&args.folder).map_err(failed)?;
    // without `help` subcommands, which would be a page each
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, &args.folder).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_has_a_page_per_command() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        run(Args {
            folder: folder.path().to_owned(),
        })
        .expect("pages");
        for page in [
            "gatekeeper.1",
            "gatekeeper-serve.1",
            "gatekeeper-keys-create.1",
        ] {
            let text = std::fs::read_to_string(folder.path().join(page)).expect(page);
            assert!(text.contains(".SH SYNOPSIS"), "{page}");
        }
    }
}
