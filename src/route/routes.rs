//! Routes and aliases of the configuration: names that lead to other names or to several deployments. Built once; a route with `*`
//! resolves its targets per call, so that clients cannot make the table grow.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::{RouteConfig, RoutingConfig, TargetConfig};
use crate::route::deployment::{Deployment, RouteError};
use crate::route::health::Health;
use crate::route::models::ModelTable;
use crate::route::retry::RetryBudget;
use crate::route::weighted::WeightedTurn;

/// A route with the state that its calls share.
#[derive(Debug)]
pub struct Route {
    pub config: RouteConfig,
    /// changes with every setting of the route
    version: [u8; 32],
    pub(super) first_turn: WeightedTurn,
    /// apart, so that failures do not shift the shares of first attempts
    pub(super) later_turn: WeightedTurn,
    pub(super) retries: RetryBudget,
    /// by place
    targets: Vec<RouteTarget>,
}

/// A target as configured, with the state that its calls share.
#[derive(Debug)]
struct RouteTarget {
    /// `None` in a route with `*`, and for a target that cannot be reached
    deployment: Option<Arc<Deployment>>,
    health: Arc<Health>,
}

/// A deployment as the target of a name.
#[derive(Clone, Debug)]
pub struct Target {
    pub deployment: Arc<Deployment>,
    /// place in the list of the route
    pub place: usize,
    pub weight: u32,
    pub order: u32,
    /// `None` for a model that is the target of no route
    pub health: Option<Arc<Health>>,
}

/// Result of resolving a name.
#[derive(Clone, Debug)]
pub struct Resolution {
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
    /// health of every target, shared by the routes that lead to it
    health: BTreeMap<String, Arc<Health>>,
}

impl Routes {
    pub fn new(config: &RoutingConfig, table: &ModelTable) -> Routes {
        let mut routes = Routes {
            aliases: config.aliases.clone(),
            ..Routes::default()
        };
        for config in &config.routes {
            let route = Arc::new(routes.build(config, table));
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

    fn build(&mut self, config: &RouteConfig, table: &ModelTable) -> Route {
        let targets = config.targets.iter();
        let targets: Vec<RouteTarget> = targets
            .map(|target| self.build_target(config, target, table))
            .collect();
        Route {
            first_turn: WeightedTurn::new(targets.len()),
            later_turn: WeightedTurn::new(targets.len()),
            retries: RetryBudget::default(),
            version: version(config),
            config: config.clone(),
            targets,
        }
    }

    fn build_target(
        &mut self,
        route: &RouteConfig,
        target: &TargetConfig,
        table: &ModelTable,
    ) -> RouteTarget {
        let found = if route.name.contains('*') {
            table.check_target(&target.model).map(|()| None)
        } else {
            table.resolve_model(&target.model).map(Some)
        };
        let deployment = found.unwrap_or_else(|error| {
            self.unreachable.push(Unreachable {
                owner: format!("routes.{}", route.name),
                name: target.model.clone(),
                reason: reason(&error),
            });
            None
        });
        let name = deployment
            .as_ref()
            .map_or_else(|| target.model.clone(), |deployment| deployment.qualified());
        let health = self
            .health
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Health::new(name)));
        RouteTarget {
            deployment,
            health: health.clone(),
        }
    }

    /// Health of a deployment that is the target of a route.
    pub fn health(&self, deployment: &Deployment) -> Option<&Arc<Health>> {
        if self.health.is_empty() {
            return None;
        }
        self.health.get(&deployment.qualified())
    }

    /// Health of every target, by name.
    pub fn all_health(&self) -> impl Iterator<Item = &Arc<Health>> {
        self.health.values()
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
    /// Hash of all settings of the route.
    pub fn version(&self) -> &[u8; 32] {
        &self.version
    }

    /// Targets with their deployments; `star` is the part of the name that the route's `*` matched.
    pub(super) fn targets(&self, star: Option<&str>, table: &ModelTable) -> Vec<Target> {
        let places = self.config.targets.iter().zip(&self.targets).enumerate();
        let target = |(place, (config, own)): (usize, (&TargetConfig, &RouteTarget))| {
            let deployment = match (&own.deployment, star) {
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
                health: Some(own.health.clone()),
            })
        };
        places.filter_map(target).collect()
    }
}

fn version(config: &RouteConfig) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{config:?}").as_bytes());
    let mut version = [0; 32];
    version.copy_from_slice(digest.as_ref());
    version
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
