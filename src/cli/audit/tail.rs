//! `gatekeeper audit tail`: the newest events, oldest of them first; with -f also those that follow.

use serde_json::Value;

use crate::cli::admin::{AdminClient, ServerArgs, percent_encode};
use crate::cli::failure::Failure;
use crate::cli::output::print;

/// Longest wait of one call that follows the log.
const WAIT_S: u64 = 25;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Follow the log until Ctrl-C
    #[arg(short = 'f', long)]
    follow: bool,
    /// Number of events
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=500))]
    lines: u16,
    /// Only events of this action; `*` stands for any text: 'key.*'
    #[arg(long, value_name = "PATTERN")]
    action: Option<String>,
    /// Only events of this actor, e.g. admin:adm_2
    #[arg(long, value_name = "PATTERN")]
    actor: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

pub async fn run(args: Args) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let filters = filters(&args);
    let path = format!("/v1/audit?limit={}{filters}", args.lines.max(1));
    let mut page = admin.get(&path).await?;
    let mut events = take_events(&mut page);
    events.truncate(args.lines.into());
    events.reverse();
    print_events(&events)?;
    let mut cursor = page["follow"].as_str().unwrap_or("0").to_owned();
    if !args.follow {
        return Ok(());
    }
    loop {
        cursor = follow(&admin, &cursor, &filters).await?;
    }
}

/// Waits for events after the cursor and prints them; returns the next cursor.
async fn follow(admin: &AdminClient, cursor: &str, filters: &str) -> Result<String, Failure> {
    let path = format!("/v1/audit?after={cursor}&wait={WAIT_S}&limit=500{filters}");
    let mut page = admin.get(&path).await?;
    print_events(&take_events(&mut page))?;
    Ok(page["follow"].as_str().unwrap_or(cursor).to_owned())
}

fn filters(args: &Args) -> String {
    let filter = |name: &str, value: &Option<String>| {
        value.as_ref().map_or(String::new(), |value| {
            format!("&{name}={}", percent_encode(value))
        })
    };
    filter("action", &args.action) + &filter("actor", &args.actor)
}

fn take_events(page: &mut Value) -> Vec<Value> {
    page["data"]
        .as_array_mut()
        .map(std::mem::take)
        .unwrap_or_default()
}

fn print_events(events: &[Value]) -> Result<(), Failure> {
    print(
        &events
            .iter()
            .map(|event| format!("{event}\n"))
            .collect::<String>(),
    )
}
