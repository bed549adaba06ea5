//! Objects by id or name, as an actor may see them: what an actor may not see is as unknown as what does not exist.

use crate::auth::directory::Directory;
use crate::auth::grant::Grant;
use crate::auth::role::{Action, Permit};
use crate::control::error::not_found;
use crate::control::input::Name;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::id::{OrganizationId, TeamId, UserId};
use crate::domain::role::Scope;
use crate::domain::tenant::{Organization, Team, User};

/// The team with this id or name that the actor may see; a name that two such teams have is ambiguous and refused.
pub(super) fn resolve_team<'d, P: Permit>(
    directory: &'d Directory,
    grant: &Grant<P>,
    text: &str,
) -> Result<&'d Team, ApiError> {
    let visible = |team: &Team| grant.sees(Action::ReadTeams, team.scope());
    let unknown = || not_found("team", redacted(text)).with_param("team");
    if let Some(id) = TeamId::parse(text) {
        let team = directory.live_team(id).filter(|team| visible(team));
        return team.ok_or_else(unknown);
    }
    let mut named = directory
        .teams()
        .filter(|team| team.name == text && visible(team));
    match (named.next(), named.next()) {
        (Some(team), None) => Ok(team),
        (None, _) => Err(unknown()),
        (Some(one), Some(other)) => Err(ApiError::invalid(format!(
            "ambiguous `team`: {} of {} and {} of {}; give the id",
            one.id, one.organization, other.id, other.organization
        ))
        .with_param("team")),
    }
}

/// The organization with this id or name; without one, the only organization that the grant covers.
pub(super) fn resolve_organization<'d, P: Permit>(
    directory: &'d Directory,
    grant: &Grant<P>,
    text: Option<&str>,
) -> Result<&'d Organization, ApiError> {
    let visible = |organization: &&Organization| grant.covers(Scope::Organization(organization.id));
    let Some(text) = text else {
        let mut all = directory.organizations().filter(visible);
        return match (all.next(), all.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(ApiError::new(
                ErrorCode::NotFound,
                "no organization exists yet; run `gatekeeper init`",
            )
            .with_param("organization")),
            _ => Err(ApiError::invalid(
                "`organization` is missing and more than one exists; give its id or name",
            )
            .with_param("organization")),
        };
    };
    let organization = match OrganizationId::parse(text) {
        Some(id) => directory.live_organization(id),
        None => directory
            .organizations()
            .find(|organization| organization.name == text),
    };
    organization
        .filter(visible)
        .ok_or_else(|| not_found("organization", redacted(text)).with_param("organization"))
}

/// The user with this id or e-mail address, if the actor may see the user or is the user.
pub(super) fn resolve_user<'d, P: Permit>(
    directory: &'d Directory,
    grant: &Grant<P>,
    text: &str,
) -> Result<&'d User, ApiError> {
    let user = match UserId::parse(text) {
        Some(id) => directory.live_user(id),
        None => {
            let email = text.to_lowercase();
            directory.users().find(|user| user.email == email)
        }
    };
    user.filter(|user| is_visible(grant, user))
        .ok_or_else(|| not_found("user", redacted(text)).with_param("user"))
}

/// True if the actor may see the user: one of the user's roles lies where the actor reads users.
pub(super) fn is_visible<P: Permit>(grant: &Grant<P>, user: &User) -> bool {
    grant.actor().user() == Some(user.id)
        || grant.sees(Action::ReadUsers, Scope::Instance)
        || user
            .memberships
            .iter()
            .any(|membership| grant.sees(Action::ReadUsers, membership.scope))
}

/// The text if it could be a name; anything else might be a secret and is not repeated.
pub(super) fn redacted(text: &str) -> &str {
    let is_credential = text.starts_with("sk-");
    if Name::parse(text).is_ok() && !is_credential {
        text
    } else {
        "…"
    }
}
