//! Output cap and ceiling of a request: the cap is the client's, or the gateway's own choice where the client names none.
//! Pure arithmetic over the request, its bounds, the price and the tightest budget above the caller.

use crate::config::Overrun;
use crate::conversation::ANSWER_TOKENS_AFTER_THINKING;
use crate::dialect::Request;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::ceiling::CeilingFactor;
use crate::domain::input_bound::InputBound;
use crate::domain::money::Money;
use crate::gateway::call::MaxCost;
use crate::gateway::request::UNKNOWN_MODEL_TOKENS;
use crate::gateway::request::fitting::CapBounds;
use crate::meter::TightestBudget;
use crate::price::{CeilingError, Price, PricingContext};
use crate::route::Deployment;

/// Smallest cap of the gateway's own choice: a shorter answer is worth less than a wait.
const FLOOR_TOKENS: u64 = 256;
/// The same for a reasoning model, which spends its first thousands of tokens on reasoning.
const FLOOR_REASONING_TOKENS: u64 = 4_096;

/// Bounds of what a deployment receives; they differ from the client's request where it is translated.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct RequestBounds {
    pub input: InputBound,
    /// fewest tokens that the model is told to think with
    pub thinking_budget: Option<u64>,
    /// most that the models cost which tools of the vendor run inside the call
    pub second_models: Result<Money, UnboundedTool>,
    /// bounds that the vendor sets to the output cap, where the gateway may change it
    pub cap: CapBounds,
}

/// Tool of the vendor that runs a model whose cost nothing bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct UnboundedTool {
    pub tool: String,
    pub model: String,
    pub why: String,
}

impl RequestBounds {
    /// Notes that the vendor chooses the model or adds tools by this name.
    pub fn set_open_name(&mut self, name: &str) {
        self.input.unbounded.get_or_insert_with(|| {
            format!("by the name `{name}` the vendor chooses the model or adds paid tools")
        });
    }
}

/// Output cap of one attempt and the ceiling that follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct CapDecision {
    /// cap to write into the upstream request; `None` leaves the client's bytes alone
    pub write: Option<u64>,
    /// output tokens behind the ceiling, where anything bounds them
    pub tokens: Option<u64>,
    pub ceiling: Money,
    /// no budget blocks and the request has no worst case: the ceiling is a guess
    pub guessed: bool,
    /// a budget blocks: what the vendor is sent must keep to the ceiling
    pub binding: bool,
    /// factor in the ceiling, after a bill that was higher
    pub factor: CeilingFactor,
}

impl CapDecision {
    /// The decision with a multiplied ceiling.
    pub(super) fn multiplied(self, factor: CeilingFactor) -> CapDecision {
        CapDecision {
            ceiling: factor.times(self.ceiling),
            factor,
            ..self
        }
    }
}

/// Chooses the cap and its ceiling. Refuses what cannot be priced or bounded where a budget blocks.
pub(super) fn choose(
    request: &Request,
    bounds: &RequestBounds,
    deployment: &Deployment,
    tightest: Option<TightestBudget>,
    overrun: Overrun,
) -> Result<CapDecision, ApiError> {
    let policy = CapPolicy {
        request,
        bounds,
        deployment,
    };
    let Some(tightest) = tightest else {
        return Ok(policy.unblocked());
    };
    let second_models = policy.second_models()?;
    let left = tightest.now.minus(second_models);
    let (tokens, write) = match policy.named() {
        Some((named, write)) if overrun == Overrun::Refuse => (named, write),
        Some((named, write)) => {
            let clamped = policy.clamp(named, left)?;
            (clamped, (clamped != named).then_some(clamped).or(write))
        }
        None => match policy.own_choice(left)? {
            Some(tokens) => (tokens, Some(tokens)),
            // output is free of charge: there is nothing to bound
            None => (0, None),
        },
    };
    let ceiling = policy.ceiling(tokens)?.plus(second_models);
    Ok(CapDecision {
        write,
        tokens: Some(tokens).filter(|tokens| *tokens > 0),
        ceiling,
        guessed: false,
        binding: true,
        factor: CeilingFactor::ONE,
    })
}

