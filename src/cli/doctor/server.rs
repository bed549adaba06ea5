//! Checks of the running server: readiness with its reasons, the adopted time, and the last backup.

use serde_json::Value;

use super::finding::Finding;
use crate::cli::admin::AdminClient;
use crate::cli::http::CallError;
use crate::config::Config;
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::zone::Zone;

/// Wall clock and adopted time: their difference from which an operator should look.
const AHEAD_MS: u64 = 5_000;
/// Days after which a backup is worth a warning.
const BACKUP_DAYS: u64 = 7;
const DAY_MS: u64 = 86_400_000;

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
    let mut findings = vec![readiness];
    if let Ok((200, body)) = admin.call("GET", "/v1/clock", None).await {
        findings.push(clock(&serde_json::from_str(&body).unwrap_or_default()));
    }
    if let Ok((200, body)) = admin.call("GET", "/v1/instance", None).await {
        let instance: Value = serde_json::from_str(&body).unwrap_or_default();
        let now_ms = SystemClock { boot: None }.wall_ms();
        findings.push(backup(&instance["last_backup"], now_ms));
    }
    findings
}

fn backup(last: &Value, now_ms: u64) -> Finding {
    const CHECK: &str = "backup";
    let remedy = "take one with `gatekeeper backup FILE`";
    let Some(at) = last["at"].as_str() else {
        return Finding::warning(CHECK, format!("none taken of these books; {remedy}"));
    };
    let taken_ms = Zone::parse_rfc3339(at).unwrap_or(0);
    match now_ms.saturating_sub(taken_ms) / DAY_MS {
        days if days > BACKUP_DAYS => {
            Finding::warning(CHECK, format!("the last one is {days} days old; {remedy}"))
        }
        _ => Finding::ok(CHECK, format!("the last one is of {at}")),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    #[test]
    fn backup_absent_or_old_is_a_warning_with_the_command() {
        let taken = serde_json::json!({"at": "2026-11-01T00:00:00Z", "by": "local:uid=0"});
        let at = |date: &str| Zone::utc().date_start_ms(date).expect("a date");
        for (last, now, verdict) in [
            (&Value::Null, "2026-11-02", Verdict::Warning),
            (&taken, "2026-11-05", Verdict::Ok),
            (&taken, "2026-11-20", Verdict::Warning),
        ] {
            assert_eq!(backup(last, at(now)).verdict, verdict, "{now}");
        }
    }
}
