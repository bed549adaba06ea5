//! `GET /v1/usage` and the request list: CSV output, status classes, and intervals that start or end within a day.

use serde_json::json;

use crate::harness::hello;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

/// Calls over three days by a team with a spreadsheet formula as its name; `m-large` fails.
fn fixture() -> (Upstream, InProcessGateway, Key) {
    let upstream = Upstream::start();
    upstream.respond_with(Script::from_request(|seen| {
        match seen.json()["model"].as_str() {
            Some("m-large") => Script::json(500, &json!({"error": {"message": "broken"}})),
            _ => model::with_usage(10, 20),
        }
    }));
    let mut gateway =
        Gatekeeper::with_upstream(&upstream).start_in_process_at("2026-11-21T23:00:00Z");
    let team = gateway.team(&json!({"name": "=SUM(A1), \"eng\""}));
    let key = gateway.key(&json!({"name": "ci", "team": team.id, "models": ["*"]}));
    for (instant, model) in [
        ("2026-11-21T23:30:00Z", "m-small"),
        ("2026-11-22T10:00:00Z", "m-small"),
        ("2026-11-22T12:00:00Z", "m-large"),
        ("2026-11-23T08:59:00Z", "m-small"),
        ("2026-11-23T09:00:00Z", "m-small"),
    ] {
        gateway.advance_to(instant);
        gateway.user(&key).chat(&hello(model));
    }
    (upstream, gateway, key)
}

#[test]
fn usage_accept_csv_returns_escaped_table() {
    let (_upstream, gateway, key) = fixture();
    let csv = gateway
        .admin()
        .with("accept", "text/csv")
        .get("/v1/usage?start=2026-11-22&end=2026-11-23&group_by=day,team,status");
    let csv = csv.assert_status(200);
    assert!(
        csv.header("content-type")
            .is_some_and(|media| media.starts_with("text/csv"))
    );
    let rows = gateway.requests();
    let team = rows[0]["team"].as_str().expect("a team");
    let expected = format!(
        "day,team,team_name,status,requests,refused_requests,input_tokens,cached_tokens,output_tokens,cost_usd,\
         cache_write_tokens,reasoning_tokens,image_tokens,audio_tokens,searches,second_model_tokens,cache_hits,saved_cost_usd\r\n\
         2026-11-22,{team},\"'=SUM(A1), \"\"eng\"\"\",ok,1,0,10,0,20,0.00011,0,0,0,0,0,0,0,0\r\n\
         2026-11-22,{team},\"'=SUM(A1), \"\"eng\"\"\",failed,1,0,0,0,0,0,0,0,0,0,0,0,0,0\r\n"
    );
    let text = csv.text();
    let head = text.lines().next().unwrap_or_default();
    assert!(
        head.ends_with("duration_p50_ms,duration_p95_ms,first_content_p50_ms,first_content_p95_ms")
    );
    // the latencies are those of the machine
    let without_latencies = |line: &str| {
        let rest = line.rsplitn(5, ',').last().unwrap_or_default();
        format!("{rest}\r\n")
    };
    let found: String = text.lines().map(without_latencies).collect();
    assert_eq!(found, expected);

    let list = gateway
        .admin()
        .with("accept", "text/csv")
        .get("/v1/requests?limit=2&status=ok");
    let text = list.assert_status(200).text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("id,attempt,at,") && lines.len() == 3,
        "{text}"
    );
    assert!(
        lines[1].contains(&key.id) && lines[1].contains(",,,ok,,,10,0,0,20,0,0.00011,0.00011,"),
        "{text}"
    );
    let next = list
        .header("x-gatekeeper-next")
        .expect("a cursor")
        .to_owned();
    let rest = gateway
        .admin()
        .with("accept", "text/csv")
        .get(&format!("/v1/requests?status=ok&before={next}"));
    assert_eq!(
        (
            rest.text().lines().count(),
            rest.header("x-gatekeeper-next")
        ),
        (3, None)
    );
}

#[test]
fn usage_interval_within_days_combines_days_and_hours() {
    let (_upstream, gateway, _) = fixture();
    let requests = |query: &str| {
        let report = gateway
            .admin()
            .get(&format!("/v1/usage?{query}"))
            .assert_status(200)
            .json();
        report["total"]["requests"].as_u64().expect("a count")
    };
    for (query, expected) in [
        ("start=2026-11-21T23:00:00Z&end=2026-11-23T09:00:00Z", 4),
        ("start=2026-11-22T00:00:00Z&end=2026-11-23T09:00:00Z", 3),
        ("start=2026-11-22T10:30:00Z&end=2026-11-23T10:00:00Z", 4),
        ("start=2026-11-22T11:00:00Z&end=2026-11-23T10:00:00Z", 3),
        ("start=2026-11-22T11:00:00Z&end=2026-11-22T12:00:00Z", 0),
        ("start=2026-11-21&end=2026-11-24", 5),
    ] {
        assert_eq!(requests(query), expected, "{query}");
    }
}

