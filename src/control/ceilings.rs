//! Ceilings that bills have proved too low: stores each change, and tells the operator of each raise in log, audit log and
//! webhook.

use std::time::Duration;

use serde_json::json;

use crate::auth::role::Actor;
use crate::control::plane::{Control, blocking};
use crate::domain::api_error::ApiError;
use crate::domain::ceiling::CeilingNotice;
use crate::domain::zone::Zone;

/// Pause after a failed write.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Action of the audit event, and name of the message.
const OVER_CEILING: &str = "deployment.over_ceiling";

/// Stores the present ceilings and every notice; retries until the disk takes them.
pub(super) async fn store_changes(control: &Control, is_delivered: bool) {
    let mut is_logged = false;
    loop {
        let notices = control.ceilings.take_notices();
        let Err(error) = store(control, &notices, is_delivered).await else {
            return;
        };
        if !std::mem::replace(&mut is_logged, true) {
            tracing::error!(%error, "failed to store the ceilings; retrying");
        }
        control.ceilings.put_back(notices);
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Stores what changed last before the process stops.
pub(super) async fn store_last_changes(control: &Control, is_delivered: bool) {
    let notices = control.ceilings.take_notices();
    if let Err(error) = store(control, &notices, is_delivered).await {
        tracing::error!(%error, "failed to store the ceilings before shutdown");
    }
}

async fn store(
    control: &Control,
    notices: &[CeilingNotice],
    is_delivered: bool,
) -> Result<(), ApiError> {
    let (books, deployments) = (control.store.clone(), control.ceilings.deployments());
    blocking(move || books.set_ceilings(&deployments)).await?;
    let messages: Vec<(u64, String, String)> = notices.iter().map(message).collect();
    if messages.is_empty() {
        return Ok(());
    }
    for notice in notices {
        tracing::warn!(
            deployment = format!("{}/{}", notice.provider, notice.model),
            request = %notice.request,
            bill_usd = %notice.bill,
            ceiling_usd = %notice.ceiling,
            factor = %notice.factor,
            members = notice.members.join(", "),
            "bill above its ceiling"
        );
    }
    let plane = control.clone();
    let write = control.store.write(move |books| {
        for (at_ms, subject, message) in messages {
            if is_delivered {
                books.record_notice(at_ms, &message)?;
            }
            let detail = serde_json::from_str(&message).unwrap_or_default();
            let event = plane.event(Actor::Process, at_ms, OVER_CEILING, subject, detail);
            books.append_audit(&event)?;
        }
        Ok::<(), ApiError>(())
    });
    write.await
}

/// Time, subject and JSON message of a notice, for the audit log and the webhook.
fn message(notice: &CeilingNotice) -> (u64, String, String) {
    let deployment = format!("{}/{}", notice.provider, notice.model);
    let effect = if notice.members.is_empty() {
        "ceilings are multiplied by the factor until calls stay within them"
    } else {
        "the members explain it and are not sent where a budget blocks"
    };
    let message = json!({
        "event": OVER_CEILING,
        "id": format!("{}.{OVER_CEILING}", notice.request),
        "at": Zone::utc().rfc3339(notice.at_ms),
        "deployment": deployment,
        "request": notice.request.to_string(),
        "bill_usd": notice.bill.to_string(),
        "ceiling_usd": notice.ceiling.to_string(),
        "factor": notice.factor.to_string(),
        "members": notice.members,
        "effect": effect,
    });
    (notice.at_ms, deployment, message.to_string())
}
