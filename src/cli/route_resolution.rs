//! `gatekeeper routes resolve NAME --key KEY`: what a name leads to for a key, as the running server says.

use serde_json::Value;

use crate::cli::admin::{ServerArgs, percent_encode};
use crate::cli::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::resolve;
use crate::cli::style::Style;
use crate::cli::table::Table;
use crate::cli::values::{cell, rows};

pub async fn show(server: &ServerArgs, name: &str, key: &str) -> Result<(), Failure> {
    let admin = server.admin()?;
    let key = resolve::key(&admin, key).await?;
    let (id, model) = (cell(&key["id"]), percent_encode(name));
    let resolved = admin
        .get(&format!("/v1/keys/{id}/resolve?model={model}"))
        .await?;
    match server.json {
        true => print_json(&resolved),
        false => print(&render(&resolved, &key, &server.style())),
    }
}

fn render(resolved: &Value, key: &Value, style: &Style) -> String {
    let leads_to = match resolved["route"].as_str() {
        Some(route) => format!("route {route} ({})", cell(&resolved["strategy"])),
        None => "a model by its own name".to_owned(),
    };
    let row = |target: &Value| {
        let allowed = match target["reason"].as_str() {
            None => "allowed".to_owned(),
            Some(reason) => reason.to_owned(),
        };
        let deployment = match &target["target"] {
            Value::Null => cell(&target["name"]),
            deployment => cell(deployment),
        };
        vec![deployment, cell(&target["list"]), allowed]
    };
    let targets = rows(&resolved["targets"]);
    let table = Table::of_texts(
        &["TARGET", "LIST", "FOR THIS KEY"],
        targets.iter().map(row).collect(),
    );
    format!(
        "{}: {leads_to}, for the key {} ({})\n\n{}",
        cell(&resolved["name"]),
        cell(&key["name"]),
        cell(&key["id"]),
        table.render(style)
    )
}
