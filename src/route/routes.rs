//! Routes and aliases of the configuration: names that lead to other names or to several deployments. Built once; a route with `*`
//! resolves its targets per call, so that clients cannot make the table grow.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::{CallTimeouts, Provider, RouteConfig, RoutingConfig, TargetConfig};
use crate::domain::provider_key::DeploymentLimits;
use crate::route::deployment::{Deployment, RouteError};
use crate::route::granting_names::GrantingNames;
use crate::route::health::Health;
use crate::route::models::ModelTable;
use crate::route::turns::{SHARE_PARTS, Turns};

/// A route with the state that its calls share.
#[derive(Debug)]
pub struct Route {
    pub config: RouteConfig,
    /// as in the configuration
    name: Arc<str>,
    /// changes with every setting of the route
    version: [u8; 32],
    pub(super) turns: Turns,
    /// by place
    targets: Vec<RouteTarget>,
}

/// A target as configured, with the state that its calls share.
#[derive(Debug)]
struct RouteTarget {
    /// one per API key; none in a route with `*`, and for a target that cannot be reached
    deployments: Vec<Arc<Deployment>>,
    /// by number of the API key
    health: Vec<Arc<Health>>,
}

/// A deployment as the target of a name.
#[derive(Clone, Debug)]
pub struct Target {
    pub deployment: Arc<Deployment>,
    /// place in the list of the route
    pub place: usize,
    /// place in the turns of the name
    pub(super) turn: usize,
    /// of the target
    pub weight: u32,
    /// weight of this deployment, among several API keys a part of the target's
    pub(super) share: u64,
    pub order: u32,
    pub timeouts: CallTimeouts,
    /// `None` for a model that is the target of no route
    pub health: Option<Arc<Health>>,
}

/// Result of resolving a name.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// `None` for a model that is called by its own name
    pub route: Option<Arc<Route>>,
    /// turns of the API keys of such a model, if there are several
    pub(super) pool: Option<Arc<Turns>>,
    /// names that grant every target, besides the target's own: what the client asked for, and the route behind it
    pub granted_by: GrantingNames,
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
    /// health of every target, by number of the API key; shared by the names that lead to it
    health: BTreeMap<String, Vec<Arc<Health>>>,
    /// turns of the API keys of each provider with several
    pools: HashMap<String, Arc<Turns>>,
    /// most API keys that any provider has
    keys_max: usize,
    pub probe_interval_ms: u64,
}

