//! `gatekeeper requests export`: the ended requests, the oldest first, as JSON lines or CSV, in constant memory. Names the cursor from
//! which the next export goes on, so that together they hold every request once.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde_json::Value;

use super::row::FilterArgs;
use crate::cli::admin::{AdminClient, ServerArgs, percent_encode};
use crate::cli::failure::Failure;
use crate::cli::parse::since;
use crate::cli::values::rows;
use crate::server::request_table;

const PAGE_ROWS: usize = 500;
/// Cursor before every request.
const BEGINNING: &str = "req_00000000000000000000000000";

#[derive(Clone, Debug, clap::Args)]
pub struct ExportArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// From so long ago: 7d, 12h, 30m; or from a date or instant
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<String>,
    /// Go on after the cursor that an earlier export named
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
    format: ExportFormat,
    /// New file [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ExportFormat {
    /// a JSON object per line, as `/v1/requests` has it
    Jsonl,
    /// a table with a header line
    Csv,
}

pub async fn export(args: ExportArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let mut filter = args.filter.query(&admin).await?;
    if let Some(start) = &args.since {
        filter += &format!("&start={}", percent_encode(start));
    }
    let mut export = Export {
        out: open(args.out.as_ref())?,
        format: args.format,
        count: 0,
        cursor: args.after.unwrap_or_else(|| BEGINNING.to_owned()),
    };
    let read = export.read(&admin, &filter).await;
    let written = export.out.flush().map_err(unwritten);
    let (count, cursor) = (export.count, &export.cursor);
    // standard output may be the export itself
    eprintln!("{count} requests exported; the next export goes on with --after {cursor}");
    read.and(written)
}

/// An export that runs.
struct Export {
    out: Box<dyn Write>,
    format: ExportFormat,
    count: usize,
    /// of the last request that was written
    cursor: String,
}

impl Export {
    /// Writes page after page until the first request that may not be the next one to end.
    async fn read(&mut self, admin: &AdminClient, filter: &str) -> Result<(), Failure> {
        let mut complete_before: Option<String> = None;
        let mut after = self.cursor.clone();
        loop {
            let cursor = percent_encode(&after);
            let path = format!("/v1/requests?limit={PAGE_ROWS}&after={cursor}{filter}");
            let page = admin.get(&path).await?;
            // the bound of the first page holds for all: what ends meanwhile belongs to the next export
            let bound = match &complete_before {
                Some(bound) => bound,
                None => complete_before.insert(bound_of(&page)?),
            };
            let found = rows(&page["data"]);
            let ended = found.iter().take_while(|row| id(row) < bound.as_str());
            let ended = found.get(..ended.count()).unwrap_or(found);
            self.write(ended)?;
            let next = page["next"].as_str();
            match next.filter(|_| ended.len() == found.len()) {
                // a page without a row that passes the filters moves the cursor too
                Some(next) if next < bound.as_str() => {
                    after = next.to_owned();
                    self.cursor = next.to_owned();
                }
                _ => return Ok(()),
            }
        }
    }

    fn write(&mut self, requests: &[Value]) -> Result<(), Failure> {
        let text = match self.format {
            ExportFormat::Jsonl => requests.iter().map(|row| format!("{row}\n")).collect(),
            ExportFormat::Csv => self.table(requests),
        };
        self.out.write_all(text.as_bytes()).map_err(unwritten)?;
        self.count += requests.len();
        if let Some(last) = requests.last() {
            self.cursor = cursor_of(last);
        }
        Ok(())
    }

    /// The header line is written once.
    fn table(&self, requests: &[Value]) -> String {
        let table = request_table(requests.iter().cloned());
        match table.split_once("\r\n") {
            Some((_, lines)) if self.count > 0 => lines.to_owned(),
            _ => table,
        }
    }
}

fn bound_of(page: &Value) -> Result<String, Failure> {
    let bound = page["complete_before"].as_str().map(str::to_owned);
    bound.ok_or_else(|| {
        let message =
            "books are behind the log, so some ended requests are missing; try again in a moment";
        Failure::runtime(message)
    })
}

fn id(row: &Value) -> &str {
    row["id"].as_str().unwrap_or_default()
}

/// Cursor after a row: its id, with the attempt where a later one may follow.
fn cursor_of(row: &Value) -> String {
    match row["attempt"].as_u64() {
        Some(attempt) if attempt > 0 => format!("{}.{attempt}", id(row)),
        _ => id(row).to_owned(),
    }
}

fn open(file: Option<&PathBuf>) -> Result<Box<dyn Write>, Failure> {
    let Some(file) = file else {
        return Ok(Box::new(io::BufWriter::new(io::stdout())));
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let opened = options.open(file).map_err(|error| {
        let remedy = "name a new file";
        Failure::runtime(format!(
            "failed to create {}: {error}; {remedy}",
            file.display()
        ))
    })?;
    Ok(Box::new(io::BufWriter::new(opened)))
}

fn unwritten(error: io::Error) -> Failure {
    Failure::runtime(format!("failed to write the export: {error}"))
}
