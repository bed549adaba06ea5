//! `gatekeeper requests list`: the newest requests, or the most expensive ones of some days. Reads the log page by page and
//! says how far it looked where it stops early.

use serde_json::Value;

use super::row::{FilterArgs, columns, row};
use crate::cli::admin::{AdminClient, ServerArgs, percent_encode};
use crate::cli::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::parse::since;
use crate::cli::style::{Style, Tone};
use crate::cli::table::Table;
use crate::cli::values::{cell, rows};
use crate::domain::money::Money;

/// Rows of the log that one command reads at most.
const ROWS_MAX: usize = 1_000_000;
/// Rows of a page; the server reads at most `PAGE_ROWS_READ` for it.
const PAGE_ROWS: usize = 500;
const PAGE_ROWS_READ: usize = 10_000;

#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// From so long ago: 7d, 12h, 30m; or from a date or instant [with --top-cost: today]
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<String>,
    /// Number of requests
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// The most expensive requests first
    #[arg(long)]
    top_cost: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Requests found, and the oldest instant that was looked at if the search stopped early.
struct FoundRequests {
    requests: Vec<Value>,
    stopped_at: Option<Value>,
}

pub async fn list(args: ListArgs) -> Result<(), Failure> {
    let (admin, style) = (args.server.admin()?, args.server.style());
    let mut filter = args.filter.query(&admin).await?;
    let today = args.top_cost.then(|| style.today());
    if let Some(start) = args.since.clone().or(today) {
        filter += &format!("&start={}", percent_encode(&start));
    }
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let found = if args.top_cost {
        search(&admin, &filter, usize::MAX, |requests| {
            keep_dearest(requests, limit)
        })
        .await?
    } else {
        search(&admin, &filter, limit, |_| ()).await?
    };
    if args.server.json {
        return print_json(&Value::Array(found.requests));
    }
    print(&render(&found, &style))
}

/// Reads pages, the newest first, until there are enough requests; `reduce` bounds what is kept.
async fn search(
    admin: &AdminClient,
    filter: &str,
    wanted: usize,
    reduce: impl Fn(&mut Vec<Value>),
) -> Result<FoundRequests, Failure> {
    let (mut requests, mut rows_read, mut before) = (Vec::new(), 0, String::new());
    loop {
        let page_rows = (wanted - requests.len()).min(PAGE_ROWS);
        let page = admin
            .get(&format!("/v1/requests?limit={page_rows}{filter}{before}"))
            .await?;
        let found = rows(&page["data"]);
        let oldest = found.last().map(|request| request["at"].clone());
        // a page that is not full was cut at its bound of rows
        rows_read += if found.len() < page_rows {
            PAGE_ROWS_READ
        } else {
            found.len()
        };
        requests.extend_from_slice(found);
        let is_full = requests.len() >= wanted;
        reduce(&mut requests);
        let Some(next) = page["next"].as_str().filter(|_| !is_full) else {
            return Ok(FoundRequests {
                requests,
                stopped_at: None,
            });
        };
        if rows_read >= ROWS_MAX {
            return Ok(FoundRequests {
                requests,
                stopped_at: oldest.or_else(|| Some(next.into())),
            });
        }
        before = format!("&before={}", percent_encode(next));
    }
}

/// Sorts by cost and keeps the dearest.
fn keep_dearest(requests: &mut Vec<Value>, limit: usize) {
    let cost = |request: &Value| {
        let cost = request["net_cost_usd"].as_str().unwrap_or_default();
        Money::parse_signed(cost).map_or(0, Money::pico)
    };
    requests.sort_by_key(|request| std::cmp::Reverse(cost(request)));
    requests.truncate(limit);
}

fn render(found: &FoundRequests, style: &Style) -> String {
    let note = found.stopped_at.as_ref().map_or(String::new(), |at| {
        let at = style.date(at);
        let note =
            format!("stopped after {ROWS_MAX} rows, at {at}; narrow the search with --since");
        format!("{}\n", style.paint(Tone::Warning, &note))
    });
    if found.requests.is_empty() {
        return format!("no requests found\n{note}");
    }
    let mut table = Table::new(columns());
    for request in &found.requests {
        table.row(row(request, style));
    }
    let shown = table.render(style);
    match found.requests.first() {
        Some(first) if style.width.is_none_or(|width| width >= 60) => {
            let hint = format!(
                "explain one: gatekeeper requests explain {}",
                cell(&first["id"])
            );
            format!("{shown}{note}{}\n", style.paint(Tone::Dim, &hint))
        }
        _ => shown + &note,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dearest_requests_are_kept_in_order_of_cost() {
        let request = |cost: &str| json!({"net_cost_usd": cost});
        let mut requests = vec![
            request("0.5"),
            request("12"),
            request("0.0001"),
            request("3"),
        ];
        keep_dearest(&mut requests, 2);
        assert_eq!(requests, [request("12"), request("3")]);
    }

    #[test]
    fn search_that_stopped_early_says_how_far_it_looked() {
        let found = FoundRequests {
            requests: Vec::new(),
            stopped_at: Some(json!("2026-11-20T10:00:00Z")),
        };
        let text = render(&found, &Style::default());
        assert!(
            text.contains("1000000 rows, at 20 Nov 2026 10:00 UTC"),
            "{text}"
        );
    }
}
