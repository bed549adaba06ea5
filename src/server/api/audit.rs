//! `/v1/audit`: pages of the audit log, and what an outsider needs to check it: checkpoints, proofs, exports.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::auth::role::may;
use crate::control::audit::export::{ExportPage, ExportQuery};
use crate::control::audit::queries::{AuditQuery, EVENTS_MAX};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::pattern::Pattern;
use crate::domain::zone::Zone;
use crate::server::api::call::ApiCall;
use crate::server::api::query;
use crate::server::api::query::{parse_instant, unknown_parameter};
use crate::server::api::reply::ApiReply;
use crate::server::api::views::rfc3339;

const WAIT_MAX_S: u64 = 30;
const KNOWN: &str = "actor, action, subject, text, start, end, before, after, wait, limit";

/// `GET /v1/audit`, with filters, and a cursor to page backwards (`before`) or to follow (`after`, `wait`).
pub(crate) async fn list(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadAudit)?;
    let parameters = query::parameters(&call.query)?;
    let query = parse(&parameters, call.control.zone())?;
    let page = call.control.audit_events(&grant, query).await?;
    let rows: Vec<Value> = page.events.into_iter().map(with_instant).collect();
    ApiReply::ok(&json!({
        "object": "list",
        "data": rows,
        "next": page.next.map(|seq| seq.to_string()),
        "follow": page.follow.to_string(),
    }))
}

/// `GET /v1/audit/checkpoint`: a signed note, for keeping elsewhere.
pub(crate) async fn checkpoint(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadAudit)?;
    Ok(ApiReply::text(call.control.audit_checkpoint(&grant).await?))
}

/// `GET /v1/audit/public-keys`: those that sign the log, the present one last.
pub(crate) async fn public_keys(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadAudit)?;
    let keys = call.control.audit_public_keys(&grant).await?;
    Ok(ApiReply::text(keys.join("\n") + "\n"))
}

/// `GET /v1/audit/proofs/{id}`: an inclusion proof that stands alone.
pub(crate) async fn prove(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadAudit)?;
    let seq = call.id.parse().map_err(|_| {
        ApiError::new(
            ErrorCode::NotFound,
            "invalid event; it is the `seq` of an audit event",
        )
    })?;
    let proof = call.control.prove_audit(&grant, seq).await?;
    Ok(ApiReply::text(proof.to_text()))
}

/// `GET /v1/audit/export`: a page of an export; `next` and `to` of its answer lead to the next one.
pub(crate) async fn export(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadAudit)?;
    let mut query = ExportQuery::default();
    for (name, value) in &query::parameters(&call.query)? {
        match name.as_str() {
            "after" => query.after = number(name, value)?,
            "to" => query.to = Some(number(name, value)?),
            "since" => query.since_ms = Some(parse_instant(name, value, call.control.zone())?),
            other => {
                return Err(unknown_parameter(
                    other,
                    "an export of the audit log",
                    "after, to, since",
                ));
            }
        }
    }
    let page = call.control.export_audit(&grant, query).await?;
    ApiReply::ok(&export_json(&page))
}

fn export_json(page: &ExportPage) -> Value {
    let peaks = page.tree.peaks().iter().map(|peak| STANDARD.encode(peak));
    json!({
        "object": "audit_export",
        "after": page.after,
        "to": page.to,
        "tree": { "size": page.tree.size(), "peaks": peaks.collect::<Vec<_>>() },
        "public_keys": page.public_keys,
        "checkpoints": page.checkpoints,
        "events": page.lines,
        "next": page.next,
    })
}

/// The event with its instant in RFC 3339 besides its milliseconds.
fn with_instant(mut event: Value) -> Value {
    if let Some(at_ms) = event["at_ms"].as_u64() {
        event["at"] = rfc3339(at_ms).into();
    }
    event
}

fn parse(parameters: &[(String, String)], zone: &Zone) -> Result<AuditQuery, ApiError> {
    let mut query = AuditQuery::default();
    for (name, value) in parameters {
        match name.as_str() {
            "actor" => query.actor = Some(Pattern::new(value)),
            "action" => query.action = Some(Pattern::new(value)),
            "subject" => query.subject = Some(Pattern::new(value)),
            "text" => query.text = Some(value.clone()),
            "start" => query.start_ms = parse_instant(name, value, zone)?,
            "end" => query.end_ms = parse_instant(name, value, zone)?,
            "before" => query.before = Some(number(name, value)?),
            "after" => query.after = Some(number(name, value)?),
            "wait" => query.wait_s = within(name, value, 0..=WAIT_MAX_S)?,
            "limit" => query.limit = within(name, value, 1..=EVENTS_MAX as u64)? as usize,
            other => return Err(unknown_parameter(other, "the audit log", KNOWN)),
        }
    }
    if query.before.is_some() && query.after.is_some() {
        let message = "give `before` to go back or `after` to follow, not both";
        return Err(ApiError::invalid(message).with_param("after"));
    }
    if query.wait_s > 0 && query.after.is_none() {
        let message =
            "`wait` goes with `after=SEQ`, where SEQ is the `follow` of an earlier answer";
        return Err(ApiError::invalid(message).with_param("wait"));
    }
    Ok(query)
}

fn number(name: &str, value: &str) -> Result<u64, ApiError> {
    within(name, value, 0..=u64::MAX)
}

fn within(name: &str, value: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, ApiError> {
    let number = value.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let expected = match (range.start(), range.end()) {
            (_, &u64::MAX) => "the number of an event".to_owned(),
            (from, to) => format!("{from} to {to}"),
        };
        ApiError::invalid(format!("`{name}` must be {expected}")).with_param(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<AuditQuery, ApiError> {
        parse(&query::parameters(text)?, &Zone::utc())
    }

    #[test]
    fn audit_filters_are_parsed_to_typed_values() {
        let parsed = query("actor=admin:*&action=key.*&start=1970-01-02&after=7&wait=3&limit=9");
        let expected = AuditQuery {
            actor: Some(Pattern::new("admin:*")),
            action: Some(Pattern::new("key.*")),
            start_ms: 86_400_000,
            after: Some(7),
            wait_s: 3,
            limit: 9,
            ..AuditQuery::default()
        };
        assert_eq!(parsed, Ok(expected));
    }

    #[test]
    fn audit_invalid_filter_names_the_parameter() {
        for text in [
            "limit=0",
            "limit=501",
            "wait=5",
            "after=1&wait=31",
            "after=x",
            "after=1&before=9",
            "start=yesterday",
            "colour=blue",
        ] {
            let error = query(text).expect_err(text);
            assert!(error.param.is_some(), "{text}: {error}");
        }
    }
}
