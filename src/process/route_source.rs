//! Source of the route table: providers and routes of the configuration, and the price sheet. Each of them can be replaced while the
//! process runs; the table is then made again and put in force.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{Config, Provider, RoutingConfig};
use crate::price::Sheet;
use crate::process::route_catalogue;
use crate::route::{RouteCell, RouteTable};

/// Inputs of the table, and the table in force.
pub(super) struct RouteSource {
    pub routes: Arc<RouteCell>,
    inputs: Mutex<Inputs>,
}

struct Inputs {
    providers: Vec<Arc<Provider>>,
    routing: RoutingConfig,
    sheet: Arc<Sheet>,
}

impl Inputs {
    fn table(&self) -> RouteTable {
        let routes = RouteTable::new(&self.providers, self.sheet.clone());
        let routes = routes.with_routing(&self.routing);
        route_catalogue::warn_of_names(&routes);
        routes
    }
}

impl RouteSource {
    pub fn new(config: &Config, sheet: Arc<Sheet>) -> RouteSource {
        let inputs = Inputs {
            providers: config.providers.clone(),
            routing: config.routing.clone(),
            sheet,
        };
        RouteSource {
            routes: Arc::new(RouteCell::new(inputs.table())),
            inputs: Mutex::new(inputs),
        }
    }

    /// Puts providers and routes of a configuration in force.
    pub fn set_config(&self, config: &Config) {
        self.change(|inputs| {
            inputs.providers = config.providers.clone();
            inputs.routing = config.routing.clone();
        });
    }

    /// Puts a price sheet in force.
    pub fn set_sheet(&self, sheet: Arc<Sheet>) {
        tracing::info!(as_of = %sheet.as_of, "price sheet in force");
        self.change(|inputs| inputs.sheet = sheet);
    }

    /// The lock is held until the table is in force, so that of two changes the later one wins.
    fn change(&self, change: impl FnOnce(&mut Inputs)) {
        let mut inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut inputs);
        self.routes.replace(inputs.table());
    }
}
