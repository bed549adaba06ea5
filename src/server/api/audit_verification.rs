//! `/v1/audit/verify`: verification of the stored audit log as a job.

use serde_json::{Value, json};

use crate::auth::role::may;
use crate::control::VerificationStatus;
use crate::control::audit::verification::CHECKPOINTS_MAX;
use crate::domain::api_error::ApiError;
use crate::server::api::body::Fields;
use crate::server::api::call::ApiCall;
use crate::server::api::reply::ApiReply;
use crate::server::api::views::rfc3339;

/// `POST /v1/audit/verify`, optionally with `checkpoints` that the caller kept; 409 while one runs.
pub(crate) async fn start(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadAudit)?;
    let mut kept: Vec<String> = Vec::new();
    if !call.body.is_empty() {
        let mut fields = Fields::of_body(&call.body)?;
        let given: Option<Vec<String>> = fields.take("checkpoints", "an array of signed notes")?;
        kept = given.unwrap_or_default();
        if kept.len() > CHECKPOINTS_MAX {
            return Err(fields.invalid(
                "checkpoints",
                format!("may have at most {CHECKPOINTS_MAX} entries"),
            ));
        }
        fields.finish()?;
    }
    let status = call.control.start_audit_verification(&grant, kept).await?;
    ApiReply::accepted(&status_json(&status))
}

/// `GET /v1/audit/verify`: the newest verification; `result` is null while it runs.
pub(crate) async fn get(call: ApiCall) -> Result<ApiReply, ApiError> {
    let grant = call.grant(may::ReadAudit)?;
    ApiReply::ok(&status_json(&call.control.audit_verification(&grant)?))
}

fn status_json(status: &VerificationStatus) -> Value {
    let (state, result, error) = match &status.result {
        None => ("running", Value::Null, Value::Null),
        Some(Ok(result)) => ("done", result.to_json(), Value::Null),
        Some(Err(error)) => ("failed", Value::Null, error.to_string().into()),
    };
    json!({
        "object": "audit_verification",
        "state": state,
        "started_at": rfc3339(status.started_ms),
        "ended_at": status.result.as_ref().map(|_| rfc3339(status.ended_ms)),
        "result": result,
        "error": error,
        "covers": "events that were dropped before the newest kept checkpoint are found; whoever controls the machine can drop newer ones",
    })
}
