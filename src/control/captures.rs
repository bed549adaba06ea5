//! Prompt capture: settings of teams and keys, reads and purges of captured calls. Every change, read and purge has an audit event, and
//! the event of a read or purge is recorded first.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::auth::grant::Grant;
use crate::auth::role::{Action, Actor, may};
use crate::control::change::Change;
use crate::control::error::not_found;
use crate::control::plane::{Control, blocking};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::capture::{CaptureReaders, CaptureSetting, KeepDays};
use crate::domain::id::{OrganizationId, RequestId, TeamId};
use crate::domain::role::{Level, Place, Role, Scope};
use crate::store::captures::{CaptureStats, Captures, PurgeScope, StoredCapture};

/// Partial update of a setting; `None` leaves a part unchanged.
#[derive(Clone, Copy, Debug, Default)]
pub struct CaptureChange {
    pub on: Option<bool>,
    pub keep: Option<KeepDays>,
    pub readers: Option<CaptureReaders>,
}

/// Setting of a team or key with the names of its owner.
#[derive(Clone, Debug)]
pub struct CaptureView {
    pub setting: CaptureSetting,
    pub name: String,
    pub team: TeamId,
    pub organization: OrganizationId,
}

impl Control {
    /// Captured calls; `None` where the configuration turns capture off.
    #[must_use]
    pub fn with_captures(self, captures: Option<Arc<Captures>>) -> Control {
        Control { captures, ..self }
    }

    /// Figures of the captures.
    pub fn capture_stats(&self) -> CaptureStats {
        let captures = self.captures.as_ref();
        captures
            .map(|captures| captures.stats())
            .unwrap_or_default()
    }

    /// Teams and keys for which capture is on.
    pub fn captures_on(&self) -> usize {
        let directory = self.directory();
        let is_on = |setting: &&CaptureSetting| setting.keep.is_some();
        match self.captures.is_some() {
            true => directory.captures().filter(is_on).count(),
            false => 0,
        }
    }

    /// Settings of the teams and keys that the actor may see.
    pub fn capture_settings(&self, grant: &Grant<may::ReadTeams>) -> Vec<CaptureView> {
        let directory = self.directory();
        let view = |setting: &CaptureSetting| {
            let (name, team, organization) = match setting.owner {
                Owner::Organization(_) => return None,
                Owner::Team(id) => {
                    let team = directory.live_team(id)?;
                    if !grant.covers(team.scope()) {
                        return None;
                    }
                    (team.name.clone(), id, team.organization)
                }
                Owner::Key(id) => {
                    let key = directory.live_key(id)?;
                    if !grant.sees(Action::ReadKeys, key.place()) {
                        return None;
                    }
                    (key.name.clone(), key.team, key.organization)
                }
            };
            Some(CaptureView {
                setting: setting.clone(),
                name,
                team,
                organization,
            })
        };
        directory.captures().filter_map(view).collect()
    }

    /// Changes the setting of a team or key. Readers are named by owners only.
    pub async fn change_capture(
        &self,
        grant: &Grant<may::ChangeCaptures>,
        owner: Owner,
        update: CaptureChange,
    ) -> Result<CaptureSetting, ApiError> {
        if update.on == Some(true) && self.captures.is_none() {
            let message = "prompt capture is disabled by the configuration; set `enabled = true` under [capture]";
            return Err(ApiError::new(ErrorCode::Conflict, message));
        }
        let allowed = grant.clone();
        let rewrite = move |change: &mut Change<'_, '_>| {
            check_owner(change, &allowed, owner)?;
            if update.readers.is_some() {
                check_readers(allowed.actor(), owner)?;
            }
            let before = change.directory.capture_of(owner);
            let setting = updated(&before, update, change.at_ms)?;
            change.books.put_capture_setting(&setting)?;
            let detail = to_audit(&before, &setting);
            match owner {
                Owner::Key(id) => change.audit("capture.change", id, &detail)?,
                Owner::Team(id) => change.audit("capture.change", id, &detail)?,
                Owner::Organization(id) => change.audit("capture.change", id, &detail)?,
            }
            Ok(setting)
        };
        self.apply(grant.actor(), rewrite).await
    }

    /// Reads a captured call, once the reading is recorded.
    pub async fn read_capture(
        &self,
        grant: &Grant<may::ReadCaptures>,
        id: RequestId,
    ) -> Result<StoredCapture, ApiError> {
        let capture = self.find_capture(id).await?;
        let place = self.place_of(&capture);
        if !self.may_read_captures(grant, place) {
            return Err(match grant.sees(Action::ReadUsage, place) {
                true => grant.denial(),
                false => no_capture(id),
            });
        }
        let detail = json!({ "team": capture.team.to_string(), "key": capture.key.to_string() });
        self.record(grant.actor(), "capture.read", id.to_string(), detail)
            .await?;
        Ok(capture)
    }

    /// Deletes captured calls, once the purge is recorded; returns their number. No byte of them remains in the file.
    pub async fn purge_captures(
        &self,
        grant: &Grant<may::PurgeCaptures>,
        scope: PurgeScope,
    ) -> Result<u64, ApiError> {
        let subject = self.check_purge(grant, scope).await?;
        let Some(captures) = self.captures.clone() else {
            return Ok(0);
        };
        self.record(grant.actor(), "capture.purge", subject, json!({}))
            .await?;
        blocking(move || captures.purge(scope)).await
    }

