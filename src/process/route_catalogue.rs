//! Names that lead to a model, for the answers of the control plane, and warnings for names that no call can follow.

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

/// Logs warnings for names that no call can follow.
pub(super) fn warn_of_names(routes: &RouteTable) {
    warn_of_unreachable(routes);
    warn_of_ambiguous(routes);
}

/// Logs a warning for each route target that no call can reach.
fn warn_of_unreachable(routes: &RouteTable) {
    for lost in routes.unreachable() {
        let (owner, name, reason) = (&lost.owner, &lost.name, &lost.reason);
        tracing::warn!(%owner, %name, %reason, "route leads to a model that no call can reach");
    }
}

/// Logs a warning if clients cannot call listed models by their bare names, because several providers list them.
fn warn_of_ambiguous(routes: &RouteTable) {
    let count = routes.ambiguous().count();
    if let Some((name, forms)) = routes.ambiguous().next() {
        tracing::warn!(
            count,
            example = name,
            qualified = %forms.join(", "),
            "model names are ambiguous and refused; set bare_names = false for all but one of the providers"
        );
    }
}
