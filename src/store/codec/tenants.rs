//! Organizations, teams, keys, budgets and rate limits as rows. Rows are positional: the order of the fields is stored.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::domain::allow_list::AllowList;
use crate::domain::budget::{Action, Budget, Owner, Period};
use crate::domain::id::{AdminKeyId, BudgetId, KeyId, LimitId, OrganizationId, TeamId};
use crate::domain::limit::RateLimit;
use crate::domain::money::Money;
use crate::domain::pattern::Pattern;
use crate::domain::tenant::{AdminKey, Organization, Team, VirtualKey};
use crate::store::codec::{StoredValue, read_row, unknown_version, write_row};

/// Patterns, or `None` for all models.
fn allow_list_of(models: Option<Vec<String>>) -> AllowList {
    models.map_or(AllowList::All, |models| {
        AllowList::Only(models.into_iter().map(Pattern::new).collect())
    })
}

/// Version 2 stored all models as an empty list, and could not store none.
fn allow_list_of_version_2(models: Vec<String>) -> Option<Vec<String>> {
    (!models.is_empty()).then_some(models)
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct OrganizationRow {
    id: u64,
    name: String,
    created_ms: u64,
}

impl StoredValue for Organization {
    const KIND: &'static str = "organization";
    type Row = OrganizationRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(&(self.id.0, &self.name, self.created_ms), into)
    }

    fn from_row(row: OrganizationRow) -> Result<Organization, String> {
        Ok(Organization {
            id: OrganizationId(row.id),
            name: row.name,
            created_ms: row.created_ms,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct TeamRow {
    id: u64,
    organization: u64,
    name: String,
    models: Option<Vec<String>>,
    created_ms: u64,
}

#[derive(Deserialize)]
struct TeamRowV2 {
    id: u64,
    organization: u64,
    name: String,
    models: Vec<String>,
    created_ms: u64,
}

impl From<TeamRowV2> for TeamRow {
    fn from(row: TeamRowV2) -> TeamRow {
        TeamRow {
            id: row.id,
            organization: row.organization,
            name: row.name,
            models: allow_list_of_version_2(row.models),
            created_ms: row.created_ms,
        }
    }
}

impl StoredValue for Team {
    const KIND: &'static str = "team";
    const VERSION: u8 = 3;
    type Row = TeamRow;

    fn decode_version(version: u8, bytes: &[u8]) -> Result<Team, String> {
        match version {
            2 => read_row(bytes).and_then(|row: TeamRowV2| Team::from_row(row.into())),
            3 => read_row(bytes).and_then(Team::from_row),
            other => Err(unknown_version::<Team>(other)),
        }
    }

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(
            &(
                self.id.0,
                self.organization.0,
                &self.name,
                self.models.texts(),
                self.created_ms,
            ),
            into,
        )
    }

    fn from_row(row: TeamRow) -> Result<Team, String> {
        Ok(Team {
            id: TeamId(row.id),
            organization: OrganizationId(row.organization),
            name: row.name,
            models: allow_list_of(row.models),
            created_ms: row.created_ms,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct KeyRow {
    id: u64,
    team: u64,
    organization: u64,
    parent: Option<u64>,
    name: String,
    secret_hash: [u8; 32],
    hint: String,
    models: Option<Vec<String>>,
    expires_ms: Option<u64>,
    disabled: bool,
    created_ms: u64,
}

#[derive(Deserialize)]
struct KeyRowV2 {
    id: u64,
    team: u64,
    organization: u64,
    parent: Option<u64>,
    name: String,
    secret_hash: [u8; 32],
    hint: String,
    models: Vec<String>,
    expires_ms: Option<u64>,
    disabled: bool,
    created_ms: u64,
}

impl From<KeyRowV2> for KeyRow {
    fn from(row: KeyRowV2) -> KeyRow {
        KeyRow {
            id: row.id,
            team: row.team,
            organization: row.organization,
            parent: row.parent,
            name: row.name,
            secret_hash: row.secret_hash,
            hint: row.hint,
            models: allow_list_of_version_2(row.models),
            expires_ms: row.expires_ms,
            disabled: row.disabled,
            created_ms: row.created_ms,
        }
    }
}

impl StoredValue for VirtualKey {
    const KIND: &'static str = "virtual key";
    const VERSION: u8 = 3;
    type Row = KeyRow;

    fn decode_version(version: u8, bytes: &[u8]) -> Result<VirtualKey, String> {
        match version {
            2 => read_row(bytes).and_then(|row: KeyRowV2| VirtualKey::from_row(row.into())),
            3 => read_row(bytes).and_then(VirtualKey::from_row),
            other => Err(unknown_version::<VirtualKey>(other)),
        }
    }

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = KeyRow {
            id: self.id.0,
            team: self.team.0,
            organization: self.organization.0,
            parent: self.parent.map(|parent| parent.0),
            name: self.name.clone(),
            secret_hash: self.secret_hash,
            hint: self.hint.clone(),
            models: self
                .models
                .texts()
                .map(|texts| texts.into_iter().map(str::to_owned).collect()),
            expires_ms: self.expires_ms,
            disabled: self.disabled,
            created_ms: self.created_ms,
        };
        write_row(&row, into)
    }

    fn from_row(row: KeyRow) -> Result<VirtualKey, String> {
        Ok(VirtualKey {
            id: KeyId(row.id),
            team: TeamId(row.team),
            organization: OrganizationId(row.organization),
            parent: row.parent.map(KeyId),
            name: row.name,
            secret_hash: row.secret_hash,
            hint: row.hint,
            models: allow_list_of(row.models),
            expires_ms: row.expires_ms,
            disabled: row.disabled,
            created_ms: row.created_ms,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct AdminKeyRow {
    id: u64,
    name: String,
    secret_hash: [u8; 32],
    hint: String,
    disabled: bool,
    created_ms: u64,
}

impl StoredValue for AdminKey {
    const KIND: &'static str = "administrative key";
    type Row = AdminKeyRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(
            &(
                self.id.0,
                &self.name,
                self.secret_hash,
                &self.hint,
                self.disabled,
                self.created_ms,
            ),
            into,
        )
    }

    fn from_row(row: AdminKeyRow) -> Result<AdminKey, String> {
        Ok(AdminKey {
            id: AdminKeyId(row.id),
            name: row.name,
            secret_hash: row.secret_hash,
            hint: row.hint,
            disabled: row.disabled,
            created_ms: row.created_ms,
        })
    }
}

/// Kind (0 organization, 1 team, 2 key) and id.
fn owner_row(owner: Owner) -> (u8, u64) {
    match owner {
        Owner::Organization(id) => (0, id.0),
        Owner::Team(id) => (1, id.0),
        Owner::Key(id) => (2, id.0),
    }
}

fn owner_of(kind: u8, number: u64) -> Result<Owner, String> {
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
