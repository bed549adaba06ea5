//! Administrative keys: a role in a scope, or the roles of a user. A key never has more than its creator may give.

use serde_json::{Value, json};

use crate::auth::directory::{Directory, OwnerLimits};
use crate::auth::grant::Grant;
use crate::auth::key::{self, GeneratedKey};
use crate::auth::role::{Action, Permit, may};
use crate::control::change::Change;
use crate::control::error::{name_taken, not_found};
use crate::control::input::Name;
use crate::control::keys::{instant, no_random_bytes};
use crate::control::memberships::{MembershipInput, resolve_membership, to_audit};
use crate::control::names::resolve_user;
use crate::control::page::{Page, PageQuery};
use crate::control::plane::Control;
use crate::control::version::version_of;
use crate::domain::api_error::ApiError;
use crate::domain::id::AdminKeyId;
use crate::domain::role::{Membership, Role, Scope};
use crate::domain::secret::Secret;
use crate::domain::tenant::{AdminAccess, AdminKey};

/// Scope in which names of administrative keys are unique.
pub(super) const NAMES: &str = "admin_key";

/// A new administrative key.
#[derive(Clone, Debug)]
pub struct NewAdminKey {
    pub name: Name,
    pub access: NewAdminAccess,
    pub expires_ms: Option<u64>,
}

#[derive(Clone, Debug)]
pub enum NewAdminAccess {
    Role(MembershipInput),
    /// an id or an e-mail address
    User(String),
}

impl Control {
    pub async fn create_admin_key(
        &self,
        grant: &Grant<may::ChangeAdminKeys>,
        new: NewAdminKey,
    ) -> Result<(AdminKey, Secret), ApiError> {
        let access = resolve_access(&self.directory(), grant, &new.access)?;
        let generated = match access {
            AdminAccess::Role(Membership::OWNER) => key::generate_owner(),
            _ => key::generate_admin(new.name.as_str()),
        };
        let generated = generated.map_err(no_random_bytes)?;
        let secret = generated.secret.clone();
        let allowed = grant.clone();
        let create = move |change: &mut Change<'_, '_>| {
            check_covered(change.directory, &allowed, &access)?;
            let name = new.name.into_string();
            let admin = insert_admin_key(change, name, access, new.expires_ms, &generated)?;
            let detail = json!({
                "name": admin.name,
                "hint": admin.hint,
                "access": access_to_audit(&access),
                "expires_at": admin.expires_ms.map(instant),
            });
            change.audit("admin_key.create", admin.id, &detail)?;
            Ok(admin)
        };
        let admin = self.apply(grant.actor(), create).await?;
        Ok((admin, secret))
    }

    pub async fn disable_admin_key(
        &self,
        grant: &Grant<may::ChangeAdminKeys>,
        id: AdminKeyId,
        disabled: bool,
    ) -> Result<AdminKey, ApiError> {
        let allowed = grant.clone();
        let rewrite = move |change: &mut Change<'_, '_>| {
            let mut admin = load(change, &allowed, id)?;
            let before = std::mem::replace(&mut admin.disabled, disabled);
            change.books.put_admin_key(&admin)?;
            let detail = json!({ "disabled": { "from": before, "to": disabled } });
            change.audit("admin_key.change", id, &detail)?;
            Ok(admin)
        };
        self.apply(grant.actor(), rewrite).await
    }

    pub async fn admin_keys(
        &self,
        grant: &Grant<may::ReadAdminKeys>,
        page: PageQuery,
    ) -> Result<Page<AdminKey>, ApiError> {
        let directory = self.directory();
        let visible = directory
            .admin_keys()
            .filter(|admin| is_covered(&directory, grant, &admin.access));
        Ok(page.of(visible, |admin| admin.id.0).map(AdminKey::clone))
    }

