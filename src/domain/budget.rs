//! Budgets: owner, limit, period, action at the limit and model filter. Plain values; the balances live in the ledger.

use crate::domain::id::{BudgetId, KeyId, OrganizationId, TeamId};
use crate::domain::money::Money;
use crate::domain::pattern::Pattern;

/// Owner of a budget or rate limit: the tenant whose calls count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    Organization(OrganizationId),
    Team(TeamId),
    Key(KeyId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    Daily,
    Weekly,
    Monthly,
    Total,
}

impl Period {
    pub const ALL: [Period; 4] = [
        Period::Daily,
        Period::Weekly,
        Period::Monthly,
        Period::Total,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Period::Daily => "daily",
            Period::Weekly => "weekly",
            Period::Monthly => "monthly",
            Period::Total => "total",
        }
    }

    pub fn parse(word: &str) -> Option<Period> {
        Period::ALL
            .into_iter()
            .find(|period| period.as_str() == word)
    }
}

/// Action at the limit: `Block` refuses calls that do not fit; `Warn` admits every call and flags the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Block,
    Warn,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Block => "block",
            Action::Warn => "warn",
        }
    }

    pub fn parse(word: &str) -> Option<Action> {
        [Action::Block, Action::Warn]
            .into_iter()
            .find(|action| action.as_str() == word)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    pub id: BudgetId,
    pub owner: Owner,
    pub limit: Money,
    pub period: Period,
    pub action: Action,
    /// models whose calls count; `None` counts all
    pub model: Option<Pattern>,
}

/// Remainder of the tightest `block` budget of a call: limit − settled − held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remainder {
    pub left: Money,
    /// start of the next window; `None` for `total`
    pub resets_at_ms: Option<u64>,
}
