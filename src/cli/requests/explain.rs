//! `gatekeeper requests explain`: renders the cost of a request as the sum in its usage record. Must never compute a
//! figure that is not in the record.

use serde_json::Value;

use crate::cli::admin::{AdminClient, ServerArgs};
use crate::cli::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::requests::lookup;
use crate::cli::style::Style;
use crate::cli::values::{cell, rows};

#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// Id of the request, from the header x-gatekeeper-request-id
    #[arg(required_unless_present = "last", conflicts_with = "last")]
    request: Option<String>,
    /// The newest request
    #[arg(long)]
    last: bool,
    /// Also the words in which the question differs from the nearest one in the cache, for readers of captured calls; the reading is
    /// recorded in the audit log
    #[arg(long)]
    cache_difference: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub async fn explain(args: ExplainArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let id = match &args.request {
        Some(id) => checked_id(id)?.to_owned(),
        None => newest_id(&admin).await?,
    };
    let mut request = admin.get(&format!("/v1/requests/{id}")).await?;
    let difference = match args.cache_difference {
        true => Some(lookup::difference(&admin, &request).await?),
        false => None,
    };
    if args.server.json {
        if let Some(difference) = difference {
            request["cache_difference"] = difference;
        }
        return print_json(&request);
    }
    let words = difference.as_ref().map(lookup::render_difference);
    let text = render_request(&request, &args.server.style());
    print(&(text + &words.unwrap_or_default()))
}

/// Checks that the text is an id, so that it is safe in a path.
fn checked_id(id: &str) -> Result<&str, Failure> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if id.starts_with("req_") && id.bytes().all(is_plain) {
        return Ok(id);
    }
    Err(Failure::usage(
        "invalid request id; write `req_` and 26 characters, as in the header x-gatekeeper-request-id",
    ))
}

async fn newest_id(admin: &AdminClient) -> Result<String, Failure> {
    let newest = admin.get("/v1/requests?limit=1").await?;
    let newest = rows(&newest["data"])
        .first()
        .map(|request| cell(&request["id"]));
    newest.ok_or_else(|| Failure::runtime("no request yet; a request is booked once it has ended"))
}

fn render_request(request: &Value, style: &Style) -> String {
    let named = |name: &str, id: &Value| match &request[name] {
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
            named("key_name", &first["key"]),
            named("team_name", &first["team"])
        );
    }
    let refusal = &request["refusal"];
    if !refusal.is_null() {
        text += &render_refusal(
            refusal,
            &named("key_name", &refusal["key"]),
            &named("team_name", &refusal["team"]),
            style,
        );
    }
    for attempt in attempts {
        text += &render_attempt(attempt, &request["budgets"], style);
    }
    if attempts.len() > 1 {
        text += &format!("\n  all attempts  ${}\n", cell(&request["net_cost_usd"]));
    }
    text
}

fn render_refusal(refusal: &Value, key: &str, team: &str, style: &Style) -> String {
    let model = match refusal["model_asked"].as_str() {
        Some("") | None => "no readable model".to_owned(),
        Some(model) => model.to_owned(),
    };
    format!(
        "  key      {key}\n  team     {team}\n\nrefused at {}: {}\n  asked    {model} ({})\n  cost     $0: nothing was held or sent\n",
        style.moment(&refusal["at"]),
        cell(&refusal["code"]),
        cell(&refusal["dialect"]),
    )
}