    /// Subject of a purge for the audit log.
    async fn check_purge(
        &self,
        grant: &Grant<may::PurgeCaptures>,
        scope: PurgeScope,
    ) -> Result<String, ApiError> {
        let directory = self.directory();
        match scope {
            PurgeScope::All if grant.covers_all(Scope::Instance) => Ok("captures".to_owned()),
            PurgeScope::All => Err(grant.denial()),
            PurgeScope::Team(id) => {
                let team = directory.team(id).filter(|team| grant.covers(team.scope()));
                team.map(|_| id.to_string())
                    .ok_or_else(|| not_found("team", id))
            }
            PurgeScope::Key(id) => {
                let place = directory.key(id).map(|caller| caller.key.place());
                let place = place.filter(|place| grant.covers(*place));
                place
                    .map(|_| id.to_string())
                    .ok_or_else(|| not_found("key", id))
            }
            PurgeScope::Request(id) => {
                let capture = self.find_capture(id).await?;
                match grant.covers(self.place_of(&capture)) {
                    true => Ok(id.to_string()),
                    false => Err(no_capture(id)),
                }
            }
        }
    }

    async fn find_capture(&self, id: RequestId) -> Result<StoredCapture, ApiError> {
        let captures = self.captures.clone().ok_or_else(|| no_capture(id))?;
        let found = blocking(move || captures.read(id)).await?;
        found.ok_or_else(|| no_capture(id))
    }

    /// Place of the key.
    fn place_of(&self, capture: &StoredCapture) -> Place {
        let directory = self.directory();
        let team = Scope::Team(capture.organization, capture.team);
        let key = directory.key(capture.key).map(|caller| caller.key.place());
        key.unwrap_or(team.into())
    }

    /// True for a reader of captured calls of this place: by role, or named as a reader of its team.
    pub(super) fn may_read_captures(&self, grant: &Grant<may::ReadCaptures>, place: Place) -> bool {
        let readers = match place.scope {
            Scope::Team(_, team) => self.directory().capture_of(Owner::Team(team)).readers,
            _ => CaptureReaders::default(),
        };
        grant.covers_granted(place.scope, |role| readers.has(role))
    }
}

fn no_capture(id: RequestId) -> ApiError {
    let message = format!(
        "no captured call {id}; capture was off, or the call was dropped, has expired or was purged"
    );
    ApiError::new(ErrorCode::NotFound, message)
}

fn check_owner(
    change: &Change<'_, '_>,
    grant: &Grant<may::ChangeCaptures>,
    owner: Owner,
) -> Result<(), ApiError> {
    match owner {
        Owner::Organization(id) => Err(not_found("team", id)),
        Owner::Team(id) => {
            let unknown = || not_found("team", id);
            let team = change.directory.live_team(id).ok_or_else(unknown)?;
            grant.check(team.scope(), Action::ReadTeams, unknown)
        }
        Owner::Key(id) => {
            let unknown = || not_found("key", id);
            let key = change.directory.live_key(id).ok_or_else(unknown)?;
            grant.check(key.place(), Action::ReadKeys, unknown)
        }
    }
}

fn check_readers(actor: &Actor, owner: Owner) -> Result<(), ApiError> {
    if !matches!(owner, Owner::Team(_)) {
        let message = "`readers` belong to the team of a key; set them on the team";
        return Err(ApiError::invalid(message).with_param("readers"));
    }
    let grant = Grant::for_actor(actor, may::GrantCaptures)?;
    match grant.covers_all(Scope::Instance) {
        true => Ok(()),
        false => Err(grant.denial()),
    }
}

fn updated(
    before: &CaptureSetting,
    update: CaptureChange,
    at_ms: u64,
) -> Result<CaptureSetting, ApiError> {
    let mut setting = before.clone();
    match (update.on, update.keep) {
        (Some(false), _) => (setting.keep, setting.since_ms) = (None, 0),
        (Some(true), keep) => {
            let keep = keep.or(before.keep).unwrap_or(KeepDays::DEFAULT);
            setting.keep = Some(keep);
        }
        (None, Some(_)) if before.keep.is_none() => {
            let message = "capture is off; turn it on with `on: true`";
            return Err(ApiError::invalid(message).with_param("keep_days"));
        }
        (None, keep) => setting.keep = keep.or(before.keep),
    }
    if before.keep.is_none() && setting.keep.is_some() {
        setting.since_ms = at_ms;
    }
    setting.readers = update.readers.unwrap_or(setting.readers);
    Ok(setting)
}

/// Parts that changed; a toggle always has `on`.
fn to_audit(before: &CaptureSetting, after: &CaptureSetting) -> Value {
    let mut detail = Map::new();
    let on = json!({ "from": before.keep.is_some(), "to": after.keep.is_some() });
    detail.insert("on".to_owned(), on);
    if before.keep != after.keep {
        let days = |setting: &CaptureSetting| setting.keep.map(KeepDays::days);
        let days = json!({ "from": days(before), "to": days(after) });
        detail.insert("keep_days".to_owned(), days);
    }
    if before.readers != after.readers {
        let readers =
            json!({ "from": reader_words(before.readers), "to": reader_words(after.readers) });
        detail.insert("readers".to_owned(), readers);
    }
    detail.into()
}

/// Readers as `level:role`.
pub fn reader_words(readers: CaptureReaders) -> Vec<String> {
    let word = |role: Role| format!("{}:{}", role.level().as_str(), role.as_str());
    readers.roles().map(word).collect()
}

/// Parses `level:role`; `None` for a role that reads without being granted it, and for an unknown one.
pub fn parse_reader(word: &str) -> Option<Role> {
    let (level, role) = word.split_once(':')?;
    let levels = [Level::Instance, Level::Organization, Level::Team];
    let level = levels.into_iter().find(|known| known.as_str() == level)?;
    Role::parse(level, role)
        .filter(|role| Action::ReadCaptures.reach(*role) == Some(crate::auth::role::Reach::Granted))
}
