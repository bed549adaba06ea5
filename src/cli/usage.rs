//! `gatekeeper usage`: renders the server's usage report of a month or interval, grouped by dimensions, with a subtotal for each
//! value of the first one. Computes nothing but these sums.

use serde_json::{Value, json};

use super::admin::{ServerArgs, percent_encode};
use super::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::parse::since;
use crate::cli::style::{Style, Tone, bar, percent};
use crate::cli::table::{Cell, Column, Table};
use crate::cli::values::{cell, rows};
use crate::domain::money::Money;
use crate::process;

const COUNTS: [&str; 4] = [
    "requests",
    "refused_requests",
    "input_tokens",
    "output_tokens",
];
/// Spreadsheets of Microsoft read a file as UTF-8 only with it.
const BYTE_ORDER_MARK: char = '\u{feff}';

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Month, e.g. 2026-10 [default: this month]
    #[arg(long, value_name = "MONTH", conflicts_with_all = ["last_month", "since", "start", "end"])]
    month: Option<String>,
    /// The month before this one
    #[arg(long, conflicts_with_all = ["since", "start", "end"])]
    last_month: bool,
    /// From so long ago until now: 7d, 12h, 30m; or from a date or instant
    #[arg(long, value_name = "TIME", value_parser = since, conflicts_with = "start")]
    since: Option<String>,
    /// Start: a date in the server's timezone, or an instant
    #[arg(long, value_name = "DATE")]
    start: Option<String>,
    /// End, exclusive
    #[arg(long, value_name = "DATE")]
    end: Option<String>,
    /// Group by up to four of provider, model, team, organization, key, status, and one of hour, day, month; or by tag or user,
    /// with team, key, day or month
    #[arg(
        long,
        value_name = "DIMENSIONS",
        value_delimiter = ',',
        default_value = "team,model"
    )]
    group_by: Vec<String>,
    /// Print the report as CSV, with the names of tenants beside their ids
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print CSV that Excel opens as it is: with a byte order mark
    #[arg(long, conflicts_with = "json")]
    excel: bool,
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
    if args.excel {
        return print(&format!("{BYTE_ORDER_MARK}{}", admin.csv(&path).await?));
    }
    if args.csv {
        return print(&admin.csv(&path).await?);
    }
    let report = admin.get(&path).await?;
    if args.server.json {
        return print_json(&report);
    }
    let style = args.server.style();
    print(&(render_report(&args.group_by, &report, &style) + &orphans_warning(&report)))
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
    let month = if args.last_month {
        Some("last")
    } else {
        args.month.as_deref()
    };
    let interval = [
        ("month", month),
        ("start", args.since.as_deref().or(args.start.as_deref())),
        ("end", args.end.as_deref()),
    ];
    let interval = interval
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let groups = args.group_by.join(",");
    let parameters = interval
        .chain([("group_by", groups.as_str())])
        .map(|(name, value)| format!("{name}={}", percent_encode(value)));
    format!("/v1/usage?{}", parameters.collect::<Vec<_>>().join("&"))
}

fn render_report(group_by: &[String], report: &Value, style: &Style) -> String {
    let (start, end) = (style.date(&report["start"]), style.date(&report["end"]));
    let data = rows(&report["data"]);
    if data.is_empty() {
        return format!("no usage from {start} to {end}\n");
    }
    let mut table = Table::new(columns(group_by));
    let cost = &report["total"]["cost_usd"];
    let dated = |dimension: &str| ["hour", "day"].contains(&dimension);
    let label = |row: &Value, dimension: &str| match &row[format!("{dimension}_name")] {
        Value::Null if dated(dimension) => row_time(&row[dimension], style),
        // refusals are counted by key alone
        Value::Null if row[dimension] == "" || row[dimension].is_null() => "–".to_owned(),
        Value::Null => cell(&row[dimension]),
        // tenants are shown by name
        name => cell(name),
    };
    for group in by_first_dimension(group_by, data) {
        for (at, row) in group.iter().enumerate() {
            let mut labels: Vec<Cell> = group_by
                .iter()
                .map(|name| label(row, name).into())
                .collect();
            // the first dimension stands in the first row of its group only
            if at > 0
                && let Some(first) = labels.first_mut()
            {
                *first = Cell::default();
            }
            table.row(with_sums(labels, row, cost, style, Tone::Plain));
        }
        if group.len() > 1 && group_by.len() > 1 {
            let mut labels = vec![Cell::default(); group_by.len()];
            labels[1] = Cell::toned(Tone::Dim, "subtotal");
            table.row(with_sums(labels, &sum(&group), cost, style, Tone::Strong));
        }
    }
    // without dimensions the only row equals the total
    if !group_by.is_empty() {
        let mut labels = vec![Cell::default(); group_by.len()];
        labels[0] = Cell::toned(Tone::Strong, "total");
        table.total(with_sums(
            labels,
            &report["total"],
            cost,
            style,
            Tone::Strong,
        ));
    }
    let caption = style.paint(Tone::Dim, &format!("usage from {start} to {end}"));
    format!("{caption}\n\n{}", table.render(style))
}

