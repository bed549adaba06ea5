//! `gatekeeper teams`: creates and lists the teams of the running server.

use clap::Subcommand;
use serde_json::{Value, json};

use super::Failure;
use super::admin::{Admin, Reach};
use super::argument::BudgetArgument;
use super::print::{self, budgets, cell, models, print, table};
use crate::server;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create a team
    Create(CreateArgs),
    /// List the teams with their budgets
    List(Reach),
}

#[derive(Clone, Debug, clap::Args)]
pub struct CreateArgs {
    name: String,
    /// Models that its keys may call, with `*` for any letters [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    models: Vec<String>,
    /// What it may spend: '$10' in total, '$10/day', '$10/week', '$10/month'; may be given more than once
    #[arg(long, value_name = "AMOUNT")]
    budget: Vec<BudgetArgument>,
    #[command(flatten)]
    reach: Reach,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(args) => server::block_on(create(args)),
        Command::List(reach) => server::block_on(list(reach)),
    }
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let admin = args.reach.admin()?;
    let team = create_team(&admin, &args.name, &args.models, &args.budget).await?;
    if args.reach.json {
        return print::json(&team);
    }
    print(&format!(
        "created team {} ({})\n  models   {}\n  budgets  {}\n",
        cell(&team["name"]),
        cell(&team["id"]),
        models(&team["models"]),
        budgets(&team["budgets"])
    ))
}

/// Creates one team and returns the server's object.
pub async fn create_team(admin: &Admin, name: &str, models: &[String], budgets: &[BudgetArgument]) -> Result<Value, Failure> {
    let budgets: Vec<Value> = budgets.iter().map(BudgetArgument::json).collect();
    admin.post("/v1/teams", &json!({"name": name, "models": models, "budgets": budgets})).await
}

async fn list(reach: Reach) -> Result<(), Failure> {
    let teams = reach.admin()?.list("/v1/teams").await?;
    if reach.json {
        return print::json(&Value::Array(teams));
    }
    if teams.is_empty() {
        return print("no teams yet; create one with `gatekeeper teams create NAME`\n");
    }
    let row = |team: &Value| vec![cell(&team["id"]), cell(&team["name"]), models(&team["models"]), budgets(&team["budgets"])];
    let rows: Vec<Vec<String>> = teams.iter().map(row).collect();
    print(&table(&["ID", "TEAM", "MODELS", "BUDGETS"], &rows))
}
