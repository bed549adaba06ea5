//! Route table: resolves a requested model name to one deployment or an error; never chooses between two providers. Built once
//! from the configuration. Unlisted names are resolved per call and not cached, so that clients cannot make the table grow.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::{PriceSetting, Provider};
use crate::conversation::{Capabilities, ReasoningStyle};
use crate::dialect::behind_alias;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::price::{Factor, Mode, OwnPrice, Price, PricingContext, Sheet, Support};

/// A model at a provider, with its price.
#[derive(Clone, Debug)]
pub struct Deployment {
    pub provider: Arc<Provider>,
    /// model name as sent upstream
    pub model: String,
    pub price: Price,
    /// place whose list prices apply
    pub place: Option<String>,
}

impl Deployment {
    /// Facts that select the card of a call besides its usage.
    pub fn pricing<'a>(&'a self, tier: Option<&'a str>) -> PricingContext<'a> {
        PricingContext {
            tier,
            place: self.place.as_deref(),
            ..PricingContext::default()
        }
    }

    /// Unambiguous name of the deployment: `provider/model`.
    pub fn qualified(&self) -> String {
        format!("{}/{}", self.provider.name, self.model)
    }

    /// Capabilities for requests translated from another dialect: those of the vendor's table without those that the price sheet
    /// excludes.
    pub fn capabilities(&self) -> Capabilities {
        let capabilities = (self.provider.preset.capabilities)(&self.model);
        let Some(row) = self.price.row() else {
            return capabilities;
        };
        // the silence of the sheet is no refusal
        let is_possible = |capability: &str| row.capability(capability) != Support::No;
        Capabilities {
            images: capabilities.images && is_possible("vision"),
            documents: capabilities.documents && is_possible("pdf"),
            json_schema: capabilities.json_schema && is_possible("json_schema"),
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
}

impl RouteTable {
    pub fn new(providers: &[Arc<Provider>], sheet: Arc<Sheet>) -> RouteTable {
        let mut table = RouteTable {
            providers: providers.to_vec(),
            sheet,
            listed: HashMap::new(),
            ambiguous: BTreeMap::new(),
            names: Vec::new(),
        };
        for name in table.bare_names() {
            table.add_name(name);
        }
        table.names.sort_by(|(one, _), (other, _)| one.cmp(other));
        table
    }

    /// Resolves `provider/model` for any model of a configured provider, or a bare name that exactly one provider lists. Both may
    /// contain slashes; `provider/model` takes precedence.
    pub fn resolve(&self, asked: &str) -> Result<Arc<Deployment>, RouteError> {
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
            Some(name) if self.listed.contains_key(name) && !self.listed.contains_key(asked) => {
                name
            }
            _ => asked,
        }
    }

    /// Configured providers.
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// Source and month of the price sheet.
    pub fn prices_as_of(&self) -> &str {
        &self.sheet.as_of
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
        let entry = provider.price_entry(model);
        Arc::new(Deployment {
            place: entry
                .and_then(|entry| entry.place.clone())
                .or_else(|| provider.place.clone()),
            price: self.price(provider, model),
            provider: provider.clone(),
            model: model.to_owned(),
        })
    }

    /// Price of a model of a provider: the operator's entry for it over the provider's price.
    fn price(&self, provider: &Provider, model: &str) -> Price {
        let listed = provider.priced_as.get(model).map_or(model, String::as_str);
        let row = sheet_vendor(provider).and_then(|vendor| self.sheet.find(vendor, listed));
        let entry = provider.price_entry(model);
        let factor = entry.map_or(Factor::ONE, |entry| entry.factor);
        let own = |rates| OwnPrice {
            rates,
            factor,
            row: row.clone(),
            is_reported: provider.price == PriceSetting::Reported,
        };
        match (entry.and_then(|entry| entry.rates), provider.price) {
            (Some(rates), _) => Price::Own(Arc::new(own(Some(rates)))),
            (None, PriceSetting::Own(rates)) if provider.fixed_price_covers(model) => {
                Price::Own(Arc::new(own(Some(rates))))
            }
            (None, PriceSetting::Own(_)) => Price::Unknown,
            (None, PriceSetting::Reported) => Price::Own(Arc::new(own(None))),
            (None, PriceSetting::Free) => Price::Free,
            (None, PriceSetting::Sheet(_)) => match row.clone() {
                None => Price::Unknown,
                Some(row) if factor == Factor::ONE => Price::Sheet(row),
                Some(_) => Price::Own(Arc::new(own(None))),
            },
        }
    }

    /// Deployment of another model at the same provider, in a tool of the vendor.
    pub fn beside(&self, deployment: &Deployment, model: &str) -> Arc<Deployment> {
        self.deployment(&deployment.provider, model)
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
        PriceSetting::Free | PriceSetting::Own(_) | PriceSetting::Reported => None,
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
mod tests;
