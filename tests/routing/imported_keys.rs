//! `gatekeeper import litellm-keys`: clients of LiteLLM keep their keys. The calls have the headers of the official SDKs.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::client::{HttpClient, anon};
use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Gatekeeper, Provider, gatekeeper_command};
use crate::harness::upstream::Upstream;

const SECRET: &str = "sk-Xq3mN8vT2bL5wR9yAb3x";

fn sha256(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn start(upstream: &Upstream, claude: &Upstream) -> InProcessGateway {
    let setup = Gatekeeper::without_providers()
        .provider(&Provider::openai("up", upstream))
        .provider(&Provider::anthropic("claude", claude));
    setup.start_in_process()
}

/// Rows as `/key/list?return_full_object=true` answers them.
fn export(rows: &[Value]) -> String {
    json!({ "keys": rows, "total_count": rows.len(), "current_page": 1,
        "teams": [{ "team_id": "9b1d-e8", "team_alias": "support", "max_budget": 100.0, "budget_duration": "30d" }] })
    .to_string()
}

fn row(secret: &str, alias: &str) -> Value {
    json!({ "token": sha256(secret), "key_name": format!("sk-...{}", &secret[secret.len() - 4..]), "key_alias": alias,
        "spend": 0.0, "expires": null, "models": [], "aliases": {}, "config": {}, "permissions": {}, "metadata": {},
        "team_id": "9b1d-e8", "user_id": "ann", "max_parallel_requests": null, "tpm_limit": null, "rpm_limit": null,
        "max_budget": null, "budget_duration": null, "blocked": null })
}

/// Exit code, standard output and standard error.
fn import(gateway: &InProcessGateway, file: &Path, flags: &[&str]) -> (i32, String, String) {
    let output = gatekeeper_command()
        .args(["import", "litellm-keys"])
        .arg(file)
        .args(["--url", &gateway.url()])
        .args(flags)
        .env("GATEKEEPER_ADMIN_KEY", &gateway.admin_key)
        .env("LITELLM_MASTER_KEY", "sk-the-master-key")
        .output()
        .expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Imports rows with the command.
fn import_rows(gateway: &InProcessGateway, rows: &[Value], flags: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.json");
    std::fs::write(&file, export(rows)).expect("written");
    let (code, stdout, stderr) = import(gateway, &file, flags);
    assert_eq!(code, 0, "{stdout}{stderr}");
    stdout
}

/// Headers of the OpenAI SDK for Python.
fn openai_sdk(gateway: &InProcessGateway, secret: &str) -> HttpClient {
    anon(gateway.address())
        .with("authorization", &format!("Bearer {secret}"))
        .with("accept", "application/json")
        .with("user-agent", "OpenAI/Python 1.109.1")
        .with("x-stainless-lang", "python")
        .with("x-stainless-package-version", "1.109.1")
        .with("x-stainless-runtime", "CPython")
        .with("x-stainless-async", "false")
        .with("x-stainless-retry-count", "0")
        .with("x-stainless-read-timeout", "600")
}

/// Headers of the Anthropic SDK for TypeScript.
fn anthropic_sdk(gateway: &InProcessGateway, secret: &str) -> HttpClient {
    anon(gateway.address())
        .with("x-api-key", secret)
        .with("accept", "application/json")
        .with("anthropic-version", "2023-06-01")
        .with("user-agent", "Anthropic/JS 0.65.0")
        .with("x-stainless-lang", "js")
        .with("x-stainless-retry-count", "0")
        .with("x-stainless-timeout", "600")
}

fn chat() -> Value {
    json!({"model": "up/m-small", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]})
}

fn message() -> Value {
    json!({"model": "claude/c-small", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]})
}

fn key_named(gateway: &InProcessGateway, name: &str) -> Value {
    let list = gateway.admin().get(&format!("/v1/keys?name={name}"));
    list.assert_status(200).json()["data"][0].clone()
}

#[test]
fn imported_key_works_with_the_headers_of_both_sdks_and_after_a_restart() {
    let (upstream, claude) = (Upstream::start(), Upstream::start());
    let mut gateway = start(&upstream, &claude);
    openai_sdk(&gateway, SECRET)
        .post("/v1/chat/completions", &chat())
        .assert_status(401);
    let text = import_rows(&gateway, &[row(SECRET, "chatbot")], &[]);
    assert!(
        text.contains("created team support\n1 keys imported"),
        "{text}"
    );
    for _ in 0..2 {
        openai_sdk(&gateway, SECRET)
            .post("/v1/chat/completions", &chat())
            .assert_status(200);
        anthropic_sdk(&gateway, SECRET)
            .post("/v1/messages", &message())
            .assert_status(200);
        let list = openai_sdk(&gateway, SECRET).get("/v1/models");
        assert!(list.assert_status(200).text().contains("m-small"));
        gateway.stop();
        gateway.start();
    }
    // one character more or less is another key
    for wrong in [
        &SECRET[..SECRET.len() - 1],
        "sk-Xq3mN8vT2bL5wR9yAb3xx",
        &sha256(SECRET),
    ] {
        openai_sdk(&gateway, wrong)
            .post("/v1/chat/completions", &chat())
            .assert_status(401);
    }
    let key = key_named(&gateway, "chatbot");
    assert_eq!(
        (&key["imported"], &key["hint"]),
        (&json!(true), &json!("Ab3x"))
    );
    let team = gateway.admin().get("/v1/teams").json()["data"][0].clone();
    assert_eq!(
        (&team["name"], &team["budgets"][0]["period"]),
        (&json!("support"), &json!("monthly"))
    );
    // neither the secret nor its SHA-256 is stored
    let books = std::fs::read(gateway.data().join("gatekeeper.redb")).expect("the books");
    let hash: [u8; 32] = Sha256::digest(SECRET.as_bytes()).into();
    assert!(!books.windows(32).any(|window| window == hash));
    assert!(
        !books
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes())
    );
}

