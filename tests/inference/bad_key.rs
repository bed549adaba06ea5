//! Invalid keys: refused in the dialect of the endpoint, before a hold or an upstream request.

use serde_json::json;

use super::fixture::{BOTH, Dialect, Fixture, Messages, assert_refusal, assert_refusal_at};
use crate::harness::client::{HttpClient, Response, user};
use crate::harness::wait_until;

fn send(caller: &HttpClient, dialect: Dialect) -> Response {
    caller.post(dialect.path(), &dialect.body())
}

#[test]
fn b03_b04_wrong_key_returns_401_in_dialect_before_upstream() {
    let fixture = Fixture::new();
    let cut_off = &fixture.key.secret[..fixture.key.secret.len() - 3];
    let last = if fixture.key.secret.ends_with('a') {
        "b"
    } else {
        "a"
    };
    let mistyped = format!(
        "{}{last}",
        &fixture.key.secret[..fixture.key.secret.len() - 1]
    );
    let long = "x".repeat(4_000);
    for key in [
        "sk-gk-eng-0000000000000000",
        cut_off,
        &mistyped,
        "sk-proj-1234567890123456789012",
        "Bearer",
        "é",
        "%00",
        &long,
    ] {
        for dialect in BOTH {
            let caller = user(fixture.gatekeeper.address(), key);
            for caller in [caller.clone(), caller.with_x_api_key()] {
                let message = assert_refusal(
                    dialect,
                    &send(&caller, dialect),
                    401,
                    "authentication_error",
                );
                assert!(
                    !message.contains(&fixture.key.secret[..20]) && !message.contains(&long),
                    "{message}"
                );
            }
        }
    }
    fixture.assert_no_call();
}

#[test]
fn missing_key_returns_401_with_remedy() {
    let fixture = Fixture::new();
    let anon = fixture.gatekeeper.anon();
    for dialect in BOTH {
        for caller in [
            anon.clone(),
            anon.clone().with("authorization", "Basic Zm9vOmJhcg=="),
            anon.clone().with("x-api-key", " "),
        ] {
            let message = assert_refusal(
                dialect,
                &send(&caller, dialect),
                401,
                "authentication_error",
            );
            assert!(message.contains("Authorization: Bearer"), "{message}");
        }
    }
    fixture.assert_no_call();
}

#[test]
fn b01_b02_key_in_any_of_three_headers_is_accepted() {
    let fixture = Fixture::new();
    let anon = fixture.gatekeeper.anon();
    let bearer = format!("Bearer {}", fixture.key.secret);
    for (name, value) in [
        ("authorization", bearer.as_str()),
        ("x-api-key", &fixture.key.secret),
        ("api-key", &fixture.key.secret),
    ] {
        for dialect in BOTH {
            let response = send(&anon.clone().with(name, value), dialect);
            response.assert_status(200);
            fixture
                .assert_recorded()
                .assert_ended("ok", &[])
                .assert_usage(10, 20);
            let head =
                String::from_utf8_lossy(&fixture.upstream.last_request().head.raw).into_owned();
            assert!(
                !head.contains(&fixture.key.secret),
                "the client's key went upstream: {head}"
            );
        }
    }
}

#[test]
fn expired_key_returns_key_expired() {
    let fixture = Fixture::new();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(5);
    let key = fixture
        .gatekeeper
        .key(&json!({"name": "short", "team": fixture.team.id, "expires": soon.to_string()}));
    let caller = fixture.gatekeeper.user(&key);
    assert_eq!(send(&caller, Messages).status, 200);
    fixture.assert_recorded();
    wait_until("the key has expired", || jiff::Timestamp::now() > soon);
    for dialect in BOTH {
        let message = assert_refusal(dialect, &send(&caller, dialect), 401, "key_expired");
        assert!(message.contains("expired"), "{message}");
    }
    fixture.assert_no_call();
}

