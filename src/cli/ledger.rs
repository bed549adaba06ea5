//! `gatekeeper ledger`: what is wrong in the books and how it is put right, as the running server has it. The exit code of
//! `verify` says which part differs.

use clap::Subcommand;
use serde_json::{Value, json};

use super::Failure;
use super::admin::{AdminClient, ServerArgs, encoded};
use crate::cli::parse::correction;
use crate::cli::table;
use crate::cli::table::{cell, print, table};
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Compute balances and roll-ups once more from the records and say what differs
    Verify(ServerArgs),
    /// List the requests that were in flight when the server ended: they are booked at their ceiling
    Orphans(OrphansArgs),
    /// Write a compensating entry for one request
    Correct(CorrectArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct OrphansArgs {
    /// Correct them all to their estimate, in one audited command
    #[arg(long)]
    settle_estimated: bool,
    /// Only those of this team: an id or a name
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
    #[command(flatten)]
    reach: ServerArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct CorrectArgs {
    /// The request's id, as in the header x-gatekeeper-request-id
    request: String,
    /// What is added to its cost: '-$0.12' gives back
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, value_parser = correction)]
    amount: String,
    /// Why, for the audit log: up to 500 characters
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Which attempt, where the request had more than one
    #[arg(long, value_name = "NUMBER")]
    attempt: Option<u8>,
    #[command(flatten)]
    reach: ServerArgs,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Verify(reach) => process::block_on(verify(reach)),
        Command::Orphans(args) if args.settle_estimated => process::block_on(settle(args)),
        Command::Orphans(args) => process::block_on(orphans(args)),
        Command::Correct(args) => process::block_on(correct(args)),
    }
}

async fn verify(reach: ServerArgs) -> Result<(), Failure> {
    let verified = reach.admin()?.get("/v1/ledger/verify").await?;
    if reach.json {
        table::json(&verified)?;
    } else {
        print(&verification(&verified))?;
    }
    match differs(&verified) {
        Some((part, exit_code)) => Err(Failure::differs(
            format!("the books do not agree: {part} differ"),
            exit_code,
        )),
        None => Ok(()),
    }
}

/// The first part that differs, and its exit code.
fn differs(verified: &Value) -> Option<(&'static str, u8)> {
    let parts = [
        ("records", 10),
        ("balances", 11),
        ("rollups", 12),
        ("log", 13),
    ];
    parts.into_iter().find(|(part, _)| {
        verified["differing"][part]
            .as_u64()
            .is_some_and(|count| count > 0)
    })
}

fn verification(verified: &Value) -> String {
    let log = &verified["log"];
    let mut text = format!(
        "{} records, {} corrections, {} balances, {} roll-ups; log written {}, synced {}, applied {}\n",
        cell(&verified["records"]),
        cell(&verified["corrections"]),
        cell(&verified["balances"]),
        cell(&verified["rollups"]),
        cell(&log["written"]),
        cell(&log["synced"]),
        cell(&log["applied"]),
    );
    if let Some(from) = verified["compared_from"].as_str() {
        text += &format!(
            "hours and days before {from} were not compared: their requests are no longer kept (`[retention]`)\n"
        );
    }
    for difference in verified["differences"].as_array().into_iter().flatten() {
        text += &format!(
            "{}: {}: {}\n",
            cell(&difference["part"]),
            cell(&difference["row"]),
            cell(&difference["says"])
        );
    }
    if verified["agrees"] == true {
        text += "all agree\n";
    }
    text
}

/// All pages of the orphans, as one list.
async fn listed(admin: &AdminClient, team: Option<&str>) -> Result<Value, Failure> {
    let team = team.map_or(String::new(), |team| format!("&team={}", encoded(team)));
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

async fn orphans(args: OrphansArgs) -> Result<(), Failure> {
    let page = listed(&args.reach.admin()?, args.team.as_deref()).await?;
    if args.reach.json {
        table::json(&page)
    } else {
        print(&orphans_shown(&page))
    }
}

fn orphans_shown(page: &Value) -> String {
    let row = |orphan: &Value| {
        let heard = match &orphan["last_heard"] {
            Value::Null => "nothing".to_owned(),
            heard => format!(
                "{} bytes after {} ms",
                cell(&heard["output_bytes"]),
                cell(&heard["after_ms"])
            ),
        };
        let names = ["id", "at", "key", "model", "cost_usd", "estimate_usd"];
        names
            .iter()
            .map(|name| cell(&orphan[*name]))
            .chain([heard])
            .collect::<Vec<String>>()
    };
    let rows: Vec<Vec<String>> = page["data"]
        .as_array()
        .into_iter()
        .flatten()
        .map(row)
        .collect();
    if rows.is_empty() {
        return "no orphans: no request is booked at its ceiling without having been corrected\n"
            .to_owned();
    }
    let heading = [
        "REQUEST",
        "AT",
        "KEY",
        "MODEL",
        "BOOKED USD",
        "ESTIMATE USD",
        "LAST HEARD OF",
    ];
    table(&heading, &rows) + "\ncorrect them with `gatekeeper ledger orphans --settle-estimated`\n"
}

async fn settle(args: OrphansArgs) -> Result<(), Failure> {
    let body = json!({"orphans": "estimated", "team": args.team});
    let corrected = args
        .reach
        .admin()?
        .post("/v1/ledger/corrections", &body)
        .await?;
    if args.reach.json {
        return table::json(&corrected);
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
        .reach
        .admin()?
        .post("/v1/ledger/corrections", &body)
        .await?;
    if args.reach.json {
        return table::json(&corrected);
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
    fn the_exit_code_says_which_part_differs() {
        let verified = |records, balances, rollups, log| json!({"differing": {"records": records, "balances": balances, "rollups": rollups, "log": log}});
        for (answer, expected) in [
            (verified(0, 0, 0, 0), None),
            (verified(1, 1, 0, 0), Some(10)),
            (verified(0, 2, 1, 0), Some(11)),
            (verified(0, 0, 1, 1), Some(12)),
            (verified(0, 0, 0, 1), Some(13)),
        ] {
            assert_eq!(differs(&answer).map(|(_, code)| code), expected);
        }
    }

    #[test]
    fn an_orphan_is_shown_with_what_is_known_of_it() {
        let orphan = json!({"id": "req_1", "at": "2026-11-23T10:00:00Z", "key": "key_1", "model": "m", "cost_usd": "0.5",
            "estimate_usd": "0.02", "last_heard": {"output_bytes": 300, "after_ms": 4000}});
        let text = orphans_shown(&json!({"data": [orphan]}));
        assert!(
            text.contains("300 bytes after 4000 ms") && text.contains("--settle-estimated"),
            "{text}"
        );
        assert!(orphans_shown(&json!({"data": []})).starts_with("no orphans"));
        assert_eq!(encoded("a&b c"), "a%26b%20c");
    }
}
