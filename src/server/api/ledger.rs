//! The ledger's commands over HTTP: orphans, corrections, verification. Decides nothing itself.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::auth::grant::Grant;
use crate::auth::role::{Actor, may};
use crate::control::Control;
use crate::control::corrections::{CorrectionRequest, estimate};
use crate::domain::api_error::ApiError;
use crate::domain::id::RequestId;
use crate::domain::money::Money;
use crate::server::api::requests;
use crate::server::api::requests::RequestJson;
use crate::server::api::views::instant;
use crate::server::api::{ApiReply, parameters};
use crate::store::{Part, Record, VerifyReport};

/// `GET /v1/ledger/orphans?team=&after=`
pub async fn orphans(control: &Control, actor: &Actor, query: &str) -> Result<ApiReply, ApiError> {
    let grant = Grant::for_actor(actor, may::ReadLedger)?;
    let (mut team, mut after) = (None, None);
    for (name, value) in parameters(query)? {
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
    let page = control.orphans(&grant, team.as_deref(), after).await?;
    ApiReply::ok(&json!({
        "object": "orphans",
        "uncorrected": page.uncorrected,
        "data": page.orphans.iter().map(OrphanJson::of).collect::<Vec<_>>(),
        "next": page.next.map(|id| id.request.to_string()),
    }))
}

/// A record, and what is known of the call beyond it.
#[derive(Serialize)]
struct OrphanJson<'a> {
    #[serde(flatten)]
    record: RequestJson<'a>,
    estimate_usd: String,
    /// null: it was never heard of after its admission
    last_heard: Option<Value>,
}

impl OrphanJson<'_> {
    fn of(orphan: &Record) -> OrphanJson<'_> {
        let progress = &orphan.settlement.hold.progress;
        let heard = json!({
            "after_ms": progress.after_ms,
            "output_bytes": progress.output_bytes,
            "usage": progress.usage.as_ref().map(requests::usage_of),
        });
        OrphanJson {
            record: RequestJson::of(orphan),
            estimate_usd: estimate(orphan).to_string(),
            last_heard: (progress.after_ms > 0).then_some(heard),
        }
    }
}

/// `POST /v1/ledger/corrections`: one request, or all orphans.
pub async fn correct(control: &Control, actor: &Actor, body: &[u8]) -> Result<ApiReply, ApiError> {
    const SHOWN_MAX: usize = 500;
    let grant = Grant::for_actor(actor, may::CorrectLedger)?;
    let corrected = control
        .correct(&grant, CorrectionRequest::from_json(body)?)
        .await?;
    let amount: Money = corrected
        .entries
        .iter()
        .map(|(_, entry)| entry.amount)
        .sum();
    let shown = corrected
        .entries
        .iter()
        .take(SHOWN_MAX)
        .map(|(record, entry)| {
            let mut shown = requests::correction(entry);
            shown["request"] = record.hold.id.request.to_string().into();
            shown["attempt"] = record.hold.id.attempt.into();
            shown
        });
    let answer = json!({
        "object": "corrections",
        "corrected": corrected.entries.len(),
        "amount_usd": amount.to_string(),
        "orphans_uncorrected": corrected.orphans_left,
        "data": shown.collect::<Vec<_>>(),
    });
    if corrected.entries.is_empty() {
        ApiReply::ok(&answer)
    } else {
        ApiReply::created(&answer)
    }
}

/// `GET /v1/ledger/verify`
pub async fn verify(control: &Control, actor: &Actor) -> Result<ApiReply, ApiError> {
    let verified = control
        .verify_books(&Grant::for_actor(actor, may::ReadLedger)?)
        .await?;
    ApiReply::ok(&verified_json(&verified))
}

fn verified_json(verified: &VerifyReport) -> Value {
    let differing = |part: Part| verified.count.get(&part).copied().unwrap_or(0);
    let parts: Map<String, Value> = Part::ALL
        .into_iter()
        .map(|part| (part.as_str().to_owned(), differing(part).into()))
        .collect();
    let differences = verified
        .differences
        .iter()
        .map(|difference| json!({ "part": difference.part.as_str(), "row": difference.row, "says": difference.says }));
    json!({
        "object": "verification",
        "agrees": verified.count.is_empty(),
        "records": verified.records,
        "corrections": verified.corrections,
        "balances": verified.balances,
        "rollups": verified.rollups,
        // hours and days before it are not compared: their requests were deleted
        "compared_from": (verified.compared_from_ms > 0).then(|| instant(verified.compared_from_ms)),
        "log": { "written": verified.written, "synced": verified.synced, "applied": verified.applied },
        "differing": parts,
        "differences": differences.collect::<Vec<_>>(),
    })
}
