//! How much output a call may have: what the client named, or what the gateway chooses where it named nothing, and what
//! that comes to at worst. Pure arithmetic over the request, the price and the tightest budget above the caller.

use crate::config::Overrun;
use crate::conversation::ANSWER_TOKENS_AFTER_THINKING;
use crate::dialect::Request;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::input_bound::InputBound;
use crate::domain::money::Money;
use crate::meter::TightestBudget;
use crate::price::{CeilingError, Price};
use crate::route::Deployment;

/// The gateway's own choice is never smaller: an answer that is cut off there is worth less than a wait.
const FLOOR_TOKENS: u64 = 256;
/// A model that reasons spends its first thousands of tokens on that.
const FLOOR_REASONING_TOKENS: u64 = 4_096;
/// The choice for a model whose longest answer is not known.
pub(crate) const UNKNOWN_MODEL_TOKENS: u64 = 4_096;

/// What a claim holds, and what is written into the upstream request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CapDecision {
    /// written upstream; `None` leaves the client's bytes alone
    pub write: Option<u64>,
    /// the most output that was reckoned with, where anything bounds it
    pub tokens: Option<u64>,
    pub ceiling: Money,
    /// nothing above the caller blocks, and the call has no worst case: the ceiling is only a guess
    pub guessed: bool,
}

/// Chooses the cap and its ceiling. Refuses what cannot be priced or bounded where a budget blocks.
pub(crate) fn choose(
    request: &Request,
    deployment: &Deployment,
    tightest: Option<TightestBudget>,
    overrun: Overrun,
) -> Result<CapDecision, ApiError> {
    let chosen = CapPolicy {
        request,
        deployment,
    };
    let Some(tightest) = tightest else {
        return Ok(chosen.unblocked());
    };
    let (tokens, write) = match request.output_cap {
        Some(cap) if overrun == Overrun::Refuse => (cap.tokens, None),
        Some(cap) => {
            let clamped = chosen.clamped(cap.tokens, tightest.now)?;
            (clamped, (clamped != cap.tokens).then_some(clamped))
        }
        None => match chosen.own_choice(tightest.now)? {
            Some(tokens) => (tokens, Some(tokens)),
            // output costs nothing: there is nothing to bound
            None => (0, None),
        },
    };
    let ceiling = chosen.ceiling(tokens)?;
    Ok(CapDecision {
        write,
        tokens: Some(tokens).filter(|tokens| *tokens > 0),
        ceiling,
        guessed: false,
    })
}

struct CapPolicy<'a> {
    request: &'a Request,
    deployment: &'a Deployment,
}

impl CapPolicy<'_> {
    fn price(&self) -> &Price {
        &self.deployment.price
    }

    fn tier(&self) -> Option<&str> {
        self.request.service_tier.as_deref()
    }

    /// Nothing blocks: what the client named stands, and the hold is as good a guess as there is.
    fn unblocked(&self) -> CapDecision {
        let named = self.request.output_cap.map(|cap| cap.tokens);
        let tokens = named
            .or(self.price().max_output())
            .unwrap_or(UNKNOWN_MODEL_TOKENS);
        let ceiling = self.price().ceiling(
            &self.request.input,
            tokens,
            self.request.choices,
            self.tier(),
        );
        let guessed = ceiling.is_err();
        CapDecision {
            write: None,
            tokens: named,
            guessed,
            ceiling: ceiling.unwrap_or_else(|_| self.guess(tokens)),
        }
    }

    /// What a call without a worst case may come to: what the operator set for it, else what can be reckoned of it.
    fn guess(&self, tokens: u64) -> Money {
        if !self.price().is_known() {
            return Money::ZERO;
        }
        let claimed_tokens = InputBound {
            documents: 0,
            searches: 0,
            unbounded: None,
            ..self.request.input.clone()
        };
        let ceiling = |tier| {
            self.price()
                .ceiling(&claimed_tokens, tokens, self.request.choices, tier)
                .ok()
        };
        let set = self.deployment.provider.request_ceiling;
        set.or_else(|| ceiling(self.tier()))
            .or_else(|| ceiling(None))
            .unwrap_or(Money::ZERO)
    }

    /// The worst case in money; a limit per request that the operator set stands in where there is none.
    fn ceiling(&self, tokens: u64) -> Result<Money, ApiError> {
        let ceiling = self.price().ceiling(
            &self.request.input,
            tokens,
            self.request.choices,
            self.tier(),
        );
        self.or_operators(ceiling)
    }

    fn or_operators(&self, ceiling: Result<Money, CeilingError>) -> Result<Money, ApiError> {
        match (ceiling, self.deployment.provider.request_ceiling) {
            (Ok(ceiling), _) => Ok(ceiling),
            (Err(CeilingError::Unbounded(_)), Some(set)) => Ok(set),
            (Err(no_ceiling), _) => Err(self.no_ceiling(&no_ceiling)),
        }
    }

    /// What the client named, lowered to what is left, but not below what makes sense.
    fn clamped(&self, named: u64, left: Money) -> Result<u64, ApiError> {
        let affordable = self.affordable(left)?;
        Ok(named.min(affordable.max(self.least())))
    }

    /// The smallest cap that makes sense: thoughts and an answer.
    fn least(&self) -> u64 {
        self.request
            .thinking_budget
            .map_or(FLOOR_TOKENS, |thinking| {
                thinking.saturating_add(ANSWER_TOKENS_AFTER_THINKING)
            })
    }

    /// The smaller of the model's longest answer and what a quarter of the remainder buys after the input.
    fn own_choice(&self, left: Money) -> Result<Option<u64>, ApiError> {
        let input =
            self.or_operators(self.price().input_ceiling(&self.request.input, self.tier()))?;
        let rest = left.minus(input).max(Money::ZERO);
        let quarter = Money::from_pico(rest.pico() / 4);
        let affordable = self.affordable(input.plus(quarter))?;
        if affordable == u64::MAX {
            return Ok(None);
        }
        let floor = if self.price().supports_reasoning() {
            FLOOR_REASONING_TOKENS.max(self.least())
        } else {
            self.least()
        };
        let longest = self.price().max_output().unwrap_or(UNKNOWN_MODEL_TOKENS);
        Ok(Some(affordable.max(floor).min(longest)))
    }

    fn affordable(&self, room: Money) -> Result<u64, ApiError> {
        let affordable = self.price().affordable_output(
            &self.request.input,
            self.request.choices,
            self.tier(),
            room,
        );
        match (affordable, self.deployment.provider.request_ceiling) {
            (Ok(tokens), _) => Ok(tokens),
            // the operator's limit per request does not depend on the output
            (Err(CeilingError::Unbounded(_)), Some(_)) => Ok(u64::MAX),
            (Err(no_ceiling), _) => Err(self.no_ceiling(&no_ceiling)),
        }
    }

    fn no_ceiling(&self, no_ceiling: &CeilingError) -> ApiError {
        let name = self.deployment.qualified();
        let provider = &self.deployment.provider.name;
        match no_ceiling {
            CeilingError::Unpriced => ApiError::new(
                ErrorCode::PriceUnknown,
                format!(
                    "no price is known for {name}, and a budget above this key blocks; \
                     set `price` under [providers.{provider}] or use a priced model"
                ),
            ),
            CeilingError::Unbounded(why) => ApiError::new(
                ErrorCode::CostUnbounded,
                format!(
                    "nothing bounds what this request can cost ({why}), and a budget above this key blocks; \
                     leave it out, or set `request_ceiling` under [providers.{provider}]"
                ),
            ),
        }
        .with_param("model")
    }
}
