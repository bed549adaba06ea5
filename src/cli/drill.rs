//! `gatekeeper drill`: lets the targets of a route fail in each class, by a script, and shows what a client would have seen.

use serde_json::{Value, json};

use super::admin::{ServerArgs, percent_encode};
use super::failure::Failure;
use crate::cli::output::{print, print_json};
use crate::cli::parse::max_cost;
use crate::cli::style::Style;
use crate::cli::table::{Column, Table};
use crate::cli::values::{cell, rows};
use crate::process;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Route, alias or model
    route: String,
    /// Really call the targets that do not fail; needs --max-cost
    #[arg(long, requires = "max_cost")]
    live: bool,
    /// Most that all real calls together may cost, such as '$1'
    #[arg(long, value_name = "AMOUNT", value_parser = max_cost)]
    max_cost: Option<Value>,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    process::block_on(drill(args))
}

async fn drill(args: Args) -> Result<(), Failure> {
    let mut body = json!({ "live": args.live });
    if let Some(amount) = &args.max_cost {
        body["max_cost_usd"] = amount.clone();
    }
    let path = format!("/v1/routes/{}/drill", percent_encode(&args.route));
    let drilled = args.server.admin()?.post(&path, &body).await?;
    match args.server.json {
        true => print_json(&drilled),
        false => print(&render(&drilled, &args.server.style())),
    }
}

fn render(drilled: &Value, style: &Style) -> String {
    let mut table = Table::new([
        Column::text("FAILURE"),
        Column::text("FAILING"),
        Column::text("FORM"),
        Column::text("ATTEMPTS").flexible(),
        Column::text("CLIENT SEES").flexible(),
        Column::number("MS"),
        Column::number("COST"),
    ]);
    for outcome in rows(&drilled["data"]) {
        table.row(vec![
            cell(&outcome["class"]).into(),
            cell(&outcome["failing"]).into(),
            cell(&outcome["form"]).into(),
            attempts(&outcome["attempts"]).into(),
            client(&outcome["client"]).into(),
            cell(&outcome["took_ms"]).into(),
            style.money(&outcome["cost_usd"]).into(),
        ]);
    }
    let calls = match drilled["live"] == true {
        true => "targets that did not fail were really called",
        false => "no target was called",
    };
    format!(
        "{}\n{calls}; booked to the team drill ({}): {}\n",
        table.render(style),
        cell(&drilled["team"]),
        style.money(&drilled["cost_usd"])
    )
}

/// `a/m overloaded, next_target; b/m ok`.
fn attempts(attempts: &Value) -> String {
    let attempt = |attempt: &Value| {
        let target = format!("{}/{}", cell(&attempt["provider"]), cell(&attempt["model"]));
        match attempt["failure"].is_null() {
            true => format!("{target} {}", cell(&attempt["status"])),
            false => {
                let failure = &attempt["failure"];
                format!(
                    "{target} {}, {}",
                    cell(&failure["class"]),
                    cell(&failure["decision"])
                )
            }
        }
    };
    match rows(attempts) {
        [] => "none".to_owned(),
        attempts => attempts.iter().map(attempt).collect::<Vec<_>>().join("; "),
    }
}

fn client(client: &Value) -> String {
    let status = cell(&client["status"]);
    match client["code"].as_str() {
        Some(code) if status == "200" => format!("200, then {code} in the stream"),
        Some(code) => format!("{status} {code}"),
        None => status,
    }
}
