//! `gatekeeper cache`: shows the size of the running server's cache of answers, and deletes answers from it.

use clap::Subcommand;
use serde_json::Value;

use super::admin::{ServerArgs, percent_encode};
use super::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::values::cell;
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show number and size of the kept answers
    Status(ServerArgs),
    /// Delete kept answers: one, those of a model, a team, a key or an organization, or all
    Purge(PurgeArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct PurgeArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct SelectionArgs {
    /// One answer by its id, as in the header x-gatekeeper-cache-entry
    #[arg(long, value_name = "ID", conflicts_with_all = ["model", "team", "key", "organization", "all"])]
    entry: Option<String>,
    /// Answers to requests for this name; with --team those of the team only
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key", "organization", "all"])]
    model: Option<String>,
    /// Answers of a team, by id or name
    #[arg(long, value_name = "TEAM", conflicts_with_all = ["key", "organization", "all"])]
    team: Option<String>,
    /// Answers that a key asked for first, by its id
    #[arg(long, value_name = "KEY", conflicts_with_all = ["organization", "all"])]
    key: Option<String>,
    /// Answers of an organization, by id or name
    #[arg(long, value_name = "ORGANIZATION", conflicts_with = "all")]
    organization: Option<String>,
    /// All answers
    #[arg(long)]
    all: bool,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Status(server) => process::block_on(status(server)),
        Command::Purge(args) => process::block_on(purge(args)),
    }
}

async fn status(server: ServerArgs) -> Result<(), Failure> {
    let cache = server.admin()?.get("/v1/cache").await?;
    if server.json {
        return print_json(&cache);
    }
    print(&render(&cache))
}

fn render(cache: &Value) -> String {
    if cache["enabled"] != true {
        return "off; set `cache` of a route, or `mode` under [cache]\n".to_owned();
    }
    let mib = |name: &str| cache[name].as_f64().unwrap_or_default() / 1_048_576.0;
    format!(
        "{} answers, {:.1} MiB; file {:.1} of {:.0} MiB\n",
        cell(&cache["entries"]),
        mib("entry_bytes"),
        mib("file_bytes"),
        mib("size_bytes_max")
    )
}

async fn purge(args: PurgeArgs) -> Result<(), Failure> {
    let SelectionArgs {
        entry,
        model,
        team,
        key,
        organization,
        all,
    } = args.selection;
    let all = all.then(|| "true".to_owned());
    let pairs = [
        ("entry", entry),
        ("model", model),
        ("team", team),
        ("key", key),
        ("organization", organization),
        ("all", all),
    ];
    let pair =
        |(name, value): (&str, Option<String>)| Some(format!("{name}={}", percent_encode(&value?)));
    let pairs: Vec<String> = pairs.into_iter().filter_map(pair).collect();
    let query = pairs.join("&");
    let server = args.server;
    let purged = server
        .admin()?
        .delete(&format!("/v1/cache?{query}"))
        .await?;
    if server.json {
        return print_json(&purged);
    }
    print(&format!("{} answers deleted\n", cell(&purged["entries"])))
}
