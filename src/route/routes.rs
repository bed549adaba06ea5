//! Routes and aliases of the configuration: names that lead to other names or to several deployments. Built once; a route with `*`
//! resolves its targets per call, so that clients cannot make the table grow.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::{RouteConfig, RoutingConfig, TargetConfig};
use crate::route::retry::RetryBudget;
use crate::route::table::{Deployment, RouteError, RouteTable};
use crate::route::weighted::WeightedTurn;

/// A route with the state that its calls share.
#[derive(Debug)]
pub struct Route {
    pub config: RouteConfig,
    pub(super) first_turn: WeightedTurn,
    /// apart, so that failures do not shift the shares of first attempts
    pub(super) later_turn: WeightedTurn,
    pub(super) retries: RetryBudget,
    /// targets of a route without `*`, by place; `None` for one that cannot be reached
    targets: Vec<Option<Arc<Deployment>>>,
}

/// A deployment as the target of a name.
#[derive(Clone, Debug)]
pub struct Target {
    pub deployment: Arc<Deployment>,
    /// place in the list of the route
    pub place: usize,
    pub weight: u32,
    pub order: u32,
}

/// Result of resolving a name.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// `None` for a model that is called by its own name
    pub route: Option<Arc<Route>>,
    /// names that grant every target, besides the target's own: what the client asked for, and the route behind it
    pub granted_by: Vec<String>,
    pub targets: Vec<Target>,
}

/// A target or a fallback that no call can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// `routes.smart`
    pub owner: String,
    pub name: String,
    pub reason: String,
}

/// All routes and aliases.
#[derive(Debug, Default)]
pub(super) struct Routes {
    exact: HashMap<String, Arc<Route>>,
    /// most specific first, without the default
    wildcards: Vec<Arc<Route>>,
    /// `*`
    default: Option<Arc<Route>>,
    pub aliases: BTreeMap<String, String>,
    pub unreachable: Vec<Unreachable>,
}

impl Routes {
    pub fn new(config: &RoutingConfig, table: &RouteTable) -> Routes {
        let mut routes = Routes {
            aliases: config.aliases.clone(),
            ..Routes::default()
        };
        for config in &config.routes {
            let route = Arc::new(Route::new(config, table, &mut routes.unreachable));
            match config.name.as_str() {
                "*" => routes.default = Some(route),
                name if name.contains('*') => routes.wildcards.push(route),
                name => drop(routes.exact.insert(name.to_owned(), route)),
            }
        }
        let literal_bytes = |route: &Arc<Route>| std::cmp::Reverse(route.config.name.len());
        routes.wildcards.sort_by_key(literal_bytes);
        routes
    }

    /// The route of exactly this name.
    pub fn exact(&self, name: &str) -> Option<&Arc<Route>> {
        self.exact.get(name)
    }

    /// The most specific route with a `*` that matches, and the part that `*` stands for.
    pub fn wildcard<'n>(&self, name: &'n str) -> Option<(&Arc<Route>, &'n str)> {
        self.wildcards
            .iter()
            .find_map(|route| Some((route, starred(&route.config.name, name)?)))
    }

    pub fn default_route(&self) -> Option<&Arc<Route>> {
        self.default.as_ref()
    }

    /// Routes that clients can ask for by name, sorted.
    pub fn named(&self) -> impl Iterator<Item = &Arc<Route>> {
        let mut named: Vec<&Arc<Route>> = self.exact.values().collect();
        named.sort_by(|one, other| one.config.name.cmp(&other.config.name));
        named.into_iter()
    }

    /// All routes.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.named().chain(&self.wildcards).chain(&self.default)
    }
}

impl Route {
    fn new(config: &RouteConfig, table: &RouteTable, lost: &mut Vec<Unreachable>) -> Route {
        let is_wildcard = config.name.contains('*');
        let mut resolve = |target: &TargetConfig| {
            let found = if is_wildcard {
                table.check_target(&target.model).map(|()| None)
            } else {
                table.resolve_model(&target.model).map(Some)
            };
            found.unwrap_or_else(|error| {
                lost.push(Unreachable {
                    owner: format!("routes.{}", config.name),
                    name: target.model.clone(),
                    reason: reason(&error),
                });
                None
            })
        };
        Route {
            targets: config.targets.iter().map(&mut resolve).collect(),
            first_turn: WeightedTurn::new(config.targets.len()),
            later_turn: WeightedTurn::new(config.targets.len()),
            retries: RetryBudget::default(),
            config: config.clone(),
        }
    }

    /// Targets with their deployments; `star` is the part of the name that the route's `*` matched.
    pub(super) fn targets(&self, star: Option<&str>, table: &RouteTable) -> Vec<Target> {
        let places = self.config.targets.iter().zip(&self.targets).enumerate();
        let target =
            |(place, (config, fixed)): (usize, (&TargetConfig, &Option<Arc<Deployment>>))| {
                let deployment = match (fixed, star) {
                    (Some(deployment), _) => deployment.clone(),
                    (None, Some(star)) => {
                        let model = config.model.replacen('*', star, 1);
                        table.resolve_model(&model).ok()?
                    }
                    (None, None) => return None,
                };
                Some(Target {
                    deployment,
                    place,
                    weight: config.weight,
                    order: config.order,
                })
            };
        places.filter_map(target).collect()
    }
}

/// Reason why a target is never reached.
pub(super) fn reason(error: &RouteError) -> String {
    match error {
        RouteError::Unknown => "no configured provider serves it".to_owned(),
        RouteError::Ambiguous(forms) => format!("several providers list it: {}", forms.join(", ")),
        RouteError::Unserved(route) => format!("no target of {route} can be reached"),
    }
}

/// The part of the name that the pattern's one `*` matches.
fn starred<'n>(pattern: &str, name: &'n str) -> Option<&'n str> {
    let (before, after) = pattern.split_once('*')?;
    name.strip_prefix(before)?.strip_suffix(after)
}
