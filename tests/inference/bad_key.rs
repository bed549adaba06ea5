//! Who may not call: each bad key is refused in the dialect of the endpoint, before anything is held or sent.

use serde_json::json;

use super::house::{BOTH, Dialect, House, Messages, refused, refused_at};
use crate::harness::client::{HttpClient, Response, user};
use crate::harness::wait_until;

fn asks(person: &HttpClient, dialect: Dialect) -> Response {
    person.post(dialect.path(), &dialect.body())
}

#[test]
fn b03_b04_a_wrong_key_is_401_in_the_dialect_and_the_upstream_sees_nothing() {
    let house = House::opens();
    let cut_off = &house.key.secret[..house.key.secret.len() - 3];
    let last = if house.key.secret.ends_with('a') {
        "b"
    } else {
        "a"
    };
    let mistyped = format!("{}{last}", &house.key.secret[..house.key.secret.len() - 1]);
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
            let person = user(house.gatekeeper.address(), key);
            for person in [person.clone(), person.with_x_api_key()] {
                let message = refused(
                    dialect,
                    &asks(&person, dialect),
                    401,
                    "authentication_error",
                );
                assert!(
                    !message.contains(&house.key.secret[..20]) && !message.contains(&long),
                    "{message}"
                );
            }
        }
    }
    house.nothing_happened();
}

#[test]
fn without_a_key_the_answer_says_how_to_send_one() {
    let house = House::opens();
    let anon = house.gatekeeper.anon();
    for dialect in BOTH {
        for person in [
            anon.clone(),
            anon.clone().with("authorization", "Basic Zm9vOmJhcg=="),
            anon.clone().with("x-api-key", " "),
        ] {
            let message = refused(
                dialect,
                &asks(&person, dialect),
                401,
                "authentication_error",
            );
            assert!(message.contains("Authorization: Bearer"), "{message}");
        }
    }
    house.nothing_happened();
}

#[test]
fn b01_b02_a_key_is_taken_from_any_of_the_three_headers() {
    let house = House::opens();
    let anon = house.gatekeeper.anon();
    let bearer = format!("Bearer {}", house.key.secret);
    for (name, value) in [
        ("authorization", bearer.as_str()),
        ("x-api-key", &house.key.secret),
        ("api-key", &house.key.secret),
    ] {
        for dialect in BOTH {
            let answer = asks(&anon.clone().with(name, value), dialect);
            answer.assert_status(200);
            house.booked().ends("ok", &[]).costs(10, 20);
            let head =
                String::from_utf8_lossy(&house.upstream.last_request().head.raw).into_owned();
            assert!(
                !head.contains(&house.key.secret),
                "the client's key went upstream: {head}"
            );
        }
    }
}

#[test]
fn a_key_that_expires_is_refused_from_then_on_with_a_word_of_its_own() {
    let house = House::opens();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(5);
    let key = house
        .gatekeeper
        .key(&json!({"name": "short", "team": house.team.id, "expires": soon.to_string()}));
    let person = house.gatekeeper.user(&key);
    assert_eq!(asks(&person, Messages).status, 200);
    house.booked();
    wait_until("the key has expired", || jiff::Timestamp::now() > soon);
    for dialect in BOTH {
        let message = refused(dialect, &asks(&person, dialect), 401, "key_expired");
        assert!(message.contains("expired"), "{message}");
    }
    house.nothing_happened();
}

#[test]
fn a_disabled_key_is_dead_on_the_next_request_even_on_an_open_connection() {
    let house = House::opens();
    let mut connection = house.user().connect();
    connection.chat(&Dialect::Chat.body()).assert_status(200);
    house.booked();
    let path = format!("/v1/keys/{}", house.key.id);
    house
        .gatekeeper
        .admin()
        .patch(&path, &json!({"disabled": true}))
        .assert_status(200);
    refused(
        Dialect::Chat,
        &connection.chat(&Dialect::Chat.body()),
        401,
        "authentication_error",
    );
    for dialect in BOTH {
        let message = refused(
            dialect,
            &asks(&house.user(), dialect),
            401,
            "authentication_error",
        );
        assert!(message.contains("disabled"), "{message}");
    }
    house.nothing_happened();
    house
        .gatekeeper
        .admin()
        .patch(&path, &json!({"disabled": false}))
        .assert_status(200);
    connection.chat(&Dialect::Chat.body()).assert_status(200);
    house.booked().ends("ok", &[]);
}

