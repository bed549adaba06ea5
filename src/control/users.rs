//! Users and their roles. An administrator sees and changes the roles of the own scope; the user as a whole only where the scope
//! covers every role of the user.

use serde_json::{Map, Value, json};

use crate::auth::directory::{Directory, OwnerLimits};
use crate::auth::grant::Grant;
use crate::auth::role::{Action, Permit, may};
use crate::control::change::Change;
use crate::control::error::{name_taken, not_found};
use crate::control::input::{Email, Name};
use crate::control::key_deletion::delete_personal_keys;
use crate::control::memberships::{MEMBERSHIPS_MAX, MembershipInput, resolve_membership, to_audit};
use crate::control::names::is_visible;
use crate::control::page::{Page, PageQuery};
use crate::control::plane::Control;
use crate::control::version::version_of;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::id::{TeamId, UserId};
use crate::domain::role::{Level, Membership, Role, Scope};
use crate::domain::tenant::{Team, User};

/// Scope in which e-mail addresses are unique.
pub(super) const EMAILS: &str = "user";

/// A new user.
#[derive(Clone, Debug)]
pub struct NewUser {
    pub email: Email,
    pub name: Name,
    pub memberships: Vec<MembershipInput>,
}

/// Partial update of a user; `None` leaves a part unchanged.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    pub name: Option<Name>,
    pub disabled: Option<bool>,
    /// replaces the roles in the scope of the grant
    pub memberships: Option<Vec<MembershipInput>>,
}

/// Filters of a list of users.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    pub email: Option<String>,
    /// users with a role in the team itself
    pub team: Option<TeamId>,
}

impl Control {
    pub async fn create_user(
        &self,
        grant: &Grant<may::ChangeUsers>,
        new: NewUser,
    ) -> Result<User, ApiError> {
        let memberships = resolve_all(&self.directory(), grant, &new.memberships)?;
        if memberships.is_empty() && !grant.covers(Scope::Instance) {
            let message = "`memberships` is empty; give at least one role in your scope";
            return Err(ApiError::invalid(message).with_param("memberships"));
        }
        let create = move |change: &mut Change<'_, '_>| {
            check_scopes(change.directory, &memberships)?;
            if !change.books.claim_name(EMAILS, new.email.as_str())? {
                let email = new.email.as_str();
                return Err(name_taken("a user", email, "this instance").with_param("email"));
            }
            let user = User {
                id: UserId(change.books.next_id()?),
                email: new.email.into_string(),
                name: new.name.into_string(),
                memberships,
                disabled: false,
                created_ms: change.at_ms,
                deleted_ms: None,
            };
            change.books.put_user(&user)?;
            let detail = json!({
                "email": user.email,
                "name": user.name,
                "memberships": memberships_to_audit(&user.memberships),
            });
            change.audit("user.create", user.id, &detail)?;
            Ok(user)
        };
        self.apply(grant.actor(), create).await
    }

    pub async fn change_user(
        &self,
        grant: &Grant<may::ChangeUsers>,
        id: UserId,
        update: UserChange,
    ) -> Result<User, ApiError> {
        let allowed = grant.clone();
        let memberships = match &update.memberships {
            Some(inputs) => Some(resolve_all(&self.directory(), grant, inputs)?),
            None => None,
        };
        let rewrite = move |change: &mut Change<'_, '_>| {
            let mut user = load(change, &allowed, id)?;
            let mut detail = Map::new();
            if update.name.is_some() || update.disabled.is_some() {
                check_whole(&allowed, &user)?;
            }
            if let Some(name) = update.name {
                let before = std::mem::replace(&mut user.name, name.into_string());
                let names = json!({ "from": before, "to": user.name });
                detail.insert("name".to_owned(), names);
            }
            if let Some(disabled) = update.disabled {
                let before = std::mem::replace(&mut user.disabled, disabled);
                let states = json!({ "from": before, "to": disabled });
                detail.insert("disabled".to_owned(), states);
            }
            if let Some(given) = memberships {
                let kept = user.memberships.iter().copied();
                let kept = kept.filter(|membership| !allowed.covers(membership.scope));
                let all = kept.chain(given).collect();
                replace_memberships(change, &mut user, all, &mut detail)?;
            }
            change.books.put_user(&user)?;
            change.audit("user.change", id, &detail.into())?;
            Ok(user)
        };
        let user = self.apply(grant.actor(), rewrite).await?;
        if user.disabled {
            self.end_sessions_of(grant.actor(), id).await?;
        }
        Ok(user)
    }

