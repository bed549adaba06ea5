//! `gatekeeper memory`: empties what is kept of models' thoughts, in the running server.

use clap::Subcommand;

use super::Failure;
use super::admin::ServerArgs;
use crate::cli::table;
use crate::cli::table::{cell, print};
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Throw away what is kept of models' thoughts for clients that cannot carry it
    Purge(ServerArgs),
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Purge(reach) => process::block_on(purge(reach)),
    }
}

async fn purge(reach: ServerArgs) -> Result<(), Failure> {
    let purged = reach.admin()?.delete("/v1/reasoning-memory").await?;
    if reach.json {
        return table::json(&purged);
    }
    print(&format!(
        "{} entries of the reasoning memory are thrown away\n",
        cell(&purged["entries"])
    ))
}
