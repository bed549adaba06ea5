//! Plan of one request: the targets that may serve it, and those of its fallbacks. Every candidate has passed the allow-lists; the plan
//! chooses none.

use std::sync::Arc;

use crate::config::{RetryPolicy, Strategy};
use crate::domain::money::Money;
use crate::route::deployment::Deployment;
use crate::route::routes::{Resolution, Route, Target};

/// A target that may serve the request.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub target: Target,
    /// `None` for a model that is called by its own name
    pub route: Option<Arc<Route>>,
    /// names by which an allow-list may grant the target, besides its own
    pub granted_by: Arc<[String]>,
    /// most that this request can cost there, for routes that choose by price
    pub ceiling: Option<Money>,
}

/// Candidates by the reason that makes them eligible.
#[derive(Debug, Default)]
pub struct Plan {
    pub targets: Vec<Candidate>,
    pub fallbacks: Vec<Candidate>,
    pub context_fallbacks: Vec<Candidate>,
    pub content_fallbacks: Vec<Candidate>,
}

impl Candidate {
    pub fn deployment(&self) -> &Arc<Deployment> {
        &self.target.deployment
    }

    pub(super) fn is_available(&self, boot_ms: u64) -> bool {
        let health = self.target.health.as_ref();
        health.is_none_or(|health| health.is_available(boot_ms))
    }

    /// Name of the route; empty without one.
    pub fn route_name(&self) -> &str {
        self.route
            .as_ref()
            .map_or("", |route| route.config.name.as_str())
    }

    /// Returns `true` if both are targets of one route, or of one model called by name.
    pub(super) fn is_of_same_route(&self, other: &Candidate) -> bool {
        match (&self.route, &other.route) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => {
                self.target.deployment.qualified() == other.target.deployment.qualified()
            }
            _ => false,
        }
    }
}

impl Plan {
    /// Policy of the route that was asked for.
    pub(super) fn policy(&self) -> RetryPolicy {
        self.route()
            .map_or_else(RetryPolicy::single, |route| route.config.retry)
    }

    /// Notes what the request can cost at most at each target, if the route chooses by price.
    pub fn note_ceilings(&mut self, ceiling: impl Fn(&Deployment) -> Option<Money>) {
        let lists = [&mut self.targets, &mut self.fallbacks];
        for candidate in lists.into_iter().flatten() {
            let route = candidate.route.as_ref();
            if route.is_some_and(|route| route.config.strategy == Strategy::Cheapest) {
                candidate.ceiling = ceiling(&candidate.target.deployment);
            }
        }
    }

    /// Returns `true` if a conversation keeps its target.
    pub fn has_affinity(&self) -> bool {
        self.route().is_some_and(|route| route.config.affinity)
    }

    /// The route that was asked for.
    pub fn route(&self) -> Option<&Arc<Route>> {
        self.targets.first()?.route.as_ref()
    }
}

impl Resolution {
    /// The targets as candidates, all of which are granted by the same names.
    pub fn into_candidates(self) -> impl Iterator<Item = Candidate> {
        let granted_by: Arc<[String]> = self.granted_by.into();
        let route = self.route;
        self.targets.into_iter().map(move |target| Candidate {
            target,
            route: route.clone(),
            granted_by: granted_by.clone(),
            ceiling: None,
        })
    }
}
