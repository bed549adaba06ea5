//! `gatekeeper teams`: creates and lists the teams of the running server.

use clap::Subcommand;
use serde_json::{Value, json};

use super::Failure;
use super::admin::ServerArgs;
use crate::cli::parse::{BudgetArgument, LimitArguments};
use crate::cli::table;
use crate::cli::table::{budgets, cell, limits, models, print, table};
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create a team
    Create(CreateArgs),
    /// List the teams with their budgets
    List(ServerArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct CreateArgs {
    name: String,
    /// Models that its keys may call, with `*` for any letters [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    models: Vec<String>,
    /// What it may spend: '$10' in total, '$10/day', '$10/week', '$10/month'; may be given more than once
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    budget: Vec<BudgetArgument>,
    #[command(flatten)]
    limits: LimitArguments,
    #[command(flatten)]
    reach: ServerArgs,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(args) => process::block_on(create(args)),
        Command::List(reach) => process::block_on(list(reach)),
    }
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let admin = args.reach.admin()?;
    let budgets_wanted: Vec<Value> = args.budget.iter().map(BudgetArgument::json).collect();
    let mut wanted = json!({"name": args.name, "models": args.models, "budgets": budgets_wanted});
    args.limits.put_into(&mut wanted);
    let team = admin.post("/v1/teams", &wanted).await?;
    if args.reach.json {
        return table::json(&team);
    }
    print(&format!(
        "created team {} ({})\n  models   {}\n  budgets  {}\n  limits   {}\n",
        cell(&team["name"]),
        cell(&team["id"]),
        models(&team["models"]),
        budgets(&team["budgets"]),
        limits(&team["limits"])
    ))
}

async fn list(reach: ServerArgs) -> Result<(), Failure> {
    let teams = reach.admin()?.list("/v1/teams").await?;
    if reach.json {
        return table::json(&Value::Array(teams));
    }
    if teams.is_empty() {
        return print("no teams yet; create one with `gatekeeper teams create NAME`\n");
    }
    let row = |team: &Value| {
        let (id, name) = (cell(&team["id"]), cell(&team["name"]));
        vec![
            id,
            name,
            models(&team["models"]),
            budgets(&team["budgets"]),
            limits(&team["limits"]),
        ]
    };
    let rows: Vec<Vec<String>> = teams.iter().map(row).collect();
    print(&table(
        &["ID", "TEAM", "MODELS", "BUDGETS", "LIMITS"],
        &rows,
    ))
}
