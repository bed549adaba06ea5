//! `gatekeeper usage`: renders the server's usage report of an interval, grouped by dimensions. Must never add up figures
//! itself.

use serde_json::Value;

use super::admin::{ServerArgs, percent_encode};
use super::failure::Failure;
use crate::cli::table::{cell, print, print_json, table};
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
    /// Start: a date in the server's timezone, or an instant [default: start of this month]
    #[arg(long, value_name = "DATE")]
    start: Option<String>,
    /// End, exclusive [default: end of this month]
    #[arg(long, value_name = "DATE")]
    end: Option<String>,
    /// Group by up to two of provider, model, team, organization, key, status, and one of hour, day, month
    #[arg(
        long,
        value_name = "DIMENSIONS",
        value_delimiter = ',',
        default_value = "team,model"
    )]
    group_by: Vec<String>,
    /// Print the report as CSV, for spreadsheets
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    process::block_on(usage(args))
}

async fn usage(args: Args) -> Result<(), Failure> {
    let args = Args {
        group_by: trim_dimensions(&args.group_by),
        ..args
    };
    let (admin, path) = (args.server.admin()?, path(&args));
    if args.csv {
        return print(&admin.csv(&path).await?);
    }
    let report = admin.get(&path).await?;
    if args.server.json {
        return print_json(&report);
    }
    print(&(render_report(&args.group_by, &report) + &orphans_warning(&report)))
}

/// Trims the dimensions and drops empty ones, as the server does.
fn trim_dimensions(typed: &[String]) -> Vec<String> {
    typed
        .iter()
        .map(|dimension| dimension.trim().to_owned())
        .filter(|dimension| !dimension.is_empty())
        .collect()
}

fn path(args: &Args) -> String {
    let interval = [("start", &args.start), ("end", &args.end)];
    let interval = interval
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?.as_str())));
    let groups = args.group_by.join(",");
    let parameters = interval
        .chain([("group_by", groups.as_str())])
        .map(|(name, value)| format!("{name}={}", percent_encode(value)));
    format!("/v1/usage?{}", parameters.collect::<Vec<_>>().join("&"))
}

fn render_report(group_by: &[String], report: &Value) -> String {
    // tenants are shown by name
    let group = |row: &Value, dimension: &String| match &row[format!("{dimension}_name")] {
        Value::Null => cell(&row[dimension]),
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
            .map(|dimension| group(row, dimension))
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
            "no usage from {} to {}\n",
            cell(&report["start"]),
            cell(&report["end"])
        );
    }
    let mut total: Vec<String> = group_by.iter().map(|_| String::new()).collect();
    match total.first_mut() {
        Some(first) => *first = "all".to_owned(),
        // without dimensions the only row equals the total
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

/// Returns the heading of a column: `COST USD` for `cost_usd`.
fn heading(column: &str) -> String {
    match column {
        "refused_requests" => "REFUSED".to_owned(),
        column => column.replace('_', " ").to_uppercase(),
    }
}

/// Returns a warning as long as an orphan is uncorrected.
fn orphans_warning(report: &Value) -> String {
    match report["orphans_uncorrected"].as_u64() {
        None | Some(0) => String::new(),
        Some(orphans) => {
            let charged = match orphans {
                1 => "1 request was in flight when the server was killed and is charged at its ceiling".to_owned(),
                _ => format!("{orphans} requests were in flight when the server was killed and are charged at their ceilings"),
            };
            format!(
                "\nwarning: {charged};\n\
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
    fn report_ends_with_total() {
        let sums = json!({"requests": 2, "refused_requests": 0, "input_tokens": 3, "output_tokens": 4, "cost_usd": "0.0125"});
        let mut group = sums.clone();
        group["team"] = json!("team_1");
        group["team_name"] = json!("eng");
        group["model"] = json!("gpt-5.1");
        let group_by = ["team".to_owned(), "model".to_owned()];
        let text = render_report(&group_by, &json!({"data": [group], "total": sums}));
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
            render_report(&group_by, &nothing),
            "no usage from 2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z\n"
        );
        assert!(orphans_warning(&json!({"orphans_uncorrected": 3})).contains("3 requests were"));
        assert!(orphans_warning(&json!({"orphans_uncorrected": 1})).contains("1 request was"));
        assert_eq!(orphans_warning(&json!({"orphans_uncorrected": 0})), "");
    }

    #[test]
    fn dimensions_are_trimmed_and_none_leaves_only_the_total() {
        assert_eq!(
            trim_dimensions(&["team".into(), " day".into(), String::new(), " ".into()]),
            ["team", "day"]
        );
        let sums = json!({"requests": 2, "refused_requests": 0, "input_tokens": 3, "output_tokens": 4, "cost_usd": "0.0125"});
        let text = render_report(&[], &json!({"data": [sums], "total": sums}));
        assert_eq!(text.matches("0.0125").count(), 1, "{text}");
    }
}
