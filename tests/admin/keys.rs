//! Keys, teams and usage over the command line: through the local socket, and through a URL with an admin key.

use std::fs;

use serde_json::{Value, json};

use super::CommandOutput;
use crate::budget::call::Call;
use crate::harness::process::{Gatekeeper, Key};
use crate::harness::upstream::Upstream;

fn run(gatekeeper: &Gatekeeper, arguments: &[&str]) -> CommandOutput {
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
fn keys_create_in_missing_first_team_creates_team() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    run(&gatekeeper, &["keys", "list"])
        .assert_exit_code(0)
        .assert_stdout(&["no keys yet", "gatekeeper keys create --team"]);
    run(&gatekeeper, &["usage"])
        .assert_exit_code(0)
        .assert_stdout(&["no usage from 1 "]);
    let created = run(
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
    let created = created.assert_exit_code(0).assert_stdout(&[
        "created team eng, the first one",
        "laptop",
        "m-small",
        "$10.00/day",
        "shown only now",
    ]);
    let secret = created.word_with_prefix("sk-gk-");
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
    run(&gatekeeper, &["usage"])
        .assert_exit_code(0)
        .assert_stdout(&["TEAM", "eng", "m-small", "0.00011", "all"]);
    let usage = run(&gatekeeper, &["usage", "--json"])
        .assert_exit_code(0)
        .json();
    assert_eq!(
        (&usage["total"]["cost_usd"], &usage["data"][0]["team_name"]),
        (&json!("0.00011"), &json!("eng"))
    );
}

#[test]
fn keys_create_unknown_team_with_other_teams_is_refused() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    run(
        &gatekeeper,
        &["teams", "create", "engineering", "--budget", "$5/month"],
    )
    .assert_exit_code(0)
    .assert_stdout(&["engineering", "$5.00/month"]);
    run(&gatekeeper, &["teams", "create", "engineering"])
        .assert_exit_code(1)
        .assert_stderr(&["engineering", "already exists"]);
    let output = run(&gatekeeper, &["keys", "create", "--team", "enginering"]).assert_exit_code(1);
    output.assert_stderr(&[
        "unknown team `enginering`",
        "engineering",
        "gatekeeper teams create enginering",
    ]);
    run(&gatekeeper, &["teams", "list"])
        .assert_exit_code(0)
        .assert_stdout(&["engineering", "$5.00/month"]);
}

#[test]
fn verify_key_reports_same_verdict_as_call() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("eng", "10");
    let key = gatekeeper.key(&json!({"name": "laptop", "team": team.id, "models": ["m-*"]}));
    let output = run(&gatekeeper, &["verify", &key.secret])
        .assert_exit_code(0)
        .assert_stdout(&["valid: key laptop", "team eng", "m-large, m-small"]);
    assert!(!output.out.contains(&key.secret) && !output.err.contains(&key.secret));
    assert_eq!(
        run(&gatekeeper, &["verify", &key.secret, "--json"])
            .assert_exit_code(0)
            .json()["valid"],
        true
    );
    let admin_key = gatekeeper.admin_key.clone();
    run(&gatekeeper, &["verify", &admin_key])
        .assert_exit_code(0)
        .assert_stdout(&["administrative", "cannot call models"]);
    let mut mistyped = key.secret.clone();
    mistyped.pop();
    run(&gatekeeper, &["verify", &mistyped])
        .assert_exit_code(1)
        .assert_stderr(&["refused", "authentication_error"]);
    run(&gatekeeper, &["keys", "disable", &key.id])
        .assert_exit_code(0)
        .assert_stdout(&["disabled key laptop"]);
    run(&gatekeeper, &["verify", &key.secret])
        .assert_exit_code(1)
        .assert_stderr(&["disabled", "authentication_error"]);
    assert_eq!(
        run(&gatekeeper, &["verify", &key.secret, "--json"])
            .assert_exit_code(1)
            .json()["valid"],
        false
    );
}

#[test]
fn expired_key_returns_key_expired() {
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
    let status = gateway
        .admin()
        .post("/v1/keys/verify", &json!({"key": key.secret}))
        .json();
    assert_eq!(
        (&status["valid"], &status["code"]),
        (&json!(false), &json!("key_expired"))
    );
    gateway
        .admin()
        .patch(&format!("/v1/keys/{}", key.id), &json!({"expires": null}))
        .assert_status(200);
    gateway.user(&key).chat(&call()).assert_status(200);
}

