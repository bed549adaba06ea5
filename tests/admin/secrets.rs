//! Whoever steals the data folder gets no usable credential, and the log of the process has none either.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::budget::call::Call;
use crate::harness::process::{Gatekeeper, UPSTREAM_KEY};
use crate::harness::upstream::Upstream;

/// Every file below a folder.
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

#[test]
fn no_file_of_the_data_folder_and_no_line_of_the_log_has_a_credential() {
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
    let prompt = "canary-prompt-77";
    let mut body = Call::chat().at_most(30).body();
    body["messages"][0]["content"] = json!(prompt);
    gatekeeper.user(&key).chat(&body).assert_status(200);
    body["stream"] = json!(true);
    gatekeeper.user(&key).chat(&body).assert_status(200);
    gatekeeper
        .user(&key)
        .with_x_api_key()
        .chat(&json!({"model": prompt}))
        .assert_status(400);
    gatekeeper
        .user(&key)
        .chat(&json!({"model": "nothing", "messages": [{"role": "user", "content": prompt}]}));
    gatekeeper
        .admin()
        .post("/v1/keys/verify", &json!({"key": key.secret}))
        .assert_status(200);
    gatekeeper.user(&key).get("/v1/usage").assert_status(403);
    gatekeeper.usage();
    assert_eq!(
        upstream.last_request().header("authorization"),
        Some(&*format!("Bearer {UPSTREAM_KEY}"))
    );
    gatekeeper.stop();
    let random = |secret: &str| secret.rsplit('-').next().expect("a random part").to_owned();
    let secrets = [
        key.secret.clone(),
        random(&key.secret),
        gatekeeper.admin_key.clone(),
        random(&gatekeeper.admin_key),
        ops.clone(),
    ];
    let canaries = secrets
        .iter()
        .map(String::as_str)
        .chain([UPSTREAM_KEY, prompt]);
    let stored: Vec<(String, Vec<u8>)> = files(&gatekeeper.data)
        .into_iter()
        .map(|path| {
            (
                path.display().to_string(),
                fs::read(&path).expect("a file can be read"),
            )
        })
        .chain([(
            "the process's output".to_owned(),
            gatekeeper.all_output().into_bytes(),
        )])
        .collect();
    assert!(stored.len() >= 3, "books, log and output are there");
    for canary in canaries {
        assert!(canary.len() >= 16, "`{canary}` could stand there by chance");
        for (name, bytes) in &stored {
            assert!(
                memchr::memmem::find(bytes, canary.as_bytes()).is_none(),
                "{name} has {canary}"
            );
        }
    }
}
