//! Teams: allowed models and endpoints, budgets and rate limits of a group of keys; labels, and limits of the members' keys.

use serde_json::{Map, Value, json};

use crate::auth::directory::OwnerLimits;
use crate::auth::grant::Grant;
use crate::auth::role::{Action, Actor, Permit, may};
use crate::control::change::Change;
use crate::control::error::{name_taken, not_found};
use crate::control::input::{Budgets, Models, Name, models_to_audit};
use crate::control::labels::{
    LabelsChange, MemberKeysChange, max_cost_change, member_keys_to_audit,
};
use crate::control::limits::Limits;
use crate::control::names::{resolve_organization, resolve_team};
use crate::control::owner_limits::{self, WithLimits};
use crate::control::page::{Page, PageQuery};
use crate::control::plane::Control;
use crate::domain::api_error::ApiError;
use crate::domain::budget::Owner;
use crate::domain::id::{OrganizationId, TeamId};
use crate::domain::money::Money;
use crate::domain::tenant::{Endpoint, Labels, MemberKeyRules, Team};

/// A new team.
#[derive(Clone, Debug)]
pub struct NewTeam {
    pub name: Name,
    /// id or name; may be omitted where only one organization exists
    pub organization: Option<String>,
    pub models: Models,
    pub endpoints: Option<Vec<Endpoint>>,
    pub labels: Labels,
    pub member_keys: MemberKeyRules,
    pub max_cost: Option<Money>,
    pub budgets: Budgets,
    pub limits: Limits,
}

/// Partial update of a team; `None` leaves a part unchanged.
#[derive(Clone, Debug, Default)]
pub struct TeamChange {
    pub name: Option<Name>,
    pub models: Option<Models>,
    pub endpoints: Option<Option<Vec<Endpoint>>>,
    /// `Some(None)`: no bound
    pub max_cost: Option<Option<Money>>,
    pub budgets: Option<Budgets>,
    pub limits: Option<Limits>,
    pub details: TeamDetails,
}

/// Parts of a team that its own administrators may change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TeamDetails {
    pub labels: LabelsChange,
    pub member_keys: MemberKeysChange,
}

impl TeamChange {
    /// Changes nothing that limits the team itself.
    fn is_of_details_only(&self) -> bool {
        self.name.is_none()
            && self.models.is_none()
            && self.endpoints.is_none()
            && self.max_cost.is_none()
            && self.budgets.is_none()
            && self.limits.is_none()
    }
}

impl Control {
    pub async fn create_team(
        &self,
        grant: &Grant<may::ChangeTeams>,
        new: NewTeam,
    ) -> Result<WithLimits<Team>, ApiError> {
        let directory = self.directory();
        let organization = resolve_organization(&directory, grant, new.organization.as_deref())?.id;
        let create = move |change: &mut Change<'_, '_>| insert(change, organization, new);
        let (team, stored) = self.apply(grant.actor(), create).await?;
        Ok(self.with_status(team, stored))
    }

    /// The parts in `details` need `ManageTeams`, all others `ChangeTeams`.
    pub async fn change_team(
        &self,
        grant: &Grant<may::ManageTeams>,
        id: TeamId,
        update: TeamChange,
    ) -> Result<WithLimits<Team>, ApiError> {
        let allowed = grant.clone();
        let actor = grant.actor().clone();
        let rewrite = move |change: &mut Change<'_, '_>| {
            let team = load(change, id)?;
            let unknown = || not_found("team", id);
            allowed.check(team.scope(), Action::ReadTeams, unknown)?;
            check_version(change, &team)?;
            if !update.is_of_details_only() {
                check_change(&actor, &team)?;
            }
            change_row(change, team, update)
        };
        let (team, stored) = self.apply(grant.actor(), rewrite).await?;
        Ok(self.with_status(team, stored))
    }

    pub async fn teams(
        &self,
        grant: &Grant<may::ReadTeams>,
        organization: Option<&str>,
        page: PageQuery,
    ) -> Result<Page<WithLimits<Team>>, ApiError> {
        let directory = self.directory();
        let organization = match organization {
            Some(text) => Some(resolve_organization(&directory, grant, Some(text))?.id),
            None => None,
        };
        let visible = directory.teams().filter(|team| {
            organization.is_none_or(|id| team.organization == id) && grant.covers(team.scope())
        });
        let page = page.of(visible, |team| team.id.0);
        Ok(page.map(|team| self.with_own_limits(team.clone(), Owner::Team(team.id), &directory)))
    }

    /// Id of the team with this id or name, where the actor may see it.
    pub fn team_id<P: Permit>(&self, grant: &Grant<P>, text: &str) -> Result<TeamId, ApiError> {
        resolve_team(&self.directory(), grant, text).map(|team| team.id)
    }

    pub async fn team(
        &self,
        grant: &Grant<may::ReadTeams>,
        id: TeamId,
    ) -> Result<WithLimits<Team>, ApiError> {
        let directory = self.directory();
        let team = directory
            .live_team(id)
            .filter(|team| grant.covers(team.scope()))
            .ok_or_else(|| not_found("team", id))?;
        Ok(self.with_own_limits(team.clone(), Owner::Team(id), &directory))
    }
}

