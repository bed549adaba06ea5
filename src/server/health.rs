//! Alive, ready, and in figures. The first two need no key and say nothing else.

use std::fmt::Write;

use actix_web::{HttpRequest, HttpResponse};

use crate::dialect::Dialect;
use crate::server::worker::Worker;
use crate::server::{inference, respond};

/// `HEAD /`: what Claude Code asks before anything else.
pub(super) async fn probe() -> HttpResponse {
    HttpResponse::Ok().finish()
}

pub(super) async fn alive() -> HttpResponse {
    status(200, "ok")
}

/// 503 while new requests would be refused; `degraded` while requests are served but something needs a look: what, is said
/// to whoever may administer.
pub(super) async fn ready(request: HttpRequest) -> HttpResponse {
    let worker = Worker::of(&request);
    let journal = worker.ledger.wal().metrics();
    if !worker.gateway.inflight().is_open() {
        return status(503, "stopping");
    }
    if journal.disk_low {
        return status(503, "disk nearly full");
    }
    if journal.log_failing {
        return status(503, "the ledger's log cannot be written");
    }
    if journal.behind {
        return status(503, "the books are behind the log");
    }
    let mut reasons = Vec::new();
    if journal.sync_failing {
        reasons.push("the ledger's log cannot be synced".to_owned());
    }
    if journal.books_failing {
        reasons.push("the books cannot be written; the log keeps what comes in".to_owned());
    }
    let clock = worker.time.status();
    if !clock.in_step() {
        let (off_s, way) = (
            clock.ahead_ms().unsigned_abs() / 1_000,
            if clock.ahead_ms() > 0 {
                "ahead of"
            } else {
                "behind"
            },
        );
        reasons.push(format!(
            "the wall clock is {off_s} s {way} adopted time; see `gatekeeper clock`"
        ));
    }
    match reasons.is_empty() {
        true => status(200, "ready"),
        // without a key the status and nothing else
        false if inference::actor(worker, &request).is_err() => status(200, "degraded"),
        false => degraded(&reasons.join("; ")),
    }
}

fn degraded(reason: &str) -> HttpResponse {
    let body = serde_json::json!({ "status": "degraded", "reason": reason });
    HttpResponse::Ok()
        .content_type("application/json")
        .body(body.to_string())
}

fn status(code: u16, word: &str) -> HttpResponse {
    let code = actix_web::http::StatusCode::from_u16(code).unwrap_or_default();
    HttpResponse::build(code)
        .content_type("application/json")
        .body(format!("{{\"status\":\"{word}\"}}"))
}

/// The figures for Prometheus, for whoever may administer.
pub(super) async fn metrics(request: HttpRequest) -> HttpResponse {
    let worker = Worker::of(&request);
    if let Err(problem) = inference::actor(worker, &request) {
        return respond::http(worker.gateway.refuse(Dialect::Chat, &problem));
    }
    let mut text = String::with_capacity(4096);
    let journal = worker.ledger.wal().metrics();
    let (rollups_read, requests_read) = worker.control.rows_read();
    for (name, kind, value) in [
        (
            "gatekeeper_holds_open",
            "gauge",
            worker.ledger.open_holds() as u64,
        ),
        (
            "gatekeeper_ends_unlogged",
            "gauge",
            worker.ledger.unlogged() as u64,
        ),
        (
            "gatekeeper_requests_running",
            "gauge",
            worker.gateway.inflight().running() as u64,
        ),
        (
            "gatekeeper_requests_waiting",
            "gauge",
            worker.gateway.waiting() as u64,
        ),
        (
            "gatekeeper_requests_draining",
            "gauge",
            worker.gateway.draining() as u64,
        ),
        ("gatekeeper_ledger_written", "counter", journal.written),
        ("gatekeeper_ledger_synced", "counter", journal.synced),
        ("gatekeeper_ledger_applied", "counter", journal.applied),
        ("gatekeeper_ledger_backlog", "gauge", journal.backlog as u64),
        (
            "gatekeeper_ledger_unsynced_ms",
            "gauge",
            journal.unsynced_ms,
        ),
        (
            "gatekeeper_retention_rows_deleted",
            "counter",
            journal.retention_rows,
        ),
        (
            "gatekeeper_refusals_uncounted",
            "counter",
            worker.ledger.wal().refusals().uncounted(),
        ),
        (
            "gatekeeper_books_pages_read",
            "counter",
            worker.control.pages_read(),
        ),
        ("gatekeeper_report_rollups_read", "counter", rollups_read),
        ("gatekeeper_report_requests_read", "counter", requests_read),
    ] {
        let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
    }
    let clock = worker.time.status();
    let _ = writeln!(
        text,
        "# TYPE gatekeeper_clock_ahead_ms gauge\ngatekeeper_clock_ahead_ms {}",
        clock.ahead_ms()
    );
    let _ = writeln!(
        text,
        "# TYPE gatekeeper_clock_adopted gauge\ngatekeeper_clock_adopted {}",
        u8::from(clock.in_step())
    );
    let _ = writeln!(
        text,
        "# TYPE gatekeeper_held_usd gauge\ngatekeeper_held_usd {}",
        worker.ledger.held_total()
    );
    let _ = writeln!(
        text,
        "# TYPE gatekeeper_followers_waiting gauge\ngatekeeper_followers_waiting {}",
        worker.control.followers()
    );
    // while the books reopen the rest of the figures still counts
    if let Ok(orphans) = worker.control.orphans_uncorrected().await {
        let _ = writeln!(
            text,
            "# TYPE gatekeeper_orphans_uncorrected gauge\ngatekeeper_orphans_uncorrected {orphans}"
        );
    }
    worker.gateway.metrics().write(&mut text);
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(text)
}
