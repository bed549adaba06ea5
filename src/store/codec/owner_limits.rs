//! Budgets and rate limits as rows. Rows are positional: the order of the fields is stored.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::domain::budget::{Action, Budget, Owner, Period};
use crate::domain::id::{BudgetId, KeyId, LimitId, OrganizationId, TeamId};
use crate::domain::limit::RateLimit;
use crate::domain::money::Money;
use crate::domain::pattern::Pattern;
use crate::store::codec::{StoredValue, write_row};

/// Kind (0 organization, 1 team, 2 key) and id.
pub(super) fn owner_row(owner: Owner) -> (u8, u64) {
    match owner {
        Owner::Organization(id) => (0, id.0),
        Owner::Team(id) => (1, id.0),
        Owner::Key(id) => (2, id.0),
    }
}

pub(super) fn owner_of(kind: u8, number: u64) -> Result<Owner, String> {
    match kind {
        0 => Ok(Owner::Organization(OrganizationId(number))),
        1 => Ok(Owner::Team(TeamId(number))),
        2 => Ok(Owner::Key(KeyId(number))),
        other => Err(format!("unknown owner kind {other}")),
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct BudgetRow {
    id: u64,
    owner_kind: u8,
    owner: u64,
    limit: i128,
    period: u8,
    warn_only: bool,
    model: Option<String>,
}

impl StoredValue for Budget {
    const KIND: &'static str = "budget";
    type Row = BudgetRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let (owner_kind, owner) = owner_row(self.owner);
        let row = BudgetRow {
            id: self.id.0,
            owner_kind,
            owner,
            limit: self.limit.pico(),
            period: Period::ALL
                .iter()
                .position(|period| *period == self.period)
                .unwrap_or_default() as u8,
            warn_only: self.action == Action::Warn,
            model: self
                .model
                .as_ref()
                .map(|pattern| pattern.as_str().to_owned()),
        };
        write_row(&row, into)
    }

    fn from_row(row: BudgetRow) -> Result<Budget, String> {
        let period = Period::ALL
            .get(usize::from(row.period))
            .ok_or_else(|| format!("unknown period {}", row.period))?;
        Ok(Budget {
            id: BudgetId(row.id),
            owner: owner_of(row.owner_kind, row.owner)?,
            limit: Money::from_pico(row.limit),
            period: *period,
            action: if row.warn_only {
                Action::Warn
            } else {
                Action::Block
            },
            model: row.model.map(Pattern::new),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct RateLimitRow {
    id: u64,
    owner_kind: u8,
    owner: u64,
    rpm: Option<NonZeroU32>,
    tpm: Option<NonZeroU32>,
    max_parallel: Option<NonZeroU32>,
    model: Option<String>,
}

impl StoredValue for RateLimit {
    const KIND: &'static str = "rate limit";
    type Row = RateLimitRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let (owner_kind, owner) = owner_row(self.owner);
        let RateLimit {
            id,
            rpm,
            tpm,
            max_parallel,
            ..
        } = *self;
        let model = self
            .model
            .as_ref()
            .map(|pattern| pattern.as_str().to_owned());
        write_row(
            &RateLimitRow {
                id: id.0,
                owner_kind,
                owner,
                rpm,
                tpm,
                max_parallel,
                model,
            },
            into,
        )
    }

    fn from_row(row: RateLimitRow) -> Result<RateLimit, String> {
        let owner = owner_of(row.owner_kind, row.owner)?;
        let RateLimitRow {
            id,
            rpm,
            tpm,
            max_parallel,
            model,
            ..
        } = row;
        Ok(RateLimit {
            id: LimitId(id),
            owner,
            rpm,
            tpm,
            max_parallel,
            model: model.map(Pattern::new),
        })
    }
}
