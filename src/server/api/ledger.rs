//! `/v1/ledger`: orphans, corrections, verification of the books.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::auth::role::may;
use crate::control::corrections::{
    CorrectionRequest, CorrectionResult, SingleCorrection, estimate,
};
use crate::domain::api_error::ApiError;
use crate::domain::id::RequestId;
use crate::domain::money::Money;
use crate::server::api::body::Fields;
use crate::server::api::call::ApiCall;
use crate::server::api::query;
use crate::server::api::reply::ApiReply;
use crate::server::api::request_json::{RequestJson, correction_json, usage_json};
use crate::server::api::views::rfc3339;
use crate::store::{Part, Record, VerifyReport};

const REASON_CHARS_MAX: usize = 500;
/// Corrections that an answer lists at most.
const LISTED_MAX: usize = 500;

/// `GET /v1/ledger/orphans?team=&after=`
pub(crate) async fn orphans(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadLedger)?;
    let (mut team, mut after) = (None, None);
    for (name, value) in query::parameters(&call.query)? {
        match name.as_str() {
            "team" => team = Some(value),
            "after" => {
                let id = RequestId::parse(&value);
                after = Some(id.ok_or_else(|| {
                    ApiError::invalid("`after` must be the id of a request").with_param("after")
                })?);
            }
            _ => {
                return Err(ApiError::invalid(
                    "the list of orphans takes `team` and `after`",
                ));
            }
        }
    }
    let control = &call.control;
    let page = control.orphans(&grant, team.as_deref(), after).await?;
    ApiReply::ok(&json!({
        "object": "orphans",
        "uncorrected": page.uncorrected,
        "data": page.orphans.iter().map(OrphanJson::of).collect::<Vec<_>>(),
        "next": page.next.map(|id| id.request.to_string()),
    }))
}

/// `POST /v1/ledger/corrections`: one request, or all orphans.
pub(crate) async fn correct(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::CorrectLedger)?;
    let request = parse_correction(&call.body)?;
    let result = call.control.correct(&grant, request).await?;
    let json = corrections_json(&result);
    if result.entries.is_empty() {
        ApiReply::ok(&json)
    } else {
        ApiReply::created(&json)
    }
}

/// `GET /v1/ledger/verify`
pub(crate) async fn verify(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadLedger)?;
    let report = call.control.verify_books(&grant).await?;
    ApiReply::ok(&verification_json(&report))
}

fn parse_correction(body: &[u8]) -> Result<CorrectionRequest, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let orphans: Option<String> = fields.take("orphans", "\"estimated\"")?;
    let request = match orphans.as_deref() {
        None => CorrectionRequest::Request(take_correction(&mut fields)?),
        Some("estimated") => CorrectionRequest::Orphans {
            team: fields.take("team", "an id or a name")?,
        },
        Some(_) => return Err(fields.invalid("orphans", "must be \"estimated\"")),
    };
    fields.finish()?;
    Ok(request)
}

fn take_correction(fields: &mut Fields) -> Result<SingleCorrection, ApiError> {
    let request: String = fields.require("request", "the id of a request")?;
    let request = RequestId::parse(&request)
        .ok_or_else(|| fields.invalid("request", "must be the id of a request, like req_…"))?;
    let amount = fields.take_signed_money("amount")?.ok_or_else(|| {
        fields.invalid(
            "amount",
            "is missing; it must be an amount of dollars like \"-0.12\"",
        )
    })?;
    if amount.is_zero() {
        return Err(fields.invalid("amount", "must not be zero; nothing would be corrected"));
    }
    let reason = take_reason(fields)?;
    let attempt = fields.take("attempt", "the number of an attempt, from 1")?;
    Ok(SingleCorrection {
        request,
        attempt,
        amount,
        reason,
    })
}

fn take_reason(fields: &mut Fields) -> Result<String, ApiError> {
    let reason: String = fields.require("reason", "a text that says why")?;
    let reason = reason.trim();
    let chars = reason.chars().count();
    if chars == 0 || chars > REASON_CHARS_MAX || reason.chars().any(char::is_control) {
        return Err(fields.invalid(
            "reason",
            format!("must be 1 to {REASON_CHARS_MAX} characters on one line"),
        ));
    }
    Ok(reason.to_owned())
}

/// The record of an orphan with its estimated cost and last progress.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Orphan")]
pub(super) struct OrphanJson<'a> {
    #[serde(flatten)]
    record: RequestJson<'a>,
    estimate_usd: String,
    /// null: no progress after the admission
    last_heard: Option<Value>,
}

impl OrphanJson<'_> {
    fn of(orphan: &Record) -> OrphanJson<'_> {
        let progress = &orphan.settlement.hold.progress;
        let last_heard = json!({
            "after_ms": progress.after_ms,
            "output_bytes": progress.output_bytes,
            "usage": progress.usage.as_ref().map(usage_json),
        });
        OrphanJson {
            record: RequestJson::of(orphan),
            estimate_usd: estimate(orphan).to_string(),
            last_heard: (progress.after_ms > 0).then_some(last_heard),
        }
    }
}

fn corrections_json(result: &CorrectionResult) -> Value {
    let amount: Money = result.entries.iter().map(|(_, entry)| entry.amount).sum();
    let listed = result
        .entries
        .iter()
        .take(LISTED_MAX)
        .map(|(record, entry)| {
            let mut json = correction_json(entry);
            json["request"] = record.hold.id.request.to_string().into();
            json["attempt"] = record.hold.id.attempt.into();
            json
        });
    json!({
        "object": "corrections",
        "corrected": result.entries.len(),
        "amount_usd": amount.to_string(),
        "orphans_uncorrected": result.orphans_left,
        "data": listed.collect::<Vec<_>>(),
    })
}

fn verification_json(report: &VerifyReport) -> Value {
    let differing = |part: Part| report.count.get(&part).copied().unwrap_or(0);
    let parts: Map<String, Value> = Part::ALL
        .into_iter()
        .map(|part| (part.as_str().to_owned(), differing(part).into()))
        .collect();
    let differences = report
        .differences
        .iter()
        .map(|difference| json!({ "part": difference.part.as_str(), "row": difference.row, "says": difference.says }));
    json!({
        "object": "verification",
        "agrees": report.count.is_empty(),
        "records": report.records,
        "corrections": report.corrections,
        "balances": report.balances,
        "rollups": report.rollups,
        // earlier hours and days are not compared, because their requests were deleted
        "compared_from": (report.compared_from_ms > 0).then(|| rfc3339(report.compared_from_ms)),
        "log": { "written": report.written, "synced": report.synced, "applied": report.applied },
        "differing": parts,
        "differences": differences.collect::<Vec<_>>(),
    })
}
