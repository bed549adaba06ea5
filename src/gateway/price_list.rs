//! Prices of the models that resolve here.

use std::sync::Arc;

use crate::gateway::Gateway;
use crate::price::{Price, Row};
use crate::route::RouteTable;

/// A model with its price.
#[derive(Clone, Debug)]
pub struct PricedModel {
    /// name that clients ask for
    pub name: String,
    pub provider: String,
    /// name as sent upstream
    pub model: String,
    /// `sheet`, `free`, `own` or `unknown`
    pub source: &'static str,
    /// input, cached input, output in pico-USD per token
    pub rates: Option<[u64; 3]>,
    pub context: Option<u64>,
    pub max_output: Option<u64>,
    /// place whose list prices apply
    pub place: Option<String>,
    /// row of the price sheet
    pub row: Option<Arc<Row>>,
}

impl Gateway {
    /// Listed models with their prices, and source and month of the price sheet.
    pub fn prices(&self) -> (Vec<PricedModel>, String) {
        let routes = self.access.routes.load();
        let as_of = routes.prices_as_of().to_owned();
        (priced_models(&routes), as_of)
    }
}

/// All listed models in the order of their names.
fn priced_models(routes: &RouteTable) -> Vec<PricedModel> {
    routes
        .names()
        .map(|(name, deployment)| PricedModel {
            name: name.to_owned(),
            provider: deployment.provider.name.clone(),
            model: deployment.model.clone(),
            source: source(&deployment.price),
            rates: deployment.price.base_rates(deployment.place.as_deref()),
            context: deployment.price.context(),
            max_output: deployment.price.max_output(),
            place: deployment.place.clone(),
            row: deployment.price.shared_row().cloned(),
        })
        .collect()
}

fn source(price: &Price) -> &'static str {
    match price {
        Price::Sheet(_) => "sheet",
        Price::Free => "free",
        Price::Own(_) => "own",
        Price::Unknown => "unknown",
    }
}
