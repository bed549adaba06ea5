//! Route table: resolves a requested name to its deployments or an error, in this order: route, alias, route with `*`, model, default
//! route. Without a route it never chooses between two providers. Built once from the configuration. Unlisted names are resolved per
//! call and not cached, so that clients cannot make the table grow.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::{PriceSetting, Provider, RoutingConfig};
use crate::conversation::{Capabilities, ReasoningStyle};
use crate::dialect::behind_alias;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::price::{Mode, Price, Sheet};
use crate::route::routes::{Resolved, Route, Routes, Target, Unreachable};

/// A model at a provider, with its price.
#[derive(Clone, Debug)]
pub struct Deployment {
    pub provider: Arc<Provider>,
    /// model name as sent upstream
    pub model: String,
    pub price: Price,
}

impl Deployment {
    /// Unambiguous name of the deployment: `provider/model`.
    pub fn qualified(&self) -> String {
        format!("{}/{}", self.provider.name, self.model)
    }

    /// Capabilities for requests translated from another dialect: those of the vendor's table without those that the price sheet
    /// excludes.
    pub fn capabilities(&self) -> Capabilities {
        let capabilities = (self.provider.preset.capabilities)(&self.model);
        let Price::Sheet(row) = &self.price else {
            return capabilities;
        };
        Capabilities {
            images: capabilities.images && row.has_capability("vision"),
            documents: capabilities.documents && row.has_capability("pdf"),
            json_schema: capabilities.json_schema && row.has_capability("json_schema"),
            reasoning: if row.supports_reasoning() {
                capabilities.reasoning
            } else {
                ReasoningStyle::None
            },
            ..capabilities
        }
    }
}

/// Reason why a name resolves to no deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// no configured provider lists it
    Unknown,
    /// several providers list it; contains the `provider/model` names
    Ambiguous(Vec<String>),
    /// it leads to a route, named here, of which no target can be reached
    Unserved(String),
}

/// All configured model names with their deployments.
#[derive(Debug)]
pub struct RouteTable {
    providers: Vec<Arc<Provider>>,
    sheet: Arc<Sheet>,
    listed: HashMap<String, Arc<Deployment>>,
    ambiguous: BTreeMap<String, Vec<String>>,
    /// names for model lists, sorted
    names: Vec<(String, Arc<Deployment>)>,
    routes: Routes,
}

impl RouteTable {
    pub fn new(providers: &[Arc<Provider>], sheet: Arc<Sheet>) -> RouteTable {
        let mut table = RouteTable {
            providers: providers.to_vec(),
            sheet,
            listed: HashMap::new(),
            ambiguous: BTreeMap::new(),
            names: Vec::new(),
            routes: Routes::default(),
        };
        for name in table.bare_names() {
            table.add_name(name);
        }
        table.names.sort_by(|(one, _), (other, _)| one.cmp(other));
        table
    }

    /// Adds the routes and aliases of the configuration.
    #[must_use]
    pub fn with_routing(mut self, config: &RoutingConfig) -> RouteTable {
        let mut routes = Routes::new(config, &self);
        let mut unreachable = std::mem::take(&mut routes.unreachable);
        self.routes = routes;
        unreachable.extend(self.lost_names(config));
        self.routes.unreachable = unreachable;
        self
    }

    /// Resolves any name that a client may ask for.
    pub fn resolve(&self, asked: &str) -> Result<Resolved, RouteError> {
        if let Some(resolved) = self.named_route(asked) {
            return self.reachable(resolved);
        }
        if let Some(behind) = self.routes.aliases.get(asked) {
            let mut resolved = self.resolve_behind(behind)?;
            resolved.granted_by.push(asked.to_owned());
            return Ok(resolved);
        }
        self.resolve_behind(asked)
    }

    /// Resolves a name that is no alias.
    fn resolve_behind(&self, asked: &str) -> Result<Resolved, RouteError> {
        if let Some(resolved) = self.named_route(asked) {
            return self.reachable(resolved);
        }
        if let Some((route, star)) = self.routes.wildcard(asked) {
            return self.reachable(self.of_route(route, Some(star)));
        }
        match (self.resolve_model(asked), self.routes.default_route()) {
            (Ok(deployment), _) => Ok(Resolved {
                route: None,
                granted_by: vec![asked.to_owned()],
                targets: vec![Target {
                    deployment,
                    place: 0,
                    weight: 1,
                    order: 0,
                }],
            }),
            (Err(_), Some(route)) => self.reachable(self.of_route(route, Some(asked))),
            (Err(error), None) => Err(error),
        }
    }

