//! Progress of one request through its plan: the next target, and the decision after each failed attempt. Takes the class of a failure,
//! returns a decision and its reason; it waits for nothing and sends nothing.

use std::time::Duration;

use crate::domain::attempt::{Decision, FailureClass};
use crate::route::health::RunningCall;
use crate::route::plan::{Candidate, Plan};
use crate::route::retry::{RETRY_AFTER_MAX_MS, backoff_ms};
use crate::route::strategy::{self, Moment, Turn};

/// An attempt that may be made now.
#[derive(Debug)]
pub struct Step {
    pub candidate: Candidate,
    /// number of the attempt, from 1
    pub attempt: u8,
    /// strategy and the figures that it saw
    pub chosen: String,
    /// before the attempt
    pub wait: Duration,
    /// the call at a deployment whose health is known
    pub call: Option<RunningCall>,
}

/// A failed attempt, as far as the decision depends on it.
#[derive(Clone, Copy, Debug)]
pub struct FailedAttempt {
    pub class: FailureClass,
    pub retry_after_s: Option<u64>,
    /// the client has content of the response
    pub content_sent: bool,
}

/// Candidates of one reason, in the plan's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Targets,
    Fallbacks,
    ContextFallbacks,
    ContentFallbacks,
}

/// Place of a candidate.
type Place = (Stage, usize);

#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    attempts: u8,
    /// not again in this request
    excluded: bool,
}

/// State of one request.
#[derive(Debug)]
pub struct RouteProgress {
    plan: Plan,
    tries: [Vec<Tries>; 4],
    current: Option<Place>,
    attempts: u8,
    retries: u8,
    next: Option<Step>,
    next_place: Option<Place>,
}

impl RouteProgress {
    /// Starts at the target that the strategy chooses.
    pub fn new(plan: Plan, moment: Moment) -> RouteProgress {
        let tries = |candidates: &Vec<Candidate>| vec![Tries::default(); candidates.len()];
        let mut progress = RouteProgress {
            tries: [
                tries(&plan.targets),
                tries(&plan.fallbacks),
                tries(&plan.context_fallbacks),
                tries(&plan.content_fallbacks),
            ],
            plan,
            current: None,
            attempts: 0,
            retries: 0,
            next: None,
            next_place: None,
        };
        if let Some(route) = progress.plan.route() {
            route.retries.deposit();
        }
        if let Some((place, chosen)) = progress.choose_first(moment) {
            progress.set_next(place, chosen, 0, moment);
        }
        progress
    }

    /// The first target: an available one, else an available fallback. If all cool down, the cooldowns do not count: a certain refusal
    /// is no better than a likely one.
    fn choose_first(&self, moment: Moment) -> Option<(Place, String)> {
        for stage in [Stage::Targets, Stage::Fallbacks] {
            if let Some((index, chosen)) = self.choose(stage, Turn::First, moment) {
                let cooling = self.cooling(stage, moment);
                return Some(((stage, index), with_cooling(chosen, cooling)));
            }
        }
        let open = self.open(Stage::Targets);
        let (index, chosen) = self.choose_among(Stage::Targets, &open, Turn::First, moment)?;
        Some(((Stage::Targets, index), format!("{chosen}; all cool down")))
    }

    /// The next attempt, if there is one; it counts as made once `begin` is called.
    pub fn take_next(&mut self) -> Option<Step> {
        let step = self.next.take()?;
        self.current = self.next_place.take();
        Some(step)
    }

    /// Counts the attempt of the current step as made.
    pub fn begin(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
        if let Some(tries) = self.current_tries() {
            tries.attempts = tries.attempts.saturating_add(1);
        }
    }

    /// Number of attempts made.
    pub fn attempts(&self) -> u8 {
        self.attempts
    }

    /// Skips the current step, whose target cannot take the request; the next one follows without an attempt.
    pub fn skip(&mut self, moment: Moment) {
        let Some((stage, _)) = self.current else {
            return;
        };
        if let Some(tries) = self.current_tries() {
            tries.excluded = true;
        }
        let stages = match stage {
            Stage::Targets if self.attempts == 0 => &[Stage::Targets, Stage::Fallbacks][..],
            _ => &[stage],
        };
        let next = stages
            .iter()
            .find_map(|stage| Some((*stage, self.choose(*stage, Turn::Later, moment)?)));
        if let Some((stage, (index, chosen))) = next {
            self.set_next((stage, index), chosen, 0, moment);
        }
    }

