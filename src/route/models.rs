//! Model table: resolves `provider/model`, or a bare name that one provider lists, to one deployment; never chooses between two
//! providers. Built once from the configuration. Unlisted names are resolved per call and not cached, so that clients cannot make
//! the table grow.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::{PriceSetting, Provider};
use crate::price::sheet::is_price_of_fine_tunes;
use crate::price::{Factor, Mode, OwnPrice, Price, Sheet};
use crate::route::deployment::{Deployment, DeploymentNames, RouteError};

/// All configured model names with their deployments.
#[derive(Clone, Debug)]
pub(super) struct ModelTable {
    providers: Vec<Arc<Provider>>,
    sheet: Arc<Sheet>,
    listed: HashMap<String, Arc<Deployment>>,
    ambiguous: BTreeMap<String, Vec<String>>,
    /// names for model lists, sorted
    names: Vec<(String, Arc<Deployment>)>,
}

impl ModelTable {
    pub fn new(providers: &[Arc<Provider>], sheet: Arc<Sheet>) -> ModelTable {
        let mut table = ModelTable {
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

    /// Checks the provider of a target with `*`, whose model is known only once a name matched.
    pub fn check_target(&self, model: &str) -> Result<(), RouteError> {
        match self.split_qualified(model) {
            Some(_) => Ok(()),
            None if model.starts_with('*') => Ok(()),
            None => self.resolve_model(model).map(drop),
        }
    }

    /// Resolves `provider/model` for any model of a configured provider, or a bare name that exactly one provider lists under bare
    /// names. Both may contain slashes; `provider/model` takes precedence.
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
        let mut candidates = self.candidates(asked);
        candidates.retain(|deployment| deployment.provider.bare_names);
        match candidates.as_slice() {
            [] => Err(RouteError::Unknown),
            [only] => Ok(only.clone()),
            several => Err(RouteError::Ambiguous(qualified_names(several))),
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

    /// Returns true for a name that a provider lists.
    pub fn is_listed(&self, name: &str) -> bool {
        self.listed.contains_key(name)
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
            rows.filter(|row| is_offered(row.mode) && !is_price_of_fine_tunes(&row.model))
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
        let (bare, mut qualified): (Vec<_>, Vec<_>) = candidates
            .into_iter()
            .partition(|deployment| deployment.provider.bare_names);
        match bare.as_slice() {
            [only] if !shadowed => {
                self.listed.insert(name.clone(), only.clone());
                self.names.push((name, only.clone()));
            }
            several => {
                if several.len() > 1 && !shadowed {
                    self.ambiguous.insert(name, qualified_names(several));
                }
                qualified.extend(bare);
            }
        }
        let qualified = qualified.into_iter();
        self.names
            .extend(qualified.map(|deployment| (deployment.qualified(), deployment)));
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
        let in_sheet =
            || !is_price_of_fine_tunes(name) && row().is_some_and(|row| is_offered(row.mode));
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
            key: 0,
            names: DeploymentNames::new(provider, model),
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
pub(super) fn is_offered(mode: Mode) -> bool {
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
