//! Keys: virtual ones of a team, and administrative ones. A secret leaves once, with the answer to its creation; only its
//! hash is stored, and no audit event or message ever has more of it than the hint.

use std::sync::Arc;

use serde_json::{Map, json};

use crate::auth;
use crate::auth::directory::{Caller, Directory};
use crate::auth::grant::Grant;
use crate::auth::key::{self, GeneratedKey};
use crate::auth::role::{Actor, may};
use crate::control::fields::Fields;
use crate::control::input;
use crate::control::input::{Budgets, Models, Name, models_audited};
use crate::control::limits::Limits;
use crate::control::owner_limits;
use crate::control::owner_limits::AffectedLimits;
use crate::control::teams::resolve_team;
use crate::control::{ChangeOutcome, Control, WithLimits, name_taken, not_found};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::id::{AdminKeyId, KeyId, TeamId};
use crate::domain::secret::Secret;
use crate::domain::tenant::{AdminKey, PARENTS_MAX, Team, VirtualKey};
use crate::domain::zone::Zone;
use crate::policy::access;
use crate::store::ChangeTransaction;

/// A key as it is asked for: of a team, or to administer with.
#[derive(Clone, Debug)]
pub enum NewKey {
    Virtual(NewVirtualKey),
    Administrative(Name),
}

#[derive(Clone, Debug)]
pub struct NewVirtualKey {
    pub name: Name,
    pub place: KeyParent,
    pub models: Models,
    pub expires_ms: Option<u64>,
    pub budgets: Budgets,
    pub limits: Limits,
}

/// Where a new key belongs: directly to a team, or below a key of it. A team is an id, or a name that only one team has.
#[derive(Clone, Copy, Debug)]
pub enum KeyParent<T = String> {
    Team(T),
    Below {
        parent: KeyId,
        /// may be said all the same, and must be right then
        team: Option<T>,
    },
}

impl KeyParent {
    fn take(fields: &mut Fields) -> Result<KeyParent, ApiError> {
        let parent: Option<String> = fields.take("parent", "the id of a key")?;
        let Some(parent) = parent else {
            return Ok(KeyParent::Team(
                fields.require("team", "the id or the name of a team")?,
            ));
        };
        let parent = KeyId::parse(&parent)
            .ok_or_else(|| fields.fault("parent", "must be the id of a key, like key_3"))?;
        Ok(KeyParent::Below {
            parent,
            team: fields.take("team", "the id or the name of a team")?,
        })
    }

    fn meant(self, directory: &Directory) -> Result<KeyParent<TeamId>, ApiError> {
        Ok(match self {
            KeyParent::Team(team) => KeyParent::Team(resolve_team(directory, &team)?),
            KeyParent::Below { parent, team } => KeyParent::Below {
                parent,
                team: team
                    .map(|team| resolve_team(directory, &team))
                    .transpose()?,
            },
        })
    }
}

