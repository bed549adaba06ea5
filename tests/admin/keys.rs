//! Keys, teams and usage over the command line, through the local socket and through a URL with an administrative key.

use std::fs;

use serde_json::{Value, json};

use super::Said;
use crate::budget::call::Call;
use crate::harness::process::{Gatekeeper, Key};
use crate::harness::upstream::Upstream;

fn runs(gatekeeper: &Gatekeeper, arguments: &[&str]) -> Said {
    gatekeeper.run(arguments).into()
}

fn call() -> Value {
    Call::chat().at_most(30).body()
}

fn user(gatekeeper: &Gatekeeper, secret: &str) -> crate::harness::client::HttpClient {
    gatekeeper.user(&Key {
        id: String::new(),
        secret: secret.to_owned(),
    })
}

#[test]
fn the_first_key_makes_its_team_and_works() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    runs(&gatekeeper, &["keys", "list"])
        .ends(0)
        .says(&["no keys yet", "gatekeeper keys create --team"]);
    runs(&gatekeeper, &["usage"])
        .ends(0)
        .says(&["no usage from 20"]);
    let made = runs(
        &gatekeeper,
        &[
            "keys",
            "create",
            "--team",
            "eng",
            "--models",
            "m-small,gpt-*",
            "--budget",
            "$10/day",
            "--expires",
            "7d",
            "--label",
            "laptop",
        ],
    );
    let made = made.ends(0).says(&[
        "created team eng, the first one",
        "laptop",
        "m-small",
        "$10 daily",
        "shown only now",
    ]);
    let secret = made.as_str("sk-gk-");
    user(&gatekeeper, &secret).chat(&call()).assert_status(200);
    let mut large = call();
    large["model"] = json!("m-large");
    assert_eq!(
        user(&gatekeeper, &secret)
            .chat(&large)
            .assert_status(403)
            .error_type(),
        "model_not_allowed"
    );
    let key = &gatekeeper.admin().get("/v1/keys").json()["data"][0];
    assert_eq!(
        (&key["name"], &key["models"]),
        (&json!("laptop"), &json!(["m-small", "gpt-*"]))
    );
    assert_eq!(
        (&key["budgets"][0]["limit"], &key["budgets"][0]["period"]),
        (&json!("10"), &json!("daily"))
    );
    assert!(key["expires_at"].is_string() && key.get("key").is_none());
    runs(&gatekeeper, &["usage"])
        .ends(0)
        .says(&["TEAM", "eng", "m-small", "0.00011", "all"]);
    let usage = runs(&gatekeeper, &["usage", "--json"]).ends(0).json();
    assert_eq!(
        (&usage["total"]["cost_usd"], &usage["data"][0]["team_name"]),
        (&json!("0.00011"), &json!("eng"))
    );
}

#[test]
fn a_team_that_is_not_there_is_a_typing_error_once_there_are_teams() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    runs(
        &gatekeeper,
        &["teams", "create", "engineering", "--budget", "$5/month"],
    )
    .ends(0)
    .says(&["engineering", "$5 monthly"]);
    runs(&gatekeeper, &["teams", "create", "engineering"])
        .ends(1)
        .complains(&["409", "engineering", "already exists"]);
    let refused = runs(&gatekeeper, &["keys", "create", "--team", "enginering"]).ends(1);
    refused.complains(&[
        "unknown team `enginering`",
        "engineering",
        "gatekeeper teams create enginering",
    ]);
    runs(&gatekeeper, &["teams", "list"])
        .ends(0)
        .says(&["engineering", "$5 monthly"]);
}

#[test]
fn a_key_is_verified_as_a_call_with_it_would_be() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("eng", "10");
    let key = gatekeeper.key(&json!({"name": "laptop", "team": team.id, "models": ["m-*"]}));
    let said = runs(&gatekeeper, &["verify", &key.secret]).ends(0).says(&[
        "valid: key laptop",
        "team eng",
        "m-large, m-small",
    ]);
    assert!(!said.out.contains(&key.secret) && !said.err.contains(&key.secret));
    assert_eq!(
        runs(&gatekeeper, &["verify", &key.secret, "--json"])
            .ends(0)
            .json()["valid"],
        true
    );
    let admin_key = gatekeeper.admin_key.clone();
    runs(&gatekeeper, &["verify", &admin_key])
        .ends(0)
        .says(&["administrative", "cannot call models"]);
    let mut mistyped = key.secret.clone();
    mistyped.pop();
    runs(&gatekeeper, &["verify", &mistyped])
        .ends(1)
        .complains(&["refused", "authentication_error"]);
    runs(&gatekeeper, &["keys", "disable", &key.id])
        .ends(0)
        .says(&["disabled key laptop"]);
    runs(&gatekeeper, &["verify", &key.secret])
        .ends(1)
        .complains(&["disabled", "authentication_error"]);
    assert_eq!(
        runs(&gatekeeper, &["verify", &key.secret, "--json"])
            .ends(1)
            .json()["valid"],
        false
    );
}