#[test]
fn disabled_key_on_open_connection_is_refused() {
    let fixture = Fixture::new();
    let mut connection = fixture.user().connect();
    connection.chat(&Dialect::Chat.body()).assert_status(200);
    fixture.assert_recorded();
    let path = format!("/v1/keys/{}", fixture.key.id);
    fixture
        .gatekeeper
        .admin()
        .patch(&path, &json!({"disabled": true}))
        .assert_status(200);
    assert_refusal(
        Dialect::Chat,
        &connection.chat(&Dialect::Chat.body()),
        401,
        "authentication_error",
    );
    for dialect in BOTH {
        let message = assert_refusal(
            dialect,
            &send(&fixture.user(), dialect),
            401,
            "authentication_error",
        );
        assert!(message.contains("disabled"), "{message}");
    }
    fixture.assert_no_call();
    fixture
        .gatekeeper
        .admin()
        .patch(&path, &json!({"disabled": false}))
        .assert_status(200);
    connection.chat(&Dialect::Chat.body()).assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
}

#[test]
fn administrative_key_model_call_returns_403() {
    let fixture = Fixture::new();
    let admin = fixture.gatekeeper.admin();
    for dialect in BOTH {
        let message = assert_refusal(dialect, &send(&admin, dialect), 403, "permission_denied");
        assert!(message.contains("virtual key"), "{message}");
        assert_refusal(
            dialect,
            &send(&admin.clone().with_x_api_key(), dialect),
            403,
            "permission_denied",
        );
    }
    assert_refusal(
        Dialect::Chat,
        &admin.get("/v1/models"),
        403,
        "permission_denied",
    );
    fixture.assert_no_call();
}

#[test]
fn virtual_key_control_plane_call_returns_403() {
    let fixture = Fixture::new();
    let (team, key) = (
        format!("/v1/teams/{}", fixture.team.id),
        format!("/v1/keys/{}", fixture.key.id),
    );
    let caller = fixture.user();
    for path in [
        "/v1/organizations",
        "/v1/teams",
        "/v1/keys",
        "/v1/usage",
        "/v1/requests",
        "/metrics",
        &team,
        &key,
    ] {
        let message = assert_refusal(Dialect::Chat, &caller.get(path), 403, "permission_denied");
        assert!(message.contains("virtual"), "{message}");
        assert_refusal(
            Dialect::Chat,
            &fixture.gatekeeper.anon().get(path),
            401,
            "authentication_error",
        );
    }
    let more = json!({"name": "more", "team": fixture.team.id});
    assert_refusal(
        Dialect::Chat,
        &caller.post("/v1/keys", &more),
        403,
        "permission_denied",
    );
    assert_refusal(
        Dialect::Chat,
        &caller.post("/v1/teams", &json!({"name": "mine"})),
        403,
        "permission_denied",
    );
    assert_refusal(
        Dialect::Chat,
        &caller.patch(&key, &json!({"models": ["*"]})),
        403,
        "permission_denied",
    );
    assert_eq!(
        fixture.gatekeeper.admin().get("/v1/keys").json()["data"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[test]
fn model_not_allowed_error_names_model_param() {
    let fixture = Fixture::new();
    let narrow = fixture
        .gatekeeper
        .key(&json!({"name": "narrow", "team": fixture.team.id, "models": ["m-sm*"]}));
    let caller = fixture.gatekeeper.user(&narrow);
    let refusal = caller.chat(&json!({"model": "m-large", "messages": []}));
    let message = assert_refusal_at(Dialect::Chat, &refusal, 403, "model_not_allowed", "model");
    assert!(
        message.contains("`m-large`") && message.contains("key `narrow`"),
        "{message}"
    );
    assert_refusal(
        Messages,
        &caller.messages(&Messages.body()),
        403,
        "model_not_allowed",
    );
    fixture.assert_no_call();
    caller.chat(&Dialect::Chat.body()).assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
}

#[test]
fn key_model_outside_team_allow_list_is_refused() {
    let mut fixture = Fixture::new();
    let support = fixture
        .gatekeeper
        .team(&json!({"name": "support", "models": ["up/m-small"]}));
    let key = fixture.gatekeeper.key_of(&support);
    let caller = fixture.gatekeeper.user(&key);
    let message = assert_refusal_at(
        Dialect::Chat,
        &caller.chat(&json!({"model": "m-large", "messages": []})),
        403,
        "model_not_allowed",
        "model",
    );
    assert!(message.contains("team `support`"), "{message}");
    assert_refusal(
        Messages,
        &caller.messages(&Messages.body()),
        403,
        "model_not_allowed",
    );
    fixture.assert_no_call();
    caller
        .chat(&json!({"model": "m-small", "messages": []}))
        .assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    caller
        .chat(&json!({"model": "up/m-small", "messages": []}))
        .assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
}