impl Routes {
    pub fn new(config: &RoutingConfig, table: &ModelTable) -> Routes {
        let mut routes = Routes {
            aliases: config.aliases.clone(),
            keys_max: keys_max(table),
            probe_interval_ms: config.probe_interval_ms,
            ..Routes::default()
        };
        for provider in table.providers() {
            routes.add_provider(provider, table);
        }
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

    /// Models of a provider with several API keys, or with bounds, have a health although they may be the target of no route. Those that
    /// the configuration does not list share one.
    fn add_provider(&mut self, provider: &Arc<Provider>, table: &ModelTable) {
        let keys = provider.api_keys.len();
        if keys > 1 {
            let turns = Arc::new(Turns::new(keys));
            self.pools.insert(provider.name.clone(), turns);
        }
        let has_bounds = |deployment: &Arc<Deployment>| deployment.limits().is_bounded();
        let names = provider.models.iter().map(String::as_str);
        for model in names.chain(std::iter::once("*")) {
            let qualified = format!("{}/{model}", provider.name);
            let Ok(deployment) = table.resolve_model(&qualified) else {
                continue;
            };
            let deployments = deployment.with_each_key();
            if keys > 1 || deployments.iter().any(has_bounds) {
                self.health_of(&qualified, &deployments, DeploymentLimits::default());
            }
        }
    }

    /// Health of each of these deployments of one model, with bounds beside their own.
    fn health_of(
        &mut self,
        name: &str,
        deployments: &[Arc<Deployment>],
        limits: DeploymentLimits,
    ) -> Vec<Arc<Health>> {
        let known = self.health.entry(name.to_owned()).or_default();
        for deployment in deployments.iter().skip(known.len()) {
            let key = deployment.key_name().map(str::to_owned);
            let health = Health::new(name.to_owned(), key, self.probe_interval_ms);
            known.push(Arc::new(health));
        }
        for (health, deployment) in known.iter().zip(deployments) {
            health.tighten(limits.tightened(deployment.limits()));
        }
        known.clone()
    }

    fn build(&mut self, config: &RouteConfig, table: &ModelTable) -> Route {
        let targets = config.targets.iter();
        let targets: Vec<RouteTarget> = targets
            .map(|target| self.build_target(config, target, table))
            .collect();
        Route {
            turns: Turns::new(targets.len() * self.keys_max),
            version: version(config),
            name: config.name.as_str().into(),
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
        let has_star = route.name.contains('*');
        let found = if has_star {
            table.check_target(&target.model).map(|()| Vec::new())
        } else {
            table
                .resolve_model(&target.model)
                .map(|deployment| deployment.with_each_key())
        };
        let deployments = found.unwrap_or_else(|error| {
            self.unreachable.push(Unreachable {
                owner: format!("routes.{}", route.name),
                name: target.model.clone(),
                reason: reason(&error),
            });
            Vec::new()
        });
        // the keys of a target with `*` are those of its provider
        let of_pattern = table.resolve_model(&target.model).ok();
        let of_pattern = of_pattern.map_or(Vec::new(), |deployment| deployment.with_each_key());
        let (name, of_target) = match deployments.first() {
            Some(first) => (first.qualified(), &deployments),
            None => (target.model.clone(), &of_pattern),
        };
        let mut health = self.health_of(&name, of_target, target.limits);
        if health.is_empty() {
            let only = Arc::new(Health::new(name.clone(), None, self.probe_interval_ms));
            only.tighten(target.limits);
            self.health.insert(name, vec![only.clone()]);
            health.push(only);
        }
        RouteTarget {
            deployments,
            health,
        }
    }

    /// Health of a deployment that is the target of a route, or whose provider has several API keys or bounds.
    fn health(&self, deployment: &Deployment) -> Option<&Arc<Health>> {
        if self.health.is_empty() {
            return None;
        }
        let named = self.health.get(&deployment.qualified());
        let named = named.or_else(|| self.health.get(&format!("{}/*", deployment.provider.name)));
        named?.get(deployment.key)
    }

    /// The model itself as the target of a call by its own name, once per API key.
    pub fn by_own_name(&self, asked: &str, deployment: &Arc<Deployment>) -> Resolution {
        let target = |deployment: Arc<Deployment>| Target {
            place: 0,
            turn: deployment.key,
            weight: 1,
            share: deployment.key_share(SHARE_PARTS),
            order: 0,
            timeouts: CallTimeouts::default(),
            health: self.health(&deployment).cloned(),
            deployment,
        };
        Resolution {
            route: None,
            pool: self.pools.get(&deployment.provider.name).cloned(),
            granted_by: GrantingNames::new(deployment.names.asked(asked)),
            targets: match deployment.provider.api_keys.len() {
                0 | 1 => vec![target(deployment.clone())],
                _ => deployment.with_each_key().into_iter().map(target).collect(),
            },
        }
    }

    /// The targets of a route; `star` is the part of the name that its `*` matched.
    pub fn of_route(
        &self,
        route: &Arc<Route>,
        star: Option<&str>,
        table: &ModelTable,
    ) -> Resolution {
        Resolution {
            // a name that a `*` matched grants nothing: the client chose it
            granted_by: GrantingNames::new(route.name.clone()),
            targets: route.targets(star, self.keys_max, table),
            route: Some(route.clone()),
            pool: None,
        }
    }

    /// Health of every target, by name.
    pub fn all_health(&self) -> impl Iterator<Item = &Arc<Health>> {
        self.health.values().flatten()
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

    /// Health of the deployments of each target, in the order of the list.
    pub fn health(&self) -> impl Iterator<Item = (&TargetConfig, &[Arc<Health>])> {
        let targets = self.targets.iter().map(|target| target.health.as_slice());
        self.config.targets.iter().zip(targets)
    }

    /// Targets with their deployments; `star` is the part of the name that the route's `*` matched.
    fn targets(&self, star: Option<&str>, keys_max: usize, table: &ModelTable) -> Vec<Target> {
        let mut targets = Vec::with_capacity(self.targets.len());
        for (place, (config, own)) in self.config.targets.iter().zip(&self.targets).enumerate() {
            let found;
            let deployments = match (own.deployments.is_empty(), star) {
                (false, _) => &own.deployments,
                (true, Some(star)) => {
                    let model = config.model.replacen('*', star, 1);
                    found = table
                        .resolve_model(&model)
                        .map_or(Vec::new(), |deployment| deployment.with_each_key());
                    &found
                }
                (true, None) => continue,
            };
            let weight = u64::from(config.weight);
            targets.extend(deployments.iter().map(|deployment| {
                Target {
                    place,
                    turn: place * keys_max + deployment.key,
                    weight: config.weight,
                    share: match keys_max {
                        0 | 1 => weight,
                        _ => deployment.key_share(weight * SHARE_PARTS),
                    },
                    order: config.order,
                    timeouts: config.timeouts,
                    health: own
                        .health
                        .get(deployment.key)
                        .or(own.health.last())
                        .cloned(),
                    deployment: deployment.clone(),
                }
            }));
        }
        targets
    }
}

fn keys_max(table: &ModelTable) -> usize {
    let providers = table.providers().iter();
    let keys = providers.map(|provider| provider.api_keys.len());
    keys.max().unwrap_or(0).max(1)
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
