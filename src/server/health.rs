//! Liveness, readiness and metrics. Liveness and readiness need no key; without one, readiness shows only its status.

use std::fmt::{Display, Write};
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::dialect::Dialect;
use crate::domain::api_error::ApiError;
use crate::domain::time::ClockStatus;
use crate::domain::zone::Zone;
use crate::route::{BreakerState, Health, HealthStatus};
use crate::server::connection::Registry;
use crate::server::worker::Worker;
use crate::server::{extract, respond};

/// `HEAD /`: the first request of Claude Code.
pub(super) async fn probe() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// Liveness: always 200.
pub(super) async fn alive() -> HttpResponse {
    status(200, "ok")
}

/// Readiness: 503 while new requests would be refused; `degraded` while requests are served but an operator should act. Only
/// administrators see the reasons.
pub(super) async fn ready(request: HttpRequest) -> HttpResponse {
    let worker = Worker::of(&request);
    if let Some(reason) = unready_reason(worker) {
        return status(503, reason);
    }
    let reasons = degraded_reasons(worker);
    if reasons.is_empty() {
        return status(200, "ready");
    }
    if metrics_grant(&request).is_err() {
        return status(200, "degraded");
    }
    let texts: Vec<String> = reasons.into_iter().map(|(_, text)| text).collect();
    let body = serde_json::json!({ "status": "degraded", "reason": texts.join("; ") });
    HttpResponse::Ok()
        .content_type("application/json")
        .body(body.to_string())
}

fn metrics_grant(request: &HttpRequest) -> Result<Grant<may::ReadMetrics>, ApiError> {
    Grant::for_actor(&extract::actor(request)?.0, may::ReadMetrics)
}

fn unready_reason(worker: &Worker) -> Option<&'static str> {
    let wal = worker.ledger.wal().metrics();
    if !worker.gateway.inflight().is_open() {
        Some("stopping")
    } else if wal.folder_lost {
        Some("the data folder was deleted or replaced")
    } else if wal.disk_low {
        Some("disk nearly full")
    } else if wal.log_failing {
        Some("the ledger's log cannot be written")
    } else if wal.behind {
        Some("the books are behind the log")
    } else {
        None
    }
}

/// Label of the metric and text of each reason.
fn degraded_reasons(worker: &Worker) -> Vec<(&'static str, String)> {
    let wal = worker.ledger.wal().metrics();
    let mut reasons = Vec::new();
    if wal.sync_failing {
        let text = "failed to sync the ledger's log".to_owned();
        reasons.push(("log_sync", text));
    }
    if wal.books_failing {
        let text = "failed to write the books; new records stay in the log".to_owned();
        reasons.push(("books", text));
    }
    if let Some(restored_ms) = worker.control.restored_ms() {
        let taken = Zone::utc().rfc3339(restored_ms);
        let text = format!(
            "books restored from the backup of {taken}; revoke again what was revoked since, then `gatekeeper restore accept`"
        );
        reasons.push(("restored", text));
    }
    let clock = worker.time.status();
    if !clock.in_step() {
        reasons.push(("clock", clock_reason(&clock)));
    }
    reasons
}

fn clock_reason(clock: &ClockStatus) -> String {
    let off_s = clock.ahead_ms().unsigned_abs() / 1_000;
    let direction = if clock.ahead_ms() > 0 {
        "ahead of"
    } else {
        "behind"
    };
    format!("wall clock {off_s} s {direction} adopted time; see `gatekeeper clock`")
}

fn status(code: u16, word: &str) -> HttpResponse {
    let code = actix_web::http::StatusCode::from_u16(code).unwrap_or_default();
    HttpResponse::build(code)
        .content_type("application/json")
        .body(format!("{{\"status\":\"{word}\"}}"))
}

