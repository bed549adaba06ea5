//! `gatekeeper clock`: the time that the running server goes by, beside its wall clock; `accept` makes it go by the wall clock.

use clap::Subcommand;
use serde_json::{Value, json};

use super::Failure;
use super::admin::ServerArgs;
use crate::cli::table;
use crate::cli::table::{cell, print};
use crate::process;

#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    reach: ServerArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Go by the wall clock from now on, without waiting until it has run steadily
    Accept(ServerArgs),
}

pub fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        None => process::block_on(show(args.reach)),
        Some(Command::Accept(reach)) => process::block_on(accept(reach)),
    }
}

async fn show(reach: ServerArgs) -> Result<(), Failure> {
    let clock = reach.admin()?.get("/v1/clock").await?;
    if reach.json {
        table::json(&clock)
    } else {
        print(&shown(&clock))
    }
}

async fn accept(reach: ServerArgs) -> Result<(), Failure> {
    let adoption = reach.admin()?.post("/v1/clock/accept", &json!({})).await?;
    if reach.json {
        return table::json(&adoption);
    }
    print(&format!(
        "time was {} and is {}\n",
        cell(&adoption["from"]),
        cell(&adoption["to"])
    ))
}

fn shown(clock: &Value) -> String {
    let ahead_ms = clock["ahead_ms"].as_i64().unwrap_or_default();
    let off = format!(
        "{} {}",
        span(ahead_ms.unsigned_abs()),
        if ahead_ms < 0 { "behind" } else { "ahead" }
    );
    let (adopted, wall) = (cell(&clock["adopted"]), cell(&clock["wall"]));
    if clock["in_step"] == true {
        return format!("adopted  {adopted}\nwall     {wall}  in step\n");
    }
    let [steady, needed] = ["steady_ms", "adopted_after_ms"]
        .map(|name| span(clock[name].as_u64().unwrap_or_default()));
    format!(
        "adopted  {adopted}  budgets, keys and reports go by this\nwall     {wall}  {off}, steady for {steady}\n\n\
         The wall clock is adopted once it has run steadily for {needed}. If it is right, `gatekeeper clock accept`\n\
         adopts it now. If it is wrong, set it: nothing is lost meanwhile.\n"
    )
}

/// A length of time in its two largest units.
fn span(ms: u64) -> String {
    let units = [
        ("days", 86_400_000),
        ("h", 3_600_000),
        ("min", 60_000),
        ("s", 1_000),
    ];
    let mut left = ms;
    let counted = units.map(|(name, unit)| {
        let count = left / unit;
        left %= unit;
        (count, name)
    });
    let told: Vec<String> = counted
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    if told.is_empty() {
        "0 s".to_owned()
    } else {
        told.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_told_in_its_two_largest_units() {
        for (ms, told) in [
            (0, "0 s"),
            (999, "0 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h 0 min"),
            (86_400_000 * 3_653 + 3_600_000 * 5 + 1, "3653 days 5 h"),
        ] {
            assert_eq!(span(ms), told);
        }
    }

    #[test]
    fn a_clock_that_jumped_is_told_with_what_to_do() {
        let clock = json!({"adopted": "2026-11-23T10:00:00Z", "wall": "2026-11-23T09:00:00Z", "ahead_ms": -3_600_000,
            "in_step": false, "steady_ms": 61_000, "adopted_after_ms": 600_000});
        let text = shown(&clock);
        assert!(
            text.contains("1 h 0 min behind, steady for 1 min 1 s")
                && text.contains("clock accept"),
            "{text}"
        );
        let clock = json!({"adopted": "2026-11-23T10:00:00Z", "wall": "2026-11-23T10:00:01Z", "ahead_ms": 1_000, "in_step": true});
        assert!(shown(&clock).ends_with("in step\n"));
    }
}
