//! Several API keys of a provider that is declared through the API or the command line: calls are spread over them, each is sealed by
//! itself, and single ones are added, changed and removed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::create;
use super::declarations::{SECRET, assert_all, call, connections, events, provider, run};
use crate::harness::client::HttpClient;
use crate::harness::instance::text;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;

/// Credentials of the calls that came, each once.
fn bearers(upstream: &Upstream) -> BTreeSet<String> {
    let requests = upstream.requests();
    let bearers = requests
        .iter()
        .filter_map(|request| request.header("authorization"));
    bearers.map(str::to_owned).collect()
}

/// Edits that are refused, by an answer that repeats no secret.
fn assert_refused(admin: &HttpClient) {
    for (body, words) in [
        (
            json!({"api_keys": {"d": {"weight": 2}}}),
            "no secret for `d`",
        ),
        (json!({"api_keys": {"d": null}}), "no key with the name `d`"),
        (
            json!({"api_keys": [{"name": "a b", "key": "sk-x"}]}),
            "name of a key",
        ),
        (json!({"api_keys": {"c": {"weight": 0}}}), "weight"),
        (json!({"api_keys": {"d": "env:HOME"}}), "configuration file"),
        (
            json!({"api_keys": ["sk-x"], "api_key": "sk-y"}),
            "both api_key and api_keys",
        ),
    ] {
        let refused = admin
            .patch("/v1/providers/lan", &body)
            .assert_status(400)
            .text();
        assert!(
            refused.contains(words) && !refused.contains("sk-"),
            "{refused}"
        );
    }
}

#[test]
fn several_api_keys_are_added_changed_and_removed_one_by_one() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::without_providers().start();
    let mut open = connections(&mut gatekeeper);
    let admin = gatekeeper.admin();
    let first = create(&admin, "providers", &provider(&upstream, &["n-small"]));
    assert_eq!(first["api_keys"][0]["name"], "api_key");
    let path = "/v1/providers/lan";
    let more = json!({"api_keys": {"b": {"key": "sk-second", "rpm": 1000}, "c": "sk-third"}});
    let shown = admin.patch(path, &more).assert_status(200).json();
    let names: Vec<String> = shown["api_keys"]
        .as_array()
        .expect("keys")
        .iter()
        .map(|key| text(key, "name"))
        .collect();
    assert_eq!(names, ["api_key", "b", "c"], "{shown}");
    assert_eq!(shown["credentials"].as_array().map(Vec::len), Some(3));
    upstream.forget_requests();
    assert_all(&mut open, "n-small", 200);
    let all = [SECRET, "sk-second", "sk-third"].map(|key| format!("Bearer {key}"));
    assert_eq!(bearers(&upstream), BTreeSet::from(all));
    let tested = admin.post("/v1/providers/lan/test", &json!({}));
    tested.assert_status(200);
    // the list replaces the keys; an entry without a secret keeps the stored one
    let fewer = json!({"api_keys": [{"name": "c", "weight": 5}]});
    let shown = admin.patch(path, &fewer).assert_status(200).json();
    assert_eq!(shown["members"]["api_keys"], fewer["api_keys"]);
    upstream.forget_requests();
    assert_all(&mut open, "n-small", 200);
    let third = "Bearer sk-third".to_owned();
    assert_eq!(bearers(&upstream), BTreeSet::from([third.clone()]));
    assert_refused(&admin);
    drop(open);
    gatekeeper.restart();
    let key = gatekeeper.key(&json!({"name": "again", "team": "eng"}));
    upstream.forget_requests();
    gatekeeper
        .user(&key)
        .chat(&call("n-small"))
        .assert_status(200);
    assert_eq!(bearers(&upstream), BTreeSet::from([third]));
    let told: String = events(&gatekeeper, "provider.change")
        .iter()
        .map(Value::to_string)
        .collect();
    for name in ["api_keys.b", "api_keys.c"] {
        assert!(told.contains(name), "{told}");
    }
    for secret in [SECRET, "sk-second", "sk-third"] {
        assert!(!told.contains(secret), "{told}");
    }
    assert_eq!(shown["credentials"].as_array().map(Vec::len), Some(1));
}

#[test]
fn command_line_adds_lists_and_removes_api_keys() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::without_providers().start();
    let mut open = connections(&mut gatekeeper);
    create(
        &gatekeeper.admin(),
        "providers",
        &provider(&upstream, &["n-small"]),
    );
    let done = |command: &str, input: &str| {
        let (code, text, errors) = run(&gatekeeper, command, input);
        assert_eq!(code, Some(0), "{command}: {text}{errors}");
        text
    };
    let text = done(
        "providers keys add lan second --weight 2 --rpm 900",
        "sk-second\n",
    );
    for part in ["added key second of provider lan", "api_key", "900"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("sk-second"), "{text}");
    let text = done("providers list", "");
    assert!(text.contains("2, sealed"), "{text}");
    done("providers keys update lan second --rpm none --weight 3", "");
    let text = done("providers keys list lan", "");
    assert!(text.contains('3') && !text.contains("RPM"), "{text}");
    done("providers keys remove lan api_key", "");
    upstream.forget_requests();
    assert_all(&mut open, "n-small", 200);
    assert_eq!(
        bearers(&upstream),
        BTreeSet::from(["Bearer sk-second".to_owned()])
    );
    let (code, _, errors) = run(&gatekeeper, "providers keys remove lan gone", "");
    assert!(
        code == Some(1) && errors.contains("no key with the name"),
        "{errors}"
    );
}
