//! Users of an issuer. A user is the pair of issuer and subject: an e-mail address never leads to an existing account. Where
//! `role_claim` is set, the roles are those of the claims at the latest sign-in, and no others.

use serde_json::{Map, json};

use crate::auth::grant::Grant;
use crate::auth::oidc::token::Claims;
use crate::auth::role::{Actor, may};
use crate::auth::user_actor;
use crate::config::{OidcConfig, RoleMapping};
use crate::control::change::Change;
use crate::control::input::{Email, Name};
use crate::control::memberships::{MembershipInput, resolve_membership};
use crate::control::oidc::sign_in::Refusal;
use crate::control::plane::Control;
use crate::control::users::{insert_user, replace_memberships};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::id::UserId;
use crate::domain::role::Membership;
use crate::domain::tenant::User;

impl Control {
    /// The user of a token, created at the first sign-in, with the roles of its claims.
    pub(super) async fn account_of(
        &self,
        config: &OidcConfig,
        claims: &Claims,
    ) -> Result<Actor, Refusal> {
        check_domain(config, claims)?;
        let memberships = match &config.role_claim {
            Some(claim) => Some(self.mapped(config, &claims.texts(claim))?),
            None => None,
        };
        let (email, name) = described(config, claims).map_err(Refusal::unnoted)?;
        let identity = format!("{}\n{}", config.issuer, claims.subject);
        if memberships.as_ref().is_some_and(Vec::is_empty) {
            self.end_roles(&identity).await.map_err(Refusal::unnoted)?;
            let message = "your groups give you no role here; ask an owner of the gateway";
            return Err(Refusal::of("oidc_no_role", message));
        }
        let user = self.save(identity, email, name, memberships).await;
        let user = user.map_err(Refusal::unnoted)?;
        let disabled = "your account is disabled; ask an owner of the gateway";
        user_actor(&self.directory(), user).ok_or_else(|| Refusal::of("oidc_disabled", disabled))
    }

    /// Creates or updates the account; nothing is stored where nothing changed.
    async fn save(
        &self,
        identity: String,
        email: Email,
        name: Name,
        memberships: Option<Vec<Membership>>,
    ) -> Result<UserId, ApiError> {
        if let Some(user) = self.known_account(&identity).await?
            && user.name == name.as_str()
            && memberships
                .as_ref()
                .is_none_or(|roles| *roles == sorted(&user))
        {
            return Ok(user.id);
        }
        let save = move |change: &mut Change<'_, '_>| {
            let known = match change.books.oidc_user(&identity)? {
                Some(id) => change.books.user(id)?,
                None => None,
            };
            if let Some(user) = known.filter(|user| user.deleted_ms.is_none()) {
                return update(change, user, name, memberships);
            }
            let user = insert_user(change, name, email, memberships.unwrap_or_default());
            let user = user.map_err(address_taken)?;
            change.books.put_oidc_user(&identity, user)?;
            Ok(user)
        };
        self.apply(&Actor::Process, save).await
    }

    /// Takes roles and sessions from a user that has lost every group.
    async fn end_roles(&self, identity: &str) -> Result<(), ApiError> {
        let Some(user) = self.known_account(identity).await? else {
            return Ok(());
        };
        if !user.memberships.is_empty() {
            let (id, name) = (user.id, Name::parse(&user.name)?);
            let end = move |change: &mut Change<'_, '_>| {
                update(change, user, name, Some(Vec::new())).map(drop)
            };
            self.apply(&Actor::Process, end).await?;
            return self.end_sessions_of(&Actor::Process, id).await;
        }
        Ok(())
    }

    async fn known_account(&self, identity: &str) -> Result<Option<User>, ApiError> {
        let identity = identity.to_owned();
        let id = self.read(move |store| store.oidc_user(&identity)).await?;
        Ok(id.and_then(|id| self.directory().live_user(id).cloned()))
    }

