//! `gatekeeper restore FILE`: puts a backup into the data folder, without a server; `restore accept` ends the degraded state of the
//! server that runs on it. What was in the folder is moved aside, never deleted.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::admin::ServerArgs;
use super::failure::Failure;
use super::settings::SettingsArgs;
use crate::cli::output::print;
use crate::cli::values::cell;
use crate::config;
use crate::process;
use crate::process::backup::{self, Keys, Restored};

#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Backup
    #[arg(required = true)]
    file: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// File of the seal key, if it is not where the configuration says
    #[arg(long, value_name = "FILE")]
    seal_key: Option<PathBuf>,
    /// `disabled`: all virtual keys start disabled
    #[arg(long, value_name = "STATE", value_parser = ["as-saved", "disabled"], default_value = "as-saved")]
    keys: String,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Accept the restored books: the server is no longer degraded
    Accept(ServerArgs),
}

pub fn run(args: Args) -> Result<(), Failure> {
    match (args.command, args.file) {
        (Some(Command::Accept(server)), _) => process::block_on(accept(server)),
        (None, Some(file)) => {
            let config = config::load_base(&args.settings.overrides())?.config;
            let keys = match args.keys.as_str() {
                "disabled" => Keys::Disabled,
                _ => Keys::AsSaved,
            };
            let restored = backup::restore(&file, &config, args.seal_key.as_deref(), keys);
            print(&render(&file, &restored.map_err(Failure::runtime)?))
        }
        (None, None) => Err(Failure::usage(
            "no file named; write gatekeeper restore FILE",
        )),
    }
}

fn render(file: &Path, restored: &Restored) -> String {
    let facts = &restored.facts;
    let mut text = format!(
        "{} restored as generation {}: the books of {}\n",
        file.display(),
        restored.generation,
        facts.taken
    );
    if let Some(aside) = &restored.aside {
        text += &format!(
            "former books and log moved to {aside}; delete that folder once all is well\n"
        );
    }
    text += &format!(
        "later requests found in the log and booked: {}; records of the log that are missing: {}\n",
        restored.booked_from_log, restored.missing_from_log
    );
    text += &format!(
        "everything else after {} is unknown: requests, and changes such as a revoked key or a removed user\n",
        facts.taken
    );
    if restored.keys_disabled > 0 {
        text += &format!("{} virtual keys disabled\n", restored.keys_disabled);
    }
    text + "\
Never run the former instance and this one at once: every budget would count twice. Next:
  1. gatekeeper serve          degraded, and says so, until step 3
  2. revoke again what was revoked since; gatekeeper ledger orphans, gatekeeper ledger verify
  3. gatekeeper restore accept
"
}

async fn accept(server: ServerArgs) -> Result<(), Failure> {
    let answer = server
        .admin()?
        .post("/v1/restore/accept", &json!({}))
        .await?;
    print(&format!(
        "restored books of {} accepted\n",
        cell(&answer["backup"])
    ))
}
