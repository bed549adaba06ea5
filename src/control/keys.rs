//! Virtual keys of teams, and administrative keys. A secret is returned once, when the key is created; only its hash is stored,
//! and no audit event or message contains more of it than the hint.

use serde_json::{Map, json};

use crate::auth::directory::Directory;
use crate::auth::grant::Grant;
use crate::auth::key::{self, GeneratedKey};
use crate::auth::role::may;
use crate::control::change::{AffectedLimits, ChangeOutcome};
use crate::control::error::{name_taken, not_found};
use crate::control::input::{Budgets, Models, Name, models_to_audit};
use crate::control::limits::Limits;
use crate::control::owner_limits::{self, WithLimits};
use crate::control::plane::Control;
use crate::control::teams::resolve_team;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::id::{AdminKeyId, KeyId, TeamId};
use crate::domain::secret::Secret;
use crate::domain::tenant::{AdminKey, PARENTS_MAX, Team, VirtualKey};
use crate::domain::zone::Zone;
use crate::store::ChangeTransaction;

/// A new key.
#[derive(Clone, Debug)]
pub enum NewKey {
    Virtual(NewVirtualKey),
    Administrative(Name),
}

#[derive(Clone, Debug)]
pub struct NewVirtualKey {
    pub name: Name,
    pub parent: KeyParent,
    pub models: Models,
    pub expires_ms: Option<u64>,
    pub budgets: Budgets,
    pub limits: Limits,
}

/// Parent of a new key: a team, or a key of a team. A team is an id, or a name that only one team has.
#[derive(Clone, Copy, Debug)]
pub enum KeyParent<T = String> {
    Team(T),
    Key {
        parent: KeyId,
        /// optional; must be the team of the parent key
        team: Option<T>,
    },
}

impl KeyParent {
    fn resolve(self, directory: &Directory) -> Result<KeyParent<TeamId>, ApiError> {
        Ok(match self {
            KeyParent::Team(team) => KeyParent::Team(resolve_team(directory, &team)?),
            KeyParent::Key { parent, team } => KeyParent::Key {
                parent,
                team: team
                    .map(|team| resolve_team(directory, &team))
                    .transpose()?,
            },
        })
    }
}

impl KeyParent<TeamId> {
    /// Team and parent key of the new key.
    fn load(self, books: &mut ChangeTransaction<'_>) -> Result<(Team, Option<KeyId>), ApiError> {
        let (team, parent) = match self {
            KeyParent::Team(team) => (team, None),
            KeyParent::Key { parent, team } => {
                let parent_key = books
                    .key(parent)?
                    .ok_or_else(|| not_found("key", parent).with_param("parent"))?;
                if team.is_some_and(|team| team != parent_key.team) {
                    let message = format!(
                        "{parent} is a key of {}, and so are its child keys; leave out `team`",
                        parent_key.team
                    );
                    return Err(ApiError::invalid(message).with_param("team"));
                }
                (parent_key.team, Some(check_depth(books, &parent_key)?))
            }
        };
        Ok((
            books
                .team(team)?
                .ok_or_else(|| not_found("team", team).with_param("team"))?,
            parent,
        ))
    }
}

/// Refuses a child key whose chain of parents would be too long.
fn check_depth(books: &mut ChangeTransaction<'_>, parent: &VirtualKey) -> Result<KeyId, ApiError> {
    let (mut depth, mut next) = (1, parent.parent);
    while let Some(ancestor) = next {
        depth += 1;
        next = books.key(ancestor)?.and_then(|key| key.parent);
        if depth > PARENTS_MAX {
            break;
        }
    }
    if depth > PARENTS_MAX {
        let message = format!(
            "{} already has {PARENTS_MAX} keys above it; a key may have at most {PARENTS_MAX}",
            parent.id
        );
        return Err(ApiError::invalid(message).with_param("parent"));
    }
    Ok(parent.id)
}