    fn named_route(&self, asked: &str) -> Option<Resolved> {
        let route = self.routes.exact(asked)?;
        Some(self.of_route(route, None))
    }

    fn of_route(&self, route: &Arc<Route>, star: Option<&str>) -> Resolved {
        Resolved {
            // a name that a `*` matched grants nothing: the client chose it
            granted_by: vec![route.config.name.clone()],
            targets: route.targets(star, self),
            route: Some(route.clone()),
        }
    }

    fn reachable(&self, resolved: Resolved) -> Result<Resolved, RouteError> {
        match (&resolved.route, resolved.targets.is_empty()) {
            (Some(route), true) => Err(RouteError::Unserved(route.config.name.clone())),
            _ => Ok(resolved),
        }
    }

    /// Fallbacks and aliases that lead nowhere.
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
        fallbacks.chain(aliases).filter_map(lost).collect()
    }

    /// Targets, fallbacks and aliases of the configuration that no call can reach.
    pub fn unreachable(&self) -> &[Unreachable] {
        &self.routes.unreachable
    }

    /// Routes that clients can ask for by name, sorted.
    pub fn named_routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.named()
    }

    /// All routes, those with `*` too.
    pub fn all_routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.all()
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

    /// Checks the provider of a target with `*`, whose model is known only once a name matched.
    pub(super) fn check_target(&self, model: &str) -> Result<(), RouteError> {
        match self.split_qualified(model) {
            Some(_) => Ok(()),
            None if model.starts_with('*') => Ok(()),
            None => self.resolve_model(model).map(drop),
        }
    }

    /// Resolves `provider/model` for any model of a configured provider, or a bare name that exactly one provider lists. Both may
    /// contain slashes; `provider/model` takes precedence.
    pub fn resolve_model(&self, asked: &str) -> Result<Arc<Deployment>, RouteError> {
        if let Some(deployment) = self.listed.get(asked) {
            return Ok(deployment.clone());
        }
        if let Some((provider, model)) = self.split_qualified(asked) {
            return Ok(self.deployment(provider, model));
        }
        if let Some(forms) = self.ambiguous.get(asked) {
            return Err(RouteError::Ambiguous(forms.clone()));
        }
        let candidates = self.candidates(asked);
        match candidates.as_slice() {
            [] => Err(RouteError::Unknown),
            [only] => Ok(only.clone()),
            several => Err(RouteError::Ambiguous(qualified_names(several))),
        }
    }

    /// Resolves an alias of a model picker to the listed name behind it; a listed name is never an alias.
    pub fn resolve_alias<'a>(&self, asked: &'a str) -> &'a str {
        match behind_alias(asked) {
            Some(name) if self.is_listed(name) && !self.is_listed(asked) => name,
            _ => asked,
        }
    }

    fn is_listed(&self, name: &str) -> bool {
        self.listed.contains_key(name)
            || self.routes.exact(name).is_some()
            || self.routes.aliases.contains_key(name)
    }

    /// Names for model lists, sorted: bare if unambiguous, else `provider/model`.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Arc<Deployment>)> {
        self.names
            .iter()
            .map(|(name, deployment)| (name.as_str(), deployment))
    }

    /// Ambiguous listed names, each with its `provider/model` names.
    pub fn ambiguous(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.ambiguous
            .iter()
            .map(|(name, forms)| (name.as_str(), forms.as_slice()))
    }

    fn bare_names(&self) -> BTreeSet<String> {
        let of_sheet = |provider: &Arc<Provider>| {
            let rows = sheet_vendor(provider)
                .into_iter()
                .flat_map(|vendor| self.sheet.models(vendor));
            rows.filter(|row| is_offered(row.mode))
                .map(|row| row.model.clone())
        };
        self.providers
            .iter()
            .flat_map(|provider| {
                of_sheet(provider).chain(
                    provider
                        .models
                        .iter()
                        .chain(provider.priced_as.keys())
                        .cloned(),
                )
            })
            .collect()
    }

    /// Adds a listed name with its deployments.
    fn add_name(&mut self, name: String) {
        let candidates = self.candidates(&name);
        for deployment in &candidates {
            self.listed
                .insert(deployment.qualified(), deployment.clone());
        }
        // a bare name that reads as `provider/model` of another provider is reachable only by its full name
        let shadowed = self.split_qualified(&name).is_some();
        match candidates.as_slice() {
            [only] if !shadowed => {
                self.listed.insert(name.clone(), only.clone());
                self.names.push((name, only.clone()));
            }
            several => {
                self.names.extend(
                    several
                        .iter()
                        .map(|deployment| (deployment.qualified(), deployment.clone())),
                );
                if !shadowed {
                    self.ambiguous.insert(name, qualified_names(several));
                }
            }
        }
    }

    /// Deployments of all providers that list the bare name, in configuration order.
    fn candidates(&self, name: &str) -> Vec<Arc<Deployment>> {
        self.providers
            .iter()
            .filter(|provider| self.lists(provider, name))
            .map(|provider| self.deployment(provider, name))
            .collect()
    }

    fn lists(&self, provider: &Provider, name: &str) -> bool {
        let row = || sheet_vendor(provider).and_then(|vendor| self.sheet.find(vendor, name));
        let in_sheet = || row().is_some_and(|row| is_offered(row.mode));
        provider
            .models
            .iter()
            .chain(provider.priced_as.keys())
            .any(|listed| listed == name)
            || in_sheet()
    }

    /// Splits `provider/model` if the provider is configured.
    fn split_qualified<'a>(&self, asked: &'a str) -> Option<(&Arc<Provider>, &'a str)> {
        // a model name of dots only would traverse the path of the upstream URL
        let (name, model) = asked
            .split_once('/')
            .filter(|(_, model)| model.bytes().any(|byte| byte != b'.'))?;
        self.providers
            .iter()
            .find(|provider| provider.name == name)
            .map(|provider| (provider, model))
    }

    fn deployment(&self, provider: &Arc<Provider>, model: &str) -> Arc<Deployment> {
        let price = match provider.price {
            PriceSetting::Sheet(vendor) => {
                let listed = provider.priced_as.get(model).map_or(model, String::as_str);
                self.sheet
                    .find(vendor, listed)
                    .map_or(Price::Unknown, Price::Sheet)
            }
            PriceSetting::Free => Price::Free,
            PriceSetting::Fixed { input, output } if provider.fixed_price_covers(model) => {
                Price::Fixed { input, output }
            }
            PriceSetting::Fixed { .. } => Price::Unknown,
        };
        Arc::new(Deployment {
            provider: provider.clone(),
            model: model.to_owned(),
            price,
        })
    }
}

