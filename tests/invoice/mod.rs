//! Money that equals the invoice: tokens, tiers, tools, places and second models at list prices, tested over HTTP with scripted
//! vendors.

mod allow_lists;
mod names;
mod own_prices;
mod places_and_tiers;
mod race;
mod reported_totals;
mod residency;
mod second_models;
mod server_tools;
mod usage_columns;

use serde_json::{Value, json};

use crate::harness::process::{Gatekeeper, Key, Provider};
use crate::harness::upstream::Upstream;

/// Provider of this type at list prices.
fn listed(preset: &str, upstream: &Upstream) -> Provider {
    let provider = Provider::openai(preset, upstream).preset(preset);
    provider.priced_by("sheet").models(&[])
}

/// Gateway with these providers and a key of a team with this `block` budget.
fn start(providers: &[Provider], budget_usd: &str) -> (Gatekeeper, Key) {
    let setup = Gatekeeper::without_providers();
    let setup = providers
        .iter()
        .fold(setup, |setup, provider| setup.provider(provider));
    let mut gatekeeper = setup.start();
    let team = gatekeeper.team_with_budget("eng", budget_usd);
    let key = gatekeeper.key_of(&team);
    (gatekeeper, key)
}

/// Small request in the words of models that reason.
fn hello(model: &str) -> Value {
    json!({"model": model, "max_completion_tokens": 50, "messages": [{"role": "user", "content": "hello"}]})
}

/// Newest record.
fn newest(gatekeeper: &Gatekeeper) -> Value {
    gatekeeper.usage();
    gatekeeper.requests().remove(0)
}

/// Texts of the cost lines of a record.
fn texts(row: &Value) -> Vec<String> {
    let lines = row["cost_lines"].as_array().expect("lines");
    let text = |line: &Value| line["text"].as_str().expect("a text").to_owned();
    lines.iter().map(text).collect()
}

/// Amount of the lines of a class.
fn amount(row: &Value, class: &str) -> Value {
    let lines = row["cost_lines"].as_array().expect("lines");
    let line = lines.iter().find(|line| line["class"] == class);
    line.map_or(Value::Null, |line| line["amount_usd"].clone())
}