/// Partial update of a virtual key; `None` leaves a part unchanged.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    pub models: Option<Models>,
    /// `Some(None)`: the key never expires
    pub expires_ms: Option<Option<u64>>,
    pub disabled: Option<bool>,
    pub budgets: Option<Budgets>,
    pub limits: Option<Limits>,
}

impl Control {
    pub async fn create_key(
        &self,
        grant: &Grant<may::ChangeKeys>,
        new: NewVirtualKey,
    ) -> Result<(WithLimits<VirtualKey>, Secret), ApiError> {
        let parent = new.parent.clone().resolve(&self.directory.load())?;
        let generated = key::generate(new.name.as_str()).map_err(no_random_bytes)?;
        let secret = generated.secret.clone();
        let create = move |books: &mut ChangeTransaction<'_>, at_ms: u64| {
            let key = insert_virtual_key(books, parent, &new, &generated, at_ms)?;
            let mut detail = json!({
                "name": key.name,
                "team": key.team.to_string(),
                "parent": key.parent.map(|parent| parent.to_string()),
                "hint": key.hint,
                "models": models_to_audit(&key.models),
                "expires_at": key.expires_ms.map(instant),
            });
            let (stored, affected) = owner_limits::create(
                books,
                Owner::Key(key.id),
                (&new.budgets, &new.limits),
                &mut detail,
            )?;
            Ok(ChangeOutcome {
                subject: key.id.to_string(),
                detail,
                affected,
                answer: (key, stored),
            })
        };
        let (key, stored) = self.apply(grant.actor(), "key.create", create).await?;
        Ok((self.with_status(key, stored), secret))
    }

    pub async fn create_admin_key(
        &self,
        grant: &Grant<may::ChangeAdminKeys>,
        name: Name,
    ) -> Result<(AdminKey, Secret), ApiError> {
        let generated = key::generate_admin().map_err(no_random_bytes)?;
        let secret = generated.secret.clone();
        let create = move |books: &mut ChangeTransaction<'_>, at_ms: u64| {
            let admin = insert_admin_key(books, name.into_string(), &generated, at_ms)?;
            let detail = json!({ "name": admin.name, "hint": admin.hint });
            Ok(ChangeOutcome {
                subject: admin.id.to_string(),
                detail,
                affected: AffectedLimits::default(),
                answer: admin,
            })
        };
        let admin = self
            .apply(grant.actor(), "admin_key.create", create)
            .await?;
        Ok((admin, secret))
    }

    pub async fn change_key(
        &self,
        grant: &Grant<may::ChangeKeys>,
        id: KeyId,
        update: KeyChange,
    ) -> Result<WithLimits<VirtualKey>, ApiError> {
        let change = move |books: &mut ChangeTransaction<'_>, _at_ms: u64| {
            let mut key = books.key(id)?.ok_or_else(|| not_found("key", id))?;
            let mut detail = Map::new();
            if let Some(models) = update.models {
                detail.insert("models".to_owned(), models.replace(&mut key.models));
            }
            if let Some(expires_ms) = update.expires_ms {
                let before = std::mem::replace(&mut key.expires_ms, expires_ms);
                detail.insert(
                    "expires_at".to_owned(),
                    json!({ "from": before.map(instant), "to": expires_ms.map(instant) }),
                );
            }
            if let Some(disabled) = update.disabled {
                let before = std::mem::replace(&mut key.disabled, disabled);
                detail.insert(
                    "disabled".to_owned(),
                    json!({ "from": before, "to": disabled }),
                );
            }
            books.put_key(&key)?;
            let limits = (update.budgets.as_ref(), update.limits.as_ref());
            let (stored, affected) =
                owner_limits::change(books, Owner::Key(id), limits, &mut detail)?;
            Ok(ChangeOutcome {
                subject: id.to_string(),
                detail: detail.into(),
                affected,
                answer: (key, stored),
            })
        };
        let (key, stored) = self.apply(grant.actor(), "key.change", change).await?;
        Ok(self.with_status(key, stored))
    }

    pub async fn disable_admin_key(
        &self,
        grant: &Grant<may::ChangeAdminKeys>,
        id: AdminKeyId,
        disabled: bool,
    ) -> Result<AdminKey, ApiError> {
        let change = move |books: &mut ChangeTransaction<'_>, _at_ms: u64| {
            let mut admin = books.admin_key(id)?.ok_or_else(|| not_found("key", id))?;
            let before = std::mem::replace(&mut admin.disabled, disabled);
            books.put_admin_key(&admin)?;
            let detail = json!({ "disabled": { "from": before, "to": disabled } });
            Ok(ChangeOutcome {
                subject: id.to_string(),
                detail,
                affected: AffectedLimits::default(),
                answer: admin,
            })
        };
        self.apply(grant.actor(), "admin_key.change", change).await
    }

    pub async fn keys(
        &self,
        _grant: &Grant<may::ReadTenants>,
    ) -> Result<Vec<WithLimits<VirtualKey>>, ApiError> {
        let tenants = self.read(|store| store.tenants()).await?;
        let mut by_owner = owner_limits::by_owner(tenants.budgets, tenants.limits);
        let with_status = |key: VirtualKey| {
            let owner = Owner::Key(key.id);
            self.with_status(key, by_owner.remove(&owner).unwrap_or_default())
        };
        Ok(tenants.keys.into_iter().map(with_status).collect())
    }

    pub async fn key(
        &self,
        grant: &Grant<may::ReadTenants>,
        id: KeyId,
    ) -> Result<WithLimits<VirtualKey>, ApiError> {
        let keys = self.keys(grant).await?;
        keys.into_iter()
            .find(|key| key.record.id == id)
            .ok_or_else(|| not_found("key", id))
    }

    pub async fn admin_keys(
        &self,
        _grant: &Grant<may::ReadTenants>,
    ) -> Result<Vec<AdminKey>, ApiError> {
        Ok(self.read(|store| store.tenants()).await?.admin_keys)
    }
}