#[test]
fn an_expired_key_is_refused_by_its_own_word() {
    let upstream = Upstream::start();
    let mut gateway = Gatekeeper::with_upstream(&upstream)
        .ledger("segment_mb = 1")
        .start_in_process();
    let team = gateway.team_with_budget("eng", "10");
    let key = gateway.key(&json!({"name": "short", "team": team.id, "expires": "30m"}));
    gateway.user(&key).chat(&call()).assert_status(200);
    gateway.clock.advance_ms(30 * 60 * 1000 - 1);
    gateway.user(&key).chat(&call()).assert_status(200);
    gateway.clock.advance_ms(1);
    assert_eq!(
        gateway
            .user(&key)
            .chat(&call())
            .assert_status(401)
            .error_type(),
        "key_expired"
    );
    let verdict = gateway
        .admin()
        .post("/v1/keys/verify", &json!({"key": key.secret}))
        .json();
    assert_eq!(
        (&verdict["valid"], &verdict["code"]),
        (&json!(false), &json!("key_expired"))
    );
    gateway
        .admin()
        .patch(&format!("/v1/keys/{}", key.id), &json!({"expires": null}))
        .assert_status(200);
    gateway.user(&key).chat(&call()).assert_status(200);
}

#[test]
fn a_disabled_key_is_dead_on_the_next_request() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("eng", "10");
    let (key, other) = (
        gatekeeper.key_of(&team),
        gatekeeper.key(&json!({"name": "other", "team": team.id})),
    );
    let mut connection = gatekeeper.user(&key).connect();
    connection.chat(&call()).assert_status(200);
    runs(&gatekeeper, &["keys", "disable", &key.id]).ends(0);
    assert_eq!(
        connection.chat(&call()).assert_status(401).error_type(),
        "authentication_error"
    );
    gatekeeper.user(&other).chat(&call()).assert_status(200);
    runs(&gatekeeper, &["keys", "disable", "key_999"])
        .ends(1)
        .complains(&["404", "key_999"]);
    runs(&gatekeeper, &["keys", "disable", "../teams"])
        .ends(2)
        .complains(&["by its id"]);
}

#[test]
fn over_a_url_the_same_is_done_with_an_administrative_key() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let file = gatekeeper.folder().join("admin.key");
    fs::write(&file, &gatekeeper.admin_key).expect("the key can be written");
    let (url, file) = (gatekeeper.url(), file.display().to_string());
    let at_url = |arguments: &[&str]| {
        runs(
            &gatekeeper,
            &[arguments, &["--url", &url, "--admin-key-file", &file]].concat(),
        )
    };
    let secret = at_url(&["keys", "create", "--team", "eng"])
        .ends(0)
        .as_str("sk-gk-");
    user(&gatekeeper, &secret).chat(&call()).assert_status(200);
    at_url(&["keys", "list"]).ends(0).says(&["eng", "active"]);
    let ops = at_url(&["keys", "create", "--admin", "--name", "ops"])
        .ends(0)
        .says(&["administrative key ops"]);
    let ops = ops.as_str("sk-gk-master-");
    at_url(&["verify", &ops]).ends(0);
    runs(&gatekeeper, &["usage", "--url", &url])
        .ends(2)
        .complains(&["administrative key", "--admin-key-file"]);
    fs::write(&file, &secret).expect("the key can be written");
    runs(
        &gatekeeper,
        &["usage", "--url", &url, "--admin-key-file", &file],
    )
    .ends(1)
    .complains(&["403"]);
    fs::write(&file, "sk-gk-master-nonsense").expect("the key can be written");
    runs(
        &gatekeeper,
        &["usage", "--url", &url, "--admin-key-file", &file],
    )
    .ends(1)
    .complains(&["401"]);
    // an administrative key can be taken away, and is dead at once
    fs::write(&file, &ops).expect("the key can be written");
    let key = gatekeeper.admin().get("/v1/keys?admin=true").json()["data"]
        .as_array()
        .and_then(|keys| keys.last().cloned());
    let id = key.expect("a key")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    gatekeeper
        .admin()
        .patch(&format!("/v1/keys/{id}"), &json!({"disabled": true}))
        .assert_status(200);
    runs(
        &gatekeeper,
        &["usage", "--url", &url, "--admin-key-file", &file],
    )
    .ends(1)
    .complains(&["401"]);
    gatekeeper.stop();
    gatekeeper.start();
    runs(
        &gatekeeper,
        &["usage", "--url", &url, "--admin-key-file", &file],
    )
    .ends(1)
    .complains(&["401"]);
}

#[test]
fn the_command_line_makes_a_key_below_another() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team(&json!({"name": "eng"}));
    let parent = gatekeeper.key_of(&team);
    let made = runs(
        &gatekeeper,
        &[
            "keys", "create", "--parent", &parent.id, "--budget", "$1/day",
        ],
    )
    .ends(0);
    let made = made.says(&[
        &format!("below eng-key ({})", parent.id),
        "created key eng-key-",
        "$1 daily",
    ]);
    let secret = made.as_str("sk-gk-");
    user(&gatekeeper, &secret).chat(&call()).assert_status(200);
    runs(&gatekeeper, &["keys", "list"])
        .ends(0)
        .says(&[&format!("(below {})", parent.id)]);
    runs(&gatekeeper, &["keys", "create", "--parent", "key_999"])
        .ends(1)
        .complains(&["404", "key_999"]);
    runs(&gatekeeper, &["keys", "create", "--parent", "../x"])
        .ends(2)
        .complains(&["by its id"]);
    runs(
        &gatekeeper,
        &[
            "keys", "create", "--admin", "--name", "x", "--parent", &parent.id,
        ],
    )
    .ends(2);
}
