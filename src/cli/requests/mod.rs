//! `gatekeeper requests`: lists, follows, explains and exports the requests of the running server.

mod explain;
mod export;
mod list;
mod lookup;
mod row;
mod tail;

use clap::Subcommand;

use super::failure::Failure;
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List requests, the newest or the most expensive first
    List(list::ListArgs),
    /// Show requests as they end
    Tail(tail::TailArgs),
    /// Show the cost of a request line by line: counts, rates, hold, charged budgets
    Explain(explain::ExplainArgs),
    /// Write ended requests as JSON lines or CSV, the oldest first, for a database
    Export(export::ExportArgs),
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => process::block_on(list::list(args)),
        Command::Tail(args) => process::block_on(tail::tail(args)),
        Command::Explain(args) => process::block_on(explain::explain(args)),
        Command::Export(args) => process::block_on(export::export(args)),
    }
}
