//! Teams: what their keys may call, and what they may spend.

use serde_json::{Map, json};

use crate::auth::directory::Directory;
use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::fields::Fields;
use crate::control::input::{Budgets, Models, Name, models_audited};
use crate::control::limits::Limits;
use crate::control::owner_limits;
use crate::control::{ChangeOutcome, Control, WithLimits, name_taken, not_found};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::id::{OrganizationId, TeamId};
use crate::domain::tenant::Team;
use crate::store::ChangeTransaction;

/// A team as it is asked for.
#[derive(Clone, Debug)]
pub struct NewTeam {
    pub name: Name,
    /// id or name; may be left out where there is only one
    pub organization: Option<String>,
    pub models: Models,
    pub budgets: Budgets,
    pub limits: Limits,
}

impl NewTeam {
    pub fn from_json(body: &[u8]) -> Result<NewTeam, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let new = NewTeam {
            name: Name::take(&mut fields)?,
            organization: fields.take("organization", "an id or a name")?,
            models: Models::take(&mut fields)?.unwrap_or_default(),
            budgets: Budgets::take(&mut fields)?.unwrap_or_default(),
            limits: Limits::take(&mut fields)?.unwrap_or_default(),
        };
        fields.finish()?;
        Ok(new)
    }
}

/// What shall be different; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default)]
pub struct TeamChange {
    pub models: Option<Models>,
    pub budgets: Option<Budgets>,
    pub limits: Option<Limits>,
}

impl TeamChange {
    pub fn from_json(body: &[u8]) -> Result<TeamChange, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let change = TeamChange {
            models: Models::take(&mut fields)?,
            budgets: Budgets::take(&mut fields)?,
            limits: Limits::take(&mut fields)?,
        };
        fields.finish()?;
        if change.models.is_none() && change.budgets.is_none() && change.limits.is_none() {
            return Err(ApiError::invalid(
                "nothing to change; give `models`, `budgets` or `limits`",
            ));
        }
        Ok(change)
    }
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
                models: new.models.into_patterns(),
                created_ms: at_ms,
            };
            books.put_team(&team)?;
            let mut detail = json!({
                "name": team.name,
                "organization": organization.to_string(),
                "models": models_audited(&team.models),
            });
            let (owned, touched) = owner_limits::create(
                books,
                Owner::Team(id),
                (&new.budgets, &new.limits),
                &mut detail,
            )?;
            Ok(ChangeOutcome {
                subject: id.to_string(),
                detail,
                touched,
                answer: (team, owned),
            })
        };
        let (team, owned) = self.apply(grant.actor(), "team.create", create).await?;
        Ok(self.with_standings(team, owned))
    }

    pub async fn change_team(
        &self,
        grant: &Grant<may::ChangeTeams>,
        id: TeamId,
        wanted: TeamChange,
    ) -> Result<WithLimits<Team>, ApiError> {
        let apply = move |books: &mut ChangeTransaction<'_>, _at_ms: u64| {
            let mut team = books.team(id)?.ok_or_else(|| not_found("team", id))?;
            let mut detail = Map::new();
            if let Some(models) = wanted.models {
                detail.insert("models".to_owned(), models.replace(&mut team.models));
                books.put_team(&team)?;
            }
            let terms = (wanted.budgets.as_ref(), wanted.limits.as_ref());
            let (owned, touched) =
                owner_limits::change(books, Owner::Team(id), terms, &mut detail)?;
            Ok(ChangeOutcome {
                subject: id.to_string(),
                detail: detail.into(),
                touched,
                answer: (team, owned),
            })
        };
        let (team, owned) = self.apply(grant.actor(), "team.change", apply).await?;
        Ok(self.with_standings(team, owned))
    }

    pub async fn teams(
        &self,
        _grant: &Grant<may::ReadTenants>,
    ) -> Result<Vec<WithLimits<Team>>, ApiError> {
        let tenants = self.read(|store| store.tenants()).await?;
        let mut owned = owner_limits::by_owner(tenants.budgets, tenants.limits);
        let shown = |team: Team| {
            let own = owned.remove(&Owner::Team(team.id)).unwrap_or_default();
            self.with_standings(team, own)
        };
        Ok(tenants.teams.into_iter().map(shown).collect())
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

/// The team that an id or a name means; a name that two organizations use means neither.
pub(super) fn resolve_team(directory: &Directory, text: &str) -> Result<TeamId, ApiError> {
    if let Some(id) = TeamId::parse(text) {
        return Ok(id);
    }
    let found: Vec<&Team> = directory.teams().filter(|team| team.name == text).collect();
    match found.as_slice() {
        [team] => Ok(team.id),
        [] => Err(not_found("team", shown(text)).with_param("team")),
        [one, other, ..] => Err(ApiError::invalid(format!(
            "`team` means more than one team: {} of {} and {} of {}; give the id",
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
                "there is no organization yet; run `gatekeeper init`",
            )
            .with_param("organization")),
            _ => Err(ApiError::invalid(
                "`organization` is missing, and there is more than one; give its id or name",
            )
            .with_param("organization")),
        };
    };
    let meant = match OrganizationId::parse(text) {
        Some(id) => directory.organization(id),
        None => directory
            .organizations()
            .find(|organization| organization.name == text),
    };
    meant
        .map(|organization| organization.id)
        .ok_or_else(|| not_found("organization", shown(text)).with_param("organization"))
}

/// What was given for a name, if it could be one; a message repeats nothing else.
fn shown(text: &str) -> &str {
    if Name::parse(text).is_ok() {
        text
    } else {
        "…"
    }
}
