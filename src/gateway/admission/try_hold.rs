//! One try of a claim: output cap, ceiling and tokens are computed from what the budgets have left now, then the ledger takes
//! everything or nothing. Never waits.

use crate::auth::directory::Caller;
use crate::domain::api_error::ApiError;
use crate::domain::ceiling::CeilingFactor;
use crate::domain::id::BudgetId;
use crate::domain::input_bound::InputBound;
use crate::domain::money::Money;
use crate::domain::usage::Usage;
use crate::gateway::admission::control::AdmissionControl;
use crate::gateway::admission::output_cap::{self, CapDecision};
use crate::gateway::admission::plan::Admission;
use crate::gateway::admission::queue::QueueTicket;
use crate::gateway::admission::refusal;
use crate::gateway::call::MaxCost;
use crate::gateway::rate_limit_headers;
use crate::gateway::request::{UNKNOWN_MODEL_TOKENS, known_members};
use crate::meter::estimates::TextSize;
use crate::meter::{Claim, HoldDenial, HoldError, HoldGrant, Tokens};

/// Result of one try that took no hold.
pub(super) enum AdmissionError {
    /// fits once holds of this budget settle
    Wait(BudgetId),
    /// the budgets or limits above the caller have changed
    Stale,
    Refused(ApiError),
}

impl AdmissionControl {
    /// Tries the claim once. `ticket` is the request's place in a queue, if it waits.
    pub(super) fn try_hold(
        &self,
        admission: &Admission,
        ticket: Option<&QueueTicket<'_>>,
    ) -> Result<(HoldGrant, CapDecision), AdmissionError> {
        let mut claim = admission.claim();
        let (request, bounds) = (&admission.request, &admission.bounds);
        let deployment = admission.deployment();
        let factor = (self.ceilings).factor(&deployment.provider.name, &deployment.model);
        let tightest = self.ledger.tightest_budget(&claim);
        let tightest = tightest.map(|tightest| tightest.fitting(factor));
        let cap = output_cap::choose(request, bounds, deployment, tightest, self.overrun)
            .and_then(
                |cap| match MaxCost::of(admission.max_cost, &admission.caller) {
                    Some(most) => {
                        let amount = factor.fitting(most.amount);
                        let most = MaxCost { amount, ..most };
                        output_cap::within(cap, most, request, bounds, deployment, self.overrun)
                    }
                    None => Ok(cap),
                },
            )
            .map(|cap| cap.multiplied(factor))
            .map_err(AdmissionError::Refused)?;
        if cap.binding && admission.needs_known_members() {
            let ruled_out = (self.ceilings).members(&deployment.provider.name, &deployment.model);
            known_members::check(request, admission.endpoint, deployment, &ruled_out)
                .map_err(AdmissionError::Refused)?;
        }
        claim.hold.ceiling = cap.ceiling;
        if !claim.limits.is_empty() {
            claim.tokens = self.claimed_tokens(admission, &cap);
        }
        claim.hold.progress.cost = self.input_cost(admission).min(cap.ceiling);
        if let Some(budget) = self.blocked_by_queue(&claim, ticket) {
            // a denial that no wait can lift is told at once all the same
            let checked = self.ledger.check_hold(&claim);
            checked.or_else(|error| match self.denied(admission, error, &cap) {
                AdmissionError::Wait(_) => Ok(()),
                refused => Err(refused),
            })?;
            return Err(AdmissionError::Wait(budget));
        }
        let held = self.ledger.hold(claim);
        held.map_err(|error| self.denied(admission, error, &cap))
            .map(|grant| (grant, cap))
    }

    /// Refuses a request whose text alone no budget or limit has room for, or will have once other calls settle. Takes nothing
    /// and never refuses what [`Self::try_hold`] would grant.
    pub(super) fn look(&self, admission: &Admission) -> Result<(), ApiError> {
        let mut claim = admission.claim();
        let text = InputBound {
            text_bytes: admission.bounds.input.text_bytes,
            ..InputBound::default()
        };
        let (price, tier) = (
            &admission.deployment().price,
            admission.request.service_tier.as_deref(),
        );
        // the operator's ceiling per request may be lower than that of the text
        let configured = admission.deployment().provider.request_ceiling.is_some();
        let ceiling = price.input_ceiling(&text, tier);
        claim.hold.ceiling = ceiling.ok().filter(|_| !configured).unwrap_or(Money::ZERO);
        if !claim.limits.is_empty() {
            claim.tokens.input = self.estimated_input(admission);
        }
        let cap = CapDecision {
            write: None,
            tokens: None,
            ceiling: claim.hold.ceiling,
            guessed: false,
            binding: true,
            factor: CeilingFactor::ONE,
        };
        let looked = self.ledger.check_hold(&claim);
        looked.or_else(|error| match self.denied(admission, error, &cap) {
            AdmissionError::Refused(error) => Err(self.with_remainder(admission, error)),
            AdmissionError::Wait(_) | AdmissionError::Stale => Ok(()),
        })
    }