#[test]
fn imported_key_keeps_budget_and_spend_and_the_import_can_be_repeated() {
    let (upstream, claude) = (Upstream::start(), Upstream::start());
    let gateway = start(&upstream, &claude);
    let mut spent = row(SECRET, "spent");
    spent["max_budget"] = json!(5.0);
    spent["budget_duration"] = json!("30d");
    spent["spend"] = json!(4.99999999);
    let mut fresh = row("sk-another-secret-0001", "fresh");
    fresh["max_budget"] = json!(5);
    fresh["spend"] = json!(1.5);
    let rows = [spent, fresh];
    import_rows(&gateway, &rows, &[]);
    let refused = openai_sdk(&gateway, SECRET).post("/v1/chat/completions", &chat());
    assert_eq!(refused.assert_status(402).error_type(), "budget_exceeded");
    openai_sdk(&gateway, "sk-another-secret-0001")
        .post("/v1/chat/completions", &chat())
        .assert_status(200);
    let budget = &key_named(&gateway, "spent")["budgets"][0];
    assert_eq!(
        (&budget["period"], &budget["spent"]),
        (&json!("monthly"), &json!("4.99999999"))
    );
    let text = import_rows(&gateway, &rows, &[]);
    assert!(
        text.contains("0 keys imported, 2 imported before, 0 left out"),
        "{text}"
    );
    gateway.assert_books_agree();
}

#[test]
fn imported_master_key_is_left_out_and_flags_set_team_and_end() {
    let (upstream, claude) = (Upstream::start(), Upstream::start());
    let gateway = start(&upstream, &claude);
    let mut homeless = row("sk-no-team-at-all-0002", "homeless");
    homeless["team_id"] = Value::Null;
    let rows = [
        row("sk-the-master-key", "master"),
        row("sk-1234", "example"),
        row(&gateway.admin_key, "ours"),
        homeless,
    ];
    let text = import_rows(&gateway, &rows, &["--dry-run", "--team", "others"]);
    assert!(
        text.contains("2 keys to import, 0 imported before, 2 left out"),
        "{text}"
    );
    let text = import_rows(
        &gateway,
        &rows,
        &["--team", "others", "--expires", "2027-01-01T00:00:00Z"],
    );
    assert!(
        text.contains("1 keys imported, 0 imported before, 3 left out"),
        "{text}"
    );
    assert!(
        text.contains("an administrative key is never imported"),
        "{text}"
    );
    assert!(
        !text.contains("sk-the-master-key") && !text.contains(&sha256("sk-1234")),
        "{text}"
    );
    let key = key_named(&gateway, "homeless");
    assert_eq!(key["expires_at"], "2027-01-01T00:00:00Z");
    gateway.advance_to("2027-01-01T00:00:01Z");
    let expired =
        openai_sdk(&gateway, "sk-no-team-at-all-0002").post("/v1/chat/completions", &chat());
    assert_eq!(expired.assert_status(401).error_type(), "key_expired");
}

#[test]
fn imported_secret_of_a_rotated_key_works_until_the_grace_period_ends() {
    let (upstream, claude) = (Upstream::start(), Upstream::start());
    let gateway = start(&upstream, &claude);
    import_rows(&gateway, &[row(SECRET, "chatbot")], &[]);
    let id = key_named(&gateway, "chatbot")["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let rotated = gateway
        .admin()
        .post(&format!("/v1/keys/{id}/rotate"), &json!({"grace": "1h"}));
    let rotated = rotated.assert_status(200).json();
    let own = rotated["key"].as_str().expect("a secret");
    assert_eq!(rotated["imported"], false);
    for secret in [own, SECRET] {
        openai_sdk(&gateway, secret)
            .post("/v1/chat/completions", &chat())
            .assert_status(200);
    }
    gateway.advance_to("2026-11-23T11:00:01Z");
    openai_sdk(&gateway, own)
        .post("/v1/chat/completions", &chat())
        .assert_status(200);
    openai_sdk(&gateway, SECRET)
        .post("/v1/chat/completions", &chat())
        .assert_status(401);
    let gone = gateway.admin().delete(&format!("/v1/keys/{id}"));
    gone.assert_status(204);
    // the secret of a deleted key can be imported anew
    import_rows(&gateway, &[row(SECRET, "chatbot")], &[]);
    openai_sdk(&gateway, SECRET)
        .post("/v1/chat/completions", &chat())
        .assert_status(200);
}
