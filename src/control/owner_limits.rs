//! Budgets and rate limits of one owner: rewritten together in one transaction, shown with their status in the ledger.

use std::fmt::Debug;

use serde_json::{Map, Value};

use crate::auth::directory::{Caller, Directory, OwnerLimits};
use crate::control::budgets;
use crate::control::change::Change;
use crate::control::input::Budgets;
use crate::control::limits::{self, Limits};
use crate::control::plane::Control;
use crate::control::version::version_of;
use crate::domain::api_error::ApiError;
use crate::domain::budget::{Budget, Owner};
use crate::domain::limit::RateLimit;
use crate::domain::tenant::VirtualKey;
use crate::meter::{BudgetStatus, Ledger, RateLimitStatus, WouldRefuse};

/// A budget with its status; `None` if the ledger does not have it.
#[derive(Clone, Debug)]
pub struct BudgetWithStatus {
    pub budget: Budget,
    pub status: Option<BudgetStatus>,
    /// of a budget that warns
    pub would_refuse: Option<WouldRefuse>,
}

impl BudgetWithStatus {
    pub(super) fn of(budget: Budget, ledger: &Ledger) -> BudgetWithStatus {
        let (status, would_refuse) = ledger.budget_report(budget.id).unzip();
        BudgetWithStatus {
            budget,
            status,
            would_refuse: would_refuse.flatten(),
        }
    }
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
    /// last call of a key
    pub last_used_ms: Option<u64>,
}

impl Control {
    /// A tenant with its budgets and limits as the directory has them.
    pub(super) fn with_own_limits<T>(
        &self,
        record: T,
        owner: Owner,
        directory: &Directory,
    ) -> WithLimits<T> {
        self.with_status(record, directory.limits_of(owner))
    }

    /// A key with its budgets, its limits and its last use.
    pub(super) fn key_with_limits(
        &self,
        caller: &Caller,
        directory: &Directory,
    ) -> WithLimits<VirtualKey> {
        let (key, owner) = (caller.key.clone(), Owner::Key(caller.key.id));
        WithLimits {
            last_used_ms: caller.last_use.at_ms(),
            ..self.with_own_limits(key, owner, directory)
        }
    }

    pub(super) fn with_status<T>(&self, record: T, stored: OwnerLimits) -> WithLimits<T> {
        let budget = |budget: Budget| BudgetWithStatus::of(budget, &self.ledger);
        let limit = |limit: RateLimit| LimitWithStatus {
            status: self.ledger.limit_status(limit.id),
            limit,
        };
        WithLimits {
            record,
            budgets: stored.budgets.into_iter().map(budget).collect(),
            limits: stored.limits.into_iter().map(limit).collect(),
            last_used_ms: None,
        }
    }
}

impl<T: Debug> WithLimits<T> {
    /// Version of the tenant with its limits; made only for an answer that names it.
    pub fn version(&self) -> String {
        let stored = OwnerLimits {
            budgets: self.budgets.iter().map(|one| one.budget.clone()).collect(),
            limits: self.limits.iter().map(|one| one.limit.clone()).collect(),
        };
        version_of(&self.record, &stored)
    }
}

/// Creates the budgets and rate limits of a new owner and adds them to the detail of the audit event.
pub(super) fn create(
    change: &mut Change<'_, '_>,
    owner: Owner,
    (budgets, limits): (&Budgets, &Limits),
    detail: &mut Value,
) -> Result<OwnerLimits, ApiError> {
    let (budgets, limits) = (
        budgets::rewrite(change, owner, budgets)?,
        limits::rewrite(change, owner, limits)?,
    );
    detail["budgets"] = budgets::to_audit(&budgets.after);
    detail["limits"] = limits::to_audit(&limits.after);
    Ok(OwnerLimits {
        budgets: budgets.after,
        limits: limits.after,
    })
}

/// Rewrites the budgets and rate limits that a change names and adds them to the detail of the audit event.
pub(super) fn rewrite(
    change: &mut Change<'_, '_>,
    owner: Owner,
    (budgets, limits): (Option<&Budgets>, Option<&Limits>),
    detail: &mut Map<String, Value>,
) -> Result<OwnerLimits, ApiError> {
    let mut stored = change.directory.limits_of(owner);
    if let Some(budgets) = budgets {
        let changes = budgets::rewrite(change, owner, budgets)?;
        changes.add_to_audit(detail);
        stored.budgets = changes.after;
    }
    if let Some(limits) = limits {
        let changes = limits::rewrite(change, owner, limits)?;
        changes.add_to_audit(detail);
        stored.limits = changes.after;
    }
    Ok(stored)
}

/// Removes the budgets and rate limits of an owner that is deleted.
pub(super) fn remove(change: &mut Change<'_, '_>, owner: Owner) -> Result<(), ApiError> {
    let stored = change.directory.limits_of(owner);
    for budget in stored.budgets {
        change.books.remove_budget(budget.id)?;
    }
    for limit in stored.limits {
        change.books.remove_limit(limit.id)?;
    }
    Ok(())
}