    /// Refuses a caller whose limits or budgets over all models are used up. Takes nothing.
    pub(in crate::gateway) fn look_at_caller(&self, caller: &Caller) -> Result<(), ApiError> {
        match self.ledger.check_used_up(&caller.budgets, &caller.limits) {
            Ok(()) => Ok(()),
            Err(HoldDenial::Exceeded { budget, status, .. }) => Err(refusal::budget_used_up(
                caller,
                &budget,
                &status,
                self.ledger.zone(),
            )),
            Err(HoldDenial::RateLimited(hit)) => {
                let owner = caller.describe_owner(hit.limit.owner);
                Err(rate_limit_headers::refused(&hit, &owner))
            }
            Err(_) => Ok(()),
        }
    }

    /// Returns a budget of this claim whose first waiter may no longer be passed. Zero-cost requests bypass the queue.
    fn blocked_by_queue(
        &self,
        claim: &Claim<'_>,
        ticket: Option<&QueueTicket<'_>>,
    ) -> Option<BudgetId> {
        if self.queue.waiting() == 0 || claim.hold.ceiling.is_zero() {
            return None;
        }
        self.queue
            .blocked(&self.ledger.blocking_budgets(claim), ticket)
    }

    fn denied(&self, admission: &Admission, error: HoldError, cap: &CapDecision) -> AdmissionError {
        let denial = match error {
            HoldError::Denied(denial) => denial,
            HoldError::NotLogged(error) => {
                return AdmissionError::Refused(refusal::ledger_unavailable(&error));
            }
        };
        match denial {
            HoldDenial::Held { budget, .. } => AdmissionError::Wait(budget.id),
            HoldDenial::Exceeded {
                budget,
                status,
                alerts,
            } => {
                self.alerts.send(alerts);
                let zone = self.ledger.zone();
                let error = refusal::budget_exceeded(admission, cap, &budget, &status, zone);
                AdmissionError::Refused(error)
            }
            HoldDenial::RateLimited(hit) => {
                let owner = admission.caller.describe_owner(hit.limit.owner);
                AdmissionError::Refused(rate_limit_headers::refused(&hit, &owner))
            }
            HoldDenial::Stale => AdmissionError::Stale,
            HoldDenial::Duplicate => duplicate_hold(),
        }
    }

    /// Tokens that the rate limits are asked for: the estimate of the text and the output cap of every choice. Media counts
    /// once the vendor has counted it.
    fn claimed_tokens(&self, admission: &Admission, cap: &CapDecision) -> Tokens {
        let output = cap.tokens.unwrap_or(UNKNOWN_MODEL_TOKENS);
        Tokens {
            input: self.estimated_input(admission),
            output: output.saturating_mul(admission.request.choices),
        }
    }

    /// Cost of the estimated input: what the call is booked at if nothing more is heard of it.
    fn input_cost(&self, admission: &Admission) -> Money {
        let usage = Usage {
            uncached_in: self.estimated_input(admission),
            ..Usage::default()
        };
        let tier = admission.request.service_tier.as_deref();
        let deployment = admission.deployment();
        let total = deployment.price.total(&usage, deployment.pricing(tier));
        total.unwrap_or(Money::ZERO)
    }

    fn estimated_input(&self, admission: &Admission) -> u64 {
        let (provider, model) = (
            &admission.deployment().provider.name,
            &admission.deployment().model,
        );
        let text = TextSize {
            bytes: admission.bounds.input.text_bytes,
            cjk_chars: 0,
        };
        self.estimates.tokens(provider, model, text)
    }
}

fn duplicate_hold() -> AdmissionError {
    AdmissionError::Refused(ApiError::defect("a hold was requested twice"))
}
