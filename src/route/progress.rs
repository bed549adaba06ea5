//! Progress of one request through its plan: the next target, and the decision after each failed attempt. Takes the class of a failure,
//! returns a decision and its reason; it waits for nothing and sends nothing.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::attempt::{Decision, FailureClass};
use crate::route::health::RunningCall;
use crate::route::moment::Moment;
use crate::route::plan::{Candidate, Plan};
use crate::route::retry::{RETRY_AFTER_MAX_MS, backoff_ms};
use crate::route::strategy::{self, Turn};

/// An attempt that may be made now.
#[derive(Debug)]
pub struct Step {
    pub candidate: Candidate,
    /// number of the attempt, from 1
    pub attempt: u8,
    /// strategy and the figures that it saw
    pub chosen: Cow<'static, str>,
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
    /// as good as tried: another API key of the same model had a failure that is not the key's
    is_shared: bool,
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
        if let Some(turns) = progress.plan.turns() {
            turns.retries.deposit();
        }
        while let Some((place, chosen)) = progress.choose_first(Turn::First, moment) {
            if progress.set_next(place, chosen, 0, moment) {
                break;
            }
        }
        progress
    }

    /// Time until the bounds of a target leave room for the request; `None` if no bound is in the way.
    pub fn limited_ms(&self, moment: Moment) -> Option<u64> {
        let waits = self
            .plan
            .targets
            .iter()
            .map(|target| target.wait_ms(moment));
        waits.min().filter(|wait_ms| *wait_ms > 0)
    }

    /// The first target: an available one, else an available fallback. If all cool down, the cooldowns do not count: a certain refusal
    /// is no better than a likely one. Bounds of calls per minute always count.
    fn choose_first(&self, turn: Turn, moment: Moment) -> Option<(Place, Cow<'static, str>)> {
        for stage in [Stage::Targets, Stage::Fallbacks] {
            if let Some((index, chosen)) = self.choose(stage, turn, moment) {
                return Some(((stage, index), self.with_absent(chosen, stage, moment)));
            }
        }
        let mut open = self.open(Stage::Targets);
        open.retain(|index| self.plan.targets[*index].has_room(moment));
        let (index, chosen) = self.choose_among(Stage::Targets, &open, turn, moment)?;
        Some((
            (Stage::Targets, index),
            format!("{chosen}; all cool down").into(),
        ))
    }

    /// Wait before the next attempt, if there is one.
    pub fn next_wait(&self) -> Option<Duration> {
        self.next.as_ref().map(|step| step.wait)
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

    /// Returns `true` if the policy allows more than one attempt.
    pub fn has_attempts(&self) -> bool {
        self.plan.policy().max_attempts > 1
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
        let find = |progress: &RouteProgress| match progress.attempts {
            0 => progress.choose_first(Turn::Later, moment),
            _ => {
                let (index, chosen) = progress.choose(stage, Turn::Later, moment)?;
                Some(((stage, index), chosen))
            }
        };
        while let Some((place, chosen)) = find(self) {
            if self.set_next(place, chosen, 0, moment) {
                break;
            }
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
        if let Some(turns) = self.plan.turns()
            && !turns.retries.withdraw(moment.boot_ms)
        {
            return (
                Decision::Exhausted,
                "retry budget of the route used up".to_owned(),
            );
        }
        let decision = self.word(place);
        if self.tries(place).is_some_and(Tries::is_made) {
            self.retries = self.retries.saturating_add(1);
        }
        if !self.set_next(place, chosen, wait_ms, moment) {
            let why = "the target that was left is at its bounds".to_owned();
            return (Decision::Exhausted, why);
        }
        let why = self.next.as_ref().map_or(String::new(), |step| {
            let deployment = step.candidate.deployment();
            let mut target = deployment.qualified();
            if let Some(key) = deployment.key_name() {
                target += &format!(" with key {key}");
            }
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
            class if !self.plan.policy().retry_on.contains(class) => {
                match (self.plan.route(), self.plan.targets.len()) {
                    (Some(_), _) => format!("retry_on does not list {}", class.as_str()),
                    (None, 0 | 1) => "a model called by its own name has one attempt".to_owned(),
                    (None, _) => "another API key would not help".to_owned(),
                }
            }
            _ => return None,
        };
        Some((Decision::GiveUp, why))
    }

    /// The next place: an untried target, a repetition, a fallback.
    fn find_next(
        &mut self,
        failed: FailedAttempt,
        moment: Moment,
    ) -> Option<(Place, Cow<'static, str>, u64)> {
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
        let is_final = failed.class.is_lasting();
        if is_final || after_ms > RETRY_AFTER_MAX_MS {
            self.tries[stage as usize][index].excluded = true;
        }
        if !FailureClass::OF_KEY.contains(&failed.class) {
            self.share_failure((stage, index), is_final);
        }
        if let Some((index, chosen)) = self.choose(stage, Turn::Later, moment) {
            return Some(((stage, index), chosen, 0));
        }
        let may_repeat = self.retries < self.plan.policy().max_retries;
        if may_repeat && let Some((index, chosen)) = self.repeat(stage, moment) {
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

    /// Notes a failure that the other API keys of the same model would have too.
    fn share_failure(&mut self, (stage, index): Place, is_final: bool) {
        let candidates = self.plan.candidates(stage);
        let failed = candidates[index].deployment();
        for (candidate, tries) in candidates.iter().zip(&mut self.tries[stage as usize]) {
            let other = candidate.deployment();
            if failed.provider.api_keys.len() > 1
                && Arc::ptr_eq(&failed.provider, &other.provider)
                && failed.model == other.model
            {
                tries.is_shared = true;
                tries.excluded |= is_final;
            }
        }
    }

    fn fall_back(&self, stage: Stage, moment: Moment) -> Option<(Place, Cow<'static, str>, u64)> {
        let (index, chosen) = self.choose(stage, Turn::Later, moment)?;
        Some(((stage, index), chosen, 0))
    }

    /// Chooses an untried candidate that does not cool down.
    fn choose(
        &self,
        stage: Stage,
        turn: Turn,
        moment: Moment,
    ) -> Option<(usize, Cow<'static, str>)> {
        let candidates = self.plan.candidates(stage);
        let is_available = |index: &usize| candidates[*index].is_available(moment);
        if candidates.len() == 1 {
            let is_open = self.is_open(stage, 0) && is_available(&0);
            return is_open.then(|| self.choose_among(stage, &[0], turn, moment))?;
        }
        let open: Vec<usize> = self.open(stage).into_iter().filter(is_available).collect();
        self.choose_among(stage, &open, turn, moment)
    }

    fn is_open(&self, stage: Stage, index: usize) -> bool {
        let tries = self.tries[stage as usize][index];
        !tries.excluded && !tries.is_made()
    }

    /// Untried candidates.
    fn open(&self, stage: Stage) -> Vec<usize> {
        let places = 0..self.tries[stage as usize].len();
        places.filter(|index| self.is_open(stage, *index)).collect()
    }

    /// The reason of a choice with the number of candidates that could not be chosen.
    fn with_absent(
        &self,
        mut chosen: Cow<'static, str>,
        stage: Stage,
        moment: Moment,
    ) -> Cow<'static, str> {
        let (mut cooling, mut limited) = (0, 0);
        for candidate in self.plan.candidates(stage) {
            match candidate.has_room(moment) {
                true => cooling += usize::from(!candidate.is_available(moment)),
                false => limited += 1,
            }
        }
        for (count, state) in [(cooling, "cooling down"), (limited, "at its bounds")] {
            if count > 0 {
                chosen.to_mut().push_str(&format!("; {count} {state}"));
            }
        }
        chosen
    }

    /// Chooses among the candidates of the first route and its lowest `order`.
    fn choose_among(
        &self,
        stage: Stage,
        open: &[usize],
        turn: Turn,
        moment: Moment,
    ) -> Option<(usize, Cow<'static, str>)> {
        let candidates = self.plan.candidates(stage);
        let first = &candidates[*open.first()?];
        let Some(choice) = first.choice() else {
            return Some((open[0], "the only target".into()));
        };
        let of_route = |index: &usize| candidates[*index].is_of_same_route(first);
        let of_route: Vec<usize> = open.iter().copied().filter(of_route).collect();
        let order = |index: &usize| candidates[*index].target.order;
        let lowest = of_route.iter().map(order).min()?;
        let eligible: Vec<usize> = of_route
            .into_iter()
            .filter(|index| order(index) == lowest)
            .collect();
        let (index, mut chosen) = strategy::choose(choice, candidates, &eligible, turn, moment)?;
        if let Some(key) = candidates[index].deployment().key_name() {
            chosen += &format!("; key {key}");
        }
        Some((index, chosen.into()))
    }

    /// Chooses among the tried candidates that may be tried again: the least tried one.
    fn repeat(&self, stage: Stage, moment: Moment) -> Option<(usize, Cow<'static, str>)> {
        let candidates = self.plan.candidates(stage);
        let tries = self.tries[stage as usize].iter().enumerate();
        let (index, tries) = tries
            .filter(|(index, tries)| !tries.excluded && candidates[*index].has_room(moment))
            .min_by_key(|(_, tries)| tries.attempts)?;
        let mut chosen = format!("tried {} times before", tries.attempts);
        if let Some(key) = candidates[index].deployment().key_name() {
            chosen += &format!("; key {key}");
        }
        Some((index, chosen.into()))
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

    /// Makes the place the next one; `false` if other calls have reached its bounds meanwhile.
    fn set_next(
        &mut self,
        place: Place,
        chosen: Cow<'static, str>,
        wait_ms: u64,
        moment: Moment,
    ) -> bool {
        let (stage, index) = place;
        let candidate = &self.plan.candidates(stage)[index];
        let call = match &candidate.target.health {
            None => None,
            Some(health) => match health.begin(moment.boot_ms, moment.tokens) {
                Some(call) => Some(call),
                None => {
                    self.tries[stage as usize][index].excluded = true;
                    return false;
                }
            },
        };
        self.next = Some(Step {
            candidate: candidate.clone(),
            attempt: self.attempts.saturating_add(1),
            chosen,
            wait: Duration::from_millis(wait_ms),
            call,
        });
        self.next_place = Some(place);
        true
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

impl Tries {
    fn is_made(self) -> bool {
        self.attempts > 0 || self.is_shared
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

#[cfg(test)]
mod tests;
