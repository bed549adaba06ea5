//! `gatekeeper usage`: what a time cost, by whatever it is grouped by, as the books have it. Adds nothing up itself.

use serde_json::Value;

use super::Failure;
use super::admin::{ServerArgs, encoded};
use crate::cli::table;
use crate::cli::table::{cell, print, table};
use crate::process;

const SUMS: [&str; 5] = [
    "requests",
    "refused_requests",
    "input_tokens",
    "output_tokens",
    "cost_usd",
];

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// From here on: a date of the server's zone, or an instant [default: the first of this month]
    #[arg(long, value_name = "DATE")]
    start: Option<String>,
    /// Up to here, not included [default: the end of this month]
    #[arg(long, value_name = "DATE")]
    end: Option<String>,
    /// What makes a row: up to two of provider, model, team, organization, key, status, and one of hour, day, month
    #[arg(
        long,
        value_name = "WORDS",
        value_delimiter = ',',
        default_value = "team,model"
    )]
    group_by: Vec<String>,
    /// Print the server's answer as CSV, for spreadsheets
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    reach: ServerArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    process::block_on(usage(args))
}

async fn usage(args: Args) -> Result<(), Failure> {
    let args = Args {
        group_by: words(&args.group_by),
        ..args
    };
    let (admin, path) = (args.reach.admin()?, path(&args));
    if args.csv {
        return print(&admin.csv(&path).await?);
    }
    let report = admin.get(&path).await?;
    if args.reach.json {
        return table::json(&report);
    }
    print(&(shown(&args.group_by, &report) + &orphans_warning(&report)))
}

/// As the server reads them: spaces around a word are nobody's, and no word is no group.
fn words(typed: &[String]) -> Vec<String> {
    typed
        .iter()
        .map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

fn path(args: &Args) -> String {
    let given = [("start", &args.start), ("end", &args.end)];
    let given = given
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?.as_str())));
    let groups = args.group_by.join(",");
    let parameters = given
        .chain([("group_by", groups.as_str())])
        .map(|(name, value)| format!("{name}={}", encoded(value)));
    format!("/v1/usage?{}", parameters.collect::<Vec<_>>().join("&"))
}

fn shown(group_by: &[String], report: &Value) -> String {
    // tenants are told by their names where they have one
    let group = |row: &Value, word: &String| match &row[format!("{word}_name")] {
        Value::Null => cell(&row[word]),
        name => cell(name),
    };
    let sums = |row: &Value| {
        SUMS.iter()
            .map(|column| cell(&row[*column]))
            .collect::<Vec<String>>()
    };
    let row = |row: &Value| {
        group_by
            .iter()
            .map(|word| group(row, word))
            .chain(sums(row))
            .collect::<Vec<String>>()
    };
    let mut rows: Vec<Vec<String>> = report["data"]
        .as_array()
        .into_iter()
        .flatten()
        .map(row)
        .collect();
    if rows.is_empty() {
        return format!(
            "nothing was used from {} to {}\n",
            cell(&report["start"]),
            cell(&report["end"])
        );
    }
    let mut total: Vec<String> = group_by.iter().map(|_| String::new()).collect();
    match total.first_mut() {
        Some(first) => *first = "all".to_owned(),
        // the one row is the total
        None => rows.clear(),
    }
    rows.push(total.into_iter().chain(sums(&report["total"])).collect());
    let heading: Vec<String> = group_by
        .iter()
        .map(String::as_str)
        .chain(SUMS)
        .map(heading)
        .collect();
    table(
        &heading.iter().map(String::as_str).collect::<Vec<_>>(),
        &rows,
    )
}

/// `cost_usd`: COST USD.
fn heading(word: &str) -> String {
    match word {
        "refused_requests" => "REFUSED".to_owned(),
        word => word.replace('_', " ").to_uppercase(),
    }
}

/// Stays until no orphan is left.
fn orphans_warning(report: &Value) -> String {
    match report["orphans_uncorrected"].as_u64() {
        None | Some(0) => String::new(),
        Some(orphans) => {
            let booked = match orphans {
                1 => "1 request is booked at its ceiling because the server ended while it was in flight".to_owned(),
                _ => format!("{orphans} requests are booked at their ceiling because the server ended while they were in flight"),
            };
            format!(
                "\nwarning: {booked};\n\
                 see `gatekeeper ledger orphans`, correct with `gatekeeper ledger orphans --settle-estimated`\n"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_ends_with_its_total() {
        let sums = json!({"requests": 2, "refused_requests": 0, "input_tokens": 3, "output_tokens": 4, "cost_usd": "0.0125"});
        let mut group = sums.clone();
        group["team"] = json!("team_1");
        group["team_name"] = json!("eng");
        group["model"] = json!("gpt-5.1");
        let group_by = ["team".to_owned(), "model".to_owned()];
        let text = shown(&group_by, &json!({"data": [group], "total": sums}));
        assert_eq!(text.lines().count(), 3);
        assert!(
            text.starts_with("TEAM  MODEL    REQUESTS  REFUSED  INPUT TOKENS"),
            "{text}"
        );
        assert!(
            text.lines()
                .nth(1)
                .is_some_and(|line| line.starts_with("eng ")),
            "{text}"
        );
        assert!(
            text.lines()
                .last()
                .is_some_and(|line| line.starts_with("all ") && line.ends_with("0.0125")),
            "{text}"
        );
        let nothing = json!({"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z", "data": [], "total": {}});
        assert_eq!(
            shown(&group_by, &nothing),
            "nothing was used from 2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z\n"
        );
        assert!(orphans_warning(&json!({"orphans_uncorrected": 3})).contains("3 requests are"));
        assert!(orphans_warning(&json!({"orphans_uncorrected": 1})).contains("1 request is"));
        assert_eq!(orphans_warning(&json!({"orphans_uncorrected": 0})), "");
    }

    #[test]
    fn words_are_trimmed_and_no_word_is_the_total_alone() {
        assert_eq!(
            words(&["team".into(), " day".into(), String::new(), " ".into()]),
            ["team", "day"]
        );
        let sums = json!({"requests": 2, "refused_requests": 0, "input_tokens": 3, "output_tokens": 4, "cost_usd": "0.0125"});
        let text = shown(&[], &json!({"data": [sums], "total": sums}));
        assert_eq!(text.matches("0.0125").count(), 1, "{text}");
    }
}
