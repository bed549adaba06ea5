//! `gatekeeper teams`: creates, lists and changes teams of the running server.

use clap::Subcommand;
use serde_json::{Value, json};

use super::admin::ServerArgs;
use super::changes::{ChangeArgs, ModelsChangeArgs, require_change};
use super::failure::Failure;
use super::resolve;
use crate::cli::output::{print, print_json};
use crate::cli::parse::{BudgetArgument, LimitArguments, model_list};
use crate::cli::style::{Style, Tone};
use crate::cli::table::{Cell, Column, Table};
use crate::cli::values::{budgets, cell, limits, models};
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create a team
    Create(CreateArgs),
    /// List teams with their budgets
    List(ServerArgs),
    /// Change models, budgets or limits of a team
    Update(UpdateArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct CreateArgs {
    /// Name of the team
    name: String,
    /// Organization of the team, by id or name [default: the only one]
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
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

#[derive(Clone, Debug, clap::Args)]
pub struct UpdateArgs {
    /// Team, by id or name
    team: String,
    #[command(flatten)]
    models: ModelsChangeArgs,
    #[command(flatten)]
    changes: ChangeArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(args) => process::block_on(create(args)),
        Command::List(server) => process::block_on(list(server)),
        Command::Update(args) => process::block_on(update(args)),
    }
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let admin = args.server.admin()?;
    let budget_bodies: Vec<Value> = args.budget.iter().map(BudgetArgument::json).collect();
    let mut body =
        json!({"name": args.name, "models": model_list(&args.models), "budgets": budget_bodies});
    if let Some(organization) = &args.organization {
        body["organization"] = json!(organization);
    }
    args.limits.add_to(&mut body);
    let team = admin.post("/v1/teams", &body).await?;
    show(&args.server, "created", &team)
}

async fn update(args: UpdateArgs) -> Result<(), Failure> {
    let mut body = json!({});
    args.models.add_to(&mut body);
    args.changes.add_to(&mut body);
    require_change(
        &body,
        "--models, --budget, --no-budgets, --rpm, --tpm or --max-parallel",
    )?;
    let admin = args.server.admin()?;
    let team = resolve::team(&admin, &args.team).await?;
    let path = format!("/v1/teams/{}", cell(&team["id"]));
    let team = admin.patch(&path, &body).await?;
    show(&args.server, "changed", &team)
}

fn show(server: &ServerArgs, done: &str, team: &Value) -> Result<(), Failure> {
    if server.json {
        return print_json(team);
    }
    print(&format!(
        "{done} team {} ({})\n  models   {}\n  budgets  {}\n  limits   {}\n",
        cell(&team["name"]),
        cell(&team["id"]),
        models(&team["models"]),
        budgets(&team["budgets"], &server.style()),
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
    print(&render(&teams, &server.style()))
}

fn render(teams: &[Value], style: &Style) -> String {
    let mut table = Table::new([
        Column::text("TEAM").flexible(),
        Column::text("ID"),
        Column::text("MODELS").flexible().hidden_at(1),
        Column::text("BUDGETS").flexible(),
        Column::text("LIMITS").flexible().sparse().hidden_at(2),
        Column::text("CREATED").hidden_at(3),
    ]);
    for team in teams {
        let limits = match limits(&team["limits"]) {
            none if none == "none" => String::new(),
            limits => limits,
        };
        table.row(vec![
            cell(&team["name"]).into(),
            Cell::toned(Tone::Dim, cell(&team["id"])),
            models(&team["models"]).into(),
            budgets(&team["budgets"], style).into(),
            limits.into(),
            style.day(&team["created_at"]).into(),
        ]);
    }
    table.render(style)
}
