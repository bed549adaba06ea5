//! Which paths there are: those that every client makes of a base URL, those that we do not serve and say so, and those
//! that need no key.

use serde_json::json;

use super::house::{BOTH, Chat, House, Messages, refused};

#[test]
fn every_spelling_of_the_base_url_leads_to_the_endpoint() {
    let house = House::opens();
    for (dialect, paths) in [
        (
            Chat,
            [
                "/v1/chat/completions",
                "/chat/completions",
                "/v1/v1/chat/completions",
            ],
        ),
        (
            Messages,
            [
                "/v1/messages?beta=true",
                "/messages",
                "/v1/v1/messages?beta=true",
            ],
        ),
    ] {
        for path in paths {
            house.user().post(path, &dialect.body()).assert_status(200);
            house.booked().ends("ok", &[]).costs(10, 20);
            let target = house.upstream.last_request().target().to_owned();
            assert!(target.starts_with(dialect.path()), "{path} became {target}");
        }
    }
    for path in ["/v1/models", "/models", "/v1/v1/models"] {
        house.user().get(path).assert_status(200);
    }
}

#[test]
fn an_endpoint_that_is_not_served_is_501_in_the_dialect_and_is_never_passed_on() {
    let house = House::opens();
    for path in [
        "/v1/responses/input_tokens",
        "/v1/completions",
        "/v1/images/generations",
        "/v1/files",
        "/v1/audio/speech",
    ] {
        let message = refused(
            Chat,
            &house.user().post(path, &Chat.body()),
            501,
            "not_supported",
        );
        assert!(message.contains(path), "{message}");
    }
    for path in ["/v1/messages/batches", "/v1/messages/batches?beta=true"] {
        refused(
            Messages,
            &house.user().post(path, &Messages.body()),
            501,
            "not_supported",
        );
    }
    refused(Chat, &house.user().get("/nowhere"), 404, "not_found");
    house.nothing_happened();
}

#[test]
fn b06_an_upgrade_is_refused_once_and_for_all_in_the_dialect() {
    let house = House::opens();
    for path in ["/v1/responses", "/responses", "/v1/v1/responses?x=1"] {
        let asking = house
            .gatekeeper
            .anon()
            .with("upgrade", "websocket")
            .with("connection", "upgrade");
        let answer = asking
            .with("openai-beta", "responses_websockets=2026-02-06")
            .get(path);
        let message = refused(Chat, &answer, 426, "upgrade_refused");
        assert!(
            message.contains("send a POST") && answer.header("upgrade") == Some("HTTP/1.1"),
            "{message}"
        );
        refused(Chat, &house.user().get(path), 426, "upgrade_refused");
    }
    house.nothing_happened();
}

#[test]
fn another_method_on_an_endpoint_is_refused_in_the_dialect() {
    let house = House::opens();
    for dialect in BOTH {
        refused(
            dialect,
            &house.user().get(dialect.path()),
            501,
            "not_supported",
        );
        refused(
            dialect,
            &house.user().delete(dialect.path()),
            501,
            "not_supported",
        );
        refused(
            dialect,
            &house.user().put(dialect.path(), &dialect.body()),
            501,
            "not_supported",
        );
    }
    refused(
        Chat,
        &house.user().post("/v1/models", &json!({})),
        501,
        "not_supported",
    );
    refused(
        Chat,
        &house.user().delete("/v1/models/m-small"),
        501,
        "not_supported",
    );
    house.nothing_happened();
}

#[test]
fn the_probes_need_no_key() {
    let house = House::opens();
    let anon = house.gatekeeper.anon();
    let probe = anon.head("/");
    assert!(probe.assert_status(200).body.is_empty());
    for (path, said) in [
        ("/healthz", "ok"),
        ("/health/liveliness", "ok"),
        ("/readyz", "ready"),
        ("/health/readiness", "ready"),
    ] {
        let answer = anon.get(path);
        assert_eq!(
            answer.assert_status(200).json(),
            json!({"status": said}),
            "{path}"
        );
    }
}

#[test]
fn the_metrics_need_an_administrative_key() {
    let house = House::opens();
    house.asks(Chat, true).assert_status(200);
    house.asks(Messages, false).assert_status(200);
    refused(
        Chat,
        &house.gatekeeper.anon().get("/metrics"),
        401,
        "authentication_error",
    );
    refused(
        Chat,
        &house.user().get("/metrics"),
        403,
        "permission_denied",
    );
    let metrics = house.gatekeeper.admin().get("/metrics");
    assert!(
        metrics
            .assert_status(200)
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain"))
    );
    for line in [
        "gatekeeper_holds_open 0",
        "gatekeeper_requests_total{status=\"ok\"} 2",
        "gatekeeper_requests_running 0",
    ] {
        assert!(
            metrics.text().lines().any(|known| known == line),
            "`{line}` is not in\n{}",
            metrics.text()
        );
    }
    assert!(
        metrics
            .text()
            .contains("gatekeeper_refused_total{code=\"authentication_error\"} 1"),
        "{}",
        metrics.text()
    );
}
