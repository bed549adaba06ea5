//! `gatekeeper teams`: creates, lists, changes and deletes teams of the running server.

use clap::Subcommand;
use serde_json::{Value, json};

use super::changes::{ChangeArgs, MaxCostArgs, ModelsChangeArgs, require_change};
use super::failure::Failure;
use super::resolve;
use crate::cli::parse::model_list;
use crate::cli::resource::{NewLimitsArgs, Resource, ResourceArgs, limit_terms};
use crate::cli::style::{Style, Tone};
use crate::cli::table::{Cell, Column, Table};
use crate::cli::values::{budgets, cell, limits, max_cost, models};
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create a team
    Create(CreateArgs),
    /// List teams with their budgets
    List(ResourceArgs),
    /// Change models, budgets or limits of a team
    Update(UpdateArgs),
    /// Delete a team; with --yes its keys too
    Delete(DeleteArgs),
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
    #[command(flatten)]
    limits: NewLimitsArgs,
    #[command(flatten)]
    max_cost: MaxCostArgs,
    #[command(flatten)]
    server: ResourceArgs,
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
    max_cost: MaxCostArgs,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct DeleteArgs {
    /// Team, by id or name
    team: String,
    /// Delete its keys, too
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    server: ResourceArgs,
}

const TEAM: Resource = Resource {
    noun: "team",
    path: "/v1/teams",
    name: "name",
    terms,
    table,
};

pub fn run(command: Command) -> Result<(), Failure> {
    process::block_on(async {
        match command {
            Command::Create(args) => create(args).await,
            Command::List(server) => TEAM.list(&server).await,
            Command::Update(args) => update(args).await,
            Command::Delete(args) => {
                let admin = args.server.admin()?;
                let team = resolve::team(&admin, &args.team).await?;
                TEAM.delete(&args.server, &team, args.yes).await
            }
        }
    })
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let mut body = json!({"name": args.name, "models": model_list(&args.models)});
    if let Some(organization) = &args.organization {
        body["organization"] = json!(organization);
    }
    args.limits.add_to(&mut body);
    args.max_cost.add_to(&mut body);
    TEAM.create(&args.server, &body).await
}

async fn update(args: UpdateArgs) -> Result<(), Failure> {
    let mut body = json!({});
    args.models.add_to(&mut body);
    args.changes.add_to(&mut body);
    args.max_cost.add_to(&mut body);
    require_change(
        &body,
        "--models, --budget, --no-budgets, --rpm, --tpm, --max-parallel or --max-cost",
    )?;
    let admin = args.server.admin()?;
    let team = resolve::team(&admin, &args.team).await?;
    TEAM.update(&args.server, &team, &body).await
}

fn terms(team: &Value, style: &Style) -> String {
    let models = models(&team["models"]);
    let limits = limit_terms(team, style);
    format!("  models   {models}\n{limits}{}", max_cost(team, style))
}

fn table(teams: &[Value], style: &Style) -> String {
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