/// Returns true if models of this mode are listed by bare name, because an endpoint serves them.
fn is_offered(mode: Mode) -> bool {
    matches!(mode, Mode::Chat | Mode::Responses | Mode::Embedding)
}

/// Vendor whose price sheet rows apply to the provider; `None` if it has other prices.
fn sheet_vendor(provider: &Provider) -> Option<&'static str> {
    match provider.price {
        PriceSetting::Sheet(vendor) => Some(vendor),
        PriceSetting::Free | PriceSetting::Fixed { .. } => None,
    }
}

fn qualified_names(deployments: &[Arc<Deployment>]) -> Vec<String> {
    deployments
        .iter()
        .map(|deployment| deployment.qualified())
        .collect()
}

impl RouteError {
    /// API error for the client.
    pub fn to_api_error(&self, asked: &str) -> ApiError {
        let asked = truncate(asked);
        match self {
            RouteError::Unknown => ApiError::new(
                ErrorCode::ModelNotFound,
                format!(
                    "unknown model `{asked}`: no configured provider lists it; use a model of GET /v1/models or the form \
                     `provider/model`"
                ),
            ),
            RouteError::Unserved(route) => ApiError::new(
                ErrorCode::ModelNotFound,
                format!("model `{asked}` unavailable: no target of route `{}` can be reached; ask an administrator", truncate(route)),
            ),
            RouteError::Ambiguous(forms) => {
                let forms: Vec<String> = forms.iter().map(|form| format!("`{}`", truncate(form))).collect();
                ApiError::new(
                    ErrorCode::ModelAmbiguous,
                    format!("ambiguous model `{asked}`: several providers list it; use {}", forms.join(" or ")),
                )
            }
        }
        .with_param("model")
    }
}

/// Cuts a name to a length that fits a message; clients may send megabytes.
fn truncate(name: &str) -> &str {
    const CHARS_MAX: usize = 128;
    name.char_indices()
        .nth(CHARS_MAX)
        .map_or(name, |(end, _)| &name[..end])
}

#[cfg(test)]
pub(super) mod tests;
