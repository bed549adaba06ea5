//! `gatekeeper teams`: creates and lists teams of the running server.

use clap::Subcommand;
use serde_json::{Value, json};

use super::admin::ServerArgs;
use super::failure::Failure;
use crate::cli::parse::{BudgetArgument, LimitArguments, model_list};
use crate::cli::table::{budgets, cell, limits, models, print, print_json, table};
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create a team
    Create(CreateArgs),
    /// List teams with their budgets
    List(ServerArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct CreateArgs {
    /// Name of the team
    name: String,
    /// Models that the team's keys may call; `*` is a wildcard; '' allows none [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    models: Option<Vec<String>>,
    /// Budget: '$10' in total, '$10/day', '$10/week' or '$10/month'; may be repeated
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    budget: Vec<BudgetArgument>,
    #[command(flatten)]
    limits: LimitArguments,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(args) => process::block_on(create(args)),
        Command::List(server) => process::block_on(list(server)),
    }
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let budget_bodies: Vec<Value> = args.budget.iter().map(BudgetArgument::json).collect();
    let mut body =
        json!({"name": args.name, "models": model_list(&args.models), "budgets": budget_bodies});
    args.limits.add_to(&mut body);
    let team = admin.post("/v1/teams", &body).await?;
    if args.server.json {
        return print_json(&team);
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

async fn list(server: ServerArgs) -> Result<(), Failure> {
    let teams = server.admin()?.list("/v1/teams").await?;
    if server.json {
        return print_json(&Value::Array(teams));
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
