//! Secrecy: neither the data folder nor the process log contains a usable credential or a prompt.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::budget::call::Call;
use crate::harness::process::{Gatekeeper, Key, UPSTREAM_KEY};
use crate::harness::upstream::Upstream;

/// All files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found
}

const PROMPT: &str = "canary-prompt-77";

/// Calls that are served, refused or malformed, all with the prompt.
fn make_calls(gatekeeper: &Gatekeeper, key: &Key) {
    let user = gatekeeper.user(key);
    let mut body = Call::chat().at_most(30).body();
    body["messages"][0]["content"] = json!(PROMPT);
    user.chat(&body).assert_status(200);
    body["stream"] = json!(true);
    user.chat(&body).assert_status(200);
    user.chat(&json!({"model": "nothing", "messages": [{"role": "user", "content": PROMPT}]}));
    user.get("/v1/usage").assert_status(403);
    gatekeeper
        .user(key)
        .with_x_api_key()
        .chat(&json!({"model": PROMPT}))
        .assert_status(400);
    gatekeeper
        .admin()
        .post("/v1/keys/verify", &json!({"key": key.secret}))
        .assert_status(200);
    gatekeeper.usage();
}

/// Files of the data folder and the output of the process, each with its name.
fn stored_bytes(gatekeeper: &Gatekeeper) -> Vec<(String, Vec<u8>)> {
    let read = |path: std::path::PathBuf| {
        let bytes = fs::read(&path).expect("a file can be read");
        (path.display().to_string(), bytes)
    };
    let output = gatekeeper.all_output().into_bytes();
    files(&gatekeeper.data)
        .into_iter()
        .map(read)
        .chain([("the process's output".to_owned(), output)])
        .collect()
}

#[test]
fn data_folder_and_log_contain_no_credential() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .ledger("segment_mb = 1")
        .start();
    let team = gatekeeper.team_with_budget("eng", "10");
    let key = gatekeeper.key_of(&team);
    let ops = gatekeeper
        .admin()
        .post("/v1/keys", &json!({"name": "ops", "admin": true}))
        .json();
    let ops = ops["key"].as_str().expect("a key").to_owned();
    make_calls(&gatekeeper, &key);
    assert_eq!(
        upstream.last_request().header("authorization"),
        Some(&*format!("Bearer {UPSTREAM_KEY}"))
    );
    gatekeeper.stop();
    let random = |secret: &str| secret.rsplit('-').next().expect("a random part").to_owned();
    let canaries = [
        key.secret.clone(),
        random(&key.secret),
        gatekeeper.admin_key.clone(),
        random(&gatekeeper.admin_key),
        ops,
        UPSTREAM_KEY.to_owned(),
        PROMPT.to_owned(),
    ];
    let stored = stored_bytes(&gatekeeper);
    assert!(stored.len() >= 3, "books, log and output exist");
    for canary in canaries {
        assert!(canary.len() >= 16, "`{canary}` may occur by chance");
        for (name, bytes) in &stored {
            assert!(
                memchr::memmem::find(bytes, canary.as_bytes()).is_none(),
                "{name} contains {canary}"
            );
        }
    }
}
