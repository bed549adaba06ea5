//! Flags that change an owner of limits (a key, a team, an organization): flags in, members of the request body out. What
//! is not named stays as it is.

use serde_json::{Value, json};

use super::failure::Failure;
use crate::cli::parse::{BudgetArgument, LimitChange, limit_change, max_cost, model_list};

/// Changed budgets and rate limits.
#[derive(Clone, Debug, clap::Args)]
pub struct ChangeArgs {
    /// Budgets that replace all present ones; `gatekeeper budgets set` changes a single one
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    budget: Vec<BudgetArgument>,
    /// Remove all budgets
    #[arg(long, conflicts_with = "budget")]
    no_budgets: bool,
    /// Requests per minute, or `none`
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true, value_parser = limit_change)]
    rpm: Option<LimitChange>,
    /// Tokens per minute, or `none`
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true, value_parser = limit_change)]
    tpm: Option<LimitChange>,
    /// Parallel calls, or `none`
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true, value_parser = limit_change)]
    max_parallel: Option<LimitChange>,
}

/// Bound of a request's cost.
#[derive(Clone, Debug, clap::Args)]
pub struct MaxCostArgs {
    /// Most that one request may cost, such as '$0.50', or `none`
    #[arg(long, value_name = "AMOUNT", value_parser = max_cost)]
    max_cost: Option<Value>,
}

impl MaxCostArgs {
    pub fn add_to(&self, body: &mut Value) {
        if let Some(amount) = &self.max_cost {
            body["max_cost_usd"] = amount.clone();
        }
    }
}

/// Changed allow-list.
#[derive(Clone, Debug, clap::Args)]
pub struct ModelsChangeArgs {
    /// Models that replace the present list; `*` is a wildcard, '' allows none, `all` removes the list
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    models: Option<Vec<String>>,
}

impl ChangeArgs {
    pub fn add_to(&self, body: &mut Value) {
        if self.no_budgets || !self.budget.is_empty() {
            body["budgets"] = self.budget.iter().map(BudgetArgument::json).collect();
        }
        for (name, limit) in [
            ("rpm", &self.rpm),
            ("tpm", &self.tpm),
            ("max_parallel", &self.max_parallel),
        ] {
            if let Some(LimitChange(limit)) = limit {
                body[name] = json!(limit);
            }
        }
    }
}

impl ModelsChangeArgs {
    pub fn add_to(&self, body: &mut Value) {
        match model_list(&self.models).as_deref() {
            None => {}
            Some(["all"]) => body["models"] = Value::Null,
            Some(models) => body["models"] = json!(models),
        }
    }
}

/// Refuses a change without content before the server does.
pub fn require_change(body: &Value, flags: &str) -> Result<(), Failure> {
    if body.as_object().is_some_and(|members| !members.is_empty()) {
        return Ok(());
    }
    Err(Failure::usage(format!("nothing to change; use {flags}")))
}
