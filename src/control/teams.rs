//! Teams: allowed models, budgets and rate limits of a group of keys.

use serde_json::{Map, json};

use crate::auth::directory::Directory;
use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::change::ChangeOutcome;
use crate::control::error::{name_taken, not_found};
use crate::control::input::{Budgets, Models, Name, models_to_audit};
use crate::control::limits::Limits;
use crate::control::owner_limits::{self, WithLimits};
use crate::control::plane::Control;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::id::{OrganizationId, TeamId};
use crate::domain::tenant::Team;
use crate::store::ChangeTransaction;

/// A new team.
#[derive(Clone, Debug)]
pub struct NewTeam {
    pub name: Name,
    /// id or name; may be omitted where only one organization exists
    pub organization: Option<String>,
    pub models: Models,
    pub budgets: Budgets,
    pub limits: Limits,
}

/// Partial update of a team; `None` leaves a part unchanged.
#[derive(Clone, Debug, Default)]
pub struct TeamChange {
    pub models: Option<Models>,
    pub budgets: Option<Budgets>,
    pub limits: Option<Limits>,
}

impl Control {
    pub async fn create_team(
        &self,
        grant: &Grant<may::ChangeTeams>,
        new: NewTeam,
    ) -> Result<WithLimits<Team>, ApiError> {
        let organization =
            resolve_organization(&self.directory.load(), new.organization.as_deref())?;
        let create = move |books: &mut ChangeTransaction<'_>, at_ms: u64| {
            if !books.claim_name(&format!("team/{organization}"), new.name.as_str())? {
                return Err(name_taken("a team", new.name.as_str(), organization));
            }
            let id = TeamId(books.next_id()?);
            let team = Team {
                id,
                organization,
                name: new.name.into_string(),
                models: new.models.into_allow_list(),
                created_ms: at_ms,
            };
            books.put_team(&team)?;
            let mut detail = json!({
                "name": team.name,
                "organization": organization.to_string(),
                "models": models_to_audit(&team.models),
            });
            let (stored, affected) = owner_limits::create(
                books,
                Owner::Team(id),
                (&new.budgets, &new.limits),
                &mut detail,
            )?;
            Ok(ChangeOutcome {
                subject: id.to_string(),
                detail,
                affected,
                answer: (team, stored),
            })
        };
        let (team, stored) = self.apply(grant.actor(), "team.create", create).await?;
        Ok(self.with_status(team, stored))
    }

    pub async fn change_team(
        &self,
        grant: &Grant<may::ChangeTeams>,
        id: TeamId,
        update: TeamChange,
    ) -> Result<WithLimits<Team>, ApiError> {
        let change = move |books: &mut ChangeTransaction<'_>, _at_ms: u64| {
            let mut team = books.team(id)?.ok_or_else(|| not_found("team", id))?;
            let mut detail = Map::new();
            if let Some(models) = update.models {
                detail.insert("models".to_owned(), models.replace(&mut team.models));
                books.put_team(&team)?;
            }
            let limits = (update.budgets.as_ref(), update.limits.as_ref());
            let (stored, affected) =
                owner_limits::change(books, Owner::Team(id), limits, &mut detail)?;
            Ok(ChangeOutcome {
                subject: id.to_string(),
                detail: detail.into(),
                affected,
                answer: (team, stored),
            })
        };
        let (team, stored) = self.apply(grant.actor(), "team.change", change).await?;
        Ok(self.with_status(team, stored))
    }

    pub async fn teams(
        &self,
        _grant: &Grant<may::ReadTenants>,
    ) -> Result<Vec<WithLimits<Team>>, ApiError> {
        let tenants = self.read(|store| store.tenants()).await?;
        let mut by_owner = owner_limits::by_owner(tenants.budgets, tenants.limits);
        let with_status = |team: Team| {
            let owner = Owner::Team(team.id);
            self.with_status(team, by_owner.remove(&owner).unwrap_or_default())
        };
        Ok(tenants.teams.into_iter().map(with_status).collect())
    }

    pub async fn team(
        &self,
        grant: &Grant<may::ReadTenants>,
        id: TeamId,
    ) -> Result<WithLimits<Team>, ApiError> {
        let teams = self.teams(grant).await?;
        teams
            .into_iter()
            .find(|team| team.record.id == id)
            .ok_or_else(|| not_found("team", id))
    }
}

/// The team with this id or name; a name that two organizations use is ambiguous and refused.
pub fn resolve_team(directory: &Directory, text: &str) -> Result<TeamId, ApiError> {
    if let Some(id) = TeamId::parse(text) {
        return Ok(id);
    }
    let named: Vec<&Team> = directory.teams().filter(|team| team.name == text).collect();
    match named.as_slice() {
        [team] => Ok(team.id),
        [] => Err(not_found("team", redacted(text)).with_param("team")),
        [one, other, ..] => Err(ApiError::invalid(format!(
            "ambiguous `team`: {} of {} and {} of {}; give the id",
            one.id, one.organization, other.id, other.organization
        ))
        .with_param("team")),
    }
}

fn resolve_organization(
    directory: &Directory,
    text: Option<&str>,
) -> Result<OrganizationId, ApiError> {
    let all = || {
        directory
            .organizations()
            .map(|organization| organization.id)
    };
    let Some(text) = text else {
        let mut ids = all();
        return match (ids.next(), ids.next()) {
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
        Some(id) => directory.organization(id),
        None => directory
            .organizations()
            .find(|organization| organization.name == text),
    };
    organization
        .map(|organization| organization.id)
        .ok_or_else(|| not_found("organization", redacted(text)).with_param("organization"))
}

/// The text if it could be a name; anything else might be a secret and is not repeated.
fn redacted(text: &str) -> &str {
    if Name::parse(text).is_ok() {
        text
    } else {
        "…"
    }
}
