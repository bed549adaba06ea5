//! `gatekeeper memory`: deletes the stored reasoning of the running server.

use clap::Subcommand;

use super::admin::ServerArgs;
use super::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::values::cell;
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Delete all stored reasoning; conversations in progress lose it
    Purge(ServerArgs),
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Purge(server) => process::block_on(purge(server)),
    }
}

async fn purge(server: ServerArgs) -> Result<(), Failure> {
    let purged = server.admin()?.delete("/v1/reasoning-memory").await?;
    if server.json {
        return print_json(&purged);
    }
    print(&format!(
        "{} entries deleted from the reasoning memory\n",
        cell(&purged["entries"])
    ))
}
