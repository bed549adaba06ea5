//! `gatekeeper requests explain`: what a request cost, as the sum of its record. Adds nothing up by itself that the server
//! has not booked: every figure stands in the record.

use clap::Subcommand;
use serde_json::Value;

use super::Failure;
use super::admin::ServerArgs;
use crate::cli::table;
use crate::cli::table::{cell, print};
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show a request's cost line by line: counts, rates, what was held, which budgets were charged
    Explain(ExplainArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// The request's id, as in the header x-gatekeeper-request-id
    request: String,
    #[command(flatten)]
    reach: ServerArgs,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Explain(args) => process::block_on(explain(args)),
    }
}

async fn explain(args: ExplainArgs) -> Result<(), Failure> {
    let id = &args.request;
    if !id.starts_with("req_")
        || !id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Err(Failure::usage(
            "a request's id is `req_` and 26 letters, as in the header x-gatekeeper-request-id",
        ));
    }
    let request = args
        .reach
        .admin()?
        .get(&format!("/v1/requests/{id}"))
        .await?;
    if args.reach.json {
        table::json(&request)
    } else {
        print(&explained(&request))
    }
}

fn explained(request: &Value) -> String {
    let whose = |name: &str, id: &Value| match &request[name] {
        Value::Null => cell(id),
        name => format!("{} ({})", cell(name), cell(id)),
    };
    let attempts = request["attempts"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut text = format!("{}\n", cell(&request["id"]));
    if let Some(first) = attempts.first() {
        text += &format!(
            "  key      {}\n  team     {}\n",
            whose("key_name", &first["key"]),
            whose("team_name", &first["team"])
        );
    }
    let refusal = &request["refusal"];
    if !refusal.is_null() {
        text += &refused(
            refusal,
            &whose("key_name", &refusal["key"]),
            &whose("team_name", &refusal["team"]),
        );
    }
    for attempt in attempts {
        text += &attempt_explained(attempt, &request["budgets"]);
    }
    if attempts.len() > 1 {
        text += &format!("\n  all attempts  ${}\n", cell(&request["net_cost_usd"]));
    }
    text
}

fn refused(refusal: &Value, key: &str, team: &str) -> String {
    let asked = match refusal["model_asked"].as_str() {
        Some("") | None => "nothing that could be read".to_owned(),
        Some(model) => model.to_owned(),
    };
    format!(
        "  key      {key}\n  team     {team}\n\nrefused at {}: {}\n  asked    {asked} ({})\n  cost     $0: nothing was held or sent\n",
        cell(&refusal["at"]),
        cell(&refusal["code"]),
        cell(&refusal["dialect"]),
    )
}

fn attempt_explained(attempt: &Value, budgets: &Value) -> String {
    let cap = attempt["output_cap"]
        .as_u64()
        .map_or(String::new(), |tokens| {
            format!(", with at most {tokens} output tokens")
        });
    let mut text = format!(
        "\nattempt {} at {}: {}\n  asked    {} ({}{})\n  served   {}/{}\n\n",
        cell(&attempt["attempt"]),
        cell(&attempt["at"]),
        cell(&attempt["status"]),
        cell(&attempt["model_asked"]),
        cell(&attempt["dialect"]),
        if attempt["stream"] == true {
            ", streamed"
        } else {
            ""
        },
        cell(&attempt["provider"]),
        cell(&attempt["model"]),
    );
    for (what, name) in [("tag     ", "tag"), ("user    ", "user")] {
        if let Some(value) = attempt[name].as_str() {
            text.truncate(text.trim_end().len());
            text += &format!("\n  {what} {value}\n\n");
        }
    }
    text += &sum(attempt);
    text += &format!(
        "\n  held     ${} before the call{cap}\n",
        cell(&attempt["ceiling_usd"])
    );
    for charge in list(&attempt["charges"]) {
        text += &format!("  charged  {}\n", charged(charge, budgets));
    }
    if list(&attempt["charges"]).is_empty() {
        text += "  charged  no budget\n";
    }
    for flag in list(&attempt["flags"]) {
        text += &format!("  flag     {}: {}\n", cell(flag), in_words(&cell(flag)));
    }
    text
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The lines, their total, and what was corrected of it; amounts in one column.
fn sum(attempt: &Value) -> String {
    let mut rows: Vec<(String, String)> = Vec::new();
    for line in list(&attempt["cost_lines"]) {
        let what = format!(
            "{:<14} {:>12} × ${}",
            cell(&line["class"]),
            cell(&line["count"]),
            cell(&line["rate_usd"])
        );
        rows.push((what, cell(&line["amount_usd"])));
    }
    rows.push(("cost".to_owned(), cell(&attempt["cost_usd"])));
    let corrections = list(&attempt["corrections"]);
    for entry in corrections {
        let what = format!(
            "corrected {} by {}: {}",
            cell(&entry["at"]),
            cell(&entry["actor"]),
            cell(&entry["reason"])
        );
        rows.push((what, cell(&entry["amount_usd"])));
    }
    if !corrections.is_empty() {
        rows.push(("net cost".to_owned(), cell(&attempt["net_cost_usd"])));
    }
    let width = rows
        .iter()
        .map(|(what, _)| what.chars().count())
        .max()
        .unwrap_or(0);
    rows.iter()
        .map(|(what, amount)| format!("  {what:<width$} = ${amount}\n"))
        .collect()
}

/// `bud_3: team eng, $10 monthly, blocks, window from … to …`
fn charged(charge: &Value, budgets: &Value) -> String {
    let Some(budget) = list(budgets)
        .iter()
        .find(|budget| budget["id"] == charge["budget"])
    else {
        return format!(
            "{}, which is no more; window from {}",
            cell(&charge["budget"]),
            cell(&charge["window_start"])
        );
    };
    let owner = match (
        cell(&budget["owner"]).split_once('_'),
        &budget["owner_name"],
    ) {
        (Some(("org", _)), Value::String(name)) => format!("organization {name}"),
        (Some((kind, _)), Value::String(name)) => format!("{kind} {name}"),
        _ => cell(&budget["owner"]),
    };
    let model = budget["model"]
        .as_str()
        .map_or(String::new(), |model| format!(" on {model}"));
    let window = match (&charge["window_start"], &budget["window_end"]) {
        (Value::String(start), Value::String(end)) => format!("; window {start} to {end}"),
        _ => String::new(),
    };
    let limit = format!(
        "${} {}{model}",
        cell(&budget["limit"]),
        cell(&budget["period"])
    );
    format!(
        "{} of {owner}: {limit}, {}s{window}",
        cell(&budget["id"]),
        cell(&budget["action"])
    )
}

fn in_words(flag: &str) -> &'static str {
    match flag {
        "estimated" => "the upstream did not report all tokens; they were estimated from the bytes",
        "orphaned" => {
            "the server ended while the call was in flight; it was booked at what was held"
        }
        "over_ceiling" => "the upstream billed more than was held; the whole bill was booked",
        "lying_usage" => "the upstream's usage report was impossible; what was held was booked",
        "unpriced" => "no price is known; nothing was booked",
        "over_warning" => "a budget that only warns was over its limit",
        _ => "this release of the command does not know it",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cost_is_explained_as_a_sum_with_all_that_belongs_to_it() {
        let attempt = json!({
            "attempt": 1, "at": "2026-11-23T10:00:00Z", "status": "ok", "model_asked": "fast", "dialect": "chat", "stream": true,
            "provider": "openai", "model": "gpt-5.1", "ceiling_usd": "0.01", "output_cap": 256, "flags": ["estimated"],
            "key": "key_4", "team": "team_2", "tag": "nightly", "user": "00ab",
            "cost_lines": [
                {"class": "input", "count": 1000, "rate_usd": "0.00000125", "amount_usd": "0.00125"},
                {"class": "output", "count": 20, "rate_usd": "0.00001", "amount_usd": "0.0002"},
            ],
            "cost_usd": "0.00145", "net_cost_usd": "0.00045",
            "corrections": [{"at": "2026-11-23T11:00:00Z", "amount_usd": "-0.001", "reason": "billed twice", "actor": "local:uid=0"}],
            "charges": [{"budget": "bud_3", "window_start": "2026-11-01T00:00:00Z"}, {"budget": "bud_9", "window_start": null}],
        });
        let budget = json!({"id": "bud_3", "owner": "team_2", "owner_name": "eng", "limit": "10", "period": "monthly",
            "action": "block", "model": null, "window_end": "2026-12-01T00:00:00Z"});
        let text = explained(
            &json!({"id": "req_1", "key_name": "laptop", "team_name": "eng", "attempts": [attempt],
            "budgets": [budget]}),
        );
        for expected in [
            "key      laptop (key_4)",
            "served   openai/gpt-5.1\n  tag      nightly\n  user     00ab\n\n",
            "input                  1000 × $0.00000125",
            " = $0.00145\n",
            "local:uid=0: billed twice = $-0.001\n",
            "net cost",
            "held     $0.01 before the call, with at most 256 output tokens",
            "bud_3 of team eng: $10 monthly, blocks; window 2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z",
            "bud_9, which is no more",
            "estimated: the upstream did not report",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }
}
