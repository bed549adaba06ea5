//! Virtual keys: service keys of a team, personal keys of its members, child keys. A secret is returned once, when the key is created
//! or rotated; only its hash is stored, and no audit event or message contains more of it than the hint.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::auth::directory::{Caller, Directory, OwnerLimits};
use crate::auth::grant::Grant;
use crate::auth::key::{self, GeneratedKey};
use crate::auth::role::{Action, may};
use crate::control::change::Change;
use crate::control::error::{name_taken, not_found};
use crate::control::input::{Budgets, Models, Name, models_to_audit};
use crate::control::labels::{LabelsChange, max_cost_change};
use crate::control::limits::Limits;
use crate::control::member_keys;
use crate::control::names::{resolve_team, resolve_user};
use crate::control::owner_limits::{self, WithLimits};
use crate::control::page::{Page, PageQuery};
use crate::control::plane::Control;
use crate::control::teams::endpoints_to_audit;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::id::{KeyId, TeamId, UserId};
use crate::domain::money::Money;
use crate::domain::role::Place;
use crate::domain::secret::Secret;
use crate::domain::tenant::{Endpoint, Labels, PARENTS_MAX, SecretHash, Team, VirtualKey};
use crate::domain::zone::Zone;

#[derive(Clone, Debug)]
pub struct NewVirtualKey {
    pub name: Name,
    pub parent: KeyParent,
    /// owner of a personal key: an id or an e-mail address
    pub user: Option<String>,
    pub models: Models,
    pub endpoints: Option<Vec<Endpoint>>,
    pub labels: Labels,
    pub max_cost: Option<Money>,
    pub expires_ms: Option<u64>,
    pub budgets: Budgets,
    pub limits: Limits,
}

/// Parent of a new key: a team, or a key of a team. A team is an id, or a name that only one team has.
#[derive(Clone, Debug)]
pub enum KeyParent {
    Team(String),
    Key {
        parent: KeyId,
        /// optional; must be the team of the parent key
        team: Option<String>,
    },
}

/// Partial update of a virtual key; `None` leaves a part unchanged.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    pub name: Option<Name>,
    pub models: Option<Models>,
    pub endpoints: Option<Option<Vec<Endpoint>>>,
    pub labels: LabelsChange,
    /// `Some(None)`: no bound
    pub max_cost: Option<Option<Money>>,
    /// `Some(None)`: the key never expires
    pub expires_ms: Option<Option<u64>>,
    pub disabled: Option<bool>,
    /// ends the running calls of a key that is disabled
    pub now: bool,
    pub budgets: Option<Budgets>,
    pub limits: Option<Limits>,
}

/// Filters of a list of keys.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// an id or a name
    pub team: Option<String>,
    /// an id or an e-mail address
    pub user: Option<String>,
    pub parent: Option<KeyId>,
    pub name: Option<String>,
    pub tag: Option<String>,
    pub disabled: Option<bool>,
}

type StoredKey = (VirtualKey, OwnerLimits);

impl Control {
    pub async fn create_key(
        &self,
        grant: &Grant<may::ChangeKeys>,
        new: NewVirtualKey,
    ) -> Result<(WithLimits<VirtualKey>, Secret), ApiError> {
        let origin = Origin::of(&self.directory(), grant, &new)?;
        let generated = key::generate(new.name.as_str()).map_err(no_random_bytes)?;
        let (secret, stored) = (generated.secret.clone(), StoredSecret::of(generated));
        let allowed = grant.clone();
        let create =
            move |change: &mut Change<'_, '_>| insert(change, &allowed, origin, new, stored);
        let (key, stored) = self.apply(grant.actor(), create).await?;
        Ok((self.with_status(key, stored), secret))
    }

    pub async fn change_key(
        &self,
        grant: &Grant<may::ChangeKeys>,
        id: KeyId,
        update: KeyChange,
    ) -> Result<WithLimits<VirtualKey>, ApiError> {
        let allowed = grant.clone();
        let rewrite = move |change: &mut Change<'_, '_>| {
            let key = load(change, &allowed, id)?;
            change_row(change, &allowed, key, update)
        };
        let (key, stored) = self.apply(grant.actor(), rewrite).await?;
        Ok(self.with_status(key, stored))
    }

