//! `/v1/users` and `/v1/teams/{id}/members`: users and their roles.

use crate::auth::role::may;
use crate::control::input::{Email, Name};
use crate::control::memberships::{MEMBERSHIPS_MAX, MembershipInput};
use crate::control::users::{self, NewUser, UserChange, UserFilter, seen_by};
use crate::domain::api_error::ApiError;
use crate::domain::id::{TeamId, UserId};
use crate::server::api::body::Fields;
use crate::server::api::call::{ApiCall, known};
use crate::server::api::list_query::{ListQuery, next, parse_cascade};
use crate::server::api::reply::ApiReply;
use crate::server::api::tenant_fields::take_optional_name;
use crate::server::api::user_views::UserJson;
use crate::server::api::views::List;

const ROLE: &str = "the word of a role, like admin, member or viewer";

/// `?email=` and `?team=` filter.
pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadUsers)?;
    let mut query = list_query(&call.query)?;
    let team = query.take("team");
    let filter = UserFilter {
        email: query.take("email"),
        team: team
            .map(|text| call.control.team_id(&grant, &text))
            .transpose()?,
    };
    let page = query.finish("the list of users")?;
    let users = call.control.users(&grant, &filter, page).await?;
    ApiReply::ok(&List {
        data: users.items.iter().map(UserJson::of).collect(),
        next: next(&users, |user| user.id),
    })
}

pub(crate) async fn create(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeUsers)?;
    let new = parse_new(&call.body)?;
    let user = call.control.create_user(&grant, new).await?;
    ApiReply::created(&UserJson::of(&user))
}

pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadUsers)?;
    let id = known(UserId::parse(&call.id), "user")?;
    let (user, version) = call.control.user(&grant, id).await?;
    Ok(ApiReply::ok(&UserJson::of(&user))?.with_version(&version))
}

pub(crate) async fn change(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeUsers)?;
    let id = known(UserId::parse(&call.id), "user")?;
    let update = parse_change(&call.body)?;
    let user = call.control.change_user(&grant, id, update).await?;
    let version = users::version(&user);
    Ok(ApiReply::ok(&UserJson::of(&seen_by(&grant, user)))?.with_version(&version))
}

pub(crate) async fn delete(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeUsers)?;
    let id = known(UserId::parse(&call.id), "user")?;
    let cascade = parse_cascade(&call.query)?;
    call.control.delete_user(&grant, id, cascade).await?;
    Ok(ApiReply::deleted())
}

/// `GET /v1/teams/{id}/members`.
pub(crate) async fn members(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadUsers)?;
    let filter = UserFilter {
        email: None,
        team: Some(known(TeamId::parse(&call.id), "team")?),
    };
    let page = list_query(&call.query)?.finish("the list of members")?;
    let users = call.control.users(&grant, &filter, page).await?;
    ApiReply::ok(&List {
        data: users.items.iter().map(UserJson::of).collect(),
        next: next(&users, |user| user.id),
    })
}

/// `POST /v1/teams/{id}/members`: gives a user a role in the team.
pub(crate) async fn put_member(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeUsers)?;
    let team = known(TeamId::parse(&call.id), "team")?;
    let mut fields = Fields::of_body(&call.body)?;
    let user: String = fields.require("user", "the id or the e-mail address of a user")?;
    let role: String = fields.require("role", ROLE)?;
    fields.finish()?;
    let user = call.control.put_member(&grant, team, &user, &role).await?;
    ApiReply::ok(&UserJson::of(&seen_by(&grant, user)))
}

/// `DELETE /v1/teams/{id}/members/{member}`.
pub(crate) async fn remove_member(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeUsers)?;
    let team = known(TeamId::parse(&call.id), "team")?;
    let user = known(UserId::parse(&call.member), "user")?;
    call.control.remove_member(&grant, team, user).await?;
    Ok(ApiReply::deleted())
}

fn list_query(query: &str) -> Result<ListQuery, ApiError> {
    ListQuery::parse(query, |text| UserId::parse(text).map(|id| id.0))
}

fn parse_new(body: &[u8]) -> Result<NewUser, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let email: String = fields.require("email", "an e-mail address")?;
    let email = fields.within("email", Email::parse(&email))?;
    let name: Option<String> = fields.take("name", "a text")?;
    let name = name.unwrap_or_else(|| default_name(email.as_str()));
    let new = NewUser {
        name: fields.within("name", Name::parse(&name))?,
        email,
        memberships: take_memberships(&mut fields)?.unwrap_or_default(),
    };
    fields.finish()?;
    Ok(new)
}

/// The part of the address before the `@`.
fn default_name(email: &str) -> String {
    let local = email.split('@').next().unwrap_or(email);
    local.chars().take(64).collect()
}

fn parse_change(body: &[u8]) -> Result<UserChange, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let change = UserChange {
        name: take_optional_name(&mut fields)?,
        disabled: fields.take("disabled", "true or false")?,
        memberships: take_memberships(&mut fields)?,
    };
    fields.finish_change()?;
    Ok(change)
}

fn take_memberships(fields: &mut Fields) -> Result<Option<Vec<MembershipInput>>, ApiError> {
    let Some(objects) = fields.take_objects("memberships")? else {
        return Ok(None);
    };
    let one = |mut fields: Fields| {
        let membership = take_membership(&mut fields)?;
        fields.finish()?;
        Ok(membership)
    };
    let all = objects.into_iter().take(MEMBERSHIPS_MAX + 1);
    all.map(one).collect::<Result<_, ApiError>>().map(Some)
}

/// `role` with `organization` or `team`.
fn take_membership(fields: &mut Fields) -> Result<MembershipInput, ApiError> {
    Ok(MembershipInput {
        role: fields.require("role", ROLE)?,
        organization: fields.take("organization", "an id or a name")?,
        team: fields.take("team", "an id or a name")?,
    })
}
