//! Names that lead to a model, for the answers of the control plane, and a warning for routes that no call can follow.

use std::sync::Arc;

use crate::control::Catalogue;
use crate::route::{RouteCell, RouteTable};

/// Visits every configured name with its provider and model, those of routes too.
pub(super) fn of(routes: Arc<RouteCell>) -> Arc<Catalogue> {
    Arc::new(move |visit: &mut dyn FnMut(&str, &str, &str)| {
        let routes = routes.load();
        for (name, deployment) in routes.names() {
            visit(name, &deployment.provider.name, &deployment.model);
        }
        for name in routes.route_names() {
            for target in routes.resolve(name).iter().flat_map(|found| &found.targets) {
                let deployment = &target.deployment;
                visit(name, &deployment.provider.name, &deployment.model);
            }
        }
    })
}

/// Logs a warning for each route target that no call can reach.
pub(super) fn warn_of_unreachable(routes: &RouteTable) {
    for lost in routes.unreachable() {
        let (owner, name, reason) = (&lost.owner, &lost.name, &lost.reason);
        tracing::warn!(%owner, %name, %reason, "route leads to a model that no call can reach");
    }
}