type StoredTeam = (Team, OwnerLimits);

pub(super) fn insert(
    change: &mut Change<'_, '_>,
    organization: OrganizationId,
    new: NewTeam,
) -> Result<StoredTeam, ApiError> {
    if change.directory.live_organization(organization).is_none() {
        return Err(not_found("organization", organization).with_param("organization"));
    }
    claim(change, organization, &new.name)?;
    let id = TeamId(change.books.next_id()?);
    let team = Team {
        id,
        organization,
        name: new.name.into_string(),
        models: new.models.into_allow_list(),
        labels: new.labels,
        endpoints: new.endpoints,
        member_keys: new.member_keys,
        max_cost: new.max_cost,
        created_ms: change.at_ms,
        deleted_ms: None,
    };
    change.books.put_team(&team)?;
    let mut detail = json!({
        "name": team.name,
        "organization": organization.to_string(),
        "models": models_to_audit(&team.models),
        "allowed_endpoints": endpoints_to_audit(team.endpoints.as_deref()),
        "tags": team.labels.tags,
        "member_keys": member_keys_to_audit(team.member_keys),
        "max_cost_usd": team.max_cost.map(|most| most.to_string()),
    });
    let limits = (&new.budgets, &new.limits);
    let stored = owner_limits::create(change, Owner::Team(id), limits, &mut detail)?;
    change.audit("team.create", id, &detail)?;
    Ok((team, stored))
}

pub(super) fn change_row(
    change: &mut Change<'_, '_>,
    mut team: Team,
    update: TeamChange,
) -> Result<StoredTeam, ApiError> {
    let (id, mut detail) = (team.id, Map::new());
    if let Some(name) = update.name {
        claim(change, team.organization, &name)?;
        change
            .books
            .release_name(&names(team.organization), &team.name)?;
        let before = std::mem::replace(&mut team.name, name.into_string());
        let names = json!({ "from": before, "to": team.name });
        detail.insert("name".to_owned(), names);
    }
    if let Some(models) = update.models {
        detail.insert("models".to_owned(), models.replace(&mut team.models));
    }
    if let Some(endpoints) = update.endpoints {
        let before = std::mem::replace(&mut team.endpoints, endpoints);
        let endpoints = json!({
            "from": endpoints_to_audit(before.as_deref()),
            "to": endpoints_to_audit(team.endpoints.as_deref()),
        });
        detail.insert("allowed_endpoints".to_owned(), endpoints);
    }
    if let Some(max_cost) = update.max_cost {
        let change = max_cost_change(&mut team.max_cost, max_cost);
        detail.insert("max_cost_usd".to_owned(), change);
    }
    let TeamDetails {
        labels,
        member_keys,
    } = update.details;
    if !labels.is_empty() {
        detail.insert("labels".to_owned(), labels.apply_to(&mut team.labels));
    }
    if !member_keys.is_empty() {
        let rules = member_keys.apply_to(&mut team.member_keys);
        detail.insert("member_keys".to_owned(), rules);
    }
    change.books.put_team(&team)?;
    let limits = (update.budgets.as_ref(), update.limits.as_ref());
    let stored = owner_limits::rewrite(change, Owner::Team(id), limits, &mut detail)?;
    change.audit("team.change", id, &detail.into())?;
    Ok((team, stored))
}

/// Refuses a change of what limits the team itself.
fn check_change(actor: &Actor, team: &Team) -> Result<(), ApiError> {
    let grant = Grant::for_actor(actor, may::ChangeTeams)?;
    grant.check(team.scope(), Action::ReadTeams, || {
        not_found("team", team.id)
    })
}

/// Refuses a change of a team that has another version than the caller expects.
pub(super) fn check_version(change: &mut Change<'_, '_>, team: &Team) -> Result<(), ApiError> {
    let limits = change.directory.limits_of(Owner::Team(team.id));
    change.check_version(team, &limits)
}

/// The live team with this id.
pub(super) fn load(change: &mut Change<'_, '_>, id: TeamId) -> Result<Team, ApiError> {
    let team = change.books.team(id)?;
    team.filter(|team| team.deleted_ms.is_none())
        .ok_or_else(|| not_found("team", id))
}

/// Scope in which names of teams are unique.
pub(super) fn names(organization: OrganizationId) -> String {
    format!("team/{organization}")
}

fn claim(
    change: &mut Change<'_, '_>,
    organization: OrganizationId,
    name: &Name,
) -> Result<(), ApiError> {
    if change
        .books
        .claim_name(&names(organization), name.as_str())?
    {
        return Ok(());
    }
    Err(name_taken("a team", name.as_str(), organization))
}

pub(super) fn endpoints_to_audit(endpoints: Option<&[Endpoint]>) -> Value {
    let words = |endpoints: &[Endpoint]| -> Vec<&str> {
        endpoints.iter().map(|endpoint| endpoint.as_str()).collect()
    };
    json!(endpoints.map(words))
}
