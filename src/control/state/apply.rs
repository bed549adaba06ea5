//! Makes the books agree with a document, in one transaction. Each step sees those before it; without a difference nothing is written.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::auth::directory::Directory;
use crate::auth::grant::Grant;
use crate::auth::key;
use crate::auth::role::may;
use crate::control::captures;
use crate::control::change::Change;
use crate::control::error::not_found;
use crate::control::keys::{self, NewVirtualKey, no_random_bytes};
use crate::control::names::resolve_user;
use crate::control::organizations::{self, NewOrganization};
use crate::control::plane::Control;
use crate::control::state::difference;
use crate::control::state::wanted::{WantedCapture, WantedKey, WantedOrganization, WantedTeam};
use crate::control::teams::{self, NewTeam};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::id::{KeyId, OrganizationId, TeamId, UserId};
use crate::domain::secret::Secret;
use crate::domain::tenant::{Team, VirtualKey};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    Create,
    Change,
}

/// One object that differs from the document.
#[derive(Clone, Debug)]
pub struct Step {
    pub kind: StepKind,
    /// `organization`, `team`, `key` or `capture`
    pub object: &'static str,
    /// names from the organization down, with slashes
    pub name: String,
    pub id: String,
    /// detail of the audit event
    pub detail: Value,
}

/// Secret of a key that was created, shown once.
#[derive(Clone, Debug)]
pub struct NewSecret {
    pub name: String,
    pub id: KeyId,
    pub secret: Secret,
}

/// Steps to a document, in their order.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub secrets: Vec<NewSecret>,
    complete: bool,
}

impl Control {
    /// Applies a document, or with `dry_run` returns the plan alone.
    pub async fn apply_state(
        &self,
        grant: &Grant<may::ApplyState>,
        wanted: Vec<WantedOrganization>,
        dry_run: bool,
    ) -> Result<Plan, ApiError> {
        let keys = Grant::for_actor(grant.actor(), may::ChangeKeys)?;
        let can_capture = self.captures.is_some();
        let shared = Arc::new(Mutex::new(Plan::default()));
        let inner = shared.clone();
        let apply = move |change: &mut Change<'_, '_>| {
            let mut plan = Plan::default();
            let overlay = Arc::new(change.directory.clone());
            let mut walk = Walk {
                overlay,
                keys: &keys,
                can_capture,
                plan: &mut plan,
            };
            for organization in wanted {
                walk.organization(change, organization)?;
            }
            plan.complete = true;
            let writes = !dry_run && !plan.steps.is_empty();
            *inner.lock().unwrap_or_else(PoisonError::into_inner) = plan;
            // an error undoes the steps of a plan that is only shown
            if writes { Ok(()) } else { Err(only_shown()) }
        };
        let applied = self.apply(grant.actor(), apply).await;
        let mut plan = shared.lock().unwrap_or_else(PoisonError::into_inner);
        match applied {
            Err(error) if !plan.complete => Err(error),
            Err(error) if !dry_run && !plan.steps.is_empty() => Err(error),
            Err(_) => {
                // keys that do not exist have no secret
                plan.secrets.clear();
                Ok(std::mem::take(&mut *plan))
            }
            Ok(()) => Ok(std::mem::take(&mut *plan)),
        }
    }
}

fn only_shown() -> ApiError {
    ApiError::new(ErrorCode::Conflict, "the plan is only shown")
}

/// Walk through a document with the tenants as the steps so far left them.
struct Walk<'w> {
    overlay: Arc<Directory>,
    keys: &'w Grant<may::ChangeKeys>,
    /// the configuration allows prompt capture
    can_capture: bool,
    plan: &'w mut Plan,
}

