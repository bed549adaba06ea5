//! Deletion of tenants, users and keys. What depends on a deleted object is deleted with it, if the caller says so. Deleted rows stay
//! for the names in reports; their budgets and rate limits go, their names are free again.

use std::collections::BTreeSet;

use serde_json::json;

use crate::auth::grant::Grant;
use crate::auth::role::{Action, may};
use crate::control::change::Change;
use crate::control::error::not_found;
use crate::control::key_deletion::delete_keys;
use crate::control::plane::Control;
use crate::control::{admin_keys, keys, organizations, owner_limits, teams, users};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::id::{AdminKeyId, KeyId, OrganizationId, TeamId, UserId};
use crate::domain::role::{Membership, Scope};
use crate::domain::tenant::AdminAccess;

/// Names of dependents in a message.
const SHOWN_MAX: usize = 5;

impl Control {
    pub async fn delete_organization(
        &self,
        grant: &Grant<may::ChangeOrganizations>,
        id: OrganizationId,
        cascade: bool,
    ) -> Result<(), ApiError> {
        let allowed = grant.clone();
        let delete = move |change: &mut Change<'_, '_>| {
            let mut organization = organizations::load(change, &allowed, id)?;
            let directory = change.directory;
            let teams: Vec<TeamId> = directory
                .teams()
                .filter(|team| team.organization == id)
                .map(|team| team.id)
                .collect();
            check_cascade(cascade, id, "teams with their keys", &teams)?;
            for team in teams {
                delete_team(change, team)?;
            }
            remove_roles(change, Scope::Organization(id))?;
            owner_limits::remove(change, Owner::Organization(id))?;
            let names = organizations::NAMES;
            change.books.release_name(names, &organization.name)?;
            organization.deleted_ms = Some(change.at_ms);
            change.books.put_organization(&organization)?;
            let detail = json!({ "name": organization.name });
            change.audit("organization.delete", id, &detail)
        };
        self.apply(grant.actor(), delete).await
    }

    pub async fn delete_team(
        &self,
        grant: &Grant<may::ChangeTeams>,
        id: TeamId,
        cascade: bool,
    ) -> Result<(), ApiError> {
        let allowed = grant.clone();
        let delete = move |change: &mut Change<'_, '_>| {
            let team = teams::load(change, id)?;
            let unknown = || not_found("team", id);
            allowed.check(team.scope(), Action::ReadTeams, unknown)?;
            teams::check_version(change, &team)?;
            let keys = ids(change.directory.keys_of_team(id).map(|key| key.key.id));
            check_cascade(cascade, id, "keys", &keys)?;
            delete_team(change, id)
        };
        self.apply(grant.actor(), delete).await
    }

    pub async fn delete_key(
        &self,
        grant: &Grant<may::ChangeKeys>,
        id: KeyId,
        cascade: bool,
        now: bool,
    ) -> Result<(), ApiError> {
        let allowed = grant.clone();
        let delete = move |change: &mut Change<'_, '_>| {
            keys::load(change, &allowed, id)?;
            let children = ids(change.directory.children_of(id).map(|key| key.key.id));
            check_cascade(cascade, id, "child keys", &children)?;
            if now {
                change.end_calls(id);
            }
            delete_keys(change, BTreeSet::from([id]))
        };
        self.apply(grant.actor(), delete).await
    }

    pub async fn delete_user(
        &self,
        grant: &Grant<may::ChangeUsers>,
        id: UserId,
        cascade: bool,
    ) -> Result<(), ApiError> {
        let allowed = grant.clone();
        let delete = move |change: &mut Change<'_, '_>| {
            let mut user = users::load(change, &allowed, id)?;
            users::check_whole(&allowed, &user)?;
            let keys = ids(change.directory.keys_of_user(id).map(|key| key.key.id));
            check_cascade(cascade, id, "personal keys", &keys)?;
            delete_keys(change, keys.into_iter().collect())?;
            delete_admin_keys(change, |access| *access == AdminAccess::User(id))?;
            change.books.release_name(users::EMAILS, &user.email)?;
            user.memberships.clear();
            user.deleted_ms = Some(change.at_ms);
            change.books.put_user(&user)?;
            let detail = json!({ "email": user.email, "name": user.name });
            change.audit("user.delete", id, &detail)
        };
        self.apply(grant.actor(), delete).await
    }

