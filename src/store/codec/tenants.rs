//! Organizations, teams and virtual keys as rows. Rows are positional: the order of the fields is stored.

use serde::{Deserialize, Serialize};

use crate::domain::allow_list::AllowList;
use crate::domain::id::{KeyId, OrganizationId, TeamId, UserId};
use crate::domain::money::Money;
use crate::domain::pattern::Pattern;
use crate::domain::tenant::{
    Endpoint, Labels, MemberKeyRules, Organization, PreviousSecret, Team, VirtualKey,
};
use crate::store::codec::{StoredValue, read_row, unknown_version, write_row};

/// Patterns, or `None` for all models.
fn models_row(models: &AllowList) -> Option<Vec<String>> {
    let texts = models.texts()?;
    Some(texts.into_iter().map(str::to_owned).collect())
}

fn models_of(models: Option<Vec<String>>) -> AllowList {
    models.map_or(AllowList::All, |models| {
        AllowList::Only(models.into_iter().map(Pattern::new).collect())
    })
}

/// Version 2 stored all models as an empty list, and could not store none.
fn models_of_version_2(models: Vec<String>) -> Option<Vec<String>> {
    (!models.is_empty()).then_some(models)
}

#[derive(Serialize, Deserialize)]
struct LabelsRow {
    tags: Vec<String>,
    metadata: Option<String>,
}

impl LabelsRow {
    fn of(labels: &Labels) -> LabelsRow {
        LabelsRow {
            tags: labels.tags.clone(),
            metadata: labels.metadata.clone(),
        }
    }

    fn into_labels(self) -> Labels {
        Labels {
            tags: self.tags,
            metadata: self.metadata,
        }
    }
}

/// Positions in `Endpoint::ALL`.
type EndpointsRow = Option<Vec<u8>>;

fn endpoints_row(endpoints: Option<&[Endpoint]>) -> EndpointsRow {
    let position = |endpoint: &Endpoint| {
        let position = Endpoint::ALL.iter().position(|known| known == endpoint);
        position.unwrap_or_default() as u8
    };
    endpoints.map(|endpoints| endpoints.iter().map(position).collect())
}