impl KeyParent<TeamId> {
    /// The team and the parent of the key that is made here.
    fn found(self, books: &mut ChangeTransaction<'_>) -> Result<(Team, Option<KeyId>), ApiError> {
        let (team, parent) = match self {
            KeyParent::Team(team) => (team, None),
            KeyParent::Below { parent, team } => {
                let above = books
                    .key(parent)?
                    .ok_or_else(|| not_found("key", parent).with_param("parent"))?;
                if team.is_some_and(|team| team != above.team) {
                    let message = format!(
                        "{parent} is a key of {}, and a key below it is too; leave `team` out",
                        above.team
                    );
                    return Err(ApiError::invalid(message).with_param("team"));
                }
                (above.team, Some(below(books, &above)?))
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

/// A key may have another one below it, as long as the line does not grow too long.
fn below(books: &mut ChangeTransaction<'_>, parent: &VirtualKey) -> Result<KeyId, ApiError> {
    let (mut line, mut next) = (1, parent.parent);
    while let Some(above) = next {
        line += 1;
        next = books.key(above)?.and_then(|key| key.parent);
        if line > PARENTS_MAX {
            break;
        }
    }
    if line > PARENTS_MAX {
        let message = format!(
            "{} has {} keys above it already; a key may have {PARENTS_MAX}",
            parent.id, PARENTS_MAX
        );
        return Err(ApiError::invalid(message).with_param("parent"));
    }
    Ok(parent.id)
}

impl NewKey {
    /// `"admin": true` asks for an administrative key, which has a name and nothing else.
    pub fn from_json(body: &[u8], now_ms: u64) -> Result<NewKey, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let name = Name::take(&mut fields)?;
        if fields.take("admin", "true or false")?.unwrap_or(false) {
            fields.finish()?;
            return Ok(NewKey::Administrative(name));
        }
        let new = NewVirtualKey {
            name,
            place: KeyParent::take(&mut fields)?,
            models: Models::take(&mut fields)?.unwrap_or_default(),
            expires_ms: take_expiry(&mut fields, now_ms)?.flatten(),
            budgets: Budgets::take(&mut fields)?.unwrap_or_default(),
            limits: Limits::take(&mut fields)?.unwrap_or_default(),
        };
        fields.finish()?;
        Ok(NewKey::Virtual(new))
    }
}

/// What shall be different about a virtual key; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    pub models: Option<Models>,
    /// `Some(None)`: never
    pub expires_ms: Option<Option<u64>>,
    pub disabled: Option<bool>,
    pub budgets: Option<Budgets>,
    pub limits: Option<Limits>,
}

impl KeyChange {
    pub fn from_json(body: &[u8], now_ms: u64) -> Result<KeyChange, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let change = KeyChange {
            models: Models::take(&mut fields)?,
            expires_ms: take_expiry(&mut fields, now_ms)?,
            disabled: fields.take("disabled", "true or false")?,
            budgets: Budgets::take(&mut fields)?,
            limits: Limits::take(&mut fields)?,
        };
        fields.finish()?;
        let KeyChange {
            models,
            expires_ms,
            disabled,
            budgets,
            limits,
        } = &change;
        if models.is_none()
            && expires_ms.is_none()
            && disabled.is_none()
            && budgets.is_none()
            && limits.is_none()
        {
            return Err(ApiError::invalid(
                "nothing to change; give `models`, `expires`, `disabled`, `budgets` or `limits`",
            ));
        }
        Ok(change)
    }
}

/// `disabled`, the one thing that can change about an administrative key.
pub fn admin_key_change(body: &[u8]) -> Result<bool, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let disabled = fields.require("disabled", "true or false")?;
    fields.finish()?;
    Ok(disabled)
}

/// Who stands above a key.
#[derive(Clone, Debug)]
pub struct KeyAncestor {
    pub owner: Owner,
    pub name: String,
}

/// What a presented key is good for right now.
#[derive(Debug)]
pub enum KeyStatus {
    /// a virtual key, and the configured model names that it may call
    Virtual {
        caller: Arc<Caller>,
        own: WithLimits<VirtualKey>,
        /// from its parents upwards, those that have any
        above: Vec<WithLimits<KeyAncestor>>,
        models: Vec<String>,
    },
    Administrative {
        id: AdminKeyId,
        name: String,
    },
    /// just as a call with it would be refused
    Refused(ApiError),
}