    pub async fn delete_admin_key(
        &self,
        grant: &Grant<may::ChangeAdminKeys>,
        id: AdminKeyId,
    ) -> Result<(), ApiError> {
        let allowed = grant.clone();
        let delete = move |change: &mut Change<'_, '_>| {
            admin_keys::load(change, &allowed, id)?;
            delete_admin_key(change, id)
        };
        self.apply(grant.actor(), delete).await
    }
}

fn ids(keys: impl Iterator<Item = KeyId>) -> Vec<KeyId> {
    keys.collect()
}

/// Refuses to delete what others depend on, unless they are to go with it.
fn check_cascade<T: ToString>(
    cascade: bool,
    id: impl std::fmt::Display,
    kind: &str,
    dependents: &[T],
) -> Result<(), ApiError> {
    if cascade || dependents.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = dependents
        .iter()
        .take(SHOWN_MAX)
        .map(T::to_string)
        .collect();
    let more = dependents.len().saturating_sub(SHOWN_MAX);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "{id} has {} {kind} that would be deleted with it: {}{more}; repeat with `?cascade=true` (on the command line: `--yes`)",
        dependents.len(),
        shown.join(", ")
    );
    Err(ApiError::new(ErrorCode::Conflict, message).with_param("cascade"))
}

fn delete_team(change: &mut Change<'_, '_>, id: TeamId) -> Result<(), ApiError> {
    let mut team = teams::load(change, id)?;
    let keys = change.directory.keys_of_team(id).map(|key| key.key.id);
    let keys = keys.collect();
    delete_keys(change, keys)?;
    remove_roles(change, team.scope())?;
    owner_limits::remove(change, Owner::Team(id))?;
    let names = teams::names(team.organization);
    change.books.release_name(&names, &team.name)?;
    team.deleted_ms = Some(change.at_ms);
    change.books.put_team(&team)?;
    change.audit("team.delete", id, &json!({ "name": team.name }))
}

/// Takes every role in a deleted scope, and deletes the administrative keys with such a role.
fn remove_roles(change: &mut Change<'_, '_>, deleted: Scope) -> Result<(), ApiError> {
    let is_of = |membership: &Membership| deleted.contains(membership.scope);
    let directory = change.directory;
    let concerned = directory
        .users()
        .filter(|user| user.memberships.iter().any(is_of))
        .map(|user| user.id);
    for id in concerned.collect::<Vec<UserId>>() {
        let Some(mut user) = change.books.user(id)? else {
            continue;
        };
        user.memberships.retain(|membership| !is_of(membership));
        change.books.put_user(&user)?;
    }
    delete_admin_keys(
        change,
        |access| matches!(access, AdminAccess::Role(membership) if is_of(membership)),
    )
}

fn delete_admin_keys(
    change: &mut Change<'_, '_>,
    is_concerned: impl Fn(&AdminAccess) -> bool,
) -> Result<(), ApiError> {
    let directory = change.directory;
    let concerned = directory
        .admin_keys()
        .filter(|admin| is_concerned(&admin.access))
        .map(|admin| admin.id);
    for id in concerned.collect::<Vec<AdminKeyId>>() {
        delete_admin_key(change, id)?;
    }
    Ok(())
}

fn delete_admin_key(change: &mut Change<'_, '_>, id: AdminKeyId) -> Result<(), ApiError> {
    let Some(mut admin) = change.books.admin_key(id)? else {
        return Ok(());
    };
    if admin.deleted_ms.is_some() {
        return Ok(());
    }
    change.books.release_name(admin_keys::NAMES, &admin.name)?;
    admin.deleted_ms = Some(change.at_ms);
    change.books.put_admin_key(&admin)?;
    let detail = json!({ "name": admin.name, "hint": admin.hint });
    change.audit("admin_key.delete", id, &detail)
}