    pub async fn keys(
        &self,
        grant: &Grant<may::ReadKeys>,
        filter: &KeyFilter,
        page: PageQuery,
    ) -> Result<Page<WithLimits<VirtualKey>>, ApiError> {
        let directory = self.directory();
        let team = match &filter.team {
            Some(text) => Some(resolve_team(&directory, grant, text)?.id),
            None => None,
        };
        let user = match &filter.user {
            Some(text) => Some(resolve_user(&directory, grant, text)?.id),
            None => None,
        };
        let matches = |caller: &Arc<Caller>| {
            let key = &caller.key;
            user.is_none_or(|user| key.user == Some(user))
                && filter
                    .parent
                    .is_none_or(|parent| key.parent == Some(parent))
                && filter.name.as_ref().is_none_or(|name| key.name == *name)
                && filter
                    .tag
                    .as_ref()
                    .is_none_or(|tag| key.labels.tags.contains(tag))
                && filter
                    .disabled
                    .is_none_or(|disabled| key.disabled == disabled)
                && grant.covers(key.place())
        };
        let id = |caller: &&Arc<Caller>| caller.key.id.0;
        let page = match team {
            Some(team) => page.of(directory.keys_of_team(team).filter(|key| matches(key)), id),
            None => {
                let first = KeyId(page.after.saturating_add(1));
                page.of(directory.keys_from(first).filter(|key| matches(key)), id)
            }
        };
        Ok(page.map(|caller| self.key_with_limits(caller, &directory)))
    }

    pub async fn key(
        &self,
        grant: &Grant<may::ReadKeys>,
        id: KeyId,
    ) -> Result<WithLimits<VirtualKey>, ApiError> {
        let directory = self.directory();
        let caller = directory
            .key(id)
            .filter(|caller| caller.key.deleted_ms.is_none())
            .filter(|caller| grant.covers(caller.key.place()))
            .ok_or_else(|| not_found("key", id))?;
        Ok(self.key_with_limits(caller, &directory))
    }
}

/// Parts of a secret that are stored.
#[derive(Clone, Debug)]
pub(super) struct StoredSecret {
    pub hash: SecretHash,
    /// last four characters
    pub hint: String,
    pub imported: bool,
}

impl StoredSecret {
    pub fn of(generated: GeneratedKey) -> StoredSecret {
        StoredSecret {
            hash: generated.hash,
            hint: generated.hint,
            imported: false,
        }
    }
}

/// Place of a new key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub team: TeamId,
    pub parent: Option<KeyId>,
    pub user: Option<UserId>,
}

impl Origin {
    /// A user that reaches own keys only makes personal keys.
    pub(super) fn of(
        directory: &Directory,
        grant: &Grant<may::ChangeKeys>,
        new: &NewVirtualKey,
    ) -> Result<Origin, ApiError> {
        let (team, parent) = match &new.parent {
            KeyParent::Team(text) => (resolve_team(directory, grant, text)?, None),
            KeyParent::Key { parent, team } => {
                let key = parent_key(directory, grant, *parent)?;
                if let Some(text) = team
                    && resolve_team(directory, grant, text)?.id != key.team
                {
                    return Err(wrong_team(key));
                }
                let team = directory.live_team(key.team);
                let team = team.ok_or_else(|| not_found("team", key.team))?;
                (team, Some(key))
            }
        };
        let of_parent = parent.and_then(|parent| parent.user);
        let user = match &new.user {
            Some(text) => Some(resolve_user(directory, grant, text)?.id),
            None if of_parent.is_some() => of_parent,
            None if !grant.covers_all(team.scope()) => grant.actor().user(),
            None => None,
        };
        Ok(Origin {
            team: team.id,
            parent: parent.map(|parent| parent.id),
            user,
        })
    }
}

