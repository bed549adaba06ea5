//! Resolution of a name for one key: every target and fallback, with the reason where the key may not use it.

use crate::auth::directory::Caller;
use crate::domain::api_error::ApiError;
use crate::gateway::Gateway;
use crate::route::{Candidate, Resolution, RouteTable};

/// A name as one key sees it.
#[derive(Clone, Debug)]
pub struct ResolvedName {
    pub route: Option<String>,
    pub strategy: Option<&'static str>,
    pub targets: Vec<ResolvedTarget>,
}

/// A target or fallback.
#[derive(Clone, Debug)]
pub struct ResolvedTarget {
    /// `targets`, `fallbacks`, `context_fallbacks` or `content_fallbacks`
    pub list: &'static str,
    /// name in the list, or the one that was asked for
    pub name: String,
    /// `provider/model`; `None` for a fallback that leads nowhere
    pub deployment: Option<String>,
    pub weight: Option<u32>,
    pub order: Option<u32>,
    /// why it is left out
    pub reason: Option<String>,
}

impl Gateway {
    /// Resolves a name as the data plane does for this key.
    pub fn resolve_for(&self, caller: &Caller, asked: &str) -> Result<ResolvedName, ApiError> {
        let routes = self.access.routes.load();
        let resolved = routes
            .resolve(asked)
            .map_err(|error| error.to_api_error(asked))?;
        let route = resolved.route.clone();
        let granted = |candidate: &Candidate| self.access.check_granted(caller, asked, candidate);
        let mut targets = of_list("targets", asked, resolved, granted);
        let config = route.as_ref().map(|route| &route.config);
        if let Some(config) = config {
            let lists = [
                ("fallbacks", &config.fallbacks),
                ("context_fallbacks", &config.context_fallbacks),
                ("content_fallbacks", &config.content_fallbacks),
            ];
            for (list, names) in lists {
                for name in names {
                    let granted =
                        |candidate: &Candidate| self.access.check_granted(caller, name, candidate);
                    targets.extend(fallback(&routes, list, name, granted));
                }
            }
        }
        Ok(ResolvedName {
            route: config.map(|config| config.name.clone()),
            strategy: config.map(|config| config.strategy.as_str()),
            targets,
        })
    }
}

fn of_list(
    list: &'static str,
    name: &str,
    resolved: Resolution,
    granted: impl Fn(&Candidate) -> Result<(), ApiError>,
) -> Vec<ResolvedTarget> {
    let target = |candidate: Candidate| ResolvedTarget {
        list,
        name: name.to_owned(),
        deployment: Some(candidate.deployment().qualified()),
        weight: Some(candidate.target.weight),
        order: Some(candidate.target.order),
        reason: granted(&candidate).err().map(|error| error.message),
    };
    resolved.into_candidates().map(target).collect()
}

fn fallback(
    routes: &RouteTable,
    list: &'static str,
    name: &str,
    granted: impl Fn(&Candidate) -> Result<(), ApiError>,
) -> Vec<ResolvedTarget> {
    match routes.resolve(name) {
        Ok(resolved) => of_list(list, name, resolved, granted),
        Err(error) => vec![ResolvedTarget {
            list,
            name: name.to_owned(),
            deployment: None,
            weight: None,
            order: None,
            reason: Some(error.to_api_error(name).message),
        }],
    }
}
