//! `gatekeeper ledger`: verifies the books of the running server and corrects requests. The exit code of `verify`
//! identifies the part that differs.

use clap::Subcommand;
use serde_json::{Value, json};

use super::admin::{AdminClient, ServerArgs, percent_encode};
use super::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::parse::correction;
use crate::cli::style::Style;
use crate::cli::table::Table;
use crate::cli::values::cell;
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Recompute balances and roll-ups from the records and report differences
    Verify(ServerArgs),
    /// List orphans: requests in flight when the server was killed, recorded at their ceiling
    Orphans(OrphansArgs),
    /// Correct the cost of one request
    Correct(CorrectArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct OrphansArgs {
    /// Correct all orphans to their estimates, as one audited change
    #[arg(long)]
    settle_estimated: bool,
    /// Only orphans of this team, by id or name
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct CorrectArgs {
    /// Id of the request, from the header x-gatekeeper-request-id
    request: String,
    /// Amount added to the cost; negative for a refund: '-$0.12'
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, value_parser = correction)]
    amount: String,
    /// Reason for the audit log, up to 500 characters
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Number of the attempt, if the request had several
    #[arg(long, value_name = "NUMBER")]
    attempt: Option<u8>,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Verify(server) => process::block_on(verify(server)),
        Command::Orphans(args) if args.settle_estimated => process::block_on(settle_orphans(args)),
        Command::Orphans(args) => process::block_on(show_orphans(args)),
        Command::Correct(args) => process::block_on(correct(args)),
    }
}

async fn verify(server: ServerArgs) -> Result<(), Failure> {
    let report = server.admin()?.get("/v1/ledger/verify").await?;
    if server.json {
        print_json(&report)?;
    } else {
        print(&render_report(&report))?;
    }
    match first_mismatch(&report) {
        Some((part, exit_code)) => Err(Failure::mismatch(
            format!("books inconsistent: {part} differ"),
            exit_code,
        )),
        None => Ok(()),
    }
}

/// Returns the first part that differs and its exit code.
fn first_mismatch(report: &Value) -> Option<(&'static str, u8)> {
    let parts = [
        ("records", 10),
        ("balances", 11),
        ("rollups", 12),
        ("log", 13),
    ];
    parts.into_iter().find(|(part, _)| {
        report["differing"][part]
            .as_u64()
            .is_some_and(|count| count > 0)
    })
}

fn render_report(report: &Value) -> String {
    let log = &report["log"];
    let mut text = format!(
        "{} records, {} corrections, {} balances, {} roll-ups; log written {}, synced {}, applied {}\n",
        cell(&report["records"]),
        cell(&report["corrections"]),
        cell(&report["balances"]),
        cell(&report["rollups"]),
        cell(&log["written"]),
        cell(&log["synced"]),
        cell(&log["applied"]),
    );
    if let Some(from) = report["compared_from"].as_str() {
        text += &format!(
            "roll-ups before {from} were not compared: their records were deleted (`[retention]`)\n"
        );
    }
    for difference in report["differences"].as_array().into_iter().flatten() {
        text += &format!(
            "{}: {}: {}\n",
            cell(&difference["part"]),
            cell(&difference["row"]),
            cell(&difference["says"])
        );
    }
    if report["agrees"] == true {
        text += "all agree\n";
    }
    text
}

/// Fetches all pages of orphans as one list.
async fn fetch_orphans(admin: &AdminClient, team: Option<&str>) -> Result<Value, Failure> {
    let team = team.map_or(String::new(), |team| {
        format!("&team={}", percent_encode(team))
    });
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let mut page = admin
            .get(&format!("/v1/ledger/orphans?{after}{team}"))
            .await?;
        rows.extend(
            page["data"]
                .as_array_mut()
                .map(std::mem::take)
                .unwrap_or_default(),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("after={next}"),
            None => {
                page["data"] = rows.into();
                return Ok(page);
            }
        }
    }
}

async fn show_orphans(args: OrphansArgs) -> Result<(), Failure> {
    let page = fetch_orphans(&args.server.admin()?, args.team.as_deref()).await?;
    if args.server.json {
        print_json(&page)
    } else {
        print(&render_orphans(&page))
    }
}

fn render_orphans(page: &Value) -> String {
    let row = |orphan: &Value| {
        let progress = match &orphan["last_heard"] {
            Value::Null => "nothing".to_owned(),
            progress => format!(
                "{} bytes after {} ms",
                cell(&progress["output_bytes"]),
                cell(&progress["after_ms"])
            ),
        };
        let names = ["id", "at", "key", "model", "cost_usd", "estimate_usd"];
        names
            .iter()
            .map(|name| cell(&orphan[*name]))
            .chain([progress])
            .collect::<Vec<String>>()
    };
    let rows: Vec<Vec<String>> = page["data"]
        .as_array()
        .into_iter()
        .flatten()
        .map(row)
        .collect();
    if rows.is_empty() {
        return "no orphans\n".to_owned();
    }
    let heading = [
        "REQUEST",
        "AT",
        "KEY",
        "MODEL",
        "COST USD",
        "ESTIMATE USD",
        "LAST PROGRESS",
    ];
    Table::of_texts(&heading, rows).render(&Style::default())
        + "\ncorrect them with `gatekeeper ledger orphans --settle-estimated`\n"
}

async fn settle_orphans(args: OrphansArgs) -> Result<(), Failure> {
    let body = json!({"orphans": "estimated", "team": args.team});
    let corrected = args
        .server
        .admin()?
        .post("/v1/ledger/corrections", &body)
        .await?;
    if args.server.json {
        return print_json(&corrected);
    }
    print(&format!(
        "corrected {} orphans by ${}; {} are left\n",
        cell(&corrected["corrected"]),
        cell(&corrected["amount_usd"]),
        cell(&corrected["orphans_uncorrected"])
    ))
}

async fn correct(args: CorrectArgs) -> Result<(), Failure> {
    let body = json!({"request": args.request, "attempt": args.attempt, "amount": args.amount, "reason": args.reason});
    let corrected = args
        .server
        .admin()?
        .post("/v1/ledger/corrections", &body)
        .await?;
    if args.server.json {
        return print_json(&corrected);
    }
    print(&format!(
        "corrected {} by ${}\n",
        args.request,
        cell(&corrected["amount_usd"])
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_exit_code_identifies_the_first_mismatch() {
        let report = |records, balances, rollups, log| json!({"differing": {"records": records, "balances": balances, "rollups": rollups, "log": log}});
        for (answer, expected) in [
            (report(0, 0, 0, 0), None),
            (report(1, 1, 0, 0), Some(10)),
            (report(0, 2, 1, 0), Some(11)),
            (report(0, 0, 1, 1), Some(12)),
            (report(0, 0, 0, 1), Some(13)),
        ] {
            assert_eq!(first_mismatch(&answer).map(|(_, code)| code), expected);
        }
    }

    #[test]
    fn orphan_is_rendered_with_progress_and_remedy() {
        let orphan = json!({"id": "req_1", "at": "2026-11-23T10:00:00Z", "key": "key_1", "model": "m", "cost_usd": "0.5",
            "estimate_usd": "0.02", "last_heard": {"output_bytes": 300, "after_ms": 4000}});
        let text = render_orphans(&json!({"data": [orphan]}));
        assert!(
            text.contains("300 bytes after 4000 ms") && text.contains("--settle-estimated"),
            "{text}"
        );
        assert!(render_orphans(&json!({"data": []})).starts_with("no orphans"));
        assert_eq!(percent_encode("a&b c"), "a%26b%20c");
    }
}
