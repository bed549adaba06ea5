//! Texts of the gateway's refusals at admission: the thing, its value and the remedy, for the client. Decides nothing but
//! whether a deployment can serve the endpoint at all.

use crate::auth::directory::Caller;
use crate::dialect::{Dialect, Operation, Request};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Budget;
use crate::domain::ceiling::CeilingFactor;
use crate::domain::id::BudgetId;
use crate::domain::money::Money;
use crate::domain::zone::Zone;
use crate::gateway::admission::output_cap::CapDecision;
use crate::gateway::admission::plan::Admission;
use crate::meter::{BudgetStatus, Ledger};
use crate::price::Mode;
use crate::provider::Endpoint;
use crate::route::Deployment;
use crate::store::AppendError;

/// 402: the budget has too little left even once every hold settles.
pub(super) fn budget_exceeded(
    admission: &Admission,
    cap: &CapDecision,
    budget: &Budget,
    status: &BudgetStatus,
    zone: &Zone,
) -> ApiError {
    let left = status.limit.minus(status.settled).max(Money::ZERO);
    let output = cap.tokens.map_or(String::new(), |tokens| {
        format!(" with up to {tokens} output tokens")
    });
    let factor = if cap.factor > CeilingFactor::ONE {
        let factor = cap.factor;
        format!(" ({factor} times the usual, because a bill was higher than its ceiling)")
    } else {
        String::new()
    };
    let message = format!(
        "{} has used ${} of its {} {} budget{}{} ({}). This request to {} can cost up to ${}{output}{factor}, ${} is left. \
         {} your administrator to raise the budget: `gatekeeper budgets raise {} AMOUNT`",
        admission.caller.describe_owner(budget.owner),
        status.settled.short(),
        usd(status.limit),
        budget.period.as_str(),
        models(budget),
        resets(status, zone),
        budget.id,
        admission.deployment().qualified(),
        cap.ceiling.short_up(),
        left.short_down(),
        remedy(input_fits(admission, left)),
        budget.id,
    );
    ApiError::new(ErrorCode::BudgetExceeded, message)
}

/// A limit as it was set: `$5`, `$4.50`, `$0.000019`.
fn usd(amount: Money) -> String {
    let digits = amount.to_string();
    match digits.split_once('.') {
        Some((whole, tenths)) if tenths.len() == 1 => format!("${whole}.{tenths}0"),
        _ => format!("${digits}"),
    }
}

/// 402: the budget over all models is used up; the body was not read.
pub(super) fn budget_used_up(
    caller: &Caller,
    budget: &Budget,
    status: &BudgetStatus,
    zone: &Zone,
) -> ApiError {
    let message = format!(
        "{} has used ${} of its {} {} budget{} ({}). Ask your administrator to raise the budget: \
         `gatekeeper budgets raise {} AMOUNT`",
        caller.describe_owner(budget.owner),
        status.settled.short(),
        usd(status.limit),
        budget.period.as_str(),
        resets(status, zone),
        budget.id,
        budget.id,
    );
    ApiError::new(ErrorCode::BudgetExceeded, message)
}

fn remedy(smaller_output_fits: bool) -> &'static str {
    if smaller_output_fits {
        "Name a smaller max_tokens, or ask"
    } else {
        "Ask"
    }
}

/// Returns `true` if a smaller output cap would make the request fit.
fn input_fits(admission: &Admission, left: Money) -> bool {
    let tier = admission.request.service_tier.as_deref();
    let deployment = admission.deployment();
    let input = deployment
        .price
        .input_ceiling(&admission.bounds.input, deployment.pricing(tier));
    admission.request.operation != Operation::Embeddings && input.is_ok_and(|input| input < left)
}

/// 429: the queue of the budget is full.
pub(super) fn queue_full(budget: &str, places: usize) -> ApiError {
    budget_held(format!(
        "{places} requests already wait for room in {budget}; try again in a moment"
    ))
}

/// 429: holds of other requests took the whole wait.
pub(super) fn wait_expired(budget: &str, waited_s: u64) -> ApiError {
    budget_held(format!(
        "the rest of {budget} is held by requests that are running; none of it came free within {waited_s} s. Try again, or \
         name a smaller max_tokens"
    ))
}

fn budget_held(message: String) -> ApiError {
    ApiError::new(ErrorCode::BudgetHeld, message).with_retry_after(2)
}

/// 503: the ledger's log took no record.
pub(in crate::gateway) fn ledger_unavailable(error: &AppendError) -> ApiError {
    let code = match error {
        AppendError::Closing => ErrorCode::ShuttingDown,
        _ => ErrorCode::LedgerUnavailable,
    };
    ApiError::new(code, format!("the books cannot take this request: {error}")).with_retry_after(5)
}

/// A budget as a refusal names it: period, id, owner, limit and reset.
pub(super) fn budget_label(ledger: &Ledger, caller: &Caller, id: BudgetId) -> String {
    let Some((budget, status)) = ledger.budget(id).zip(ledger.budget_status(id)) else {
        return format!("the budget {id}");
    };
    let (period, owner) = (budget.period.as_str(), caller.describe_owner(budget.owner));
    format!(
        "the {period} budget{} of {owner} ({id}, {}{})",
        models(&budget),
        usd(status.limit),
        resets(&status, ledger.zone())
    )
}

fn resets(status: &BudgetStatus, zone: &Zone) -> String {
    let reset = status.resets_at_ms.map(|at_ms| zone.day_and_time(at_ms));
    reset.map_or(String::new(), |at| format!("; resets {at}"))
}

fn models(budget: &Budget) -> String {
    budget
        .model
        .as_ref()
        .map_or(String::new(), |model| format!(" on {model}"))
}

/// 501: the vendor has no endpoint for this dialect.
pub(super) fn dialect_not_supported(deployment: &Deployment, request: &Request) -> ApiError {
    let name = deployment.qualified();
    let message = match request.operation {
        Operation::Embeddings => {
            format!("{name} has no embeddings that this gateway knows of; ask a provider that has")
        }
        Operation::TokenCount => {
            format!("{name} counts no tokens for its callers; count them yourself")
        }
        Operation::Conversation => format!(
            "{name} does not speak the {} dialect, and no dialect that it can be translated to; use a model of another \
             provider",
            request.dialect.as_str()
        ),
    };
    ApiError::new(ErrorCode::NotSupported, message).with_param("model")
}

/// Refuses an embedding model for a conversation and the reverse. Where the price sheet does not say what a model is for,
/// its vendor decides.
pub(super) fn check_mode(
    deployment: &Deployment,
    request: &Request,
    endpoint: &Endpoint,
) -> Result<(), ApiError> {
    let (does, instead) = match (deployment.price.mode(), request.operation) {
        (Some(Mode::Embedding), Operation::Conversation) => {
            ("makes embeddings", "POST /v1/embeddings")
        }
        (Some(Mode::Responses), Operation::Conversation)
            if endpoint.dialect != Dialect::Responses =>
        {
            (
                "is reached in the Responses dialect only",
                "POST /v1/responses",
            )
        }
        (Some(Mode::Chat | Mode::Responses), Operation::Embeddings) => {
            ("makes no embeddings", "the endpoint of a conversation")
        }
        _ => return Ok(()),
    };
    let message = format!(
        "the model {} {does}; call it at {instead}, or ask for another model",
        deployment.qualified()
    );
    Err(ApiError::invalid(message).with_param("model"))
}
