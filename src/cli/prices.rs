//! `gatekeeper prices`: the price sheet in force, its difference from a file, and the application of that file. The server reads and
//! compares the sheets; here files are read and the difference is shown.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::admin::ServerArgs;
use super::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::style::{Style, Tone};
use crate::cli::values::{cell, rows};
use crate::config;
use crate::process;

const PATH: &str = "/v1/prices/sheet";
/// Rows shown without `--all`.
const ROWS_SHOWN: usize = 40;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show which price sheet is in force
    Show(ServerArgs),
    /// Print the price sheet in force, to be edited and applied
    Export(ServerArgs),
    /// Show the difference between a file and the price sheet in force
    Diff(FileArgs),
    /// Put the price sheet of a file in force, at once and for later starts
    Apply(ApplyArgs),
    /// Go back to the price sheet of the release
    Reset(ResetArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct FileArgs {
    /// Price sheet, as `gatekeeper prices export` prints it
    file: PathBuf,
    /// Show every row that differs
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Show the difference, change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub struct ResetArgs {
    /// Reset in the data folder, while no server runs: for an applied sheet that keeps the server from starting
    #[arg(long, conflicts_with = "url")]
    offline: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(command: Command) -> Result<(), Failure> {
    process::block_on(async {
        match command {
            Command::Show(server) => show(&server).await,
            Command::Export(server) => print(&server.admin()?.text(&format!("{PATH}/text")).await?),
            Command::Diff(args) => send(&args, true).await,
            Command::Apply(args) => send(&args.file, args.dry_run).await,
            Command::Reset(args) => reset(&args).await,
        }
    })
}

async fn show(server: &ServerArgs) -> Result<(), Failure> {
    let sheet = server.admin()?.get(PATH).await?;
    match server.json {
        true => print_json(&sheet),
        false => print(&render_sheet(&sheet)),
    }
}

async fn send(args: &FileArgs, dry_run: bool) -> Result<(), Failure> {
    let (server, text) = (&args.server, read(&args.file)?);
    let body = json!({ "sheet": text, "dry_run": dry_run });
    let plan = server.admin()?.post(PATH, &body).await?;
    if server.json {
        return print_json(&plan);
    }
    let rows_shown = if args.all { usize::MAX } else { ROWS_SHOWN };
    print(&render_plan(&plan, rows_shown, &server.style()))
}

async fn reset(args: &ResetArgs) -> Result<(), Failure> {
    let (as_of, sha256) = if args.offline {
        let config = config::load_base(&args.server.settings().overrides())?.config;
        let facts = process::reset_prices(&config).await?;
        (facts.as_of, facts.sha256)
    } else {
        let facts = args.server.admin()?.delete(PATH).await?;
        if args.server.json {
            return print_json(&facts);
        }
        (cell(&facts["as_of"]), cell(&facts["sha256"]))
    };
    print(&format!(
        "price sheet of the release in force: {as_of}\nSHA-256 {sha256}\n"
    ))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("failed to read {}: {error}", path.display())))
}

fn render_sheet(sheet: &Value) -> String {
    let mut text = format!("{}\n", facts(sheet));
    if let Some(outdated) = sheet.get("outdated").filter(|outdated| !outdated.is_null()) {
        let _ = writeln!(text, "older, not in force: {}", facts(outdated));
    }
    text
}

fn facts(sheet: &Value) -> String {
    let origin = match sheet["applied_at"].as_str() {
        Some(at) => format!("applied at {at}"),
        None => "of the release".to_owned(),
    };
    let (as_of, models, sha256) = (
        cell(&sheet["as_of"]),
        &sheet["models"],
        cell(&sheet["sha256"]),
    );
    format!("{as_of}, {models} models, {origin}\nSHA-256 {sha256}")
}

fn render_plan(plan: &Value, rows_shown: usize, style: &Style) -> String {
    let [added, removed, changed] = ["added", "removed", "changed"].map(|name| rows(&plan[name]));
    let signed =
        |sign: &str, tone, row: &Value| style.paint(tone, &format!("{sign} {}", cell(row)));
    let mut lines: Vec<String> = Vec::new();
    lines.extend(
        changed
            .iter()
            .map(|row| format!("~ {}", render_change(row))),
    );
    lines.extend(added.iter().map(|row| signed("+", Tone::Good, row)));
    lines.extend(removed.iter().map(|row| signed("-", Tone::Warning, row)));
    let mut text = String::new();
    for line in lines.iter().take(rows_shown) {
        let _ = writeln!(text, "{line}");
    }
    if lines.len() > rows_shown {
        let _ = writeln!(text, "{} more; --all shows them", lines.len() - rows_shown);
    }
    let (before, after) = (&plan["before"], &plan["after"]);
    let verb = match plan["dry_run"] == true {
        true => "nothing changed; in force",
        false => "applied; in force before",
    };
    let _ = write!(
        text,
        "{} changed, {} added, {} removed\nfile       {}, {} models\nSHA-256    {}\n{verb}: {}\n",
        changed.len(),
        added.len(),
        removed.len(),
        cell(&after["as_of"]),
        after["models"],
        cell(&after["sha256"]),
        cell(&before["as_of"])
    );
    text
}

/// `openai/gpt-5.1: rates.input 1.25 -> 1`
fn render_change(row: &Value) -> String {
    let value = |value: &Value| value.as_str().map_or("none".to_owned(), str::to_owned);
    let member = |member: &Value| {
        let (before, after) = (value(&member["before"]), value(&member["after"]));
        format!("{} {before} -> {after}", cell(&member["name"]))
    };
    let members: Vec<String> = rows(&row["members"]).iter().map(member).collect();
    format!("{}: {}", cell(&row["name"]), members.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_is_rendered_with_its_rows_hash_and_verdict() {
        let plan = json!({
            "dry_run": true,
            "before": {"as_of": "litellm, 2026-11", "models": 2, "sha256": "aa"},
            "after": {"as_of": "mine, 2027-01", "models": 2, "sha256": "bb"},
            "added": ["v/new"], "removed": ["v/gone"],
            "changed": [{"name": "v/m", "members": [
                {"name": "rates.input", "before": "1.25", "after": "1"},
                {"name": "context", "before": null, "after": "8"}]}],
        });
        let expected = "~ v/m: rates.input 1.25 -> 1, context none -> 8\n+ v/new\n- v/gone\n\
            1 changed, 1 added, 1 removed\nfile       mine, 2027-01, 2 models\nSHA-256    bb\n\
            nothing changed; in force: litellm, 2026-11\n";
        assert_eq!(render_plan(&plan, 40, &Style::default()), expected);
        let shortened = render_plan(&plan, 1, &Style::default());
        assert!(
            shortened.contains("2 more; --all shows them"),
            "{shortened}"
        );
    }
}
