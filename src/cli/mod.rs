//! The command line: takes the arguments, runs one command, answers with what to print and an exit code. One file per
//! command; nothing here decides about keys, budgets or money: that is asked of the running server.

mod admin;
mod check;
mod clock;
mod data_dir;
mod demo;
mod failure;
mod http;
mod init;
mod keys;
mod ledger;
mod memory;
mod parse;
mod requests;
mod serve;
mod signals;
mod table;
mod teams;
mod usage;
mod verify;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Overrides;

pub use failure::Failure;

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   refused or failed; the message says what and why
  2   the command line is wrong
  10  `ledger verify`: records differ (11 balances, 12 roll-ups, 13 the log)
  78  the configuration or the data folder is wrong";

/// An AI gateway and control plane: virtual keys, budgets that hold, books that survive kill -9.
#[derive(Debug, Parser)]
#[command(name = "gatekeeper", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or Ctrl-C
    Serve(serve::Args),
    /// Run the gateway with a simulated provider, three teams and commands to paste
    Demo(demo::Args),
    /// Create the data folder and print the administrative key, once
    Init(init::Args),
    /// Read the configuration and say everything that is wrong with it
    Check(check::Args),
    /// Create, list and disable keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// Create and list teams
    #[command(subcommand)]
    Teams(teams::Command),
    /// Say what a key may do, and why not if it may not
    Verify(verify::Args),
    /// Show what was used and what it cost: this month by team and model, or as asked
    Usage(usage::Args),
    /// Explain what a request cost
    #[command(subcommand)]
    Requests(requests::Command),
    /// Verify and correct the books
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Empty what is kept of models' thoughts
    #[command(subcommand)]
    Memory(memory::Command),
    /// Show the time that budgets go by, beside the wall clock
    Clock(clock::Args),
}

/// Where the settings and the data are.
#[derive(Clone, Debug, Args)]
struct SettingsArgs {
    /// The configuration file [default: ./gatekeeper.toml, else /etc/gatekeeper/gatekeeper.toml]
    #[arg(long, value_name = "FILE", env = "GATEKEEPER_CONFIG")]
    config: Option<PathBuf>,
    /// The data folder; outweighs `data` in the configuration
    #[arg(long, value_name = "FOLDER", env = "GATEKEEPER_DATA")]
    data: Option<PathBuf>,
}

impl SettingsArgs {
    fn told(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            data: self.data.clone(),
            listen: None,
        }
    }
}

/// The arguments of this process. A wrong one ends it here, with exit code 2.
pub fn parse() -> Cli {
    Cli::parse()
}

pub fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Init(args) => init::run(args),
        Command::Check(args) => check::run(args),
        Command::Keys(command) => keys::run(command),
        Command::Teams(command) => teams::run(command),
        Command::Verify(args) => verify::run(args),
        Command::Usage(args) => usage::run(args),
        Command::Requests(command) => requests::run(command),
        Command::Ledger(command) => ledger::run(command),
        Command::Memory(command) => memory::run(command),
        Command::Clock(args) => clock::run(args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_that_people_are_shown_are_understood() {
        for line in [
            "gatekeeper demo",
            "gatekeeper demo --listen 127.0.0.1:4001",
            "gatekeeper init --data /tmp/x",
            "gatekeeper check --config /etc/gatekeeper/gatekeeper.toml",
            "gatekeeper serve --listen localhost:4000",
            "gatekeeper keys create --team eng --models gpt-5.1,claude-sonnet-5-5 --budget $10 --expires 7d",
            "gatekeeper keys create --team eng --budget $10/day --budget $100/month --label laptop --json",
            "gatekeeper keys create --admin --name ops",
            "gatekeeper keys disable key_1",
            "gatekeeper teams create eng --models gpt-* --budget 100/month",
            "gatekeeper verify sk-gk-eng-x --url http://127.0.0.1:4000 --admin-key-file /root/key",
            "gatekeeper usage --json",
            "gatekeeper usage --csv --group-by day,key --start 2026-11-01 --end 2026-11-08",
            "gatekeeper requests explain req_00000000000000000000000000",
            "gatekeeper ledger verify",
            "gatekeeper clock",
            "gatekeeper clock --json",
            "gatekeeper clock accept --json",
            "gatekeeper ledger orphans --settle-estimated --team eng",
            "gatekeeper ledger correct req_00000000000000000000000000 --amount -$0.12 --reason billed-twice",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "gatekeeper keys create",
            "gatekeeper usage --csv --json",
            "gatekeeper keys create --admin --team eng",
            "gatekeeper keys create --team eng --budget ten",
            "gatekeeper ledger correct req_00000000000000000000000000 --amount -$0.12",
            "gatekeeper ledger correct req_00000000000000000000000000 --amount 0 --reason none",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
