//! `gatekeeper organizations`: creates, lists, changes and deletes organizations of the running server.

use clap::Subcommand;
use serde_json::{Value, json};

use super::changes::{ChangeArgs, ModelsChangeArgs, require_change};
use super::failure::Failure;
use super::resolve;
use crate::cli::parse::model_list;
use crate::cli::resource::{NewLimitsArgs, Resource, ResourceArgs, limit_terms};
use crate::cli::style::{Style, Tone};
use crate::cli::table::{Cell, Column, Table};
use crate::cli::values::{budgets, cell, limits, models};
use crate::process;

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create an organization
    Create(CreateArgs),
    /// List organizations with their budgets
    List(ResourceArgs),
    /// Change models, budgets or limits of an organization
    Update(UpdateArgs),
    /// Delete an organization; with --yes its teams and their keys too
    Delete(DeleteArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct CreateArgs {
    /// Name of the organization
    name: String,
    /// Models that the organization's keys may call; `*` is a wildcard; '' allows none [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    models: Option<Vec<String>>,
    #[command(flatten)]
    limits: NewLimitsArgs,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct UpdateArgs {
    /// Organization, by id or name
    organization: String,
    #[command(flatten)]
    models: ModelsChangeArgs,
    #[command(flatten)]
    changes: ChangeArgs,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct DeleteArgs {
    /// Organization, by id or name
    organization: String,
    /// Delete its teams and their keys, too
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    server: ResourceArgs,
}

const ORGANIZATION: Resource = Resource {
    noun: "organization",
    path: "/v1/organizations",
    name: "name",
    terms,
    table,
};

pub fn run(command: Command) -> Result<(), Failure> {
    process::block_on(async {
        match command {
            Command::Create(args) => create(args).await,
            Command::List(server) => ORGANIZATION.list(&server).await,
            Command::Update(args) => update(args).await,
            Command::Delete(args) => {
                let admin = args.server.admin()?;
                let organization = resolve::organization(&admin, &args.organization).await?;
                let deletion = ORGANIZATION.delete(&args.server, &organization, args.yes);
                deletion.await
            }
        }
    })
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let mut body = json!({"name": args.name, "models": model_list(&args.models)});
    args.limits.add_to(&mut body);
    ORGANIZATION.create(&args.server, &body).await
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
    let organization = resolve::organization(&admin, &args.organization).await?;
    let update = ORGANIZATION.update(&args.server, &organization, &body);
    update.await
}

fn terms(organization: &Value, style: &Style) -> String {
    let models = models(&organization["models"]);
    format!("  models   {models}\n{}", limit_terms(organization, style))
}

fn table(organizations: &[Value], style: &Style) -> String {
    let mut table = Table::new([
        Column::text("ORGANIZATION").flexible(),
        Column::text("ID"),
        Column::text("MODELS").flexible().hidden_at(3),
        Column::text("BUDGETS").flexible(),
        Column::text("LIMITS").flexible().hidden_at(1),
        Column::text("CREATED").hidden_at(2),
    ]);
    for organization in organizations {
        table.row(vec![
            cell(&organization["name"]).into(),
            Cell::toned(Tone::Dim, cell(&organization["id"])),
            models(&organization["models"]).into(),
            budgets(&organization["budgets"], style).into(),
            limits(&organization["limits"]).into(),
            style.day(&organization["created_at"]).into(),
        ]);
    }
    table.render(style)
}
