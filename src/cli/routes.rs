//! `gatekeeper routes`: routes of the running server; what a name leads to, from the configuration file and the price sheet. Opens no
//! connection but to the admin socket of a running server, and never the books.

use std::sync::Arc;

use clap::Subcommand;
use serde_json::{Value, json};

use super::failure::Failure;
use super::price_sheet;
use super::route_changes::{self, AddArgs, NameArgs, UpdateArgs};
use super::route_health::{self, HealthArgs};
use super::route_resolution;
use crate::cli::admin::ServerArgs;
use crate::cli::output::{print, print_json};
use crate::cli::resource::ResourceArgs;
use crate::cli::style::Style;
use crate::cli::table::Table;
use crate::config;
use crate::process;
use crate::route::{Resolution, Route, RouteTable};

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List routes, those of the configuration file too
    List(ResourceArgs),
    /// Add a route; it is in force at once
    Add(AddArgs),
    /// Change a route that was added here
    Update(UpdateArgs),
    /// Remove a route that was added here
    Remove(NameArgs),
    /// Show cooldowns, calls in flight and latencies of a route's deployments, and its mirror
    Health(HealthArgs),
    /// Show the deployments behind a name of the configuration file, and the fallbacks of its route
    Resolve(ResolveArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct ResolveArgs {
    /// Route, alias, model or `provider/model`
    name: String,
    /// Ask the running server what the name leads to for this key, by id, name or `team/key`
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(command: Command) -> Result<(), Failure> {
    process::block_on(async {
        match command {
            Command::List(args) => route_changes::list(&args).await,
            Command::Add(args) => route_changes::create(&args).await,
            Command::Update(args) => route_changes::update(&args).await,
            Command::Remove(args) => route_changes::remove(&args).await,
            Command::Health(args) => route_health::show(&args).await,
            Command::Resolve(args) => resolve(&args).await,
        }
    })
}

async fn resolve(args: &ResolveArgs) -> Result<(), Failure> {
    if let Some(key) = &args.key {
        return route_resolution::show(&args.server, &args.name, key).await;
    }
    let config = config::load(&args.server.settings().overrides())?.config;
    let sheet = price_sheet::in_force(&config.folder).await;
    let routes = RouteTable::new(&config.providers, sheet).with_routing(&config.routing);
    let resolved = routes
        .resolve(&args.name)
        .map_err(|error| Failure::runtime(error.to_api_error(&args.name).message))?;
    let fallbacks = fallbacks(&routes, &resolved);
    if args.server.json {
        print_json(&resolved_json(&args.name, &resolved, &fallbacks))
    } else {
        print(&render(&args.name, &resolved, &fallbacks))
    }
}

/// Fallback of a route: its list, its name, and the deployments behind it.
struct FallbackRow {
    list: &'static str,
    name: String,
    targets: Vec<String>,
}

fn fallbacks(routes: &RouteTable, resolved: &Resolution) -> Vec<FallbackRow> {
    let Some(route) = &resolved.route else {
        return Vec::new();
    };
    let lists = [
        ("fallbacks", &route.config.fallbacks),
        ("context_fallbacks", &route.config.context_fallbacks),
        ("content_fallbacks", &route.config.content_fallbacks),
    ];
    let rows = lists.into_iter().flat_map(|(list, names)| {
        names.iter().map(move |name| FallbackRow {
            list,
            name: name.clone(),
            targets: routes
                .resolve(name)
                .map_or(Vec::new(), |found| qualified(&found)),
        })
    });
    rows.collect()
}

fn qualified(resolved: &Resolution) -> Vec<String> {
    let targets = resolved.targets.iter();
    targets
        .map(|target| target.deployment.qualified())
        .collect()
}

fn route_name(resolved: &Resolution) -> Option<&str> {
    let route = resolved.route.as_ref()?;
    Some(&route.config.name)
}

fn resolved_json(name: &str, resolved: &Resolution, fallbacks: &[FallbackRow]) -> Value {
    let targets = resolved.targets.iter().map(|target| {
        json!({
            "target": target.deployment.qualified(),
            "weight": target.weight,
            "order": target.order,
        })
    });
    let fallbacks = fallbacks
        .iter()
        .map(|row| json!({ "list": row.list, "name": row.name, "targets": row.targets }));
    json!({
        "name": name,
        "route": route_name(resolved),
        "strategy": resolved.route.as_ref().map(|route| route.config.strategy.as_str()),
        "targets": targets.collect::<Vec<_>>(),
        "fallbacks": fallbacks.collect::<Vec<_>>(),
        "granted_by": resolved.granted_by.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
    })
}

fn render(name: &str, resolved: &Resolution, fallbacks: &[FallbackRow]) -> String {
    let leads_to = match &resolved.route {
        Some(route) => format!(
            "route {} ({})",
            route.config.name,
            route.config.strategy.as_str()
        ),
        None => "a model by its own name".to_owned(),
    };
    let rows: Vec<Vec<String>> = resolved
        .targets
        .iter()
        .map(|target| {
            vec![
                target.deployment.qualified(),
                target.weight.to_string(),
                target.order.to_string(),
            ]
        })
        .collect();
    let mut text = format!(
        "{name}: {leads_to}\n\n{}",
        Table::of_texts(&["TARGET", "WEIGHT", "ORDER"], rows).render(&Style::default())
    );
    for row in fallbacks {
        let targets = match row.targets.as_slice() {
            [] => "nothing".to_owned(),
            targets => targets.join(", "),
        };
        text += &format!("{}: {} leads to {targets}\n", row.list, row.name);
    }
    text + &format!("allowed by: {}\n", resolved.granted_by.join(", "))
}

/// The routes and the names that lead nowhere, for `gatekeeper check`; empty without routes and aliases.
pub(super) fn render_routes(routes: &RouteTable) -> String {
    let row = |route: &Arc<Route>| {
        let targets: Vec<&str> = route
            .config
            .targets
            .iter()
            .map(|target| target.model.as_str())
            .collect();
        let (name, strategy) = (&route.config.name, route.config.strategy.as_str());
        vec![name.clone(), strategy.to_owned(), targets.join(", ")]
    };
    let rows: Vec<Vec<String>> = routes.all_routes().map(row).collect();
    let mut text = String::new();
    if !rows.is_empty() {
        let table = Table::of_texts(&["ROUTE", "STRATEGY", "TARGETS"], rows);
        text = format!(
            "
{}",
            table.render(&Style::default())
        );
    }
    for lost in routes.unreachable() {
        let (owner, name, reason) = (&lost.owner, &lost.name, &lost.reason);
        text += &format!("\nremark: {name} under {owner} is never reached: {reason}\n");
    }
    text
}
