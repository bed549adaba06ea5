//! `gatekeeper routes health NAME`: breaker, calls in flight and latency of the deployments of a route, and the figures of its mirror.

use serde_json::Value;

use crate::cli::declared;
use crate::cli::failure::Failure;
use crate::cli::resource::ResourceArgs;
use crate::cli::style::Style;
use crate::cli::table::{Column, Table};
use crate::cli::values::{cell, rows};

#[derive(Clone, Debug, clap::Args)]
pub struct HealthArgs {
    /// Name of the route
    name: String,
    #[command(flatten)]
    server: ResourceArgs,
}

pub async fn show(args: &HealthArgs) -> Result<(), Failure> {
    let path = format!("{}/health", declared::path("routes", &args.name));
    let health = args.server.admin()?.get(&path).await?;
    args.server.show(&health, |style| render(&health, style))
}

fn render(health: &Value, style: &Style) -> String {
    let mut table = Table::new([
        Column::text("DEPLOYMENT").flexible(),
        Column::text("KEY").sparse(),
        Column::text("STATE"),
        Column::number("NEXT PROBE").sparse(),
        Column::number("COOLDOWNS"),
        Column::number("IN FLIGHT"),
        Column::number("FIRST CONTENT"),
        Column::number("RPM").sparse(),
        Column::number("TPM").sparse(),
    ]);
    for deployment in rows(&health["deployments"]) {
        table.row(vec![
            cell(&deployment["deployment"]).into(),
            if_there(&deployment["key"], cell).into(),
            cell(&deployment["state"]).into(),
            match deployment["cooldown_ms"].as_u64() {
                None | Some(0) => String::new(),
                Some(ms) => format!("{} s", ms.div_ceil(1_000)),
            }
            .into(),
            cell(&deployment["cooldowns"]).into(),
            cell(&deployment["in_flight"]).into(),
            milliseconds(&deployment["first_content_ms"]).into(),
            bound(deployment, "requests", "rpm").into(),
            bound(deployment, "tokens", "tpm").into(),
        ]);
    }
    format!(
        "{}{}",
        table.render(style),
        mirror(&health["mirror"], style)
    )
}

/// `3 of 100`; empty without a bound.
fn bound(deployment: &Value, used: &str, bound: &str) -> String {
    let used = &deployment[used];
    if_there(&deployment[bound], |bound| {
        format!("{} of {}", cell(used), cell(bound))
    })
}

fn mirror(mirror: &Value, style: &Style) -> String {
    if mirror.is_null() {
        return String::new();
    }
    let share = mirror["share"].as_f64().unwrap_or_default();
    let share = (share * 1e6).round() / 1e4;
    format!(
        "\nmirror {} ({share} % of the requests): {} ok, {} failed, {}; on average {} to the first content, {} in all\n",
        cell(&mirror["target"]),
        cell(&mirror["ok"]),
        cell(&mirror["failed"]),
        style.money(&mirror["cost_usd"]),
        milliseconds(&mirror["first_content_ms"]),
        milliseconds(&mirror["total_ms"]),
    )
}

fn milliseconds(value: &Value) -> String {
    match value.as_u64() {
        Some(ms) => format!("{ms} ms"),
        None => "-".to_owned(),
    }
}

fn if_there(value: &Value, render: impl Fn(&Value) -> String) -> String {
    match value {
        Value::Null => String::new(),
        value => render(value),
    }
}