    /// Refuses a user of whom a role lies outside the scope of the grant.
    pub(super) fn user_within(
        &self,
        grant: &Grant<may::ChangeUsers>,
        id: UserId,
    ) -> Result<(), ApiError> {
        let directory = self.directory();
        let user = directory
            .live_user(id)
            .filter(|user| is_visible(grant, user));
        check_whole(grant, user.ok_or_else(|| not_found("user", id))?)
    }

    /// Gives a user a role in a team, in place of the user's earlier role there. The user is any of the team's organization.
    pub async fn put_member(
        &self,
        grant: &Grant<may::ChangeUsers>,
        team: TeamId,
        user: &str,
        role: &str,
    ) -> Result<User, ApiError> {
        let directory = self.directory();
        let scope = team_scope(&directory, grant, team)?;
        let role = Role::parse(Level::Team, role).ok_or_else(|| {
            let words = Role::words(Level::Team);
            ApiError::invalid(format!("`role` must be {words}")).with_param("role")
        })?;
        let id = find_colleague(&directory, grant, scope, user)?;
        let put = move |change: &mut Change<'_, '_>| {
            let mut user = live(change, id)?;
            let kept = user.memberships.iter().copied();
            let kept = kept.filter(|membership| membership.scope != scope);
            let all = kept.chain([Membership { role, scope }]).collect();
            save_memberships(change, &mut user, all)?;
            Ok(user)
        };
        self.apply(grant.actor(), put).await
    }

    /// Takes a user's role in a team; the personal keys of the user in the team go with it.
    pub async fn remove_member(
        &self,
        grant: &Grant<may::ChangeUsers>,
        team: TeamId,
        id: UserId,
    ) -> Result<User, ApiError> {
        let scope = team_scope(&self.directory(), grant, team)?;
        let remove = move |change: &mut Change<'_, '_>| {
            let mut user = live(change, id).map_err(|_| no_member(id))?;
            if !user.is_member_of(team) {
                return Err(no_member(id));
            }
            let mut all = user.memberships.clone();
            all.retain(|membership| membership.scope != scope);
            save_memberships(change, &mut user, all)?;
            Ok(user)
        };
        self.apply(grant.actor(), remove).await
    }

    pub async fn users(
        &self,
        grant: &Grant<may::ReadUsers>,
        filter: &UserFilter,
        page: PageQuery,
    ) -> Result<Page<User>, ApiError> {
        let directory = self.directory();
        if let Some(team) = filter.team {
            let team = directory.live_team(team);
            let visible = team.filter(|team| grant.covers(team.scope()));
            visible.ok_or_else(|| not_found("team", "given").with_param("team"))?;
        }
        let email = filter.email.as_deref().map(str::to_lowercase);
        let visible = directory.users().filter(|user| {
            filter.team.is_none_or(|team| user.is_member_of(team))
                && email.as_ref().is_none_or(|email| user.email == *email)
                && is_visible(grant, user)
        });
        Ok(page
            .of(visible, |user| user.id.0)
            .map(|user| seen_by(grant, user.clone())))
    }