impl Control {
    pub async fn create_key(
        &self,
        grant: &Grant<may::ChangeKeys>,
        new: NewVirtualKey,
    ) -> Result<(WithLimits<VirtualKey>, Secret), ApiError> {
        let place = new.place.clone().meant(&self.directory.load())?;
        let minted = key::generate(new.name.as_str()).map_err(unrandom)?;
        let secret = minted.secret.clone();
        let create = move |books: &mut ChangeTransaction<'_>, at_ms: u64| {
            let key = new_virtual_key(books, place, &new, &minted, at_ms)?;
            let mut detail = json!({
                "name": key.name,
                "team": key.team.to_string(),
                "parent": key.parent.map(|parent| parent.to_string()),
                "hint": key.hint,
                "models": models_audited(&key.models),
                "expires_at": key.expires_ms.map(instant),
            });
            let (owned, touched) = owner_limits::create(
                books,
                Owner::Key(key.id),
                (&new.budgets, &new.limits),
                &mut detail,
            )?;
            Ok(ChangeOutcome {
                subject: key.id.to_string(),
                detail,
                touched,
                answer: (key, owned),
            })
        };
        let (key, owned) = self.apply(grant.actor(), "key.create", create).await?;
        Ok((self.with_standings(key, owned), secret))
    }

    pub async fn create_admin_key(
        &self,
        grant: &Grant<may::ChangeAdminKeys>,
        name: Name,
    ) -> Result<(AdminKey, Secret), ApiError> {
        let minted = key::generate_admin().map_err(unrandom)?;
        let secret = minted.secret.clone();
        let create = move |books: &mut ChangeTransaction<'_>, at_ms: u64| {
            let admin = new_admin_key(books, name.into_string(), &minted, at_ms)?;
            let detail = json!({ "name": admin.name, "hint": admin.hint });
            Ok(ChangeOutcome {
                subject: admin.id.to_string(),
                detail,
                touched: AffectedLimits::default(),
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
        wanted: KeyChange,
    ) -> Result<WithLimits<VirtualKey>, ApiError> {
        let apply = move |books: &mut ChangeTransaction<'_>, _at_ms: u64| {
            let mut key = books.key(id)?.ok_or_else(|| not_found("key", id))?;
            let mut detail = Map::new();
            if let Some(models) = wanted.models {
                detail.insert("models".to_owned(), models.replace(&mut key.models));
            }
            if let Some(expires_ms) = wanted.expires_ms {
                let before = std::mem::replace(&mut key.expires_ms, expires_ms);
                detail.insert(
                    "expires_at".to_owned(),
                    json!({ "from": before.map(instant), "to": expires_ms.map(instant) }),
                );
            }
            if let Some(disabled) = wanted.disabled {
                let before = std::mem::replace(&mut key.disabled, disabled);
                detail.insert(
                    "disabled".to_owned(),
                    json!({ "from": before, "to": disabled }),
                );
            }
            books.put_key(&key)?;
            let terms = (wanted.budgets.as_ref(), wanted.limits.as_ref());
            let (owned, touched) = owner_limits::change(books, Owner::Key(id), terms, &mut detail)?;
            Ok(ChangeOutcome {
                subject: id.to_string(),
                detail: detail.into(),
                touched,
                answer: (key, owned),
            })
        };
        let (key, owned) = self.apply(grant.actor(), "key.change", apply).await?;
        Ok(self.with_standings(key, owned))
    }

    pub async fn disable_admin_key(
        &self,
        grant: &Grant<may::ChangeAdminKeys>,
        id: AdminKeyId,
        disabled: bool,
    ) -> Result<AdminKey, ApiError> {
        let apply = move |books: &mut ChangeTransaction<'_>, _at_ms: u64| {
            let mut admin = books.admin_key(id)?.ok_or_else(|| not_found("key", id))?;
            let before = std::mem::replace(&mut admin.disabled, disabled);
            books.put_admin_key(&admin)?;
            let detail = json!({ "disabled": { "from": before, "to": disabled } });
            Ok(ChangeOutcome {
                subject: id.to_string(),
                detail,
                touched: AffectedLimits::default(),
                answer: admin,
            })
        };
        self.apply(grant.actor(), "admin_key.change", apply).await
    }

    pub async fn keys(
        &self,
        _grant: &Grant<may::ReadTenants>,
    ) -> Result<Vec<WithLimits<VirtualKey>>, ApiError> {
        let tenants = self.read(|store| store.tenants()).await?;
        let mut owned = owner_limits::by_owner(tenants.budgets, tenants.limits);
        let shown = |key: VirtualKey| {
            let own = owned.remove(&Owner::Key(key.id)).unwrap_or_default();
            self.with_standings(key, own)
        };
        Ok(tenants.keys.into_iter().map(shown).collect())
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

    /// Says what a key is good for, by the very checks that a call goes through.
    pub async fn verify(
        &self,
        _grant: &Grant<may::ReadTenants>,
        text: &str,
    ) -> Result<KeyStatus, ApiError> {
        let directory = self.directory.load_full();
        if let Ok(Actor::AdminKey { id, name }) = auth::authenticate_admin(&directory, Some(text)) {
            return Ok(KeyStatus::Administrative { id, name });
        }
        let caller = match auth::authenticate(&directory, Some(text), self.now_ms()) {
            Ok(caller) => caller,
            // a disabled administrative key: the other door's words would mislead
            Err(problem) if problem.code == ErrorCode::PermissionDenied => {
                return Ok(KeyStatus::Refused(
                    auth::authenticate_admin(&directory, Some(text))
                        .err()
                        .unwrap_or(problem),
                ));
            }
            Err(problem) => return Ok(KeyStatus::Refused(problem)),
        };
        let tenants = self.read(|store| store.tenants()).await?;
        let mut owned = owner_limits::by_owner(tenants.budgets, tenants.limits);
        let own = owned.remove(&Owner::Key(caller.key.id)).unwrap_or_default();
        let own = self.with_standings(caller.key.clone(), own);
        let with_any = |above: KeyAncestor| {
            owned
                .remove(&above.owner)
                .map(|owned| self.with_standings(above, owned))
        };
        let above = above(&caller).filter_map(with_any).collect();
        Ok(KeyStatus::Virtual {
            models: self.callable_by(&caller),
            own,
            above,
            caller,
        })
    }

    fn callable_by(&self, caller: &Caller) -> Vec<String> {
        let mut names = Vec::new();
        (self.catalogue)(&mut |name, provider, model| {
            if access::is_model_allowed(&caller.team, caller.keys(), name, provider, model) {
                names.push(name.to_owned());
            }
        });
        names
    }
}

