//! `/v1/captures` and the `capture` of teams, keys and requests: settings of prompt capture, captured calls, purges.

use serde_json::{Value, json};

use crate::auth::role::may;
use crate::control::captures::{CaptureChange, CaptureView, parse_reader, reader_words};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::budget::Owner;
use crate::domain::capture::{CaptureReaders, CaptureSetting, KeepDays};
use crate::domain::id::{KeyId, RequestId, TeamId};
use crate::server::api::body::Fields;
use crate::server::api::call::{ApiCall, known};
use crate::server::api::query::{self, unknown_parameter};
use crate::server::api::reply::ApiReply;
use crate::server::api::views::rfc3339;
use crate::store::captures::{PurgeScope, StoredCapture};

/// `GET /v1/captures`: settings that the caller may see.
pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadTeams)?;
    let settings = call.control.capture_settings(&grant);
    let view = |view: &CaptureView| {
        let mut json = setting_json(&view.setting);
        json["name"] = view.name.clone().into();
        json["team"] = view.team.to_string().into();
        json["organization"] = view.organization.to_string().into();
        json
    };
    let data: Vec<Value> = settings.iter().map(view).collect();
    ApiReply::ok(&json!({ "data": data, "next": null }))
}

/// `PATCH /v1/teams/{id}/capture`
pub(crate) async fn change_team(call: ApiCall) -> Result<ApiReply, ApiError> {
    let id = known(TeamId::parse(&call.id), "team")?;
    change(call, Owner::Team(id)).await
}

/// `PATCH /v1/keys/{id}/capture`
pub(crate) async fn change_key(call: ApiCall) -> Result<ApiReply, ApiError> {
    let id = known(KeyId::parse(&call.id), "key")?;
    change(call, Owner::Key(id)).await
}

async fn change(call: ApiCall, owner: Owner) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ChangeCaptures)?;
    let mut fields = Fields::of_body(&call.body)?;
    let update = CaptureChange {
        on: fields.take_not_null("on", "true or false")?,
        keep: take_keep(&mut fields, "keep_days")?,
        readers: take_readers(&mut fields, "readers")?,
    };
    fields.finish_change()?;
    let setting = call.control.change_capture(&grant, owner, update).await?;
    ApiReply::ok(&setting_json(&setting))
}

pub(super) fn take_keep(
    fields: &mut Fields,
    member: &'static str,
) -> Result<Option<KeepDays>, ApiError> {
    const EXPECTED: &str = "a whole number of days from 1 to 365";
    let days: Option<u16> = fields.take_not_null(member, EXPECTED)?;
    let keep = |days| {
        let invalid = || fields.invalid(member, format!("must be {EXPECTED}"));
        KeepDays::new(days).ok_or_else(invalid)
    };
    days.map(keep).transpose()
}

pub(super) fn take_readers(
    fields: &mut Fields,
    member: &'static str,
) -> Result<Option<CaptureReaders>, ApiError> {
    const EXPECTED: &str = "a list of roles like `team:admin` or `instance:auditor`";
    let words: Option<Vec<String>> = fields.take_not_null(member, EXPECTED)?;
    let Some(words) = words else {
        return Ok(None);
    };
    let mut readers = CaptureReaders::default();
    for word in words {
        let role = parse_reader(&word);
        let invalid = || {
            let problem = format!(
                "must be {EXPECTED}; owners and administrators of the organization read without it"
            );
            fields.invalid(member, problem)
        };
        readers = readers.with(role.ok_or_else(invalid)?);
    }
    Ok(Some(readers))
}

fn setting_json(setting: &CaptureSetting) -> Value {
    let (kind, owner) = match setting.owner {
        Owner::Organization(id) => ("organization", id.to_string()),
        Owner::Team(id) => ("team", id.to_string()),
        Owner::Key(id) => ("key", id.to_string()),
    };
    json!({
        "object": "capture_setting",
        "kind": kind,
        "owner": owner,
        "on": setting.keep.is_some(),
        "keep_days": setting.keep.map(KeepDays::days),
        "since": setting.keep.map(|_| rfc3339(setting.since_ms)),
        "readers": reader_words(setting.readers),
    })
}

/// `GET /v1/requests/{id}/capture`
pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadCaptures)?;
    let id = request_id(&call.id)?;
    let capture = call.control.read_capture(&grant, id).await?;
    ApiReply::ok(&capture_json(&capture))
}

fn capture_json(capture: &StoredCapture) -> Value {
    let call = &capture.call;
    json!({
        "object": "capture",
        "request": capture.request.to_string(),
        "organization": capture.organization.to_string(),
        "team": capture.team.to_string(),
        "key": capture.key.to_string(),
        "captured_at": rfc3339(capture.at_ms),
        "expires_at": rfc3339(capture.expires_ms),
        "status": call.status,
        "stream": call.is_stream,
        "complete": call.is_complete,
        "media_replaced": call.media,
        "request_body": String::from_utf8_lossy(&call.request),
        "response_body": String::from_utf8_lossy(&call.response),
    })
}

/// `DELETE /v1/requests/{id}/capture`
pub(crate) async fn purge_request(call: ApiCall) -> Result<ApiReply, ApiError> {
    let id = request_id(&call.id)?;
    purge_scope(call, PurgeScope::Request(id)).await
}

/// `DELETE /v1/captures?key=|team=|all=true`
pub(crate) async fn purge(call: ApiCall) -> Result<ApiReply, ApiError> {
    let parameters = query::parameters(&call.query)?;
    let [(name, value)] = parameters.as_slice() else {
        let message = "give one of `key`, `team` and `all=true`: which captured calls to delete";
        return Err(ApiError::invalid(message));
    };
    let scope = match (name.as_str(), value.as_str()) {
        ("key", id) => PurgeScope::Key(known(KeyId::parse(id), "key")?),
        ("team", id) => PurgeScope::Team(known(TeamId::parse(id), "team")?),
        ("all", "true") => PurgeScope::All,
        ("all", _) => {
            let message = "`all` must be true: it deletes every captured call";
            return Err(ApiError::invalid(message).with_param("all"));
        }
        (name, _) => return Err(unknown_parameter(name, "/v1/captures", "key, team and all")),
    };
    purge_scope(call, scope).await
}

async fn purge_scope(call: ApiCall, scope: PurgeScope) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::PurgeCaptures)?;
    let entries = call.control.purge_captures(&grant, scope).await?;
    ApiReply::ok(&json!({ "object": "purge", "entries": entries }))
}

fn request_id(text: &str) -> Result<RequestId, ApiError> {
    RequestId::parse(text).ok_or_else(|| {
        ApiError::new(
            ErrorCode::NotFound,
            "invalid request id; it is `req_` and 26 letters, as in x-gatekeeper-request-id",
        )
    })
}