/// Metrics for Prometheus: for administrators, and without a key on the listener of the control plane.
pub(super) async fn metrics(request: HttpRequest) -> HttpResponse {
    let worker = Worker::of(&request);
    if !extract::is_on_admin_listener(&request)
        && let Err(error) = metrics_grant(&request)
    {
        return respond::refusal(worker, Dialect::Chat, &error);
    }
    let mut text = String::with_capacity(4096);
    write_request_metrics(&mut text, worker);
    write_ledger_metrics(&mut text, worker);
    write_books_metrics(&mut text, worker);
    write_clock_metrics(&mut text, worker);
    write_capture_metrics(&mut text, worker);
    write_degraded_metrics(&mut text, worker);
    // while the books reopen, the other metrics are still valid
    if let Ok(orphans) = worker.control.orphans_uncorrected().await {
        gauge(&mut text, "gatekeeper_orphans_uncorrected", orphans);
    }
    if let Ok(Some(backup)) = worker.control.last_backup().await {
        gauge(&mut text, "gatekeeper_backup_seconds", backup.at_ms / 1_000);
    }
    if let Some(end_ms) = worker.control.certificate_end_ms() {
        gauge(
            &mut text,
            "gatekeeper_certificate_end_seconds",
            end_ms / 1_000,
        );
    }
    if let Some(registry) = request.app_data::<Arc<Registry>>() {
        registry.write_metrics(&mut text);
    }
    worker.gateway.metrics().write(&mut text);
    worker.gateway.mirrors().write(&mut text);
    write_cache_metrics(&mut text, worker);
    write_trace_metrics(&mut text, worker);
    write_route_metrics(&mut text, worker);
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(text)
}

fn write_request_metrics(text: &mut String, worker: &Worker) {
    let (ledger, gateway) = (&worker.ledger, &worker.gateway);
    gauge(text, "gatekeeper_holds_open", ledger.open_holds());
    gauge(text, "gatekeeper_held_usd", ledger.held_total());
    gauge(text, "gatekeeper_ends_unlogged", ledger.unlogged());
    let running = gateway.inflight().running();
    gauge(text, "gatekeeper_requests_running", running);
    gauge(text, "gatekeeper_requests_waiting", gateway.waiting());
    gauge(text, "gatekeeper_requests_draining", gateway.draining());
    gauge(
        text,
        "gatekeeper_body_bytes_in_flight",
        gateway.body_bytes(),
    );
    let followers = worker.control.followers();
    gauge(text, "gatekeeper_followers_waiting", followers);
}

fn write_cache_metrics(text: &mut String, worker: &Worker) {
    if let Some(size) = worker.gateway.cache().map(|cache| cache.size()) {
        gauge(text, "gatekeeper_cache_entries", size.entries);
        gauge(text, "gatekeeper_cache_file_bytes", size.file_bytes);
    }
}