fn insert_virtual_key(
    books: &mut ChangeTransaction<'_>,
    parent: KeyParent<TeamId>,
    new: &NewVirtualKey,
    generated: &GeneratedKey,
    at_ms: u64,
) -> Result<VirtualKey, ApiError> {
    let (team, parent) = parent.load(books)?;
    if !books.claim_name(&format!("key/{}", team.id), new.name.as_str())? {
        return Err(name_taken(
            "a key",
            new.name.as_str(),
            format!("the team `{}`", team.name),
        ));
    }
    let key = VirtualKey {
        id: KeyId(books.next_id()?),
        team: team.id,
        organization: team.organization,
        parent,
        name: new.name.as_str().to_owned(),
        secret_hash: generated.hash,
        hint: generated.hint.clone(),
        models: new.models.clone().into_allow_list(),
        expires_ms: new.expires_ms,
        disabled: false,
        created_ms: at_ms,
    };
    books.put_key(&key)?;
    Ok(key)
}

pub(super) fn insert_admin_key(
    books: &mut ChangeTransaction<'_>,
    name: String,
    generated: &GeneratedKey,
    at_ms: u64,
) -> Result<AdminKey, ApiError> {
    if !books.claim_name("admin_key", &name)? {
        return Err(name_taken("an administrative key", &name, "this instance"));
    }
    let id = AdminKeyId(books.next_id()?);
    let (secret_hash, hint) = (generated.hash, generated.hint.clone());
    let admin = AdminKey {
        id,
        name,
        secret_hash,
        hint,
        disabled: false,
        created_ms: at_ms,
    };
    books.put_admin_key(&admin)?;
    Ok(admin)
}

pub(super) fn no_random_bytes(error: getrandom::Error) -> ApiError {
    ApiError::new(
        ErrorCode::Internal,
        format!("no random bytes from the system for a new key: {error}; try again"),
    )
}

fn instant(at_ms: u64) -> String {
    Zone::utc().rfc3339(at_ms)
}