/// Lowers the cap so that the request costs at most what a header or setting allows; refuses it where that is not possible or, for a
/// cap of the client's own, not wanted.
pub(super) fn within(
    cap: CapDecision,
    most: MaxCost,
    request: &Request,
    bounds: &RequestBounds,
    deployment: &Deployment,
    overrun: Overrun,
) -> Result<CapDecision, ApiError> {
    let policy = CapPolicy {
        request,
        bounds,
        deployment,
    };
    // without a cap, the model's longest answer
    let longest = || {
        deployment
            .price
            .max_output()
            .unwrap_or(UNKNOWN_MODEL_TOKENS)
    };
    let wanted = cap.tokens.unwrap_or_else(longest);
    let second_models = policy.second_models()?;
    let bound = policy.ceiling(wanted)?.plus(second_models);
    if bound <= most.amount && !cap.guessed {
        return Ok(cap);
    }
    let left = most.amount.minus(second_models);
    let affordable = policy.affordable(left)?.min(wanted.max(1));
    let ceiling = policy.ceiling(affordable)?.plus(second_models);
    let may_lower = request.output_cap.is_none() || overrun == Overrun::Clamp;
    let is_unchanged = request
        .output_cap
        .is_some_and(|named| named.tokens == affordable);
    if ceiling > most.amount || affordable == 0 || !(may_lower || is_unchanged) {
        return Err(too_dear(bound, most));
    }
    Ok(CapDecision {
        write: (!is_unchanged).then_some(affordable),
        tokens: Some(affordable),
        ceiling,
        guessed: false,
        binding: true,
        factor: CeilingFactor::ONE,
    })
}

fn too_dear(bound: Money, MaxCost { amount, param }: MaxCost) -> ApiError {
    let message = format!(
        "the request may cost ${bound}, and {param} allows ${amount}; name a smaller max_tokens or allow more"
    );
    ApiError::new(ErrorCode::BudgetExceeded, message).with_param(param)
}

/// Most that the request can cost at a deployment, by the client's own output cap or the model's longest answer; `None` where nothing
/// bounds it. For comparing targets only.
pub(in crate::gateway) fn ceiling_at(request: &Request, deployment: &Deployment) -> Option<Money> {
    let price = &deployment.price;
    let named = request.output_cap.map(|cap| cap.tokens);
    let tokens = named.or(price.max_output()).unwrap_or(UNKNOWN_MODEL_TOKENS);
    let pricing = deployment.pricing(request.service_tier.as_deref());
    price
        .ceiling(&request.input, tokens, request.choices, pricing)
        .ok()
}

struct CapPolicy<'a> {
    request: &'a Request,
    bounds: &'a RequestBounds,
    deployment: &'a Deployment,
}