    /// Roles of the mapped values. A place that does not exist gives none.
    fn mapped(&self, config: &OidcConfig, values: &[&str]) -> Result<Vec<Membership>, Refusal> {
        let process = Grant::for_actor(&Actor::Process, may::ChangeUsers);
        let process = process.map_err(Refusal::unnoted)?;
        let directory = self.directory();
        let mut memberships = Vec::new();
        let is_given = |mapping: &&RoleMapping| values.contains(&mapping.claim.as_str());
        for mapping in config.role_map.iter().filter(is_given) {
            let input = MembershipInput {
                role: mapping.role.as_str().to_owned(),
                organization: mapping.organization.clone(),
                team: mapping.team.clone(),
            };
            match resolve_membership(&directory, &process, &input) {
                Ok(membership) => memberships.push(membership),
                Err(error) => tracing::warn!(
                    role_map = mapping.claim,
                    error = %error.message,
                    "role of the issuer not given"
                ),
            }
        }
        // of several roles in one place the strongest: those of a level are listed in falling order
        memberships.sort_by_key(|membership| (membership.scope, membership.role));
        memberships.dedup_by_key(|membership| membership.scope);
        Ok(memberships)
    }
}

/// A domain only counts for an address that the issuer has verified.
fn check_domain(config: &OidcConfig, claims: &Claims) -> Result<(), Refusal> {
    if config.allowed_domains.is_empty() {
        return Ok(());
    }
    let verified = claims.email().filter(|(_, is_verified)| *is_verified);
    let domain = verified.and_then(|(email, _)| email.rsplit_once('@'));
    let is_allowed =
        domain.is_some_and(|(_, domain)| config.allowed_domains.contains(&domain.to_lowercase()));
    match is_allowed {
        true => Ok(()),
        false => Err(Refusal::of(
            "oidc_domain",
            "your e-mail address is not verified, or of a domain that may not sign in here",
        )),
    }
}

/// Address and name of a new account; without an address, subject and host of the issuer.
fn described(config: &OidcConfig, claims: &Claims) -> Result<(Email, Name), ApiError> {
    let host = config.issuer.split("://").nth(1).unwrap_or_default();
    let host = host.split(['/', ':']).next().unwrap_or_default();
    let fallback = format!("{}@{host}", claims.subject);
    let email = claims.email().map(|(email, _)| Email::parse(email));
    let email = match email {
        Some(Ok(email)) => email,
        _ => Email::parse(&fallback)?,
    };
    let name = claims.name().map(Name::parse);
    let name = match name {
        Some(Ok(name)) => name,
        _ => Name::parse(email.as_str())?,
    };
    Ok((email, name))
}

fn address_taken(error: ApiError) -> ApiError {
    if error.code != ErrorCode::Conflict {
        return error;
    }
    let message = "an account with your e-mail address exists already, and an address alone never leads to it; ask an owner of the gateway";
    ApiError::new(ErrorCode::Conflict, message)
}

fn sorted(user: &User) -> Vec<Membership> {
    let mut memberships = user.memberships.clone();
    memberships.sort_by_key(|membership| (membership.scope, membership.role));
    memberships
}

/// Takes over name and roles.
fn update(
    change: &mut Change<'_, '_>,
    mut user: User,
    name: Name,
    memberships: Option<Vec<Membership>>,
) -> Result<UserId, ApiError> {
    let mut detail = Map::new();
    if user.name != name.as_str() {
        let before = std::mem::replace(&mut user.name, name.into_string());
        let names = json!({ "from": before, "to": user.name });
        detail.insert("name".to_owned(), names);
    }
    if let Some(memberships) = memberships.filter(|roles| *roles != sorted(&user)) {
        replace_memberships(change, &mut user, memberships, &mut detail)?;
    }
    change.books.put_user(&user)?;
    change.audit("user.change", user.id, &detail.into())?;
    Ok(user.id)
}
