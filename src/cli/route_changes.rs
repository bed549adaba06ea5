//! `gatekeeper routes list|add|update|remove` and `gatekeeper aliases`: names that lead to other names, at the running server.

use clap::Subcommand;
use serde_json::{Value, json};

use super::failure::Failure;
use crate::cli::changes::require_change;
use crate::cli::declared::{MemberArgs, add, fault, path, place, unset, visible};
use crate::cli::resource::ResourceArgs;
use crate::cli::style::Style;
use crate::cli::table::{Column, Table};
use crate::cli::values::{cell, rows};

#[derive(Clone, Debug, clap::Args)]
pub struct AddArgs {
    /// Name that clients ask for; may contain one `*`
    name: String,
    #[command(flatten)]
    terms: TermArgs,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct UpdateArgs {
    /// Name of the route
    name: String,
    #[command(flatten)]
    terms: TermArgs,
    /// Key of the section to take away; may be repeated
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    #[command(flatten)]
    server: ResourceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct NameArgs {
    /// Name of the route or alias
    name: String,
    #[command(flatten)]
    server: ResourceArgs,
}

/// Terms of a route.
#[derive(Clone, Debug, clap::Args)]
struct TermArgs {
    /// Deployment, `provider/model` or a model, with a weight as MODEL=WEIGHT; may be repeated
    #[arg(long = "target", value_name = "MODEL")]
    targets: Vec<String>,
    /// weighted, ordered, least_busy, fastest or cheapest
    #[arg(long, value_name = "STRATEGY")]
    strategy: Option<String>,
    /// Names tried in turn once the targets are used up
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    fallbacks: Option<Vec<String>>,
    #[command(flatten)]
    members: MemberArgs,
}

impl TermArgs {
    fn add_to(&self, body: &mut Value) -> Result<(), Failure> {
        if !self.targets.is_empty() {
            body["targets"] = self.targets.iter().map(|text| target(text)).collect();
        }
        add(body, "strategy", &self.strategy);
        add(body, "fallbacks", &self.fallbacks);
        self.members.add_to(body)
    }
}

fn target(text: &str) -> Value {
    let weighted = text
        .rsplit_once('=')
        .and_then(|(model, weight)| Some((model, weight.parse::<u32>().ok()?)));
    match weighted {
        Some((model, weight)) => json!({ "model": model, "weight": weight }),
        None => json!(text),
    }
}

pub async fn list(args: &ResourceArgs) -> Result<(), Failure> {
    let mut page = args.admin()?.get("/v1/routes").await?;
    let list = page["data"].take();
    args.show_list(&list, |style| match rows(&list) {
        [] => {
            "no routes yet; add one with `gatekeeper routes add NAME --target MODEL`\n".to_owned()
        }
        routes => table(routes, style),
    })
}

pub async fn create(args: &AddArgs) -> Result<(), Failure> {
    let mut body = json!({ "name": args.name });
    args.terms.add_to(&mut body)?;
    let route = args.server.admin()?.post("/v1/routes", &body).await?;
    args.server.show(&route, |_| {
        let name = cell(&route["name"]);
        format!("added route {name}, in force now\n{}", terms(&route))
    })
}

pub async fn update(args: &UpdateArgs) -> Result<(), Failure> {
    let mut body = json!({});
    args.terms.add_to(&mut body)?;
    unset(&mut body, &args.unset);
    require_change(&body, "--target, --strategy, --fallbacks, --set or --unset")?;
    let path = path("routes", &args.name);
    let route = args.server.admin()?.patch(&path, &body).await?;
    args.server.show(&route, |_| {
        let name = cell(&route["name"]);
        format!("changed route {name}, in force now\n{}", terms(&route))
    })
}

pub async fn remove(args: &NameArgs) -> Result<(), Failure> {
    let path = path("routes", &args.name);
    args.server.admin()?.delete(&path).await?;
    args.server
        .show_deleted(&format!("removed route {}\n", args.name))
}

fn targets(route: &Value) -> String {
    let target = |target: &Value| match target["weight"].as_u64() {
        None | Some(1) => cell(&target["model"]),
        Some(weight) => format!("{} ({weight})", cell(&target["model"])),
    };
    let targets: Vec<String> = rows(&route["targets"]).iter().map(target).collect();
    targets.join(", ")
}

fn terms(route: &Value) -> String {
    format!(
        "  strategy  {}\n  targets   {}\n",
        cell(&route["strategy"]),
        targets(route)
    )
}

fn table(routes: &[Value], style: &Style) -> String {
    let mut table = Table::new([
        Column::text("ROUTE").flexible(),
        Column::text("STRATEGY").sparse(),
        Column::text("TARGETS").flexible().sparse(),
        Column::text("DECLARED IN").sparse(),
        Column::text("FAULT").flexible().sparse(),
    ]);
    for route in routes {
        table.row(vec![
            cell(&route["name"]).into(),
            visible(route, "strategy").into(),
            targets(route).into(),
            place(route).into(),
            fault(route).into(),
        ]);
    }
    table.render(style)
}

#[derive(Clone, Debug, Subcommand)]
pub enum AliasCommand {
    /// List aliases
    List(ResourceArgs),
    /// Add an alias of a route or a model
    Add(AliasArgs),
    /// Lead an alias to another name
    Update(AliasArgs),
    /// Remove an alias
    Remove(NameArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct AliasArgs {
    /// Name that clients ask for
    name: String,
    /// Route or model that it leads to
    target: String,
    #[command(flatten)]
    server: ResourceArgs,
}

pub async fn run_alias(command: &AliasCommand) -> Result<(), Failure> {
    match command {
        AliasCommand::List(args) => list_aliases(args).await,
        AliasCommand::Add(args) => {
            let body = json!({ "name": args.name, "target": args.target });
            let alias = args.server.admin()?.post("/v1/aliases", &body).await?;
            show_alias(&args.server, "added", &alias)
        }
        AliasCommand::Update(args) => {
            let (path, body) = (
                path("aliases", &args.name),
                json!({ "target": args.target }),
            );
            let alias = args.server.admin()?.patch(&path, &body).await?;
            show_alias(&args.server, "changed", &alias)
        }
        AliasCommand::Remove(args) => {
            let path = path("aliases", &args.name);
            args.server.admin()?.delete(&path).await?;
            args.server
                .show_deleted(&format!("removed alias {}\n", args.name))
        }
    }
}

fn show_alias(args: &ResourceArgs, done: &str, alias: &Value) -> Result<(), Failure> {
    args.show(alias, |_| {
        let (name, target) = (cell(&alias["name"]), cell(&alias["target"]));
        format!("{done} alias {name} of {target}, in force now\n")
    })
}

async fn list_aliases(args: &ResourceArgs) -> Result<(), Failure> {
    let mut page = args.admin()?.get("/v1/aliases").await?;
    let list = page["data"].take();
    args.show_list(&list, |style| {
        let aliases = rows(&list);
        if aliases.is_empty() {
            return "no aliases yet; add one with `gatekeeper aliases add NAME MODEL`\n".to_owned();
        }
        let mut table = Table::new([
            Column::text("ALIAS").flexible(),
            Column::text("TARGET").flexible().sparse(),
            Column::text("DECLARED IN").sparse(),
            Column::text("FAULT").flexible().sparse(),
        ]);
        for alias in aliases {
            let name = cell(&alias["name"]);
            table.row(vec![
                name.into(),
                visible(alias, "target").into(),
                place(alias).into(),
                fault(alias).into(),
            ]);
        }
        table.render(style)
    })
}