    /// Decides after a failed attempt; with a decision for another attempt `take_next` returns it.
    pub fn decide(&mut self, failed: FailedAttempt, moment: Moment) -> (Decision, String) {
        if let Some(refusal) = self.final_failure(failed) {
            return refusal;
        }
        let policy = self.plan.policy();
        if self.attempts >= policy.max_attempts {
            let why = format!("max_attempts = {} reached", policy.max_attempts);
            return (Decision::Exhausted, why);
        }
        let Some((place, chosen, wait_ms)) = self.find_next(failed, moment) else {
            let why = "every target and fallback was tried".to_owned();
            return (Decision::Exhausted, why);
        };
        if let Some(route) = self.plan.route()
            && !route.retries.withdraw(moment.boot_ms)
        {
            return (
                Decision::Exhausted,
                "retry budget of the route used up".to_owned(),
            );
        }
        let decision = self.word(place);
        if self.tries(place).is_some_and(|tries| tries.attempts > 0) {
            self.retries = self.retries.saturating_add(1);
        }
        self.set_next(place, chosen, wait_ms, moment);
        let why = self.next.as_ref().map_or(String::new(), |step| {
            let target = step.candidate.deployment().qualified();
            match step.wait.as_millis() {
                0 => format!("{target} follows"),
                wait_ms => format!("{target} follows after {wait_ms} ms"),
            }
        });
        (decision, why)
    }

    /// The decision about a failure that no further attempt can mend.
    fn final_failure(&self, failed: FailedAttempt) -> Option<(Decision, String)> {
        let why = match failed.class {
            _ if failed.content_sent => "content had reached the client".to_owned(),
            FailureClass::Gateway => "the gateway failed".to_owned(),
            FailureClass::BadRequest => "every target would reject the request".to_owned(),
            FailureClass::ContextTooLong | FailureClass::ContentFiltered => return None,
            class if !self.plan.policy().retry_on.contains(class) => match self.plan.route() {
                Some(_) => format!("retry_on does not list {}", class.as_str()),
                None => "a model called by its own name has one attempt".to_owned(),
            },
            _ => return None,
        };
        Some((Decision::GiveUp, why))
    }

    /// The next place: an untried target, a repetition, a fallback.
    fn find_next(&mut self, failed: FailedAttempt, moment: Moment) -> Option<(Place, String, u64)> {
        match failed.class {
            FailureClass::ContextTooLong => {
                return self.fall_back(Stage::ContextFallbacks, moment);
            }
            FailureClass::ContentFiltered => {
                return self.fall_back(Stage::ContentFallbacks, moment);
            }
            _ => {}
        }
        let (stage, index) = self.current?;
        let after_ms = failed.retry_after_s.unwrap_or(0).saturating_mul(1_000);
        let is_final = matches!(
            failed.class,
            FailureClass::BadCredential
                | FailureClass::QuotaExhausted
                | FailureClass::ModelNotFound
        );
        if is_final || after_ms > RETRY_AFTER_MAX_MS {
            self.tries[stage as usize][index].excluded = true;
        }
        if let Some((index, chosen)) = self.choose(stage, Turn::Later, moment) {
            return Some(((stage, index), chosen, 0));
        }
        let may_repeat = self.retries < self.plan.policy().max_retries;
        if may_repeat && let Some((index, chosen)) = self.repeat(stage) {
            let wait_ms = backoff_ms(self.retries + 1, moment.random);
            let is_same = Some((stage, index)) == self.current;
            let wait_ms = if is_same {
                wait_ms.max(after_ms)
            } else {
                wait_ms
            };
            return Some(((stage, index), chosen, wait_ms));
        }
        match stage {
            Stage::Fallbacks => None,
            _ => self.fall_back(Stage::Fallbacks, moment),
        }
    }

    fn fall_back(&self, stage: Stage, moment: Moment) -> Option<(Place, String, u64)> {
        let (index, chosen) = self.choose(stage, Turn::Later, moment)?;
        Some(((stage, index), chosen, 0))
    }