#[test]
fn disabled_key_is_refused_on_next_request() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("eng", "10");
    let (key, other) = (
        gatekeeper.key_of(&team),
        gatekeeper.key(&json!({"name": "other", "team": team.id})),
    );
    let mut connection = gatekeeper.user(&key).connect();
    connection.chat(&call()).assert_status(200);
    run(&gatekeeper, &["keys", "disable", &key.id]).assert_exit_code(0);
    assert_eq!(
        connection.chat(&call()).assert_status(401).error_type(),
        "authentication_error"
    );
    gatekeeper.user(&other).chat(&call()).assert_status(200);
    run(&gatekeeper, &["keys", "disable", "key_999"])
        .assert_exit_code(1)
        .assert_stderr(&["unknown key `key_999`"]);
    run(&gatekeeper, &["keys", "disable", "../teams"])
        .assert_exit_code(1)
        .assert_stderr(&["unknown key `../"]);
}

#[test]
fn command_with_url_requires_admin_key() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let file = gatekeeper.folder().join("admin.key");
    fs::write(&file, &gatekeeper.admin_key).expect("the key can be written");
    let (url, file) = (gatekeeper.url(), file.display().to_string());
    let at_url = |arguments: &[&str]| {
        run(
            &gatekeeper,
            &[arguments, &["--url", &url, "--admin-key-file", &file]].concat(),
        )
    };
    let secret = at_url(&["keys", "create", "--team", "eng"])
        .assert_exit_code(0)
        .word_with_prefix("sk-gk-");
    user(&gatekeeper, &secret).chat(&call()).assert_status(200);
    at_url(&["keys", "list"])
        .assert_exit_code(0)
        .assert_stdout(&["eng", "active"]);
    let ops = at_url(&["keys", "create", "--admin", "--name", "ops"])
        .assert_exit_code(0)
        .assert_stdout(&["administrative key ops"]);
    let ops = ops.word_with_prefix("sk-gk-master-");
    at_url(&["verify", &ops]).assert_exit_code(0);
    run(&gatekeeper, &["usage", "--url", &url])
        .assert_exit_code(2)
        .assert_stderr(&["administrative key", "--admin-key-file"]);
    fs::write(&file, &secret).expect("the key can be written");
    run(
        &gatekeeper,
        &["usage", "--url", &url, "--admin-key-file", &file],
    )
    .assert_exit_code(1)
    .assert_stderr(&["is a virtual key and cannot administer"]);
    fs::write(&file, "sk-gk-master-nonsense").expect("the key can be written");
    run(
        &gatekeeper,
        &["usage", "--url", &url, "--admin-key-file", &file],
    )
    .assert_exit_code(1)
    .assert_stderr(&["checksum mismatch"]);
    // a disabled admin key is refused at once, also after a restart
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
    run(
        &gatekeeper,
        &["usage", "--url", &url, "--admin-key-file", &file],
    )
    .assert_exit_code(1)
    .assert_stderr(&["is disabled"]);
    gatekeeper.stop();
    gatekeeper.start();
    run(
        &gatekeeper,
        &["usage", "--url", &url, "--admin-key-file", &file],
    )
    .assert_exit_code(1)
    .assert_stderr(&["is disabled"]);
}

#[test]
fn keys_create_with_parent_creates_child_key() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team(&json!({"name": "eng"}));
    let parent = gatekeeper.key_of(&team);
    let created = run(
        &gatekeeper,
        &[
            "keys", "create", "--parent", &parent.id, "--budget", "$1/day",
        ],
    )
    .assert_exit_code(0);
    let created = created.assert_stdout(&[
        &format!("below eng-key ({})", parent.id),
        "created key eng-key-",
        "$1.00/day",
    ]);
    let secret = created.word_with_prefix("sk-gk-");
    user(&gatekeeper, &secret).chat(&call()).assert_status(200);
    run(&gatekeeper, &["keys", "list"])
        .assert_exit_code(0)
        .assert_stdout(&["(below eng-key)"]);
    run(&gatekeeper, &["keys", "create", "--parent", "key_999"])
        .assert_exit_code(1)
        .assert_stderr(&["unknown key `key_999`"]);
    run(&gatekeeper, &["keys", "create", "--parent", "../x"])
        .assert_exit_code(1)
        .assert_stderr(&["unknown key `../"]);
    run(
        &gatekeeper,
        &[
            "keys", "create", "--admin", "--name", "x", "--parent", &parent.id,
        ],
    )
    .assert_exit_code(2);
}