impl CapPolicy<'_> {
    fn price(&self) -> &Price {
        &self.deployment.price
    }

    fn pricing(&self) -> PricingContext<'_> {
        let tier = self.request.service_tier.as_deref();
        self.deployment.pricing(tier)
    }

    /// Most that the second models cost. The operator's ceiling per request does not stand in for it.
    fn second_models(&self) -> Result<Money, ApiError> {
        self.bounds.second_models.clone().map_err(|unbounded| {
            let UnboundedTool { tool, model, why } = unbounded;
            let message = format!(
                "nothing bounds what the model {model} in the tool {tool} can cost ({why}), and a budget above this key blocks; \
                 limit the tool, or leave it out"
            );
            ApiError::new(ErrorCode::CostUnbounded, message).with_param("tools")
        })
    }

    /// The client's cap within the vendor's bounds, and the cap to write if they changed it. Embeddings have no cap to write.
    fn named(&self) -> Option<(u64, Option<u64>)> {
        let named = self.request.output_cap?;
        if named.member.is_empty() {
            return Some((named.tokens, None));
        }
        let bounded = self.bounds.cap.apply(named.tokens);
        Some((bounded, (bounded != named.tokens).then_some(bounded)))
    }

    /// No budget blocks: the client's cap stands, and the hold is a guess.
    fn unblocked(&self) -> CapDecision {
        let (named, write) = self.named().unzip();
        let tokens = named
            .or(self.price().max_output())
            .unwrap_or(UNKNOWN_MODEL_TOKENS);
        let ceiling = self.price().ceiling(
            &self.bounds.input,
            tokens,
            self.request.choices,
            self.pricing(),
        );
        let guessed = ceiling.is_err();
        CapDecision {
            write: write.flatten(),
            tokens: named,
            guessed: guessed || self.bounds.second_models.is_err(),
            binding: false,
            factor: CeilingFactor::ONE,
            ceiling: ceiling
                .unwrap_or_else(|_| self.guess(tokens))
                .plus(self.bounds.second_models.clone().unwrap_or(Money::ZERO)),
        }
    }

    /// Ceiling of a request without a worst case: the operator's, else that of its bounded parts.
    fn guess(&self, tokens: u64) -> Money {
        if !self.price().is_known() {
            return Money::ZERO;
        }
        let bounded = InputBound {
            documents: 0,
            searches: 0,
            hosted_uses: Vec::new(),
            tool_rounds: 0,
            search_options: false,
            unbounded: None,
            ..self.bounds.input.clone()
        };
        let ceiling = |context: PricingContext<'_>| {
            self.price()
                .ceiling(&bounded, tokens, self.request.choices, context)
                .ok()
        };
        let configured = self.deployment.provider.request_ceiling;
        configured
            .or_else(|| ceiling(self.pricing()))
            .or_else(|| ceiling(self.deployment.pricing(None)))
            .unwrap_or(Money::ZERO)
    }

    /// Worst case in money; the operator's ceiling per request stands in where there is none.
    fn ceiling(&self, tokens: u64) -> Result<Money, ApiError> {
        let ceiling = self.price().ceiling(
            &self.bounds.input,
            tokens,
            self.request.choices,
            self.pricing(),
        );
        self.or_configured(ceiling)
    }

    fn or_configured(&self, ceiling: Result<Money, CeilingError>) -> Result<Money, ApiError> {
        match (ceiling, self.deployment.provider.request_ceiling) {
            (Ok(ceiling), _) => Ok(ceiling),
            (Err(CeilingError::Unbounded(_)), Some(configured)) => Ok(configured),
            (Err(no_ceiling), _) => Err(self.no_ceiling(&no_ceiling)),
        }
    }

    /// The client's cap, lowered to what the budget affords, but never below the smallest useful cap.
    fn clamp(&self, named: u64, left: Money) -> Result<u64, ApiError> {
        let affordable = self.affordable(left)?;
        Ok(named.min(affordable.max(self.smallest())))
    }

    /// Smallest useful cap: the thinking budget and an answer.
    fn smallest(&self) -> u64 {
        self.bounds
            .thinking_budget
            .map_or(FLOOR_TOKENS, |thinking| {
                thinking.saturating_add(ANSWER_TOKENS_AFTER_THINKING)
            })
    }

    /// The smaller of the model's longest answer and what a quarter of the remainder buys after the input; `None` where
    /// output is free of charge.
    fn own_choice(&self, left: Money) -> Result<Option<u64>, ApiError> {
        let input = self.or_configured(
            self.price()
                .input_ceiling(&self.bounds.input, self.pricing()),
        )?;
        let rest = left.minus(input).max(Money::ZERO);
        let quarter = Money::from_pico(rest.pico() / 4);
        let affordable = self.affordable(input.plus(quarter))?;
        if affordable == u64::MAX {
            return Ok(None);
        }
        let floor = if self.price().supports_reasoning() {
            FLOOR_REASONING_TOKENS.max(self.smallest())
        } else {
            self.smallest()
        };
        let longest = self.price().max_output().unwrap_or(UNKNOWN_MODEL_TOKENS);
        Ok(Some(
            self.bounds.cap.apply(affordable.max(floor).min(longest)),
        ))
    }

    fn affordable(&self, room: Money) -> Result<u64, ApiError> {
        let affordable = self.price().affordable_output(
            &self.bounds.input,
            self.request.choices,
            self.pricing(),
            room,
        );
        match (affordable, self.deployment.provider.request_ceiling) {
            (Ok(tokens), _) => Ok(tokens),
            // the operator's ceiling per request does not depend on the output
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
                     {}leave it out, or set `request_ceiling` under [providers.{provider}]",
                    missing_limit(why)
                ),
            ),
        }
        .with_param("model")
    }
}

/// Advice to set the limit that a reason such as `hosted tool web_search without max_tool_calls` misses.
fn missing_limit(why: &str) -> String {
    let limit = why.rsplit_once(" without ").map(|(_, limit)| limit);
    limit.map_or(String::new(), |limit| format!("set `{limit}`, "))
}
