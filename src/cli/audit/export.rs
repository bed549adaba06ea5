//! `gatekeeper audit export`: writes the log of the running server to a folder, page by page: `events.jsonl`, `checkpoints`,
//! `public-keys`, `start.json` and a `README.txt` for the reader.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::admin::{ServerArgs, percent_encode};
use crate::cli::failure::Failure;
use crate::cli::json::cell;
use crate::cli::output::{print, print_json};

/// Files of an export.
pub const EVENTS: &str = "events.jsonl";
pub const CHECKPOINTS: &str = "checkpoints";
pub const PUBLIC_KEYS: &str = "public-keys";
pub const START: &str = "start.json";

const README: &str = "\
Audit log of Gatekeeper

events.jsonl  one event per line, canonical JSON (RFC 8785); line N is leaf N - 1 of a Merkle tree (RFC 9162)
checkpoints   heads of the tree, signed (C2SP signed notes, Ed25519), the newest last
public-keys   keys that sign them, the present one last; compare it with the one that `gatekeeper init` printed
start.json    size and hashes of the tree before the first line

Check it on any machine, with a checkpoint and the public key that were kept outside the server:

  gatekeeper audit verify FOLDER --checkpoint KEPT-CHECKPOINT --public-key KEPT-KEY

Without a checkpoint kept outside, an export shows that its events are unchanged up to its own newest checkpoint. It cannot
show that the newest events were not dropped before the export: that takes a kept checkpoint that covers them.
";

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// New or empty folder
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Begin with the first event at or after this date or instant, e.g. 2026-11-01
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

pub async fn run(args: Args) -> Result<(), Failure> {
    let folder = &args.folder;
    let admin = args.server.admin()?;
    let first = match &args.since {
        Some(since) => format!("/v1/audit/export?since={}", percent_encode(since)),
        None => "/v1/audit/export".to_owned(),
    };
    create(folder)?;
    let mut page = admin.get(&first).await?;
    let (after, to) = (page["after"].clone(), page["to"].clone());
    write(folder, START, &page["tree"].to_string())?;
    write(folder, PUBLIC_KEYS, &lines(&page["public_keys"], "\n"))?;
    write(folder, "README.txt", README)?;
    let mut events = open(folder, EVENTS)?;
    let mut checkpoints = open(folder, CHECKPOINTS)?;
    loop {
        let failed = |error| failed(folder, EVENTS, &error);
        events
            .write_all(lines(&page["events"], "\n").as_bytes())
            .map_err(failed)?;
        checkpoints
            .write_all(lines(&page["checkpoints"], "").as_bytes())
            .map_err(failed)?;
        let Some(next) = page["next"].as_u64() else {
            break;
        };
        page = admin
            .get(&format!("/v1/audit/export?after={next}&to={to}"))
            .await?;
    }
    for (file, name) in [(events, EVENTS), (checkpoints, CHECKPOINTS)] {
        let file = file.into_inner().map_err(|error| error.into_error());
        file.and_then(|file| file.sync_all())
            .map_err(|error| failed(folder, name, &error))?;
    }
    report(&args, &after, &to)
}

fn report(args: &Args, after: &Value, to: &Value) -> Result<(), Failure> {
    let folder = args.folder.display();
    let first = after.as_u64().unwrap_or(0) + 1;
    if args.server.json {
        return print_json(&json!({ "folder": folder.to_string(), "first": first, "last": to }));
    }
    print(&format!(
        "events {first} to {} written to {folder}; check them with `gatekeeper audit verify {folder}`\n",
        cell(to)
    ))
}

/// The strings of an array, each followed by `end`.
fn lines(array: &Value, end: &str) -> String {
    let lines = array.as_array().into_iter().flatten();
    lines
        .filter_map(Value::as_str)
        .flat_map(|line| [line, end])
        .collect()
}

fn create(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| failed(folder, "", &error))?;
    let mut files = fs::read_dir(folder).map_err(|error| failed(folder, "", &error))?;
    if files.next().is_some() {
        return Err(Failure::runtime(format!(
            "folder {} not empty; name a new one",
            folder.display()
        )));
    }
    Ok(())
}

fn open(folder: &Path, name: &str) -> Result<BufWriter<File>, Failure> {
    let file = File::create(folder.join(name)).map_err(|error| failed(folder, name, &error))?;
    Ok(BufWriter::new(file))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    fs::write(folder.join(name), text).map_err(|error| failed(folder, name, &error))
}

fn failed(folder: &Path, name: &str, error: &std::io::Error) -> Failure {
    Failure::runtime(format!(
        "failed to write {}: {error}",
        folder.join(name).display()
    ))
}