fn above(caller: &Caller) -> impl Iterator<Item = KeyAncestor> {
    let parents = caller.parents.iter().map(|key| KeyAncestor {
        owner: Owner::Key(key.id),
        name: key.name.clone(),
    });
    let (team, organization) = (&caller.team, &caller.organization);
    parents.chain([
        KeyAncestor {
            owner: Owner::Team(team.id),
            name: team.name.clone(),
        },
        KeyAncestor {
            owner: Owner::Organization(organization.id),
            name: organization.name.clone(),
        },
    ])
}

/// The text of a key in a request for its check.
pub fn key_to_verify(body: &[u8]) -> Result<Secret, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let text: String = fields.require("key", "the text of a key")?;
    fields.finish()?;
    Ok(Secret::new(text))
}

fn new_virtual_key(
    books: &mut ChangeTransaction<'_>,
    place: KeyParent<TeamId>,
    new: &NewVirtualKey,
    minted: &GeneratedKey,
    at_ms: u64,
) -> Result<VirtualKey, ApiError> {
    let (team, parent) = place.found(books)?;
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
        secret_hash: minted.hash,
        hint: minted.hint.clone(),
        models: new.models.clone().into_patterns(),
        expires_ms: new.expires_ms,
        disabled: false,
        created_ms: at_ms,
    };
    books.put_key(&key)?;
    Ok(key)
}

pub(super) fn new_admin_key(
    books: &mut ChangeTransaction<'_>,
    name: String,
    minted: &GeneratedKey,
    at_ms: u64,
) -> Result<AdminKey, ApiError> {
    if !books.claim_name("admin_key", &name)? {
        return Err(name_taken("an administrative key", &name, "this instance"));
    }
    let id = AdminKeyId(books.next_id()?);
    let (secret_hash, hint) = (minted.hash, minted.hint.clone());
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

pub(super) fn unrandom(error: getrandom::Error) -> ApiError {
    ApiError::new(
        ErrorCode::Internal,
        format!("the system gives no random bytes for a new key: {error}; try again"),
    )
}

fn take_expiry(fields: &mut Fields, now_ms: u64) -> Result<Option<Option<u64>>, ApiError> {
    let text: Option<Option<String>> =
        fields.take_even_null("expires", "a text like `7d`, or null for never")?;
    let Some(text) = text else { return Ok(None) };
    text.map(|text| fields.placed("expires", input::expiry(&text, now_ms)))
        .transpose()
        .map(Some)
}

fn instant(at_ms: u64) -> String {
    Zone::utc().rfc3339(at_ms)
}
