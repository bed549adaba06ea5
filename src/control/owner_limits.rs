//! The budgets and rate limits of one owner, together: rewritten in one transaction, shown with what the ledger knows.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::control::Control;
use crate::control::budgets;
use crate::control::input::Budgets;
use crate::control::limits::{self, Limits};
use crate::domain::api_error::ApiError;
use crate::domain::budget::{Budget, Owner};
use crate::domain::id::{BudgetId, LimitId};
use crate::domain::limit::RateLimit;
use crate::meter::{BudgetStatus, RateLimitStatus};
use crate::store::ChangeTransaction;

/// A budget and how it stands; `None` if the ledger has not heard of it.
#[derive(Clone, Debug)]
pub struct BudgetWithStatus {
    pub budget: Budget,
    pub status: Option<BudgetStatus>,
}

/// A rate limit and how it stands; `None` if the ledger has not heard of it.
#[derive(Clone, Debug)]
pub struct LimitWithStatus {
    pub limit: RateLimit,
    pub status: Option<RateLimitStatus>,
}

/// A tenant with the budgets and rate limits that are its own.
#[derive(Clone, Debug)]
pub struct WithLimits<T> {
    pub record: T,
    pub budgets: Vec<BudgetWithStatus>,
    pub limits: Vec<LimitWithStatus>,
}

/// What an owner has.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnerLimits {
    pub budgets: Vec<Budget>,
    pub limits: Vec<RateLimit>,
}

/// What the ledger must hear of.
#[derive(Clone, Debug, Default)]
pub(super) struct AffectedLimits {
    pub budgets: Vec<BudgetId>,
    pub limits: Vec<LimitId>,
}

impl Control {
    pub(super) fn with_standings<T>(&self, record: T, owned: OwnerLimits) -> WithLimits<T> {
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
            budgets: owned.budgets.into_iter().map(budget).collect(),
            limits: owned.limits.into_iter().map(limit).collect(),
        }
    }
}

/// Gives a new owner what is wanted, and notes it for the audit event.
pub(super) fn create(
    books: &mut ChangeTransaction<'_>,
    owner: Owner,
    wanted: (&Budgets, &Limits),
    detail: &mut Value,
) -> Result<(OwnerLimits, AffectedLimits), ApiError> {
    let (budgets, limits) = (
        budgets::rewrite(books, owner, wanted.0)?,
        limits::rewrite(books, owner, wanted.1)?,
    );
    detail["budgets"] = budgets::audited(&budgets.now);
    detail["limits"] = limits::audited(&limits.now);
    let touched = AffectedLimits {
        budgets: budgets.touched(),
        limits: limits.touched(),
    };
    Ok((
        OwnerLimits {
            budgets: budgets.now,
            limits: limits.now,
        },
        touched,
    ))
}

/// Rewrites what a change wants otherwise, and notes it for the audit event.
pub(super) fn change(
    books: &mut ChangeTransaction<'_>,
    owner: Owner,
    wanted: (Option<&Budgets>, Option<&Limits>),
    detail: &mut Map<String, Value>,
) -> Result<(OwnerLimits, AffectedLimits), ApiError> {
    let mut owned = OwnerLimits {
        budgets: books.budgets_of(owner)?,
        limits: books.limits_of(owner)?,
    };
    let mut touched = AffectedLimits::default();
    if let Some(wanted) = wanted.0 {
        let budgets = budgets::rewrite(books, owner, wanted)?;
        budgets.note(detail);
        touched.budgets = budgets.touched();
        owned.budgets = budgets.now;
    }
    if let Some(wanted) = wanted.1 {
        let limits = limits::rewrite(books, owner, wanted)?;
        limits.note(detail);
        touched.limits = limits.touched();
        owned.limits = limits.now;
    }
    Ok((owned, touched))
}

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
