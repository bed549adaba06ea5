//! Budgets and rate limits of one owner: rewritten together in one transaction, shown with their status in the ledger.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::control::budgets;
use crate::control::change::AffectedLimits;
use crate::control::input::Budgets;
use crate::control::limits::{self, Limits};
use crate::control::plane::Control;
use crate::domain::api_error::ApiError;
use crate::domain::budget::{Budget, Owner};
use crate::domain::limit::RateLimit;
use crate::meter::{BudgetStatus, RateLimitStatus};
use crate::store::ChangeTransaction;

/// A budget with its status; `None` if the ledger does not have it.
#[derive(Clone, Debug)]
pub struct BudgetWithStatus {
    pub budget: Budget,
    pub status: Option<BudgetStatus>,
}

/// A rate limit with its status; `None` if the ledger does not have it.
#[derive(Clone, Debug)]
pub struct LimitWithStatus {
    pub limit: RateLimit,
    pub status: Option<RateLimitStatus>,
}

/// A tenant with its own budgets and rate limits.
#[derive(Clone, Debug)]
pub struct WithLimits<T> {
    pub record: T,
    pub budgets: Vec<BudgetWithStatus>,
    pub limits: Vec<LimitWithStatus>,
}

/// Stored budgets and rate limits of an owner.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnerLimits {
    pub budgets: Vec<Budget>,
    pub limits: Vec<RateLimit>,
}

impl Control {
    pub(super) fn with_status<T>(&self, record: T, stored: OwnerLimits) -> WithLimits<T> {
        let budget = |budget: Budget| BudgetWithStatus {
            status: self.ledger.budget_status(budget.id),
            budget,
        };
        let limit = |limit: RateLimit| LimitWithStatus {
            status: self.ledger.limit_status(limit.id),
            limit,
        };
        WithLimits {
            record,
            budgets: stored.budgets.into_iter().map(budget).collect(),
            limits: stored.limits.into_iter().map(limit).collect(),
        }
    }
}

/// Creates the budgets and rate limits of a new owner and adds them to the detail of the audit event.
pub(super) fn create(
    books: &mut ChangeTransaction<'_>,
    owner: Owner,
    (budgets, limits): (&Budgets, &Limits),
    detail: &mut Value,
) -> Result<(OwnerLimits, AffectedLimits), ApiError> {
    let (budgets, limits) = (
        budgets::rewrite(books, owner, budgets)?,
        limits::rewrite(books, owner, limits)?,
    );
    detail["budgets"] = budgets::to_audit(&budgets.after);
    detail["limits"] = limits::to_audit(&limits.after);
    let affected = AffectedLimits {
        budgets: budgets.affected(),
        limits: limits.affected(),
    };
    Ok((
        OwnerLimits {
            budgets: budgets.after,
            limits: limits.after,
        },
        affected,
    ))
}

/// Rewrites the budgets and rate limits that a change names and adds them to the detail of the audit event.
pub(super) fn change(
    books: &mut ChangeTransaction<'_>,
    owner: Owner,
    (budgets, limits): (Option<&Budgets>, Option<&Limits>),
    detail: &mut Map<String, Value>,
) -> Result<(OwnerLimits, AffectedLimits), ApiError> {
    let mut stored = OwnerLimits {
        budgets: books.budgets_of(owner)?,
        limits: books.limits_of(owner)?,
    };
    let mut affected = AffectedLimits::default();
    if let Some(budgets) = budgets {
        let changes = budgets::rewrite(books, owner, budgets)?;
        changes.add_to_audit(detail);
        affected.budgets = changes.affected();
        stored.budgets = changes.after;
    }
    if let Some(limits) = limits {
        let changes = limits::rewrite(books, owner, limits)?;
        changes.add_to_audit(detail);
        affected.limits = changes.affected();
        stored.limits = changes.after;
    }
    Ok((stored, affected))
}

/// Groups all budgets and rate limits by their owner.
pub(super) fn by_owner(
    budgets: Vec<Budget>,
    limits: Vec<RateLimit>,
) -> HashMap<Owner, OwnerLimits> {
    let mut owners: HashMap<Owner, OwnerLimits> = HashMap::new();
    for budget in budgets {
        owners.entry(budget.owner).or_default().budgets.push(budget);
    }
    for limit in limits {
        owners.entry(limit.owner).or_default().limits.push(limit);
    }
    owners
}