    pub async fn admin_key(
        &self,
        grant: &Grant<may::ReadAdminKeys>,
        id: AdminKeyId,
    ) -> Result<AdminKey, ApiError> {
        let directory = self.directory();
        let admin = directory
            .live_admin_key(id)
            .filter(|admin| is_covered(&directory, grant, &admin.access));
        admin.cloned().ok_or_else(|| not_found("key", id))
    }
}

fn resolve_access(
    directory: &Directory,
    grant: &Grant<may::ChangeAdminKeys>,
    access: &NewAdminAccess,
) -> Result<AdminAccess, ApiError> {
    match access {
        NewAdminAccess::User(text) => {
            let user = resolve_user(directory, grant, text)?;
            Ok(AdminAccess::User(user.id))
        }
        NewAdminAccess::Role(input) => {
            let membership = resolve_membership(directory, grant, input)?;
            if membership.role == Role::TeamMember {
                let message = "`role` member needs `user`: a member administers own keys only";
                return Err(ApiError::invalid(message).with_param("role"));
            }
            Ok(AdminAccess::Role(membership))
        }
    }
}

/// Scopes that a key with this access reaches. A user without a role belongs to the instance.
fn scopes(directory: &Directory, access: &AdminAccess) -> Vec<Scope> {
    match access {
        AdminAccess::Role(membership) => vec![membership.scope],
        AdminAccess::User(id) => match directory.user(*id) {
            Some(user) if !user.memberships.is_empty() => user
                .memberships
                .iter()
                .map(|membership| membership.scope)
                .collect(),
            _ => vec![Scope::Instance],
        },
    }
}

fn is_covered<P: Permit>(directory: &Directory, grant: &Grant<P>, access: &AdminAccess) -> bool {
    let mut scopes = scopes(directory, access).into_iter();
    scopes.all(|scope| grant.covers(scope))
}

fn check_covered(
    directory: &Directory,
    grant: &Grant<may::ChangeAdminKeys>,
    access: &AdminAccess,
) -> Result<(), ApiError> {
    for scope in scopes(directory, access) {
        grant.check(scope, Action::ReadAdminKeys, || {
            not_found("scope", "of the key")
        })?;
    }
    Ok(())
}

/// The live administrative key, if the grant covers it.
pub(super) fn load(
    change: &mut Change<'_, '_>,
    grant: &Grant<may::ChangeAdminKeys>,
    id: AdminKeyId,
) -> Result<AdminKey, ApiError> {
    let unknown = || not_found("key", id);
    let admin = change.books.admin_key(id)?;
    let admin = admin
        .filter(|admin| admin.deleted_ms.is_none())
        .ok_or_else(unknown)?;
    for scope in scopes(change.directory, &admin.access) {
        grant.check(scope, Action::ReadAdminKeys, unknown)?;
    }
    change.check_version(&admin, &OwnerLimits::default())?;
    Ok(admin)
}

/// Version of an administrative key.
pub fn version(admin: &AdminKey) -> String {
    version_of(admin, &OwnerLimits::default())
}

pub(super) fn insert_admin_key(
    change: &mut Change<'_, '_>,
    name: String,
    access: AdminAccess,
    expires_ms: Option<u64>,
    generated: &GeneratedKey,
) -> Result<AdminKey, ApiError> {
    if !change.books.claim_name(NAMES, &name)? {
        return Err(name_taken("an administrative key", &name, "this instance"));
    }
    let id = AdminKeyId(change.books.next_id()?);
    let (secret_hash, hint) = (generated.hash, generated.hint.clone());
    let admin = AdminKey {
        id,
        name,
        access,
        secret_hash,
        hint,
        expires_ms,
        disabled: false,
        created_ms: change.at_ms,
        deleted_ms: None,
    };
    change.books.put_admin_key(&admin)?;
    Ok(admin)
}

fn access_to_audit(access: &AdminAccess) -> Value {
    match access {
        AdminAccess::Role(membership) => to_audit(membership),
        AdminAccess::User(id) => json!({ "user": id.to_string() }),
    }
}