#[test]
fn requests_status_class_returns_all_its_statuses() {
    let (_upstream, gateway, _) = fixture();
    let count = |query: &str| {
        gateway
            .admin()
            .get(&format!("/v1/requests?{query}"))
            .assert_status(200)
            .json()["data"]
            .as_array()
            .map(Vec::len)
    };
    for (query, expected) in [
        ("status=failed", 1),
        ("status=upstream_error", 1),
        ("status=broken", 0),
        ("status=ok", 4),
    ] {
        assert_eq!(count(query), Some(expected), "{query}");
    }
}

#[test]
fn usage_month_by_model_reads_one_rollup_per_day_and_model() {
    let (_upstream, gateway, _) = fixture();
    let read = || gateway.metric("gatekeeper_report_rollups_read");
    let before = read();
    gateway
        .admin()
        .get("/v1/usage?group_by=model")
        .assert_status(200);
    // 21: one, 22: ok and failed, 23: one
    assert_eq!(read() - before, 4.0);
}

/// After the clock is set back by hours and then days, rows booked before lie past `end`.
#[test]
fn usage_after_clock_set_back_excludes_rows_past_end() {
    const HOUR_MS: i64 = 3_600_000;
    let (_upstream, gateway, _) = fixture();
    let requests = |query: &str| {
        let report = gateway
            .admin()
            .get(&format!("/v1/usage?{query}"))
            .assert_status(200)
            .json();
        report["total"]["requests"].as_u64().expect("a count")
    };
    for back_ms in [2 * HOUR_MS, 72 * HOUR_MS] {
        gateway.clock.jump_ms(-back_ms);
        gateway
            .admin()
            .post("/v1/clock/accept", &json!({}))
            .assert_status(200);
        for (query, expected) in [
            ("start=2026-11-22&end=2026-11-23T08:00:00Z", 2),
            ("start=2026-11-22&end=2026-11-23T09:00:00Z", 3),
            ("start=2026-11-22&end=2026-11-22T11:00:00Z", 1),
            ("start=2026-11-21T06:00:00Z&end=2026-11-23T08:00:00Z", 3),
            ("start=2026-11-22&end=2026-11-23", 2),
            ("start=2026-11-22", 4),
        ] {
            assert_eq!(requests(query), expected, "{query}, {back_ms} ms back");
        }
    }
}

#[test]
fn usage_end_beyond_calendar_is_clamped() {
    let (_upstream, gateway, _) = fixture();
    for end in ["9999-12-31", "9999-12-31T23:59:59Z", "9999-12-30"] {
        let report = gateway
            .admin()
            .get(&format!("/v1/usage?start=2026-11-22&end={end}"))
            .assert_status(200)
            .json();
        assert_eq!(
            (
                &report["total"]["requests"],
                &report["end"].as_str().map(|end| &end[..10])
            ),
            (&json!(4), &Some("9999-12-30"))
        );
        let list = gateway
            .admin()
            .get(&format!("/v1/requests?start=2026-11-22&end={end}"))
            .assert_status(200)
            .json();
        assert_eq!(list["data"].as_array().map(Vec::len), Some(4), "{end}");
    }
    for late in [
        "/v1/usage?start=9999-12-31",
        "/v1/requests?start=9999-12-31&end=9999-12-31",
    ] {
        assert_eq!(
            gateway.admin().get(late).assert_status(400).json()["error"]["param"],
            json!("start"),
            "{late}"
        );
    }
    let early = gateway
        .admin()
        .get("/v1/requests?start=0001-01-01&end=1969-07-20T20:17:40Z")
        .assert_status(400)
        .json();
    assert_eq!(
        early["error"]["param"],
        json!("start"),
        "the interval is empty"
    );
    assert_eq!(
        gateway
            .admin()
            .get("/v1/requests?start=1969-07-20T20:17:40Z")
            .assert_status(200)
            .json()["data"][4]["status"],
        json!("ok")
    );
}

#[test]
fn query_duplicate_parameter_is_refused() {
    let (_upstream, gateway, _) = fixture();
    for (path, name) in [
        ("/v1/usage?group_by=team&group_by=model", "group_by"),
        ("/v1/requests?status=ok&limit=3&status=failed", "status"),
        ("/v1/ledger/orphans?team=a&team=b", "team"),
    ] {
        let refused = gateway.admin().get(path).assert_status(400).json();
        assert_eq!(refused["error"]["param"], json!(name), "{path}");
    }
}

#[test]
fn usage_accept_preference_selects_csv_or_json() {
    let (_upstream, gateway, _) = fixture();
    for (accept, table) in [
        ("text/csv", true),
        ("TEXT/CSV; q=0.5, */*;q=0.1", true),
        ("application/json;q=0.5, text/csv", true),
        ("text/csv, */*", true),
        ("text/*", true),
        ("application/json;q=1, text/csv;q=0", false),
        ("text/csv;q=0", false),
        ("text/csv;q=0, text/*", false),
        ("text/csv;q=0.2, application/json;q=0.8", false),
        ("text/csv, application/json", false),
        ("text/html, */*;q=0.8", false),
        ("*/*", false),
        ("", false),
    ] {
        let answer = gateway.admin().with("accept", accept).get("/v1/usage");
        assert_eq!(
            answer
                .assert_status(200)
                .header("content-type")
                .is_some_and(|media| media.starts_with("text/csv")),
            table,
            "{accept}"
        );
    }
}
