//! `gatekeeper backup FILE`: asks the running server for a hot copy of the books and writes it to a file; `backup verify FILE` checks
//! one without a server. The file is complete under its name, or absent.

use std::fs;
use std::path::{Path, PathBuf};

use super::admin::ServerArgs;
use super::failure::Failure;
use crate::cli::output::print;
use crate::process;
use crate::process::backup::{BackupCheck, check};

#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// File to write; it must not exist
    #[arg(required = true)]
    file: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Restore a backup into a temporary folder beside it, and verify books and audit log there
    Verify {
        /// Backup
        file: PathBuf,
    },
}

pub fn run(args: Args) -> Result<(), Failure> {
    match (args.command, args.file) {
        (Some(Command::Verify { file }), _) => verify(&file),
        (None, Some(file)) => process::block_on(take(&file, &args.server)),
        (None, None) => Err(Failure::usage(
            "no file named; write gatekeeper backup FILE",
        )),
    }
}

async fn take(file: &Path, server: &ServerArgs) -> Result<(), Failure> {
    if file.exists() {
        let file = file.display();
        return Err(Failure::usage(format!("{file} exists; name a new file")));
    }
    let unfinished = unfinished(file);
    let written = server.admin()?.download("/v1/backup", &unfinished).await;
    let bytes = written.inspect_err(|_| {
        let _ = fs::remove_file(&unfinished);
    })?;
    let failed = |error: std::io::Error| Failure::runtime(format!("{}: {error}", file.display()));
    fs::rename(&unfinished, file).map_err(failed)?;
    let facts = process::backup::facts(file).map_err(Failure::runtime)?;
    print(&format!(
        "{} written: {bytes} bytes, records up to {}, {}\n\
         The seal key {} is not in it{}. Keep a copy of it elsewhere. Check the backup with `gatekeeper backup verify {}`.\n",
        file.display(),
        facts.applied,
        facts.taken,
        facts.seal_key_id,
        server
            .seal_key_place()
            .map_or_else(String::new, |place| format!("; it lies in {place}")),
        file.display()
    ))
}

fn unfinished(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn verify(file: &Path) -> Result<(), Failure> {
    let checked = process::block_on(check(file)).map_err(Failure::runtime)?;
    print(&render(&checked))?;
    match checked.differences.is_empty() {
        true => Ok(()),
        false => Err(Failure::runtime(
            "the books in the backup differ; take another backup",
        )),
    }
}

fn render(checked: &BackupCheck) -> String {
    let facts = &checked.facts;
    let mut text = format!(
        "backup of {}, release {}, instance {}, generation {}\nseal key {} is needed for what is sealed\n\
         {} records, {} corrections, {} balances, {} roll-ups agree; {} audit events verify\n",
        facts.taken,
        facts.version,
        facts.instance,
        facts.generation,
        facts.seal_key_id,
        checked.records,
        checked.corrections,
        checked.balances,
        checked.rollups,
        checked.audit_events
    );
    for difference in &checked.differences {
        text += &format!("differs: {difference}\n");
    }
    text
}