/// Health of the deployments that are targets of routes.
fn write_route_metrics(text: &mut String, worker: &Worker) {
    let now_ms = worker.time.boot_ms();
    let routes = worker.gateway.routes();
    let labels = |health: &Health| {
        let mut labels = format!("deployment=\"{}\"", health.name.replace(['"', '\\'], "_"));
        if let Some(key) = &health.key {
            labels += &format!(",key=\"{key}\"");
        }
        labels
    };
    let health: Vec<_> = routes
        .health()
        .map(|health| (labels(health), health.status(now_ms)))
        .collect();
    let mut write = |name: &str, kind: &str, value: fn(&HealthStatus) -> u64| {
        // writing to a String cannot fail
        if !health.is_empty() {
            let _ = writeln!(text, "# TYPE {name} {kind}");
        }
        for (labels, status) in &health {
            let value = value(status);
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    };
    write("gatekeeper_deployment_available", "gauge", |status| {
        u64::from(status.state == BreakerState::Closed)
    });
    write(
        "gatekeeper_deployment_breaker_state",
        "gauge",
        |status| match status.state {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        },
    );
    write("gatekeeper_deployment_cooldown_ms", "gauge", |status| {
        status.cooldown_ms
    });
    write("gatekeeper_deployment_in_flight", "gauge", |status| {
        status.in_flight.into()
    });
    write(
        "gatekeeper_deployment_cooldowns_total",
        "counter",
        |status| status.opened,
    );
}

/// Fate of the spans, where traces are exported.
fn write_trace_metrics(text: &mut String, worker: &Worker) {
    let tracer = worker.gateway.tracer();
    if !tracer.is_on() {
        return;
    }
    let counts = tracer.counts();
    counter(text, "gatekeeper_spans_exported_total", counts.exported);
    counter(text, "gatekeeper_spans_dropped_total", counts.dropped);
    counter(text, "gatekeeper_spans_failed_total", counts.failed);
}

fn write_ledger_metrics(text: &mut String, worker: &Worker) {
    let wal = worker.ledger.wal().metrics();
    counter(text, "gatekeeper_ledger_written", wal.written);
    counter(text, "gatekeeper_ledger_synced", wal.synced);
    counter(text, "gatekeeper_ledger_applied", wal.applied);
    gauge(text, "gatekeeper_ledger_mapped", u8::from(wal.mapped));
    gauge(text, "gatekeeper_ledger_backlog", wal.backlog);
    gauge(text, "gatekeeper_ledger_unsynced_ms", wal.unsynced_ms);
    let deleted = wal.retention_rows;
    counter(text, "gatekeeper_retention_rows_deleted", deleted);
    let uncounted = worker.ledger.wal().refusals().uncounted();
    counter(text, "gatekeeper_refusals_uncounted", uncounted);
}

fn write_books_metrics(text: &mut String, worker: &Worker) {
    let (rollups_read, requests_read) = worker.control.rows_read();
    let pages_read = worker.control.pages_read();
    counter(text, "gatekeeper_books_pages_read", pages_read);
    let changes_read = worker.control.change_rows_read();
    counter(text, "gatekeeper_change_rows_read", changes_read);
    counter(text, "gatekeeper_report_rollups_read", rollups_read);
    counter(text, "gatekeeper_report_requests_read", requests_read);
}

fn write_clock_metrics(text: &mut String, worker: &Worker) {
    let clock = worker.time.status();
    gauge(text, "gatekeeper_clock_ahead_ms", clock.ahead_ms());
    let adopted = u8::from(clock.in_step());
    gauge(text, "gatekeeper_clock_adopted", adopted);
}

/// Captured calls: stored and dropped ones, and what they take.
fn write_capture_metrics(text: &mut String, worker: &Worker) {
    let stats = worker.control.capture_stats();
    counter(text, "gatekeeper_captures_stored_total", stats.stored);
    let name = "gatekeeper_captures_dropped_total";
    // writing to a String cannot fail
    let _ = writeln!(text, "# TYPE {name} counter");
    for (reason, count) in [
        ("queue_full", stats.dropped_queue_full),
        ("disk", stats.dropped_disk),
    ] {
        let _ = writeln!(text, "{name}{{reason=\"{reason}\"}} {count}");
    }
    let discarded = stats.files_discarded;
    counter(text, "gatekeeper_capture_files_discarded_total", discarded);
    gauge(text, "gatekeeper_capture_queue_bytes", stats.queue_bytes);
    let on = worker.control.captures_on();
    gauge(text, "gatekeeper_captures_on", on);
    gauge(text, "gatekeeper_capture_entries", stats.entries);
    gauge(text, "gatekeeper_capture_bytes", stats.bytes);
}

/// One line per reason that `/readyz` states; none while the state is `ready`.
fn write_degraded_metrics(text: &mut String, worker: &Worker) {
    let _ = writeln!(text, "# TYPE gatekeeper_degraded gauge");
    for (reason, _) in degraded_reasons(worker) {
        // writing to a String cannot fail
        let _ = writeln!(text, "gatekeeper_degraded{{reason=\"{reason}\"}} 1");
    }
    let unready = u8::from(unready_reason(worker).is_some());
    gauge(text, "gatekeeper_unready", unready);
}

fn gauge(text: &mut String, name: &str, value: impl Display) {
    write_metric(text, name, "gauge", value);
}

fn counter(text: &mut String, name: &str, value: impl Display) {
    write_metric(text, name, "counter", value);
}

fn write_metric(text: &mut String, name: &str, kind: &str, value: impl Display) {
    // writing to a String cannot fail
    let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
}