    /// The user, and the version of the user as a whole.
    pub async fn user(
        &self,
        grant: &Grant<may::ReadUsers>,
        id: UserId,
    ) -> Result<(User, String), ApiError> {
        let directory = self.directory();
        let user = directory
            .live_user(id)
            .filter(|user| is_visible(grant, user));
        let user = user.ok_or_else(|| not_found("user", id))?;
        Ok((seen_by(grant, user.clone()), version(user)))
    }
}

/// Version of a user.
pub fn version(user: &User) -> String {
    version_of(user, &OwnerLimits::default())
}

/// The user with those roles only that lie where the actor reads users.
pub fn seen_by<P: Permit>(grant: &Grant<P>, mut user: User) -> User {
    if grant.actor().user() != Some(user.id) {
        user.memberships
            .retain(|membership| grant.sees(Action::ReadUsers, membership.scope));
    }
    user
}

fn resolve_all(
    directory: &Directory,
    grant: &Grant<may::ChangeUsers>,
    inputs: &[MembershipInput],
) -> Result<Vec<Membership>, ApiError> {
    let resolve = |(index, input): (usize, &MembershipInput)| {
        resolve_membership(directory, grant, input).map_err(|error| {
            let member = error.param.clone().unwrap_or_default();
            error.with_param(format!("memberships[{index}].{member}"))
        })
    };
    let all: Vec<Membership> = inputs
        .iter()
        .enumerate()
        .map(resolve)
        .collect::<Result<_, _>>()?;
    check_distinct(&all)?;
    Ok(all)
}

/// Refuses too many roles, and two in the same scope.
fn check_distinct(memberships: &[Membership]) -> Result<(), ApiError> {
    let mut scopes: Vec<Scope> = memberships
        .iter()
        .map(|membership| membership.scope)
        .collect();
    scopes.sort_unstable();
    let problem = if scopes.windows(2).any(|two| two[0] == two[1]) {
        "`memberships` has two roles in the same place; a user has one role in each".to_owned()
    } else if scopes.len() > MEMBERSHIPS_MAX {
        format!("`memberships` may have at most {MEMBERSHIPS_MAX} entries")
    } else {
        return Ok(());
    };
    Err(ApiError::invalid(problem).with_param("memberships"))
}

/// Refuses roles in an organization or a team that was deleted meanwhile.
fn check_scopes(directory: &Directory, memberships: &[Membership]) -> Result<(), ApiError> {
    for membership in memberships {
        let (organization, team) = (membership.scope.organization(), membership.scope.team());
        if organization.is_some_and(|id| directory.live_organization(id).is_none()) {
            return Err(not_found("organization", "of the role"));
        }
        if team.is_some_and(|id| directory.live_team(id).is_none()) {
            return Err(not_found("team", "of the role"));
        }
    }
    Ok(())
}

/// A new user, as a part of a change that no administrator makes.
pub(super) fn insert_user(
    change: &mut Change<'_, '_>,
    name: Name,
    email: Email,
    memberships: Vec<Membership>,
) -> Result<UserId, ApiError> {
    if !change.books.claim_name(EMAILS, email.as_str())? {
        return Err(name_taken("a user", email.as_str(), "this instance").with_param("email"));
    }
    let user = User {
        id: UserId(change.books.next_id()?),
        email: email.into_string(),
        name: name.into_string(),
        memberships,
        disabled: false,
        created_ms: change.at_ms,
        deleted_ms: None,
    };
    change.books.put_user(&user)?;
    let memberships = memberships_to_audit(&user.memberships);
    let detail = json!({ "email": user.email, "name": user.name, "memberships": memberships });
    change.audit("user.create", user.id, &detail)?;
    Ok(user.id)
}

fn live(change: &mut Change<'_, '_>, id: UserId) -> Result<User, ApiError> {
    let user = change.books.user(id)?;
    user.filter(|user| user.deleted_ms.is_none())
        .ok_or_else(|| not_found("user", id))
}

