//! Plan of one request: the targets that may serve it, and those of its fallbacks. Every candidate has passed the allow-lists; the plan
//! chooses none.

use std::sync::Arc;

use crate::config::{CallTimeouts, RetryPolicy, Strategy};
use crate::domain::money::Money;
use crate::route::deployment::Deployment;
use crate::route::granting_names::GrantingNames;
use crate::route::moment::Moment;
use crate::route::routes::{Resolution, Route, Target};
use crate::route::turns::Turns;

/// A target that may serve the request.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub target: Target,
    /// `None` for a model that is called by its own name
    pub route: Option<Arc<Route>>,
    /// turns of the API keys of such a model, if there are several
    pub(super) pool: Option<Arc<Turns>>,
    /// names by which an allow-list may grant the target, besides its own
    pub granted_by: GrantingNames,
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

    /// The candidate as one whose calls no health counts.
    #[must_use]
    pub fn without_health(mut self) -> Candidate {
        self.target.health = None;
        self
    }

    /// Returns `true` if the target neither cools down nor is at its bounds.
    pub(super) fn is_available(&self, moment: Moment) -> bool {
        let health = self.target.health.as_ref();
        health.is_none_or(|health| {
            health.is_available(moment.boot_ms) && health.has_room(moment.boot_ms, moment.tokens)
        })
    }

    /// Returns `true` if the target's bounds leave room for the request.
    pub(super) fn has_room(&self, moment: Moment) -> bool {
        let health = self.target.health.as_ref();
        health.is_none_or(|health| health.has_room(moment.boot_ms, moment.tokens))
    }

    /// Time until the target's bounds leave room for the request.
    pub(super) fn wait_ms(&self, moment: Moment) -> u64 {
        let health = self.target.health.as_ref();
        health.map_or(0, |health| health.wait_ms(moment.boot_ms, moment.tokens))
    }

    /// Strategy and turns of the choice among targets of the same name; `None` if there is nothing to choose.
    pub(super) fn choice(&self) -> Option<(Strategy, &Turns)> {
        match (&self.route, &self.pool) {
            (Some(route), _) => Some((route.config.strategy, &route.turns)),
            (None, Some(pool)) => Some((Strategy::Weighted, pool)),
            (None, None) => None,
        }
    }

    /// Timeouts of the target, else of its route, else of its provider.
    pub fn timeouts(&self) -> CallTimeouts {
        let route = self.route.as_ref().map(|route| route.config.timeouts);
        let wider = route.unwrap_or_default();
        let wider = wider.or(self.deployment().provider.timeouts);
        self.target.timeouts.or(wider)
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
        match (self.route(), self.targets.len()) {
            (Some(route), _) => route.config.retry,
            (None, 0 | 1) => RetryPolicy::single(),
            (None, _) => RetryPolicy::of_keys(),
        }
    }

    /// Turns and retry budget of the name that was asked for.
    pub(super) fn turns(&self) -> Option<&Turns> {
        let (_, turns) = self.targets.first()?.choice()?;
        Some(turns)
    }

    /// Notes what the request can cost at most at each target, if the route chooses by price.
    pub fn note_ceilings(&mut self, ceiling: impl Fn(&Deployment) -> Option<Money>) {
        let lists = [
            &mut self.targets,
            &mut self.fallbacks,
            &mut self.context_fallbacks,
            &mut self.content_fallbacks,
        ];
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
        let (route, pool, granted_by) = (self.route, self.pool, self.granted_by);
        self.targets.into_iter().map(move |target| Candidate {
            target,
            route: route.clone(),
            pool: pool.clone(),
            granted_by: granted_by.clone(),
            ceiling: None,
        })
    }
}