#[test]
fn an_administrative_key_cannot_call_models() {
    let house = House::opens();
    let admin = house.gatekeeper.admin();
    for dialect in BOTH {
        let message = refused(dialect, &asks(&admin, dialect), 403, "permission_denied");
        assert!(message.contains("virtual key"), "{message}");
        refused(
            dialect,
            &asks(&admin.clone().with_x_api_key(), dialect),
            403,
            "permission_denied",
        );
    }
    refused(
        Dialect::Chat,
        &admin.get("/v1/models"),
        403,
        "permission_denied",
    );
    house.nothing_happened();
}

#[test]
fn a_virtual_key_cannot_administer() {
    let house = House::opens();
    let (team, key) = (
        format!("/v1/teams/{}", house.team.id),
        format!("/v1/keys/{}", house.key.id),
    );
    let person = house.user();
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
        let message = refused(Dialect::Chat, &person.get(path), 403, "permission_denied");
        assert!(message.contains("virtual"), "{message}");
        refused(
            Dialect::Chat,
            &house.gatekeeper.anon().get(path),
            401,
            "authentication_error",
        );
    }
    let more = json!({"name": "more", "team": house.team.id});
    refused(
        Dialect::Chat,
        &person.post("/v1/keys", &more),
        403,
        "permission_denied",
    );
    refused(
        Dialect::Chat,
        &person.post("/v1/teams", &json!({"name": "mine"})),
        403,
        "permission_denied",
    );
    refused(
        Dialect::Chat,
        &person.patch(&key, &json!({"models": ["*"]})),
        403,
        "permission_denied",
    );
    assert_eq!(
        house.gatekeeper.admin().get("/v1/keys").json()["data"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[test]
fn the_param_of_a_refused_model_is_the_model() {
    let house = House::opens();
    let narrow = house
        .gatekeeper
        .key(&json!({"name": "narrow", "team": house.team.id, "models": ["m-sm*"]}));
    let person = house.gatekeeper.user(&narrow);
    let refusal = person.chat(&json!({"model": "m-large", "messages": []}));
    let message = refused_at(Dialect::Chat, &refusal, 403, "model_not_allowed", "model");
    assert!(
        message.contains("`m-large`") && message.contains("key `narrow`"),
        "{message}"
    );
    refused(
        Messages,
        &person.messages(&Messages.body()),
        403,
        "model_not_allowed",
    );
    house.nothing_happened();
    person.chat(&Dialect::Chat.body()).assert_status(200);
    house.booked().ends("ok", &[]);
}

#[test]
fn a_key_can_call_no_more_than_its_team() {
    let mut house = House::opens();
    let support = house
        .gatekeeper
        .team(&json!({"name": "support", "models": ["up/m-small"]}));
    let key = house.gatekeeper.key_of(&support);
    let person = house.gatekeeper.user(&key);
    let message = refused_at(
        Dialect::Chat,
        &person.chat(&json!({"model": "m-large", "messages": []})),
        403,
        "model_not_allowed",
        "model",
    );
    assert!(message.contains("team `support`"), "{message}");
    refused(
        Messages,
        &person.messages(&Messages.body()),
        403,
        "model_not_allowed",
    );
    house.nothing_happened();
    person
        .chat(&json!({"model": "m-small", "messages": []}))
        .assert_status(200);
    house.booked().ends("ok", &[]);
    person
        .chat(&json!({"model": "up/m-small", "messages": []}))
        .assert_status(200);
    house.booked().ends("ok", &[]);
}
