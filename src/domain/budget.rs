//! Budgets: who owns one, how much, how often it starts anew, what happens at its end.

use crate::domain::id::{BudgetId, KeyId, OrganizationId, TeamId};
use crate::domain::money::Money;
use crate::domain::pattern::Pattern;

/// Whose spend a budget counts.
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

/// `Block` refuses what would not fit; `Warn` counts alike, admits always and flags.
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
    /// counts only calls of the models it means; `None` counts all
    pub model: Option<Pattern>,
}

/// What the tightest `block` budget above a call has left: limit − settled − held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remainder {
    pub left: Money,
    /// when its next window begins; `None` for `total`
    pub resets_at_ms: Option<u64>,
}
