//! The cache of answers: its size, and purges, each with its audit event. A purge reaches only what the actor's roles cover.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::auth::directory::Directory;
use crate::auth::grant::Grant;
use crate::auth::role::{Action, may};
use crate::cache::ResponseCache;
use crate::control::error::not_found;
use crate::control::names::{resolve_organization, resolve_team};
use crate::control::plane::{Control, blocking};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::cache::CacheEntryId;
use crate::domain::id::KeyId;
use crate::domain::role::{Place, Scope};
use crate::store::answer_cache::{CacheSize, EntryTags, Selection};

/// Entries of a purge, as named by the actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachePurge {
    All,
    Entry(CacheEntryId),
    /// id or name
    Organization(String),
    Team(String),
    Key(KeyId),
    /// name that clients asked for, within a team or everywhere
    Model(String, Option<String>),
}

/// State of the cache.
#[derive(Clone, Copy, Debug)]
pub struct CacheStatus {
    pub size: CacheSize,
    pub bytes_max: u64,
}

impl Control {
    /// The cache; `None` until a name has one.
    pub(super) fn open_cache(&self) -> Option<Arc<ResponseCache>> {
        self.cache.as_ref()?.get().cloned()
    }

    /// Size of the cache; `None` if no name has one.
    pub fn cache_status(&self, _grant: &Grant<may::ReadCache>) -> Option<CacheStatus> {
        let cache = self.open_cache()?;
        Some(CacheStatus {
            size: cache.size(),
            bytes_max: cache.bytes_max(),
        })
    }

    /// Words in which the questions of two entries differ, for readers of captured calls, once the reading is recorded.
    pub async fn cache_difference(
        &self,
        grant: &Grant<may::ReadCaptures>,
        (one, other): (CacheEntryId, CacheEntryId),
    ) -> Result<(Vec<String>, Vec<String>), ApiError> {
        let unknown = |id: CacheEntryId| not_found("entry", id).with_param("entry");
        let Some(cache) = self.open_cache() else {
            return Err(unknown(one));
        };
        for id in [one, other] {
            let tags = cache.entry_tags(id).ok_or_else(|| unknown(id))?;
            let place = place_of(&self.directory(), &cache, &tags);
            let place = place.ok_or_else(|| unknown(id))?;
            if !self.may_read_captures(grant, place) {
                return Err(match grant.sees(Action::ReadUsage, place) {
                    true => grant.denial(),
                    false => unknown(id),
                });
            }
        }
        let detail = json!({ "other": other.to_string() });
        self.record(grant.actor(), "cache.difference", one.to_string(), detail)
            .await?;
        cache.difference(one, other).ok_or_else(|| unknown(one))
    }

    /// Deletes entries, once the purge is recorded; returns their number.
    pub async fn purge_cache(
        &self,
        grant: &Grant<may::PurgeCache>,
        purge: CachePurge,
    ) -> Result<u64, ApiError> {
        let directory = self.directory();
        let cache = self.open_cache();
        let (selection, subject, detail) = match &cache {
            Some(cache) => select(grant, &directory, cache, &purge)?,
            // nothing is kept
            None => return Ok(0),
        };
        self.record(grant.actor(), "cache.purge", subject, detail)
            .await?;
        let Some(cache) = cache else { return Ok(0) };
        blocking(move || cache.purge(selection)).await
    }
}

/// The selection, the subject of the audit event and its detail.
fn select(
    grant: &Grant<may::PurgeCache>,
    directory: &Directory,
    cache: &ResponseCache,
    purge: &CachePurge,
) -> Result<(Selection, String, Value), ApiError> {
    let covered = |place: Place, unknown: &dyn Fn() -> ApiError| {
        grant.check(place, Action::ReadTeams, unknown)
    };
    let denied = || {
        let message = "permission denied: the whole cache belongs to the instance; name a team, a key or an entry";
        ApiError::new(ErrorCode::PermissionDenied, message)
    };
    match purge {
        CachePurge::All => {
            covered(Scope::Instance.into(), &denied)?;
            Ok((Selection::All, "cache".into(), json!({})))
        }
        CachePurge::Organization(text) => {
            let organization = resolve_organization(directory, grant, Some(text))?;
            let (id, tag) = (organization.id, cache.organization_tag(organization.id));
            Ok((Selection::Organization(tag), id.to_string(), json!({})))
        }
        CachePurge::Team(text) => {
            let team = resolve_team(directory, grant, text)?;
            covered(team.scope().into(), &|| not_found("team", text))?;
            let selection = Selection::Team(cache.team_tag(team.id));
            Ok((selection, team.id.to_string(), json!({})))
        }
        CachePurge::Key(id) => {
            let unknown = || not_found("key", id).with_param("key");
            let key = &directory.key(*id).ok_or_else(unknown)?.key;
            grant.check(key.place(), Action::ReadKeys, unknown)?;
            Ok((
                Selection::Key(cache.key_tag(*id)),
                id.to_string(),
                json!({}),
            ))
        }
        CachePurge::Model(model, team) => {
            let team = team
                .as_ref()
                .map(|text| resolve_team(directory, grant, text));
            let team = team.transpose()?;
            let scope = team.map_or(Scope::Instance, |team| team.scope());
            covered(scope.into(), &denied)?;
            let tag = team.map(|team| cache.team_tag(team.id));
            let subject = team.map_or_else(|| "cache".to_owned(), |team| team.id.to_string());
            let selection = Selection::Model(cache.model_tag(model), tag);
            Ok((selection, subject, json!({ "model": model })))
        }
        CachePurge::Entry(id) => {
            let unknown = || not_found("entry", id).with_param("entry");
            let tags = cache.entry_tags(*id).ok_or_else(unknown)?;
            let place = place_of(directory, cache, &tags).ok_or_else(unknown)?;
            grant.check(place, Action::ReadUsage, unknown)?;
            Ok((Selection::Entry(*id), id.to_string(), json!({})))
        }
    }
}

/// Place of the key whose request made an entry.
pub(super) fn place_of(
    directory: &Directory,
    cache: &ResponseCache,
    tags: &EntryTags,
) -> Option<Place> {
    let mut keys = directory.keys();
    let key = keys.find(|caller| cache.key_tag(caller.key.id) == tags.key)?;
    Some(key.key.place())
}
