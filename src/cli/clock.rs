//! `gatekeeper clock`: shows the server's adopted time and its wall clock; `accept` adopts the wall clock. Reads the
//! server's answer; must never read the local clock.

use clap::Subcommand;
use serde_json::{Value, json};

use super::admin::ServerArgs;
use super::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::values::cell;
use crate::process;

#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Adopt the wall clock now, without waiting until it has been steady
    Accept(ServerArgs),
}

pub fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        None => process::block_on(show(args.server)),
        Some(Command::Accept(server)) => process::block_on(accept(server)),
    }
}

async fn show(server: ServerArgs) -> Result<(), Failure> {
    let clock = server.admin()?.get("/v1/clock").await?;
    if server.json {
        print_json(&clock)
    } else {
        print(&render(&clock))
    }
}

async fn accept(server: ServerArgs) -> Result<(), Failure> {
    let adoption = server.admin()?.post("/v1/clock/accept", &json!({})).await?;
    if server.json {
        return print_json(&adoption);
    }
    print(&format!(
        "adopted time changed from {} to {}\n",
        cell(&adoption["from"]),
        cell(&adoption["to"])
    ))
}

fn render(clock: &Value) -> String {
    let ahead_ms = clock["ahead_ms"].as_i64().unwrap_or_default();
    let offset = format!(
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
        "adopted  {adopted}  used by budgets, keys and reports\nwall     {wall}  {offset}, steady for {steady}\n\n\
         The wall clock is adopted once it has been steady for {needed}. If it is correct, `gatekeeper clock accept`\n\
         adopts it now. If it is wrong, correct it; no data is lost in the meantime.\n"
    )
}

/// Formats a duration in its two largest units.
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
    let parts: Vec<String> = counted
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    if parts.is_empty() {
        "0 s".to_owned()
    } else {
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_formatted_in_its_two_largest_units() {
        for (ms, expected) in [
            (0, "0 s"),
            (999, "0 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h 0 min"),
            (86_400_000 * 3_653 + 3_600_000 * 5 + 1, "3653 days 5 h"),
        ] {
            assert_eq!(span(ms), expected);
        }
    }

    #[test]
    fn clock_jump_is_rendered_with_the_command_to_accept_it() {
        let clock = json!({"adopted": "2026-11-23T10:00:00Z", "wall": "2026-11-23T09:00:00Z", "ahead_ms": -3_600_000,
            "in_step": false, "steady_ms": 61_000, "adopted_after_ms": 600_000});
        let text = render(&clock);
        assert!(
            text.contains("1 h 0 min behind, steady for 1 min 1 s")
                && text.contains("clock accept"),
            "{text}"
        );
        let clock = json!({"adopted": "2026-11-23T10:00:00Z", "wall": "2026-11-23T10:00:01Z", "ahead_ms": 1_000, "in_step": true});
        assert!(render(&clock).ends_with("in step\n"));
    }
}
