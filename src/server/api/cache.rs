//! `/v1/cache`: size of the cache, and purges.

use serde_json::json;

use crate::auth::role::may;
use crate::control::cache::CachePurge;
use crate::domain::api_error::ApiError;
use crate::domain::cache::CacheEntryId;
use crate::domain::id::KeyId;
use crate::server::api::call::ApiCall;
use crate::server::api::query;
use crate::server::api::reply::ApiReply;

const SELECTIONS: &str = "entry, model, team, key, organization or all=true";

/// `GET /v1/cache`
pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadCache)?;
    let status = call.control.cache_status(&grant);
    let size = status.map(|status| status.size).unwrap_or_default();
    ApiReply::ok(&json!({
        "object": "cache",
        "enabled": status.is_some(),
        "entries": size.entries,
        "entry_bytes": size.bytes,
        "file_bytes": size.file_bytes,
        "size_bytes_max": status.map(|status| status.bytes_max),
    }))
}

/// `GET /v1/cache/difference?entry=&other=`: words in which the questions of two entries differ.
pub(crate) async fn difference(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadCaptures)?;
    let parameters = query::parameters(&call.query)?;
    let id = |name: &str| {
        let value = parameters.iter().find(|(known, _)| known == name);
        let id = value.and_then(|(_, text)| CacheEntryId::parse(text));
        id.ok_or_else(|| invalid(name, "the id of an entry, as in a request's `cache`"))
    };
    let entries = (id("entry")?, id("other")?);
    let (only_entry, only_other) = call.control.cache_difference(&grant, entries).await?;
    ApiReply::ok(&json!({
        "object": "cache_difference",
        "entry": only_entry,
        "other": only_other,
    }))
}

/// `DELETE /v1/cache?entry=|model=[&team=]|team=|key=|organization=|all=true`
pub(crate) async fn purge(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::PurgeCache)?;
    let selection = selection(&query::parameters(&call.query)?)?;
    let entries = call.control.purge_cache(&grant, selection).await?;
    ApiReply::ok(&json!({ "object": "purge", "entries": entries }))
}

fn selection(parameters: &[(String, String)]) -> Result<CachePurge, ApiError> {
    let known = ["entry", "model", "team", "key", "organization", "all"];
    let mut names = parameters.iter().map(|(name, _)| name.as_str());
    if let Some(name) = names.find(|name| !known.contains(name)) {
        return Err(query::unknown_parameter(name, "the purge", SELECTIONS));
    }
    let value = |name: &str| {
        let found = parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    let given = known.map(value);
    let count = given.iter().flatten().count();
    let [entry, model, team, key, organization, all] = given;
    if let (Some(model), 1 | 2) = (model, count)
        && (count == 1 || team.is_some())
    {
        return Ok(CachePurge::Model(model.to_owned(), team.map(str::to_owned)));
    }
    match (entry, team, key, organization, all, count) {
        (Some(id), .., 1) => CacheEntryId::parse(id)
            .map(CachePurge::Entry)
            .ok_or_else(|| {
                invalid(
                    "entry",
                    "the id of an entry, as in x-gatekeeper-cache-entry",
                )
            }),
        (_, Some(team), .., 1) => Ok(CachePurge::Team(team.to_owned())),
        (_, _, Some(key), .., 1) => KeyId::parse(key)
            .map(CachePurge::Key)
            .ok_or_else(|| invalid("key", "the id of a key")),
        (.., Some(organization), _, 1) => Ok(CachePurge::Organization(organization.to_owned())),
        (.., Some("true"), 1) => Ok(CachePurge::All),
        _ => Err(ApiError::invalid(format!(
            "missing or ambiguous selection; give one of {SELECTIONS}, or model with team"
        ))),
    }
}

fn invalid(name: &str, expected: &str) -> ApiError {
    ApiError::invalid(format!("`{name}` must be {expected}")).with_param(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<CachePurge, ApiError> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').expect("a pair"));
        let owned: Vec<(String, String)> = pairs
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        selection(&owned)
    }

    #[test]
    fn purge_takes_one_selection() {
        let id = CacheEntryId([5; 16]);
        for (text, expected) in [
            ("all=true", CachePurge::All),
            (&format!("entry={id}"), CachePurge::Entry(id)),
            ("team=rockets", CachePurge::Team("rockets".into())),
            ("key=key_3", CachePurge::Key(KeyId(3))),
            (
                "organization=org_1",
                CachePurge::Organization("org_1".into()),
            ),
            ("model=m", CachePurge::Model("m".into(), None)),
            (
                "model=m&team=t",
                CachePurge::Model("m".into(), Some("t".into())),
            ),
        ] {
            assert_eq!(parsed(text).expect(text), expected);
        }
        for text in [
            "",
            "all=false",
            "entry=x",
            "key=x",
            "team=t&key=key_1",
            "colour=blue",
            "model=m&key=key_1",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