fn parent_key<'d>(
    directory: &'d Directory,
    grant: &Grant<may::ChangeKeys>,
    id: KeyId,
) -> Result<&'d VirtualKey, ApiError> {
    directory
        .live_key(id)
        .filter(|key| grant.sees(Action::ReadKeys, key.place()))
        .ok_or_else(|| not_found("key", id).with_param("parent"))
}

fn wrong_team(parent: &VirtualKey) -> ApiError {
    let message = format!(
        "{} is a key of {}, and so are its child keys; leave out `team`",
        parent.id, parent.team
    );
    ApiError::invalid(message).with_param("team")
}

pub(super) fn insert(
    change: &mut Change<'_, '_>,
    grant: &Grant<may::ChangeKeys>,
    origin: Origin,
    mut new: NewVirtualKey,
    secret: StoredSecret,
) -> Result<StoredKey, ApiError> {
    let team = change.directory.live_team(origin.team).cloned();
    let team = team.ok_or_else(|| not_found("team", origin.team).with_param("team"))?;
    if let Some(parent) = origin.parent {
        check_parent(change.directory, parent, origin.user)?;
    }
    let place = Place {
        scope: team.scope(),
        user: origin.user,
    };
    grant.check(place, Action::ReadTeams, || not_found("team", team.id))?;
    member_keys::check_user(change.directory, &team, origin.user)?;
    if !grant.covers_all(team.scope()) {
        new.budgets = member_keys::check_new(change.directory, &team, origin.user, new.budgets)?;
    }
    claim(change, &team, &new.name)?;
    let key = VirtualKey {
        id: KeyId(change.books.next_id()?),
        team: team.id,
        organization: team.organization,
        parent: origin.parent,
        user: origin.user,
        name: new.name.into_string(),
        secret_hash: secret.hash,
        imported: secret.imported,
        hint: secret.hint,
        previous: None,
        models: new.models.into_allow_list(),
        labels: new.labels,
        endpoints: new.endpoints,
        max_cost: new.max_cost,
        expires_ms: new.expires_ms,
        disabled: false,
        created_ms: change.at_ms,
        deleted_ms: None,
    };
    change.books.put_key(&key)?;
    let mut detail = created_to_audit(&key);
    let limits = (&new.budgets, &new.limits);
    let stored = owner_limits::create(change, Owner::Key(key.id), limits, &mut detail)?;
    change.audit("key.create", key.id, &detail)?;
    Ok((key, stored))
}

fn created_to_audit(key: &VirtualKey) -> Value {
    json!({
        "name": key.name,
        "team": key.team.to_string(),
        "parent": key.parent.map(|parent| parent.to_string()),
        "user": key.user.map(|user| user.to_string()),
        "hint": key.hint,
        "imported": key.imported,
        "models": models_to_audit(&key.models),
        "allowed_endpoints": endpoints_to_audit(key.endpoints.as_deref()),
        "tags": key.labels.tags,
        "max_cost_usd": key.max_cost.map(|most| most.to_string()),
        "expires_at": key.expires_ms.map(instant),
    })
}

/// Refuses a child key whose chain of parents would be too long, or whose user is not the parent's.
fn check_parent(
    directory: &Directory,
    parent: KeyId,
    user: Option<UserId>,
) -> Result<(), ApiError> {
    let caller = directory
        .key(parent)
        .filter(|caller| caller.key.deleted_ms.is_none())
        .ok_or_else(|| not_found("key", parent).with_param("parent"))?;
    if caller.parents.len() >= PARENTS_MAX {
        let message = format!(
            "{parent} already has {PARENTS_MAX} keys above it; a key may have at most {PARENTS_MAX}"
        );
        return Err(ApiError::invalid(message).with_param("parent"));
    }
    if caller.key.user.is_some() && caller.key.user != user {
        let message = "a child of a personal key belongs to the same user; leave out `user`";
        return Err(ApiError::invalid(message).with_param("user"));
    }
    Ok(())
}

