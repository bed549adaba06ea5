//! Command line: parses the arguments, runs one command (one file each), prints its result and returns an exit code.
//! Keys, budgets and money are decided by the running server, never here.

mod admin;
mod audit;
mod backup;
mod budgets;
mod cache;
mod captures;
mod changes;
mod check;
mod clock;
mod completions;
mod data_dir;
mod declared;
mod demo;
mod doctor;
mod drill;
mod failure;
mod http;
mod import;
mod init;
mod json;
mod keys;
mod ledger;
mod manual;
mod memory;
mod organizations;
mod output;
mod parse;
mod price_sheet;
mod prices;
mod provider_keys;
mod providers;
mod requests;
mod resolve;
mod resource;
mod restore;
mod roles;
mod route_changes;
mod route_health;
mod route_resolution;
mod routes;
mod serve;
mod service_manager;
mod settings;
mod setup;
mod signals;
mod state;
mod style;
mod table;
mod teams;
mod transport;
mod usage;
mod users;
mod values;
mod verify;

use clap::{CommandFactory, Parser, Subcommand};

use admin::ServerArgs;
pub use failure::Failure;

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   refused or failed; the message names the cause
  2   invalid command line
  10  `ledger verify`: records differ (11 balances, 12 roll-ups, 13 the WAL)
  14  `audit verify`: the log differs from the one that was signed
  15  `doctor`: a check failed
  74  data folder deleted or replaced while the server ran
  75  data folder in use by another process; try again
  78  invalid configuration or data folder";

/// AI gateway and control plane with virtual keys, hard budgets and crash-safe accounting
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
    /// Run the gateway with a simulated provider, four teams and six steps to try
    Demo(demo::Args),
    /// Create the data folder and print the administrative key, once
    Init(init::Args),
    /// Print a one-time link to the dashboard: for the first owner, or for a forgotten password
    Setup(setup::Args),
    /// Check the configuration and report all errors
    Check(check::Args),
    /// Examine the machine, the data folder and the providers, and say what to mend
    Doctor(doctor::Args),
    /// Create, list, change and delete organizations
    #[command(subcommand)]
    Organizations(organizations::Command),
    /// Create, list, change and delete keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// Create, list, change and delete teams
    #[command(subcommand)]
    Teams(teams::Command),
    /// List, set and raise budgets
    #[command(subcommand)]
    Budgets(budgets::Command),
    /// Create, list and delete users, give and take their roles
    #[command(subcommand)]
    Users(users::Command),
    /// Make organizations, teams, keys, budgets and limits agree with a file
    Apply(state::ApplyArgs),
    /// Print organizations, teams, keys, budgets and limits as a file for `apply`
    Export(ServerArgs),
    /// Print the table of roles and actions
    Roles(roles::Args),
    /// Print the table of URLs with the access that each needs
    Endpoints(roles::Args),
    /// Show the permissions of a key, or the reason why it is refused
    Verify(verify::Args),
    /// Show usage and cost, by default of this month by team and model
    Usage(usage::Args),
    /// List, follow, explain and export requests
    #[command(subcommand)]
    Requests(requests::Command),
    /// Translate the configuration of another gateway
    #[command(subcommand)]
    Import(import::Command),
    /// List, add, change, test and remove providers
    #[command(subcommand)]
    Providers(providers::Command),
    /// List, add, change and remove routes; show what a model name leads to
    #[command(subcommand)]
    Routes(routes::Command),
    /// Let the targets of a route fail by a script, and show what a client would see
    Drill(drill::Args),
    /// List, add, change and remove aliases of routes and models
    #[command(subcommand)]
    Aliases(route_changes::AliasCommand),
    /// Show, compare and replace the price sheet
    #[command(subcommand)]
    Prices(prices::Command),
    /// Verify and correct the books
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Show, export and verify the audit log
    #[command(subcommand)]
    Audit(audit::Command),
    /// Show and delete kept answers
    #[command(subcommand)]
    Cache(cache::Command),
    /// Turn prompt capture on and off, show and purge captured calls
    #[command(subcommand)]
    Captures(captures::Command),
    /// Delete stored reasoning
    #[command(subcommand)]
    Memory(memory::Command),
    /// Show the adopted time, which budgets use, and the wall clock
    Clock(clock::Args),
    /// Print a completion script for bash, zsh or fish
    Completions(completions::Args),
    /// Write a hot backup of the books to a file, or verify one
    Backup(backup::Args),
    /// Put a backup into the data folder, or accept restored books
    Restore(restore::Args),
    /// Write the man pages into a folder
    #[command(hide = true)]
    Manual(manual::Args),
}

/// Parses the arguments of this process; exits with code 2 if they are invalid.
pub fn parse() -> Cli {
    Cli::parse()
}

