//! `gatekeeper usage`: what this month cost, by team and model, as the books have it.

use serde_json::Value;

use super::Failure;
use super::admin::Reach;
use super::print::{self, cell, print, table};
use crate::server;

const COLUMNS: [&str; 6] = ["team_name", "model", "requests", "input_tokens", "output_tokens", "cost_usd"];
const HEADING: [&str; 6] = ["TEAM", "MODEL", "REQUESTS", "INPUT TOKENS", "OUTPUT TOKENS", "COST USD"];

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    reach: Reach,
}

pub fn run(args: Args) -> Result<(), Failure> {
    server::block_on(usage(args.reach))
}

async fn usage(reach: Reach) -> Result<(), Failure> {
    let report = reach.admin()?.get("/v1/usage?group_by=team,model").await?;
    if reach.json { print::json(&report) } else { print(&(shown(&report) + &orphans_warning(&report))) }
}

fn shown(report: &Value) -> String {
    let row = |group: &Value| COLUMNS.iter().map(|column| cell(&group[*column])).collect::<Vec<String>>();
    let mut rows: Vec<Vec<String>> = report["data"].as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return "nothing was used this month\n".to_owned();
    }
    let mut total = row(&report["total"]);
    total[0] = "all".to_owned();
    total[1] = String::new();
    rows.push(total);
    table(&HEADING, &rows)
}

/// Stays until no orphan is left.
fn orphans_warning(report: &Value) -> String {
    match report["orphans_uncorrected"].as_u64() {
        Some(orphans) if orphans > 0 => format!(
            "\nwarning: {orphans} requests are booked at their ceiling because the server ended while they were in flight;\n\
             see `gatekeeper ledger orphans`, correct them with `gatekeeper ledger orphans --settle-estimated`\n"
        ),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_ends_with_its_total() {
        let sums = json!({"requests": 2, "input_tokens": 3, "output_tokens": 4, "cost_usd": "0.0125"});
        let mut group = sums.clone();
        group["team_name"] = json!("eng");
        group["model"] = json!("gpt-5.1");
        let text = shown(&json!({"data": [group], "total": sums}));
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().last().is_some_and(|line| line.starts_with("all ") && line.ends_with("0.0125")), "{text}");
        assert_eq!(shown(&json!({"data": [], "total": {}})), "nothing was used this month\n");
        assert!(orphans_warning(&json!({"orphans_uncorrected": 3})).contains("3 requests"));
        assert_eq!(orphans_warning(&json!({"orphans_uncorrected": 0})), "");
    }
}
