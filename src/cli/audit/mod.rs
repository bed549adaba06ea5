//! `gatekeeper audit`: shows the audit log of the running server, and hands out and checks the evidence that it is complete. `verify`
//! needs neither a server nor a data folder.

mod export;
mod tail;
mod verify;

use std::path::PathBuf;

use clap::Subcommand;

use super::admin::ServerArgs;
use super::failure::Failure;
use crate::cli::output::print;
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show the newest events, one JSON line each, and follow the log with -f
    Tail(tail::Args),
    /// Print a signed checkpoint of the log as it is now, to be kept on another machine
    Checkpoint(ServerArgs),
    /// Print a proof that one event is in the log; `audit verify` checks it without a server
    Prove(ProveArgs),
    /// Write the log, its checkpoints and public keys to a folder
    Export(export::Args),
    /// Check an export or a proof, on any machine
    Verify(verify::Args),
}

#[derive(Clone, Debug, clap::Args)]
pub struct ProveArgs {
    /// Number of the event, its `seq`
    seq: u64,
    /// Write the proof to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Tail(args) => process::block_on(tail::run(args)),
        Command::Checkpoint(server) => process::block_on(checkpoint(server)),
        Command::Prove(args) => process::block_on(prove(args)),
        Command::Export(args) => process::block_on(export::run(args)),
        Command::Verify(args) => verify::run(args),
    }
}

async fn checkpoint(server: ServerArgs) -> Result<(), Failure> {
    print(&server.admin()?.text("/v1/audit/checkpoint").await?)
}

async fn prove(args: ProveArgs) -> Result<(), Failure> {
    let path = format!("/v1/audit/proofs/{}", args.seq);
    let proof = args.server.admin()?.text(&path).await?;
    match &args.out {
        None => print(&proof),
        Some(file) => std::fs::write(file, proof).map_err(|error| {
            Failure::runtime(format!("failed to write {}: {error}", file.display()))
        }),
    }
}