/// Runs the command to its end.
pub fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Init(args) => init::run(args),
        Command::Setup(args) => setup::run(args),
        Command::Check(args) => check::run(args),
        Command::Organizations(command) => organizations::run(command),
        Command::Budgets(command) => budgets::run(command),
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Keys(command) => keys::run(command),
        Command::Teams(command) => teams::run(command),
        Command::Users(command) => users::run(command),
        Command::Apply(args) => state::apply(&args),
        Command::Export(server) => state::export(&server),
        Command::Roles(args) => roles::print_roles(&args),
        Command::Endpoints(args) => roles::print_endpoints(&args),
        Command::Verify(args) => verify::run(args),
        Command::Usage(args) => usage::run(args),
        Command::Requests(command) => requests::run(command),
        Command::Import(command) => import::run(command),
        Command::Providers(command) => providers::run(command),
        Command::Routes(command) => routes::run(command),
        Command::Drill(args) => drill::run(args),
        Command::Aliases(command) => crate::process::block_on(route_changes::run_alias(&command)),
        Command::Prices(command) => prices::run(command),
        Command::Ledger(command) => ledger::run(command),
        Command::Audit(command) => audit::run(command),
        Command::Cache(command) => cache::run(command),
        Command::Captures(command) => captures::run(command),
        Command::Memory(command) => memory::run(command),
        Command::Clock(args) => clock::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Restore(args) => restore::run(args),
        Command::Manual(args) => manual::run(args, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn manual_has_a_page_per_command() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cli = Cli::try_parse_from(["gatekeeper", "manual", &folder.path().to_string_lossy()]);
        run(cli.expect("valid")).expect("pages");
        for page in [
            "gatekeeper.1",
            "gatekeeper-serve.1",
            "gatekeeper-keys-create.1",
        ] {
            let text = std::fs::read_to_string(folder.path().join(page)).expect(page);
            assert!(text.contains(".SH SYNOPSIS"), "{page}");
        }
    }

    #[test]
    fn documented_commands_of_providers_and_routes_are_parsed() {
        for line in [
            "gatekeeper providers add openai --key-stdin",
            "gatekeeper providers add lan --type openai_compatible --base-url http://10.0.0.5:8000/v1 --price 0.10/0.40 --models m",
            "gatekeeper providers add bedrock --region eu-west-1 --members-stdin",
            "gatekeeper providers update openai --set bare_names=false --unset models",
            "gatekeeper providers test openai --json",
            "gatekeeper providers keys list openai",
            "gatekeeper providers keys add openai second --weight 2 --rpm 500",
            "gatekeeper providers keys update openai second --weight 3 --tpm none --key-stdin",
            "gatekeeper providers keys remove openai second",
            "gatekeeper providers remove openai -q",
            "gatekeeper routes add smart --target openai/gpt-5.1=3 --target anthropic/claude-sonnet-5 --strategy ordered",
            "gatekeeper routes update smart --fallbacks a,b",
            "gatekeeper aliases add fast gpt-5-mini",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "gatekeeper providers add",
            "gatekeeper providers add openai --key-stdin --members-stdin",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn documented_commands_are_parsed() {
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
            "gatekeeper keys enable eng/laptop",
            "gatekeeper keys update laptop --models all --expires never --rpm none",
            "gatekeeper teams update eng --budget $20/month --max-parallel 4",
            "gatekeeper organizations update default --no-budgets",
            "gatekeeper organizations create acme --models gpt-* --budget $100/month",
            "gatekeeper organizations delete acme --yes",
            "gatekeeper teams delete eng --yes -q",
            "gatekeeper teams list --quiet",
            "gatekeeper captures on --team eng --keep-days 7",
            "gatekeeper apply -f state.toml --dry-run",
            "gatekeeper export",
            "gatekeeper budgets list --owner eng",
            "gatekeeper budgets set eng $10/month --model gpt-5* --warn",
            "gatekeeper budgets raise bud_8 +$5",
            "gatekeeper completions zsh",
            "gatekeeper teams create eng --models gpt-* --budget 100/month",
            "gatekeeper verify sk-gk-eng-x --url http://127.0.0.1:4000 --admin-key-file /root/key",
            "gatekeeper usage --json",
            "gatekeeper usage --csv --group-by day,key --start 2026-11-01 --end 2026-11-08",
            "gatekeeper requests explain req_00000000000000000000000000",
            "gatekeeper import litellm config.yaml --out gatekeeper.toml --strict",
            "gatekeeper import litellm-keys keys.json --team support --expires 90d --dry-run",
            "gatekeeper keys create --team eng --max-cost $0.50",
            "gatekeeper teams update eng --max-cost none",
            "gatekeeper routes resolve gpt-5.1",
            "gatekeeper routes resolve smart --config /etc/gatekeeper/gatekeeper.toml --json",
            "gatekeeper routes resolve smart --key eng/laptop",
            "gatekeeper routes health smart --json",
            "gatekeeper drill smart --json",
            "gatekeeper drill smart --live --max-cost $1",
            "gatekeeper requests explain --last",
            "gatekeeper requests explain --last --cache-difference",
            "gatekeeper requests list --team eng --status refused --since 7d --limit 50",
            "gatekeeper requests list --top-cost",
            "gatekeeper requests tail --model gpt-*",
            "gatekeeper requests export --since 2026-11-01 --format csv --out requests.csv",
            "gatekeeper prices diff sheet.json --all",
            "gatekeeper prices apply sheet.json --dry-run",
            "gatekeeper prices reset --offline --data /tmp/x",
            "gatekeeper ledger verify",
            "gatekeeper audit tail -f --action key.*",
            "gatekeeper audit checkpoint",
            "gatekeeper audit prove 7 --out event-7.tlog-proof",
            "gatekeeper audit export audit-2026 --since 2026-11-01",
            "gatekeeper audit verify audit-2026 --checkpoint kept --checkpoint older --public-key key",
            "gatekeeper clock",
            "gatekeeper doctor --offline --json",
            "gatekeeper clock --json",
            "gatekeeper clock accept --json",
            "gatekeeper ledger orphans --settle-estimated --team eng",
            "gatekeeper ledger correct req_00000000000000000000000000 --amount -$0.12 --reason billed-twice",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn incomplete_commands_are_refused() {
        for line in [
            "gatekeeper keys create",
            "gatekeeper drill smart --live",
            "gatekeeper usage --csv --json",
            "gatekeeper teams list --quiet --json",
            "gatekeeper requests explain",
            "gatekeeper keys create --admin --team eng",
            "gatekeeper keys create --team eng --budget ten",
            "gatekeeper ledger correct req_00000000000000000000000000 --amount -$0.12",
            "gatekeeper ledger correct req_00000000000000000000000000 --amount 0 --reason none",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
