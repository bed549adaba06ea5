//! `gatekeeper organizations`: creates, lists and changes organizations of the running server.

use clap::Subcommand;
use serde_json::{Value, json};

use super::admin::ServerArgs;
use super::changes::{ChangeArgs, require_change};
use super::failure::Failure;
use super::resolve;
use crate::cli::output::{print, print_json};
use crate::cli::parse::{BudgetArgument, LimitArguments};
use crate::cli::style::{Style, Tone};
use crate::cli::table::{Cell, Column, Table};
use crate::cli::values::{budgets, cell, limits};
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create an organization
    Create(CreateArgs),
    /// List organizations with their budgets
    List(ServerArgs),
    /// Change budgets or limits of an organization
    Update(UpdateArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct CreateArgs {
    /// Name of the organization
    name: String,
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
    /// Organization, by id or name
    organization: String,
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
    let budget_bodies: Vec<Value> = args.budget.iter().map(BudgetArgument::json).collect();
    let mut body = json!({"name": args.name, "budgets": budget_bodies});
    args.limits.add_to(&mut body);
    let admin = args.server.admin()?;
    let organization = admin.post("/v1/organizations", &body).await?;
    show(&args.server, "created", &organization)
}

async fn update(args: UpdateArgs) -> Result<(), Failure> {
    let mut body = json!({});
    args.changes.add_to(&mut body);
    require_change(
        &body,
        "--budget, --no-budgets, --rpm, --tpm or --max-parallel",
    )?;
    let admin = args.server.admin()?;
    let organization = resolve::organization(&admin, &args.organization).await?;
    let path = format!("/v1/organizations/{}", cell(&organization["id"]));
    let organization = admin.patch(&path, &body).await?;
    show(&args.server, "changed", &organization)
}

fn show(server: &ServerArgs, done: &str, organization: &Value) -> Result<(), Failure> {
    if server.json {
        return print_json(organization);
    }
    print(&format!(
        "{done} organization {} ({})\n  budgets  {}\n  limits   {}\n",
        cell(&organization["name"]),
        cell(&organization["id"]),
        budgets(&organization["budgets"], &server.style()),
        limits(&organization["limits"])
    ))
}

async fn list(server: ServerArgs) -> Result<(), Failure> {
    let organizations = server.admin()?.list("/v1/organizations").await?;
    if server.json {
        return print_json(&Value::Array(organizations));
    }
    print(&render(&organizations, &server.style()))
}

fn render(organizations: &[Value], style: &Style) -> String {
    let mut table = Table::new([
        Column::text("ORGANIZATION").flexible(),
        Column::text("ID"),
        Column::text("BUDGETS").flexible(),
        Column::text("LIMITS").flexible().hidden_at(1),
        Column::text("CREATED").hidden_at(2),
    ]);
    for organization in organizations {
        table.row(vec![
            cell(&organization["name"]).into(),
            Cell::toned(Tone::Dim, cell(&organization["id"])),
            budgets(&organization["budgets"], style).into(),
            limits(&organization["limits"]).into(),
            style.day(&organization["created_at"]).into(),
        ]);
    }
    table.render(style)
}