fn endpoints_of(row: EndpointsRow) -> Result<Option<Vec<Endpoint>>, String> {
    let endpoint = |position: u8| {
        let endpoint = Endpoint::ALL.get(usize::from(position)).copied();
        endpoint.ok_or_else(|| format!("unknown endpoint {position}"))
    };
    row.map(|row| row.into_iter().map(endpoint).collect())
        .transpose()
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct OrganizationRow {
    id: u64,
    name: String,
    models: Option<Vec<String>>,
    created_ms: u64,
    deleted_ms: Option<u64>,
}

/// Version 2: id, name, time of creation.
type OrganizationRow2 = (u64, String, u64);

impl StoredValue for Organization {
    const KIND: &'static str = "organization";
    const VERSION: u8 = 3;
    type Row = OrganizationRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = OrganizationRow {
            id: self.id.0,
            name: self.name.clone(),
            models: models_row(&self.models),
            created_ms: self.created_ms,
            deleted_ms: self.deleted_ms,
        };
        write_row(&row, into)
    }

    fn from_row(row: OrganizationRow) -> Result<Organization, String> {
        Ok(Organization {
            id: OrganizationId(row.id),
            name: row.name,
            models: models_of(row.models),
            created_ms: row.created_ms,
            deleted_ms: row.deleted_ms,
        })
    }

    fn decode_version(version: u8, bytes: &[u8]) -> Result<Organization, String> {
        match version {
            2 => {
                let (id, name, created_ms): OrganizationRow2 = read_row(bytes)?;
                Organization::from_row(OrganizationRow {
                    id,
                    name,
                    models: None,
                    created_ms,
                    deleted_ms: None,
                })
            }
            3 => read_row(bytes).and_then(Organization::from_row),
            other => Err(unknown_version::<Organization>(other)),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct TeamRow {
    id: u64,
    organization: u64,
    name: String,
    models: Option<Vec<String>>,
    labels: LabelsRow,
    endpoints: EndpointsRow,
    /// pico-dollars
    member_key_budget: Option<i128>,
    member_keys_max: Option<u32>,
    created_ms: u64,
    deleted_ms: Option<u64>,
}

/// Version 5: the members of version 4, then the most that a request may cost, in pico-dollars.
type TeamRow5 = (TeamRow, Option<i128>);

/// Version 3: id, organization, name, models, time of creation. Version 2 has no list for all models.
type TeamRow3 = (u64, u64, String, Option<Vec<String>>, u64);
type TeamRow2 = (u64, u64, String, Vec<String>, u64);

/// A team of a version without labels and rules.
fn plain_team((id, organization, name, models, created_ms): TeamRow3) -> Team {
    Team {
        id: TeamId(id),
        organization: OrganizationId(organization),
        name,
        models: models_of(models),
        labels: Labels::default(),
        endpoints: None,
        member_keys: MemberKeyRules::default(),
        max_cost: None,
        created_ms,
        deleted_ms: None,
    }
}

impl StoredValue for Team {
    const KIND: &'static str = "team";
    const VERSION: u8 = 5;
    type Row = TeamRow5;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = TeamRow {
            id: self.id.0,
            organization: self.organization.0,
            name: self.name.clone(),
            models: models_row(&self.models),
            labels: LabelsRow::of(&self.labels),
            endpoints: endpoints_row(self.endpoints.as_deref()),
            member_key_budget: self.member_keys.monthly_budget.map(Money::pico),
            member_keys_max: self.member_keys.keys_max,
            created_ms: self.created_ms,
            deleted_ms: self.deleted_ms,
        };
        write_row(&(row, self.max_cost.map(Money::pico)), into)
    }

    fn from_row((row, max_cost): TeamRow5) -> Result<Team, String> {
        Ok(Team {
            id: TeamId(row.id),
            organization: OrganizationId(row.organization),
            name: row.name,
            models: models_of(row.models),
            labels: row.labels.into_labels(),
            endpoints: endpoints_of(row.endpoints)?,
            member_keys: MemberKeyRules {
                monthly_budget: row.member_key_budget.map(Money::from_pico),
                keys_max: row.member_keys_max,
            },
            max_cost: max_cost.map(Money::from_pico),
            created_ms: row.created_ms,
            deleted_ms: row.deleted_ms,
        })
    }

    fn decode_version(version: u8, bytes: &[u8]) -> Result<Team, String> {
        match version {
            2 => {
                let (id, organization, name, models, created_ms): TeamRow2 = read_row(bytes)?;
                let models = models_of_version_2(models);
                Ok(plain_team((id, organization, name, models, created_ms)))
            }
            3 => read_row(bytes).map(plain_team),
            4 => read_row(bytes).and_then(|row: TeamRow| Team::from_row((row, None))),
            5 => read_row(bytes).and_then(Team::from_row),
            other => Err(unknown_version::<Team>(other)),
        }
    }
}

/// Version 3 of a virtual key, and version 2, which has no list for all models.
#[derive(Deserialize)]
struct PlainKeyRow<M> {
    id: u64,
    team: u64,
    organization: u64,
    parent: Option<u64>,
    name: String,
    secret_hash: [u8; 32],
    hint: String,
    models: M,
    expires_ms: Option<u64>,
    disabled: bool,
    created_ms: u64,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct KeyRow {
    id: u64,
    team: u64,
    organization: u64,
    parent: Option<u64>,
    user: Option<u64>,
    name: String,
    secret_hash: [u8; 32],
    hint: String,
    /// hash, hint, end of the grace period
    previous: Option<([u8; 32], String, u64)>,
    models: Option<Vec<String>>,
    labels: LabelsRow,
    endpoints: EndpointsRow,
    expires_ms: Option<u64>,
    disabled: bool,
    created_ms: u64,
    deleted_ms: Option<u64>,
}

/// Version 5: the members of version 4, then these.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct KeyRow5 {
    row: KeyRow,
    /// pico-dollars
    max_cost: Option<i128>,
    imported: bool,
    previous_imported: bool,
}

impl From<KeyRow> for KeyRow5 {
    fn from(row: KeyRow) -> KeyRow5 {
        KeyRow5 {
            row,
            max_cost: None,
            imported: false,
            previous_imported: false,
        }
    }
}

impl PlainKeyRow<Vec<String>> {
    fn with_version_3_models(self) -> PlainKeyRow<Option<Vec<String>>> {
        PlainKeyRow {
            id: self.id,
            team: self.team,
            organization: self.organization,
            parent: self.parent,
            name: self.name,
            secret_hash: self.secret_hash,
            hint: self.hint,
            models: models_of_version_2(self.models),
            expires_ms: self.expires_ms,
            disabled: self.disabled,
            created_ms: self.created_ms,
        }
    }
}

impl From<PlainKeyRow<Option<Vec<String>>>> for KeyRow {
    fn from(row: PlainKeyRow<Option<Vec<String>>>) -> KeyRow {
        KeyRow {
            id: row.id,
            team: row.team,
            organization: row.organization,
            parent: row.parent,
            user: None,
            name: row.name,
            secret_hash: row.secret_hash,
            hint: row.hint,
            previous: None,
            models: row.models,
            labels: LabelsRow::of(&Labels::default()),
            endpoints: None,
            expires_ms: row.expires_ms,
            disabled: row.disabled,
            created_ms: row.created_ms,
            deleted_ms: None,
        }
    }
}

fn previous_row(previous: &PreviousSecret) -> ([u8; 32], String, u64) {
    let hint = previous.hint.clone();
    (previous.secret_hash, hint, previous.until_ms)
}

fn previous_of(
    (secret_hash, hint, until_ms): ([u8; 32], String, u64),
    imported: bool,
) -> PreviousSecret {
    PreviousSecret {
        secret_hash,
        imported,
        hint,
        until_ms,
    }
}

impl StoredValue for VirtualKey {
    const KIND: &'static str = "virtual key";
    const VERSION: u8 = 5;
    type Row = KeyRow5;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = KeyRow {
            id: self.id.0,
            team: self.team.0,
            organization: self.organization.0,
            parent: self.parent.map(|parent| parent.0),
            user: self.user.map(|user| user.0),
            name: self.name.clone(),
            secret_hash: self.secret_hash,
            hint: self.hint.clone(),
            previous: self.previous.as_ref().map(previous_row),
            models: models_row(&self.models),
            labels: LabelsRow::of(&self.labels),
            endpoints: endpoints_row(self.endpoints.as_deref()),
            expires_ms: self.expires_ms,
            disabled: self.disabled,
            created_ms: self.created_ms,
            deleted_ms: self.deleted_ms,
        };
        let row = KeyRow5 {
            row,
            max_cost: self.max_cost.map(Money::pico),
            imported: self.imported,
            previous_imported: self
                .previous
                .as_ref()
                .is_some_and(|previous| previous.imported),
        };
        write_row(&row, into)
    }

    fn from_row(newest: KeyRow5) -> Result<VirtualKey, String> {
        let KeyRow5 {
            row,
            max_cost,
            imported,
            previous_imported,
        } = newest;
        Ok(VirtualKey {
            id: KeyId(row.id),
            team: TeamId(row.team),
            organization: OrganizationId(row.organization),
            parent: row.parent.map(KeyId),
            user: row.user.map(UserId),
            name: row.name,
            secret_hash: row.secret_hash,
            imported,
            hint: row.hint,
            previous: row
                .previous
                .map(|previous| previous_of(previous, previous_imported)),
            models: models_of(row.models),
            labels: row.labels.into_labels(),
            endpoints: endpoints_of(row.endpoints)?,
            max_cost: max_cost.map(Money::from_pico),
            expires_ms: row.expires_ms,
            disabled: row.disabled,
            created_ms: row.created_ms,
            deleted_ms: row.deleted_ms,
        })
    }

    fn decode_version(version: u8, bytes: &[u8]) -> Result<VirtualKey, String> {
        match version {
            2 => {
                let row: PlainKeyRow<Vec<String>> = read_row(bytes)?;
                VirtualKey::from_row(KeyRow::from(row.with_version_3_models()).into())
            }
            3 => {
                let row: PlainKeyRow<Option<Vec<String>>> = read_row(bytes)?;
                VirtualKey::from_row(KeyRow::from(row).into())
            }
            4 => read_row(bytes).and_then(|row: KeyRow| VirtualKey::from_row(row.into())),
            5 => read_row(bytes).and_then(VirtualKey::from_row),
            other => Err(unknown_version::<VirtualKey>(other)),
        }
    }
}
