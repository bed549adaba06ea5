//! A request as a row of a table, and the filters that list and tail share.

use serde_json::Value;

use crate::cli::admin::{AdminClient, percent_encode};
use crate::cli::failure::Failure;
use crate::cli::resolve;
use crate::cli::style::{Style, Tone};
use crate::cli::table::{Cell, Column};
use crate::cli::values::{cell, rows};

/// Filters of the request log.
#[derive(Clone, Debug, clap::Args)]
pub struct FilterArgs {
    /// Only requests of this team, by id or name
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// Only requests of this key, by id, name or `team/key`
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only requests for this model; `*` is a wildcard
    #[arg(long, value_name = "PATTERN")]
    model: Option<String>,
    /// Only requests with this status: ok, failed, refused, client_gone or orphaned
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
}

impl FilterArgs {
    /// The filters as parameters of a query string, each with `&` before it.
    pub async fn query(&self, admin: &AdminClient) -> Result<String, Failure> {
        let team = match &self.team {
            Some(team) => Some(cell(&resolve::team(admin, team).await?["id"])),
            None => None,
        };
        let key = match &self.key {
            Some(key) => Some(cell(&resolve::key(admin, key).await?["id"])),
            None => None,
        };
        let parameters = [
            ("team", team),
            ("key", key),
            ("model", self.model.clone()),
            ("status", self.status.clone()),
        ];
        let given = parameters
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        Ok(given
            .map(|(name, value)| format!("&{name}={}", percent_encode(&value)))
            .collect())
    }
}

pub fn columns() -> [Column; 9] {
    [
        Column::text("TIME"),
        Column::text("STATUS"),
        Column::text("KEY").flexible(),
        Column::text("MODEL").flexible(),
        Column::number("IN").hidden_at(4),
        Column::number("OUT").hidden_at(3),
        Column::number("COST"),
        Column::number("SECONDS").hidden_at(2),
        Column::text("REQUEST").hidden_at(1),
    ]
}

pub fn row(request: &Value, style: &Style) -> Vec<Cell> {
    let usage = &request["usage"];
    let served = match (request["provider"].as_str(), request["model"].as_str()) {
        (Some(provider), Some(model)) => format!("{provider}/{model}"),
        _ => cell(&request["model_asked"]),
    };
    vec![
        Cell::toned(Tone::Dim, style.time(&request["at"])),
        status(request),
        format!("{}/{}", name(request, "team"), name(request, "key")).into(),
        served.into(),
        style.count(&usage["input_tokens"]).into(),
        style.count(&usage["output_tokens"]).into(),
        style.money(&request["net_cost_usd"]).into(),
        seconds(&request["total_ms"]).into(),
        Cell::toned(Tone::Dim, cell(&request["id"])),
    ]
}

fn name(request: &Value, kind: &str) -> String {
    match &request[format!("{kind}_name")] {
        Value::Null => cell(&request[kind]),
        name => cell(name),
    }
}

/// Outcome, and the mark of a call whose prompt is captured.
fn status(request: &Value) -> Cell {
    let (tone, outcome) = outcome(request);
    let is_captured = rows(&request["flags"])
        .iter()
        .any(|flag| flag == "captured");
    match is_captured {
        true => Cell::toned(tone, format!("{outcome}, captured")),
        false => Cell::toned(tone, outcome),
    }
}

/// Status; the error code of a refusal, the reason of a provider that failed.
fn outcome(request: &Value) -> (Tone, String) {
    let status = cell(&request["status"]);
    let reason = request["upstream_error_detail"].as_str();
    match reason.and_then(|detail| detail.split_once(": ")) {
        Some(("error_status", status)) => return (Tone::Bad, status.to_owned()),
        Some((reason, _)) => return (Tone::Bad, reason.to_owned()),
        None => {}
    }
    match (status.as_str(), request["code"].as_str()) {
        ("ok", _) => (Tone::Good, status),
        ("refused", Some(code)) => (Tone::Warning, code.to_owned()),
        ("client_gone" | "refused", _) => (Tone::Warning, status),
        _ => (Tone::Bad, status),
    }
}

fn seconds(ms: &Value) -> String {
    let ms = ms.as_u64().unwrap_or_default();
    format!("{}.{}", ms / 1_000, ms % 1_000 / 100)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::table::Table;

    #[test]
    fn request_row_has_names_cost_and_the_code_of_a_refusal() {
        let served = json!({"id": "req_1", "at": "2026-11-23T10:00:07Z", "status": "ok", "team": "team_1",
            "team_name": "eng", "key": "key_1", "key_name": "laptop", "model_asked": "fast", "provider": "openai",
            "model": "gpt-5.1", "usage": {"input_tokens": 1200, "output_tokens": 40}, "net_cost_usd": "0.0125",
            "total_ms": 2345});
        let refused = json!({"id": "req_2", "at": "2026-11-23T10:00:08Z", "status": "refused",
            "code": "budget_exceeded", "team": "team_1", "key": "key_1", "model_asked": "gpt-5.1",
            "usage": {"input_tokens": 0, "output_tokens": 0}, "net_cost_usd": "0", "total_ms": 0});
        let failed = json!({"id": "req_3", "at": "2026-11-23T10:00:09Z", "status": "upstream_error", "team": "team_1",
            "upstream_error_detail": "dns: failed to connect: no such host", "key": "key_1", "provider": "openai",
            "model": "gpt-5.1", "usage": {"input_tokens": 0, "output_tokens": 0}, "net_cost_usd": "0", "total_ms": 9});
        let overloaded = json!({"id": "req_4", "at": "2026-11-23T10:00:10Z", "status": "upstream_error", "team": "team_1",
            "upstream_error_detail": "error_status: status 503", "key": "key_1", "provider": "openai", "model": "gpt-5.1",
            "usage": {"input_tokens": 0, "output_tokens": 0}, "net_cost_usd": "0", "total_ms": 9});
        let style = Style::default();
        let mut captured = served.clone();
        captured["flags"] = json!(["captured"]);
        let mut table = Table::new(columns());
        table.row(row(&served, &style));
        table.row(row(&captured, &style));
        table.row(row(&refused, &style));
        table.row(row(&failed, &style));
        table.row(row(&overloaded, &style));
        let text = table.render(&style);
        for expected in [
            "eng/laptop",
            "openai/gpt-5.1  1,200   40  $0.01      2.3  req_1",
            "ok, captured     eng/laptop",
            "budget_exceeded  team_1/key_1",
            "dns              team_1/key_1",
            "status 503       team_1/key_1",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }
}