pub(super) fn change_row(
    change: &mut Change<'_, '_>,
    grant: &Grant<may::ChangeKeys>,
    mut key: VirtualKey,
    update: KeyChange,
) -> Result<StoredKey, ApiError> {
    let id = key.id;
    let mut detail = Map::new();
    if let Some(name) = update.name {
        let team = change.directory.team(key.team).cloned();
        let team = team.ok_or_else(|| not_found("team", key.team))?;
        claim(change, &team, &name)?;
        change.books.release_name(&names(key.team), &key.name)?;
        let before = std::mem::replace(&mut key.name, name.into_string());
        detail.insert("name".to_owned(), json!({ "from": before, "to": key.name }));
    }
    if let Some(models) = update.models {
        detail.insert("models".to_owned(), models.replace(&mut key.models));
    }
    if let Some(endpoints) = update.endpoints {
        let before = std::mem::replace(&mut key.endpoints, endpoints);
        let endpoints = json!({
            "from": endpoints_to_audit(before.as_deref()),
            "to": endpoints_to_audit(key.endpoints.as_deref()),
        });
        detail.insert("allowed_endpoints".to_owned(), endpoints);
    }
    if !update.labels.is_empty() {
        let labels = update.labels.apply_to(&mut key.labels);
        detail.insert("labels".to_owned(), labels);
    }
    if let Some(max_cost) = update.max_cost {
        let change = max_cost_change(&mut key.max_cost, max_cost);
        detail.insert("max_cost_usd".to_owned(), change);
    }
    if let Some(expires_ms) = update.expires_ms {
        let before = std::mem::replace(&mut key.expires_ms, expires_ms);
        let instants = json!({ "from": before.map(instant), "to": expires_ms.map(instant) });
        detail.insert("expires_at".to_owned(), instants);
    }
    if let Some(disabled) = update.disabled {
        let before = std::mem::replace(&mut key.disabled, disabled);
        let states = json!({ "from": before, "to": disabled });
        detail.insert("disabled".to_owned(), states);
    }
    if update.now && key.disabled {
        detail.insert("calls_ended".to_owned(), json!(true));
        change.end_calls(id);
    }
    if !grant.covers_all(key.place().scope) {
        member_keys::check_changed(change.directory, &key, update.budgets.as_ref())?;
    }
    change.books.put_key(&key)?;
    let limits = (update.budgets.as_ref(), update.limits.as_ref());
    let stored = owner_limits::rewrite(change, Owner::Key(id), limits, &mut detail)?;
    change.audit("key.change", id, &detail.into())?;
    Ok((key, stored))
}

/// The live key, if the grant covers it.
pub(super) fn load(
    change: &mut Change<'_, '_>,
    grant: &Grant<may::ChangeKeys>,
    id: KeyId,
) -> Result<VirtualKey, ApiError> {
    let unknown = || not_found("key", id);
    let key = change.books.key(id)?;
    let key = key
        .filter(|key| key.deleted_ms.is_none())
        .ok_or_else(unknown)?;
    grant.check(key.place(), Action::ReadKeys, unknown)?;
    let limits = change.directory.limits_of(Owner::Key(id));
    change.check_version(&key, &limits)?;
    Ok(key)
}

/// Scope in which names of keys are unique.
pub(super) fn names(team: TeamId) -> String {
    format!("key/{team}")
}

fn claim(change: &mut Change<'_, '_>, team: &Team, name: &Name) -> Result<(), ApiError> {
    if change.books.claim_name(&names(team.id), name.as_str())? {
        return Ok(());
    }
    let place = format!("the team `{}`", team.name);
    Err(name_taken("a key", name.as_str(), place))
}

pub(super) fn no_random_bytes(error: getrandom::Error) -> ApiError {
    ApiError::new(
        ErrorCode::Internal,
        format!("no random bytes from the system for a new key: {error}; try again"),
    )
}

pub(super) fn instant(at_ms: u64) -> String {
    Zone::utc().rfc3339(at_ms)
}