/// The live user, if one of the user's roles lies in the scope of the grant.
pub(super) fn load(
    change: &mut Change<'_, '_>,
    grant: &Grant<may::ChangeUsers>,
    id: UserId,
) -> Result<User, ApiError> {
    let user = live(change, id)?;
    if !is_visible(grant, &user) {
        return Err(not_found("user", id));
    }
    change.check_version(&user, &OwnerLimits::default())?;
    Ok(user)
}

/// Refuses a change of the whole user by an administrator whose scope does not cover all roles of the user.
pub(super) fn check_whole(grant: &Grant<may::ChangeUsers>, user: &User) -> Result<(), ApiError> {
    let scopes = user.memberships.iter().map(|membership| membership.scope);
    let mut outside = scopes.filter(|scope| !grant.covers(*scope)).peekable();
    let of_instance = user.memberships.is_empty() && !grant.covers(Scope::Instance);
    if outside.peek().is_none() && !of_instance {
        return Ok(());
    }
    let message = format!(
        "permission denied: {} also has roles outside your scope; change the roles in your scope, or ask an owner",
        user.id
    );
    Err(ApiError::new(ErrorCode::PermissionDenied, message))
}

fn team_scope(
    directory: &Directory,
    grant: &Grant<may::ChangeUsers>,
    id: TeamId,
) -> Result<Scope, ApiError> {
    let unknown = || not_found("team", id);
    let scope = directory.live_team(id).map(Team::scope);
    let scope = scope.ok_or_else(unknown)?;
    grant.check(scope, Action::ReadTeams, unknown)?;
    Ok(scope)
}

/// A user of the team's organization, by id or e-mail address.
fn find_colleague(
    directory: &Directory,
    grant: &Grant<may::ChangeUsers>,
    scope: Scope,
    text: &str,
) -> Result<UserId, ApiError> {
    let user = match UserId::parse(text) {
        Some(id) => directory.live_user(id),
        None => {
            let email = text.to_lowercase();
            directory.users().find(|user| user.email == email)
        }
    };
    let is_colleague = |user: &&User| {
        let organizations = user.memberships.iter();
        organizations
            .filter_map(|membership| membership.scope.organization())
            .any(|organization| Some(organization) == scope.organization())
    };
    user.filter(|user| is_colleague(user) || is_visible(grant, user))
        .map(|user| user.id)
        .ok_or_else(|| {
            let message =
                "unknown user in this organization; create the user with `POST /v1/users`";
            ApiError::new(ErrorCode::NotFound, message).with_param("user")
        })
}

fn save_memberships(
    change: &mut Change<'_, '_>,
    user: &mut User,
    all: Vec<Membership>,
) -> Result<(), ApiError> {
    let mut detail = Map::new();
    replace_memberships(change, user, all, &mut detail)?;
    change.books.put_user(user)?;
    change.audit("user.change", user.id, &detail.into())
}

/// Replaces all roles. Personal keys in a team that the user leaves are deleted.
pub(super) fn replace_memberships(
    change: &mut Change<'_, '_>,
    user: &mut User,
    all: Vec<Membership>,
    detail: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    check_distinct(&all)?;
    check_scopes(change.directory, &all)?;
    let before = std::mem::replace(&mut user.memberships, all);
    for team in before
        .iter()
        .filter_map(|membership| membership.scope.team())
    {
        if !user.is_member_of(team) {
            delete_personal_keys(change, user.id, team)?;
        }
    }
    let roles = json!({
        "from": memberships_to_audit(&before),
        "to": memberships_to_audit(&user.memberships),
    });
    detail.insert("memberships".to_owned(), roles);
    Ok(())
}

fn memberships_to_audit(memberships: &[Membership]) -> Value {
    memberships.iter().map(to_audit).collect()
}

fn no_member(id: UserId) -> ApiError {
    let message = format!("{id} is no member of this team; list the members to see who is");
    ApiError::new(ErrorCode::NotFound, message)
}