    /// Chooses an untried candidate that does not cool down.
    fn choose(&self, stage: Stage, turn: Turn, moment: Moment) -> Option<(usize, String)> {
        let candidates = self.plan.candidates(stage);
        let is_available = |index: &usize| candidates[*index].is_available(moment.boot_ms);
        let open: Vec<usize> = self.open(stage).into_iter().filter(is_available).collect();
        self.choose_among(stage, &open, turn, moment)
    }

    /// Untried candidates.
    fn open(&self, stage: Stage) -> Vec<usize> {
        let tries = self.tries[stage as usize].iter().enumerate();
        let open = tries.filter(|(_, tries)| !tries.excluded && tries.attempts == 0);
        open.map(|(index, _)| index).collect()
    }

    fn cooling(&self, stage: Stage, moment: Moment) -> usize {
        let candidates = self.plan.candidates(stage).iter();
        let cooling = candidates.filter(|candidate| !candidate.is_available(moment.boot_ms));
        cooling.count()
    }

    /// Chooses among the candidates of the first route and its lowest `order`.
    fn choose_among(
        &self,
        stage: Stage,
        open: &[usize],
        turn: Turn,
        moment: Moment,
    ) -> Option<(usize, String)> {
        let candidates = self.plan.candidates(stage);
        let first = &candidates[*open.first()?];
        let Some(route) = &first.route else {
            return Some((open[0], "the only target".to_owned()));
        };
        let of_route = |index: &usize| candidates[*index].is_of_same_route(first);
        let of_route: Vec<usize> = open.iter().copied().filter(of_route).collect();
        let order = |index: &usize| candidates[*index].target.order;
        let lowest = of_route.iter().map(order).min()?;
        let eligible: Vec<usize> = of_route
            .into_iter()
            .filter(|index| order(index) == lowest)
            .collect();
        strategy::choose(route, candidates, &eligible, turn, moment)
    }

    /// Chooses among the tried candidates that may be tried again: the least tried one.
    fn repeat(&self, stage: Stage) -> Option<(usize, String)> {
        let tries = self.tries[stage as usize].iter().enumerate();
        let (index, tries) = tries
            .filter(|(_, tries)| !tries.excluded)
            .min_by_key(|(_, tries)| tries.attempts)?;
        Some((index, format!("tried {} times before", tries.attempts)))
    }

    /// The word for an attempt at this place after the current one.
    fn word(&self, place: Place) -> Decision {
        let (Some(current), Some(next)) = (
            self.current.and_then(|p| self.candidate(p)),
            self.candidate(place),
        ) else {
            return Decision::NextTarget;
        };
        if Some(place) == self.current {
            Decision::Retry
        } else if next.is_of_same_route(current) {
            Decision::NextTarget
        } else {
            Decision::Fallback
        }
    }

    fn set_next(&mut self, place: Place, chosen: String, wait_ms: u64, moment: Moment) {
        let attempt = self.attempts.saturating_add(1);
        self.next = self.candidate(place).map(|candidate| Step {
            candidate: candidate.clone(),
            attempt,
            chosen,
            wait: Duration::from_millis(wait_ms),
            call: candidate
                .target
                .health
                .as_ref()
                .map(|health| health.begin(moment.boot_ms)),
        });
        self.next_place = Some(place);
    }

    fn candidate(&self, (stage, index): Place) -> Option<&Candidate> {
        self.plan.candidates(stage).get(index)
    }

    fn tries(&self, (stage, index): Place) -> Option<Tries> {
        self.tries[stage as usize].get(index).copied()
    }

    fn current_tries(&mut self) -> Option<&mut Tries> {
        let (stage, index) = self.current?;
        self.tries[stage as usize].get_mut(index)
    }
}

impl Plan {
    fn candidates(&self, stage: Stage) -> &[Candidate] {
        match stage {
            Stage::Targets => &self.targets,
            Stage::Fallbacks => &self.fallbacks,
            Stage::ContextFallbacks => &self.context_fallbacks,
            Stage::ContentFallbacks => &self.content_fallbacks,
        }
    }
}

fn with_cooling(chosen: String, cooling: usize) -> String {
    match cooling {
        0 => chosen,
        cooling => format!("{chosen}; {cooling} cooling down"),
    }
}

#[cfg(test)]
mod tests;