impl Walk<'_> {
    /// Runs one step on top of those before it, and notes it.
    fn step<T>(
        &mut self,
        change: &mut Change<'_, '_>,
        (kind, object, name): (StepKind, &'static str, &str),
        run: impl FnOnce(&mut Change<'_, '_>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let overlay = self.overlay.clone();
        let (done, rows, event) = change.nested(&overlay, run)?;
        self.overlay = Arc::new(overlay.with(rows));
        if let Some((id, detail)) = event {
            self.plan.steps.push(Step {
                kind,
                object,
                name: name.to_owned(),
                id,
                detail,
            });
        }
        Ok(done)
    }

    fn organization(
        &mut self,
        change: &mut Change<'_, '_>,
        mut wanted: WantedOrganization,
    ) -> Result<(), ApiError> {
        let (name, wanted_teams) = (
            wanted.name.as_str().to_owned(),
            std::mem::take(&mut wanted.teams),
        );
        let found = self.overlay.organizations();
        let found = found.into_iter().find(|one| one.name == name).cloned();
        let id = match found {
            None => {
                let step = (StepKind::Create, "organization", name.as_str());
                let new = NewOrganization {
                    name: wanted.name,
                    models: wanted.models,
                    budgets: wanted.budgets,
                    limits: wanted.limits,
                };
                let (created, _) =
                    self.step(change, step, |change| organizations::insert(change, new))?;
                created.id
            }
            Some(found) => {
                let limits = self.overlay.limits_of(Owner::Organization(found.id));
                let update = difference::of_organization(&wanted, &found, &limits);
                let id = found.id;
                if let Some(update) = update {
                    let step = (StepKind::Change, "organization", name.as_str());
                    self.step(change, step, |change| {
                        organizations::change_row(change, found, update)
                    })?;
                }
                id
            }
        };
        for team in wanted_teams {
            self.team(change, id, &name, team)?;
        }
        Ok(())
    }

    fn team(
        &mut self,
        change: &mut Change<'_, '_>,
        organization: OrganizationId,
        above: &str,
        mut wanted: WantedTeam,
    ) -> Result<(), ApiError> {
        let name = format!("{above}/{}", wanted.name.as_str());
        let (wanted_keys, capture) = (std::mem::take(&mut wanted.keys), wanted.capture);
        let found = self.find_team(organization, wanted.name.as_str());
        let id = match found {
            None => {
                let step = (StepKind::Create, "team", name.as_str());
                let new = new_team(wanted);
                let (created, _) = self.step(change, step, |change| {
                    teams::insert(change, organization, new)
                })?;
                created.id
            }
            Some(found) => {
                let limits = self.overlay.limits_of(Owner::Team(found.id));
                let update = difference::of_team(&wanted, &found, &limits);
                let id = found.id;
                if let Some(update) = update {
                    let step = (StepKind::Change, "team", name.as_str());
                    self.step(change, step, |change| {
                        teams::change_row(change, found, update)
                    })?;
                }
                id
            }
        };
        self.capture(change, Owner::Team(id), &name, capture)?;
        for key in wanted_keys {
            self.key(change, id, &name, key)?;
        }
        Ok(())
    }

    fn key(
        &mut self,
        change: &mut Change<'_, '_>,
        team: TeamId,
        above: &str,
        wanted: WantedKey,
    ) -> Result<(), ApiError> {
        let name = format!("{above}/{}", wanted.name.as_str());
        let parent = match &wanted.parent {
            Some(parent) => Some(self.require_key(team, parent)?.id),
            None => None,
        };
        let user = match &wanted.user {
            Some(user) => Some(resolve_user(&self.overlay, self.keys, user)?.id),
            None => None,
        };
        let Some(found) = self.find_key(team, wanted.name.as_str()) else {
            return self.create_key(change, (team, parent, user), &name, wanted);
        };
        if (found.parent, found.user) != (parent, user) {
            let message = format!(
                "{name} has another parent or user than in the document, and a key never changes them; give the key another name"
            );
            return Err(ApiError::new(ErrorCode::Conflict, message));
        }
        let limits = self.overlay.limits_of(Owner::Key(found.id));
        let (id, capture) = (found.id, wanted.capture);
        if let Some(update) = difference::of_key(&wanted, &found, &limits) {
            let (step, grant) = ((StepKind::Change, "key", name.as_str()), self.keys);
            self.step(change, step, |change| {
                keys::change_row(change, grant, found, update)
            })?;
        }
        self.capture(change, Owner::Key(id), &name, capture)
    }

    fn create_key(
        &mut self,
        change: &mut Change<'_, '_>,
        (team, parent, user): (TeamId, Option<KeyId>, Option<UserId>),
        name: &str,
        wanted: WantedKey,
    ) -> Result<(), ApiError> {
        let generated = key::generate(wanted.name.as_str()).map_err(no_random_bytes)?;
        let origin = keys::Origin { team, parent, user };
        let (disabled, capture) = (wanted.disabled, wanted.capture);
        let (step, grant) = ((StepKind::Create, "key", name), self.keys);
        let new = NewVirtualKey {
            name: wanted.name,
            parent: keys::KeyParent::Team(team.to_string()),
            user: wanted.user,
            models: wanted.models,
            endpoints: wanted.endpoints,
            labels: wanted.labels,
            max_cost: wanted.max_cost,
            expires_ms: wanted.expires_ms,
            budgets: wanted.budgets,
            limits: wanted.limits,
        };
        let secret = generated.secret.clone();
        let stored = keys::StoredSecret::of(generated);
        let (created, _) = self.step(change, step, |change| {
            keys::insert(change, grant, origin, new, stored)
        })?;
        let id = created.id;
        if disabled {
            let update = keys::KeyChange {
                disabled: Some(true),
                ..keys::KeyChange::default()
            };
            let step = (StepKind::Change, "key", name);
            self.step(change, step, |change| {
                keys::change_row(change, grant, created, update)
            })?;
        }
        self.plan.secrets.push(NewSecret {
            name: name.to_owned(),
            id,
            secret,
        });
        self.capture(change, Owner::Key(id), name, capture)
    }

    /// Prompt capture of a team or key; turned on only where the configuration allows it.
    fn capture(
        &mut self,
        change: &mut Change<'_, '_>,
        owner: Owner,
        name: &str,
        wanted: WantedCapture,
    ) -> Result<(), ApiError> {
        let before = self.overlay.capture_of(owner);
        let WantedCapture { keep, readers } = wanted;
        if (before.keep, before.readers) == (keep, readers) {
            return Ok(());
        }
        if keep.is_some() && before.keep.is_none() && !self.can_capture {
            return Err(captures::disabled());
        }
        let setting = captures::with_terms(&before, (keep, readers), change.at_ms);
        self.step(change, (StepKind::Change, "capture", name), |change| {
            captures::put(change, &before, &setting)
        })
    }

    fn find_team(&self, organization: OrganizationId, name: &str) -> Option<Team> {
        let mut teams = self.overlay.teams();
        teams
            .find(|team| team.organization == organization && team.name == name)
            .cloned()
    }

    fn find_key(&self, team: TeamId, name: &str) -> Option<VirtualKey> {
        let mut keys = self.overlay.keys_of_team(team);
        keys.find(|caller| caller.key.name == name)
            .map(|caller| caller.key.clone())
    }

    fn require_key(&self, team: TeamId, name: &str) -> Result<VirtualKey, ApiError> {
        self.find_key(team, name)
            .ok_or_else(|| not_found("parent key in this team, with the name", name))
    }
}

fn new_team(wanted: WantedTeam) -> NewTeam {
    NewTeam {
        name: wanted.name,
        organization: None,
        models: wanted.models,
        endpoints: wanted.endpoints,
        labels: wanted.labels,
        member_keys: wanted.member_keys,
        max_cost: wanted.max_cost,
        budgets: wanted.budgets,
        limits: wanted.limits,
    }
}
