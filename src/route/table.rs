//! Route table: resolves a requested name to its deployments or an error, in this order: route, alias, route with `*`, model, default
//! route. Built once from the configuration.

use std::sync::Arc;

use crate::config::{Provider, RoutingConfig};
use crate::dialect::behind_alias;
use crate::price::Sheet;
use crate::route::deployment::{Deployment, RouteError};
use crate::route::health::Health;
use crate::route::models::ModelTable;
use crate::route::routes::{Resolution, Route, Routes, Unreachable};

/// All names that clients can ask for.
#[derive(Debug)]
pub struct RouteTable {
    models: ModelTable,
    routes: Routes,
}

impl RouteTable {
    pub fn new(providers: &[Arc<Provider>], sheet: Arc<Sheet>) -> RouteTable {
        RouteTable {
            models: ModelTable::new(providers, sheet),
            routes: Routes::default(),
        }
    }

    /// Adds the routes and aliases of the configuration.
    #[must_use]
    pub fn with_routing(mut self, config: &RoutingConfig) -> RouteTable {
        let mut routes = Routes::new(config, &self.models);
        let mut unreachable = std::mem::take(&mut routes.unreachable);
        self.routes = routes;
        unreachable.extend(self.lost_names(config));
        self.routes.unreachable = unreachable;
        self
    }

    /// The same names with health, turns and retry budgets of their own, all as at the start.
    #[must_use]
    pub fn isolated(&self) -> RouteTable {
        let config = RoutingConfig {
            routes: self
                .all_routes()
                .map(|route| route.config.clone())
                .collect(),
            aliases: self.routes.aliases.clone(),
            probe_interval_ms: self.routes.probe_interval_ms,
        };
        RouteTable {
            routes: Routes::new(&config, &self.models),
            models: self.models.clone(),
        }
    }

    /// Resolves any name that a client may ask for.
    pub fn resolve(&self, asked: &str) -> Result<Resolution, RouteError> {
        if let Some(resolved) = self.named_route(asked) {
            return self.reachable(resolved);
        }
        if let Some(behind) = self.routes.aliases.get(asked) {
            let mut resolved = self.resolve_behind(behind)?;
            resolved.granted_by = resolved.granted_by.with(asked.into());
            return Ok(resolved);
        }
        self.resolve_behind(asked)
    }

    /// Resolves a name that is no alias.
    fn resolve_behind(&self, asked: &str) -> Result<Resolution, RouteError> {
        if let Some(resolved) = self.named_route(asked) {
            return self.reachable(resolved);
        }
        if let Some((route, star)) = self.routes.wildcard(asked) {
            return self.reachable(self.routes.of_route(route, Some(star), &self.models));
        }
        match (
            self.models.resolve_model(asked),
            self.routes.default_route(),
        ) {
            (Ok(deployment), _) => Ok(self.routes.by_own_name(asked, &deployment)),
            (Err(_), Some(route)) => {
                self.reachable(self.routes.of_route(route, Some(asked), &self.models))
            }
            (Err(error), None) => Err(error),
        }
    }

    fn named_route(&self, asked: &str) -> Option<Resolution> {
        let route = self.routes.exact(asked)?;
        Some(self.routes.of_route(route, None, &self.models))
    }

    fn reachable(&self, resolved: Resolution) -> Result<Resolution, RouteError> {
        match (&resolved.route, resolved.targets.is_empty()) {
            (Some(route), true) => Err(RouteError::Unserved(route.config.name.clone())),
            _ => Ok(resolved),
        }
    }

    /// Fallbacks, aliases and targets of mirrors that lead nowhere.
    fn lost_names(&self, config: &RoutingConfig) -> Vec<Unreachable> {
        let fallbacks = config.routes.iter().flat_map(|route| {
            let lists = [
                &route.fallbacks,
                &route.context_fallbacks,
                &route.content_fallbacks,
            ];
            let names = lists.into_iter().flatten();
            names.map(|name| (format!("routes.{}", route.name), name))
        });
        let aliases = config
            .aliases
            .iter()
            .map(|(alias, name)| (format!("aliases.{alias}"), name));
        let lost = |(owner, name): (String, &String)| {
            let error = self.resolve(name).err()?;
            let (name, reason) = (name.clone(), super::routes::reason(&error));
            Some(Unreachable {
                owner,
                name,
                reason,
            })
        };
        let mirrors = config.routes.iter().filter_map(|route| {
            let target = &route.mirror.as_ref()?.target;
            Some((format!("routes.{}.mirror", route.name), target))
        });
        let names = fallbacks.chain(aliases).chain(mirrors);
        names.filter_map(lost).collect()
    }

    /// Targets, fallbacks and aliases of the configuration that no call can reach.
    pub fn unreachable(&self) -> &[Unreachable] {
        &self.routes.unreachable
    }

    /// Health of every target of a route, by name.
    pub fn health(&self) -> impl Iterator<Item = &Arc<Health>> {
        self.routes.all_health()
    }

    /// Routes that clients can ask for by name, sorted.
    pub fn named_routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.named()
    }

    /// All routes, those with `*` too.
    pub fn all_routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.all()
    }

    /// Aliases with the names that they lead to.
    pub fn aliases(&self) -> impl Iterator<Item = (&String, &String)> {
        self.routes.aliases.iter()
    }

    /// Names that clients can ask for besides models: routes without `*` and aliases, sorted.
    pub fn route_names(&self) -> impl Iterator<Item = &str> {
        let routes = self.routes.named().map(|route| route.config.name.as_str());
        let mut names: Vec<&str> = routes.collect();
        names.extend(self.routes.aliases.keys().map(String::as_str));
        names.sort_unstable();
        names.dedup();
        names.into_iter()
    }

    /// Resolves `provider/model` for any model of a configured provider, or a bare name that exactly one provider lists. Routes and aliases
    /// do not count.
    pub fn resolve_model(&self, asked: &str) -> Result<Arc<Deployment>, RouteError> {
        self.models.resolve_model(asked)
    }

    /// Resolves an alias of a model picker to the listed name behind it; a listed name is never an alias.
    pub fn resolve_alias<'a>(&self, asked: &'a str) -> &'a str {
        match behind_alias(asked) {
            Some(name) if self.is_listed(name) && !self.is_listed(asked) => name,
            _ => asked,
        }
    }

    fn is_listed(&self, name: &str) -> bool {
        self.models.is_listed(name)
            || self.routes.exact(name).is_some()
            || self.routes.aliases.contains_key(name)
    }

    /// Configured providers.
    pub fn providers(&self) -> &[Arc<Provider>] {
        self.models.providers()
    }

    /// Source and month of the price sheet.
    pub fn prices_as_of(&self) -> &str {
        self.models.prices_as_of()
    }

    /// Deployment of another model at the same provider, in a tool of the vendor.
    pub fn beside(&self, deployment: &Deployment, model: &str) -> Arc<Deployment> {
        self.models.beside(deployment, model)
    }

    /// Names of models for model lists, sorted: bare if unambiguous, else `provider/model`.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Arc<Deployment>)> {
        self.models.names()
    }

    /// Ambiguous listed names, each with its `provider/model` names.
    pub fn ambiguous(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.models.ambiguous()
    }
}

#[cfg(test)]
pub(super) mod tests;