fn render_attempt(attempt: &Value, budgets: &Value, style: &Style) -> String {
    let cap = attempt["output_cap"]
        .as_u64()
        .map_or(String::new(), |tokens| {
            format!(", with at most {tokens} output tokens")
        });
    let mut text = format!(
        "\nattempt {} at {}: {}\n  asked    {} ({}{})\n  served   {}/{}\n\n",
        cell(&attempt["attempt"]),
        style.moment(&attempt["at"]),
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
    for (label, name) in [("tag     ", "tag"), ("user    ", "user")] {
        if let Some(value) = attempt[name].as_str() {
            text.truncate(text.trim_end().len());
            text += &format!("\n  {label} {value}\n\n");
        }
    }
    text += &render_choice(attempt);
    let lookup = lookup::render_lookup(attempt);
    if !lookup.is_empty() {
        text += &format!("{lookup}\n");
    }
    text += &render_sum(attempt, style);
    text += &format!(
        "\n  held     ${} before the call{cap}\n",
        cell(&attempt["ceiling_usd"])
    );
    for charge in rows(&attempt["charges"]) {
        text += &format!("  charged  {}\n", render_charge(charge, budgets, style));
    }
    if rows(&attempt["charges"]).is_empty() {
        text += "  charged  no budget\n";
    }
    for flag in rows(&attempt["flags"]) {
        text += &format!(
            "  flag     {}: {}\n",
            cell(flag),
            describe_flag(&cell(flag))
        );
    }
    text
}

/// Renders why the target was chosen, and how the attempt failed.
fn render_choice(attempt: &Value) -> String {
    let mut text = String::new();
    if let Some(chosen) = attempt["chosen"].as_str() {
        let route = match attempt["route"].as_str() {
            Some(route) => format!("{route}, "),
            None => String::new(),
        };
        text += &format!("  route    {route}{chosen}");
        if let Some(wait_ms) = attempt["wait_ms"].as_u64().filter(|wait_ms| *wait_ms > 0) {
            text += &format!(", after a wait of {wait_ms} ms");
        }
        text += "\n";
    }
    let failure = &attempt["failure"];
    if !failure.is_null() {
        let said: Vec<String> = [&attempt["upstream_status"], &failure["vendor_code"]]
            .into_iter()
            .filter(|value| !value.is_null())
            .map(cell)
            .collect();
        let said = match said.as_slice() {
            [] => String::new(),
            said => format!(" ({})", said.join(" ")),
        };
        text += &format!(
            "  failed   {}{said}\n  decision {}: {}\n",
            cell(&failure["class"]),
            cell(&failure["decision"]),
            cell(&failure["why"]),
        );
    }
    if let Some(detail) = attempt["upstream_error_detail"].as_str() {
        text += &format!("  cause    {detail}\n");
    }
    if !text.is_empty() {
        text += "\n";
    }
    text
}

/// Renders cost lines, total and corrections, with the amounts in one column.
fn render_sum(attempt: &Value, style: &Style) -> String {
    let mut sums: Vec<(String, String)> = Vec::new();
    for line in rows(&attempt["cost_lines"]) {
        let label = format!(
            "{:<14} {:>12} × ${}",
            cell(&line["class"]),
            cell(&line["count"]),
            cell(&line["rate_usd"])
        );
        let priced = priced_by(line);
        sums.push((format!("{label}{priced}"), cell(&line["amount_usd"])));
    }
    sums.push(("cost".to_owned(), cell(&attempt["cost_usd"])));
    if let Some(reported) = attempt["reported_cost_usd"].as_str() {
        sums.push((
            "cost as the upstream reports it".to_owned(),
            reported.to_owned(),
        ));
    }
    let corrections = rows(&attempt["corrections"]);
    for entry in corrections {
        let label = format!(
            "corrected {} by {}: {}",
            style.moment(&entry["at"]),
            cell(&entry["actor"]),
            cell(&entry["reason"])
        );
        sums.push((label, cell(&entry["amount_usd"])));
    }
    if !corrections.is_empty() {
        sums.push(("net cost".to_owned(), cell(&attempt["net_cost_usd"])));
    }
    let width = sums
        .iter()
        .map(|(label, _)| label.chars().count())
        .max()
        .unwrap_or(0);
    sums.iter()
        .map(|(label, amount)| format!("  {label:<width$} = ${amount}\n"))
        .collect()
}

/// Renders the card of a line: ` per token, × 1.1 (standard tier of gpt-5.4 in eu above 272000 tokens)`.
fn priced_by(line: &Value) -> String {
    let card = &line["card"];
    let Some(model) = card["model"].as_str() else {
        return String::new();
    };
    let mut text = format!(" per {}", cell(&line["unit"]));
    if line["listed_rate_usd"] != line["rate_usd"] {
        text += &format!(
            ", ${} × {}",
            cell(&line["listed_rate_usd"]),
            cell(&card["factor"])
        );
    }
    let source = if card["own"] == true {
        "own price".to_owned()
    } else {
        format!("{} tier", cell(&card["tier"]))
    };
    text += &format!(" ({source}");
    if !model.is_empty() {
        text += &format!(" of {model}");
    }
    if let Some(place) = card["place"].as_str() {
        text += &format!(" in {place}");
    }
    if let Some(above) = card["above_input_tokens"]
        .as_u64()
        .filter(|above| *above > 0)
    {
        text += &format!(" above {above} tokens");
    }
    text + ")"
}

/// Renders `bud_3 of team eng: $10 monthly, blocks; window START to END`.
fn render_charge(charge: &Value, budgets: &Value, style: &Style) -> String {
    let Some(budget) = rows(budgets)
        .iter()
        .find(|budget| budget["id"] == charge["budget"])
    else {
        return format!(
            "{}, deleted since; window from {}",
            cell(&charge["budget"]),
            style.date(&charge["window_start"])
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
        (start @ Value::String(_), end @ Value::String(_)) => {
            format!("; window {} to {}", style.date(start), style.date(end))
        }
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

fn describe_flag(flag: &str) -> &'static str {
    match flag {
        "estimated" => {
            "the upstream did not report all tokens; missing counts were estimated from bytes"
        }
        "orphaned" => "the server was killed while the call was in flight; the hold was charged",
        "over_ceiling" => "the cost exceeded the hold; the full cost was charged",
        "lying_usage" => "the upstream reported invalid usage; the hold was charged",
        "unpriced" => "price unknown; nothing was charged",
        "over_warning" => "a warn-only budget was over its limit",
        "clamped" => {
            "impossible counts were reported, such as more cached tokens than the prompt has; the excess is not billed"
        }
        "captured" => {
            "prompt capture was on; `gatekeeper captures show REQUEST` has prompt and answer until they expire"
        }
        _ => "unknown flag; update this command",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn explanation_shows_sum_hold_charges_and_flags() {
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
        let text = render_request(
            &json!({"id": "req_1", "key_name": "laptop", "team_name": "eng", "attempts": [attempt],
            "budgets": [budget]}),
            &Style::default(),
        );
        for expected in [
            "key      laptop (key_4)",
            "served   openai/gpt-5.1\n  tag      nightly\n  user     00ab\n\n",
            "input                  1000 × $0.00000125",
            " = $0.00145\n",
            "local:uid=0: billed twice = $-0.001\n",
            "net cost",
            "held     $0.01 before the call, with at most 256 output tokens",
            "bud_3 of team eng: $10 monthly, blocks; window 1 Nov 2026 00:00 UTC to 1 Dec 2026 00:00 UTC",
            "bud_9, deleted since",
            "estimated: the upstream did not report",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }
}
