//! Checks of the running server: readiness with its reasons, and the adopted time.

use serde_json::Value;

use super::finding::Finding;
use crate::cli::admin::AdminClient;
use crate::cli::http::CallError;
use crate::config::Config;

/// Wall clock and adopted time: their difference from which an operator should look.
const AHEAD_MS: u64 = 5_000;

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "server";
    let admin = AdminClient::in_folder(&config.folder);
    let (status, body) = match admin.call("GET", "/readyz", None).await {
        Ok(answer) => answer,
        Err(CallError::Unreachable { .. }) => {
            return vec![Finding::ok(CHECK, "not running on this data folder")];
        }
        Err(error) => return vec![Finding::fault(CHECK, error.to_string())],
    };
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let state = body["status"].as_str().unwrap_or_default();
    let reason = body["reason"].as_str().unwrap_or_default();
    let readiness = match (status, state) {
        (200, "degraded") => Finding::warning(
            CHECK,
            format!("degraded: {reason}; see the table in docs/operations.md"),
        ),
        (200, _) => Finding::ok(CHECK, "running and ready"),
        _ => Finding::fault(
            CHECK,
            format!("refuses requests: {state} {reason}").trim_end(),
        ),
    };
    let clock = match admin.call("GET", "/v1/clock", None).await {
        Ok((200, body)) => clock(&serde_json::from_str(&body).unwrap_or_default()),
        _ => return vec![readiness],
    };
    vec![readiness, clock]
}

fn clock(clock: &Value) -> Finding {
    const CHECK: &str = "clock";
    let ahead_ms = clock["ahead_ms"].as_i64().unwrap_or_default();
    if ahead_ms.unsigned_abs() < AHEAD_MS {
        return Finding::ok(CHECK, "wall clock and adopted time agree");
    }
    let way = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let seconds = ahead_ms.unsigned_abs() / 1_000;
    let remedy = "correct the clock, or `gatekeeper clock accept` if it is right";
    let detail = format!("wall clock {seconds} s {way} the adopted time; {remedy}");
    Finding::warning(CHECK, detail)
}