/// A day, or an hour with its day.
fn row_time(at: &Value, style: &Style) -> String {
    if at.as_str().is_some_and(|text| text.len() > 10) {
        style.date(at)
    } else {
        style.day(at)
    }
}

fn columns(group_by: &[String]) -> Vec<Column> {
    let mut columns: Vec<Column> = group_by
        .iter()
        .map(|dimension| Column::text(dimension.to_uppercase()).flexible())
        .collect();
    columns.extend([
        Column::number("REQUESTS"),
        Column::number("REFUSED").sparse(),
        Column::number("TOKENS IN").hidden_at(2),
        Column::number("TOKENS OUT").hidden_at(3),
        Column::number("COST"),
        Column::text("SHARE").sparse().hidden_at(4),
    ]);
    columns
}

/// Rows by the value of the first dimension, in the order of its first appearance.
fn by_first_dimension<'a>(group_by: &[String], data: &'a [Value]) -> Vec<Vec<&'a Value>> {
    let Some(first) = group_by.first() else {
        return vec![data.iter().collect()];
    };
    let mut groups: Vec<Vec<&Value>> = Vec::new();
    for row in data {
        let same = |group: &&mut Vec<&Value>| group.iter().any(|other| other[first] == row[first]);
        match groups.iter_mut().find(same) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

fn sum(group: &[&Value]) -> Value {
    let mut sums = json!({});
    for name in COUNTS {
        let counts = group.iter().filter_map(|row| row[name].as_u64());
        sums[name] = json!(counts.fold(0, u64::saturating_add));
    }
    let costs = group.iter().filter_map(|row| row["cost_usd"].as_str());
    let costs = costs.filter_map(|cost| Money::parse_signed(cost).ok());
    sums["cost_usd"] = json!(costs.fold(Money::ZERO, Money::plus).to_string());
    sums
}

fn with_sums(
    labels: Vec<Cell>,
    row: &Value,
    total_cost: &Value,
    style: &Style,
    tone: Tone,
) -> Vec<Cell> {
    let mut cells = labels;
    for name in COUNTS {
        let is_blank = name == "refused_requests" && row[name] == 0;
        let count = if is_blank {
            String::new()
        } else {
            style.count(&row[name])
        };
        cells.push(Cell::toned(tone, count));
    }
    cells.push(Cell::toned(tone, style.money(&row["cost_usd"])));
    let share = percent(&row["cost_usd"], total_cost).map(bar);
    let is_total = tone == Tone::Strong;
    cells.push(Cell::toned(
        Tone::Dim,
        share.filter(|_| !is_total).unwrap_or_default(),
    ));
    cells
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
    use super::*;

    fn row(team: &str, model: &str, cost: &str) -> Value {
        json!({"team": team, "team_name": team, "model": model, "requests": 1200, "refused_requests": 0,
            "input_tokens": 3, "output_tokens": 4, "cost_usd": cost})
    }

    #[test]
    fn report_has_subtotals_by_the_first_dimension_and_a_total() {
        let data = [
            row("eng", "gpt-5.1", "2"),
            row("ops", "gpt-5.1", "1.5"),
            row("eng", "o3", "0.5"),
        ];
        let report = json!({"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z", "data": data,
            "total": row("", "", "4")});
        let group_by = ["team".to_owned(), "model".to_owned()];
        let text = render_report(&group_by, &report, &Style::default());
        let expected = "\
usage from 1 Nov 2026 00:00 UTC to 1 Dec 2026 00:00 UTC

TEAM   MODEL     REQUESTS  TOKENS IN  TOKENS OUT   COST  SHARE
eng    gpt-5.1      1,200          3           4  $2.00  ▓▓▓▓░░░░  50%
       o3           1,200          3           4  $0.50  ▓░░░░░░░  12%
       subtotal     2,400          6           8  $2.50
ops    gpt-5.1      1,200          3           4  $1.50  ▓▓▓░░░░░  37%
──────────────────────────────────────────────────────────────────────
total               1,200          3           4  $4.00
";
        assert_eq!(text, expected);
        let nothing = json!({"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z", "data": [], "total": {}});
        let text = render_report(&group_by, &nothing, &Style::default());
        assert!(text.starts_with("no usage from 1 Nov"), "{text}");
    }

    #[test]
    fn orphans_warning_counts_them() {
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
        let sums = row("", "", "0.0125");
        let report = json!({"data": [sums.clone()], "total": sums});
        let text = render_report(&[], &report, &Style::default());
        assert_eq!(text.matches("$0.01").count(), 1, "{text}");
    }
}
