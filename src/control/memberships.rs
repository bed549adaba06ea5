//! Memberships: a role in the instance, an organization or a team. Nobody gives a role outside the scope of the own grant.

use serde_json::{Map, Value, json};

use crate::auth::directory::Directory;
use crate::auth::grant::Grant;
use crate::auth::role::{Action, Permit};
use crate::control::error::not_found;
use crate::control::names::resolve_team;
use crate::domain::api_error::ApiError;
use crate::domain::id::OrganizationId;
use crate::domain::role::{Level, Membership, Role, Scope};

/// Roles of one user at most.
pub const MEMBERSHIPS_MAX: usize = 256;

/// A role as an administrator writes it. Without organization and team it is one of the instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembershipInput {
    pub role: String,
    /// an id or a name
    pub organization: Option<String>,
    /// an id or a name
    pub team: Option<String>,
}

impl MembershipInput {
    /// The role of an owner of the instance.
    pub fn owner() -> MembershipInput {
        MembershipInput {
            role: Role::Owner.as_str().to_owned(),
            ..MembershipInput::default()
        }
    }
}

/// The membership, if the grant covers its scope.
pub(super) fn resolve_membership<P: Permit>(
    directory: &Directory,
    grant: &Grant<P>,
    input: &MembershipInput,
) -> Result<Membership, ApiError> {
    let scope = resolve_scope(directory, grant, input)?;
    let level = scope.level();
    let role = Role::parse(level, &input.role).ok_or_else(|| {
        let message = format!(
            "`role` must be {} for {}",
            Role::words(level),
            described(level)
        );
        ApiError::invalid(message).with_param("role")
    })?;
    grant.check(scope, Action::ReadUsers, || {
        not_found(level.as_str(), "of the role").with_param(level.as_str())
    })?;
    Ok(Membership { role, scope })
}

fn described(level: Level) -> &'static str {
    match level {
        Level::Instance => "the instance; give `organization` or `team` for a role in one",
        Level::Organization => "an organization",
        Level::Team => "a team",
    }
}

fn resolve_scope<P: Permit>(
    directory: &Directory,
    grant: &Grant<P>,
    input: &MembershipInput,
) -> Result<Scope, ApiError> {
    match (&input.organization, &input.team) {
        (None, None) => Ok(Scope::Instance),
        (Some(_), Some(_)) => Err(ApiError::invalid(
            "give `organization` or `team`, not both: a team belongs to one organization",
        )
        .with_param("team")),
        (None, Some(team)) => Ok(resolve_team(directory, grant, team)?.scope()),
        (Some(text), None) => {
            let named = match OrganizationId::parse(text) {
                Some(id) => directory.live_organization(id),
                None => directory
                    .organizations()
                    .find(|organization| organization.name == *text),
            };
            named
                .map(|organization| Scope::Organization(organization.id))
                .filter(|scope| grant.sees(Action::ReadOrganizations, *scope))
                .ok_or_else(|| not_found("organization", "given").with_param("organization"))
        }
    }
}

/// Form in which audit events and views have a membership.
pub(super) fn to_audit(membership: &Membership) -> Value {
    let mut json = Map::new();
    json.insert("role".to_owned(), json!(membership.role.as_str()));
    match membership.scope {
        Scope::Instance => {}
        Scope::Organization(id) => {
            json.insert("organization".to_owned(), json!(id.to_string()));
        }
        Scope::Team(_, id) => {
            json.insert("team".to_owned(), json!(id.to_string()));
        }
    }
    json.into()
}
