//! Model names that are unknown, ambiguous or invalid.

use serde_json::json;

use super::fixture::{BOTH, Chat, Dialect, Fixture, assert_refusal_at};
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::upstream::Upstream;

fn body(dialect: Dialect, model: &str) -> serde_json::Value {
    let mut body = dialect.body();
    body["model"] = json!(model);
    body
}

#[test]
fn b10_unknown_model_returns_404_in_dialect_with_name() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for model in [
            "gpt-nobody-has",
            "nobody/m-small",
            "up/",
            "M-SMALL",
            " m-small",
            "m-small ",
        ] {
            let response = fixture.user().post(dialect.path(), &body(dialect, model));
            let message = assert_refusal_at(dialect, &response, 404, "model_not_found", "model");
            assert!(
                message.contains(&format!("`{model}`")) && message.contains("/v1/models"),
                "{message}"
            );
        }
    }
    fixture.assert_no_call();
}

#[test]
fn ambiguous_model_returns_400_with_both_qualified_names() {
    let (one, other) = (Upstream::start(), Upstream::start());
    let setup = Gatekeeper::without_providers()
        .provider(&Provider::openai("east", &one))
        .provider(&Provider::openai("west", &other));
    let mut gatekeeper = setup.start();
    let team = gatekeeper.team(&json!({"name": "eng", "models": ["*"]}));
    let key = gatekeeper.key_of(&team);
    for dialect in BOTH {
        let response = gatekeeper
            .user(&key)
            .post(dialect.path(), &body(dialect, "m-small"));
        let message = assert_refusal_at(dialect, &response, 400, "model_ambiguous", "model");
        assert!(
            message.contains("`east/m-small`") && message.contains("`west/m-small`"),
            "{message}"
        );
    }
    assert_eq!(
        (
            one.request_count(),
            other.request_count(),
            gatekeeper.requests().len()
        ),
        (0, 0, 0)
    );
    gatekeeper
        .user(&key)
        .chat(&body(Chat, "west/m-small"))
        .assert_status(200);
    assert_eq!((one.request_count(), other.request_count()), (0, 1));
    assert_eq!(other.last_request().json()["model"], "m-small");
}

#[test]
fn bare_names_false_leaves_bare_names_to_the_other_provider() {
    let upstream = Upstream::start();
    let second = Provider::openai("second", &upstream);
    let fixture = Fixture::with_upstream(upstream, |setup| {
        setup.provider(&second.clone().line("bare_names = false"))
    });
    let user = fixture.user();
    for (model, provider) in [("m-small", "up"), ("second/m-small", "second")] {
        user.post(Chat.path(), &body(Chat, model))
            .assert_status(200);
        assert_eq!(fixture.assert_recorded().0["provider"], provider);
    }
    let listed = user.get("/v1/models").text();
    assert!(
        listed.contains("\"second/m-small\"") && listed.contains("\"m-small\""),
        "{listed}"
    );
    assert!(!fixture.gatekeeper.output().contains("ambiguous"));
    let upstream = Upstream::start();
    let second = Provider::openai("second", &upstream);
    let both = Fixture::with_upstream(upstream, |setup| setup.provider(&second));
    let output = both.gatekeeper.output();
    let line = output
        .lines()
        .find(|line| line.contains("model names are ambiguous"));
    let line = line.expect("a line at the start");
    assert!(
        line.contains("count=2") && line.contains("bare_names = false"),
        "{line}"
    );
}

#[test]
fn model_missing_or_invalid_returns_400() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for model in [
            json!(null),
            json!(""),
            json!(7),
            json!(["m-small"]),
            json!("m".repeat(300)),
        ] {
            let mut body = dialect.body();
            body["model"] = model;
            assert_refusal_at(
                dialect,
                &fixture.user().post(dialect.path(), &body),
                400,
                "invalid_request_error",
                "model",
            );
        }
        let mut body = dialect.body();
        body.as_object_mut().expect("an object").remove("model");
        assert_refusal_at(
            dialect,
            &fixture.user().post(dialect.path(), &body),
            400,
            "invalid_request_error",
            "model",
        );
    }
    fixture.assert_no_call();
}

#[test]
fn model_with_control_character_returns_400_before_the_hold() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for model in [
            "m-small\n",
            "up/m\r\nx-injected: 1",
            "up/\u{0}",
            "up/m\tsmall",
            "up/m\u{7f}",
        ] {
            let response = fixture.user().post(dialect.path(), &body(dialect, model));
            let message =
                assert_refusal_at(dialect, &response, 400, "invalid_request_error", "model");
            assert!(message.contains("control character"), "{message}");
        }
    }
    fixture.assert_no_call();
}

#[test]
fn mistyped_model_gets_a_suggestion_among_callable_names() {
    let fixture = Fixture::new();
    let limited = fixture.gatekeeper.key(&json!({
        "name": "limited", "team": fixture.team.id, "models": ["c-small"],
    }));
    let limited = fixture.gatekeeper.user(&limited);
    for dialect in BOTH {
        let request = body(dialect, "m-smal");
        let response = fixture.user().post(dialect.path(), &request);
        let message = assert_refusal_at(dialect, &response, 404, "model_not_found", "model");
        assert!(message.contains("did you mean `m-small`?"), "{message}");
        let names = "this key may call `c-small`, `m-large`, `m-small`";
        assert!(message.contains(names), "{message}");

        let response = limited.post(dialect.path(), &request);
        let message = assert_refusal_at(dialect, &response, 404, "model_not_found", "model");
        assert!(!message.contains("`m-small`"), "{message}");
        assert!(message.contains("may call `c-small`"), "{message}");
        let response = fixture
            .user()
            .post(dialect.path(), &body(dialect, "another"));
        let message = assert_refusal_at(dialect, &response, 404, "model_not_found", "model");
        assert!(!message.contains("did you mean"), "{message}");
    }
    fixture.assert_no_call();
}
