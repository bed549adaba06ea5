//! Attribution of a call: its tag as sent and its user as a pseudonym, both in the record. The tag is not forwarded.

use serde_json::{Value, json};

use super::fixture::{BOTH, Chat, Dialect, Fixture, Messages, assert_refusal_at};
use crate::harness::client::Response;
use crate::harness::script::Script;
use crate::harness::wait_until;

const TAG: &str = "x-gatekeeper-tag";

fn of_user(dialect: Dialect, user: &str) -> Value {
    let mut body = dialect.body();
    match dialect {
        Chat => body["user"] = json!(user),
        Messages => body["metadata"] = json!({"user_id": user}),
    }
    body
}

fn send(fixture: &Fixture, dialect: Dialect, user: &str, tag: &str) -> Response {
    fixture
        .user()
        .with(TAG, tag)
        .post(dialect.path(), &of_user(dialect, user))
}

#[test]
fn request_log_tag_and_user_are_recorded_and_filter() {
    let fixture = Fixture::new();
    // Anthropic takes no e-mail address, and tells its clients so itself
    fixture.upstream.accepting();
    for (dialect, user, tag) in [
        (Chat, "ann@example.com", "nightly"),
        (Messages, "ann@example.com", "batch:7"),
        (Chat, "bob", "nightly"),
    ] {
        send(&fixture, dialect, user, tag).assert_status(200);
    }
    fixture.call(Chat, false).assert_status(200);
    fixture.assert_recorded_calls(4);
    let page = |query: &str| {
        fixture
            .gatekeeper
            .admin()
            .get(&format!("/v1/requests?{query}"))
            .assert_status(200)
            .json()["data"]
            .clone()
    };
    for (query, expected) in [
        ("tag=nightly", 2),
        ("tag=batch:7", 1),
        ("tag=NIGHTLY", 0),
        ("user=ann@example.com", 2),
        ("user=ann%40example.com&tag=nightly", 1),
        ("user=bob", 1),
        ("user=carl", 0),
        ("", 4),
    ] {
        assert_eq!(
            page(query).as_array().map(Vec::len),
            Some(expected),
            "{query}"
        );
    }
    let rows = page("user=ann@example.com");
    let pseudonym = rows[0]["user"].as_str().expect("a pseudonym");
    assert!(
        pseudonym.len() == 16 && pseudonym.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{pseudonym}"
    );
    assert_eq!(
        (&rows[0]["user"], &rows[0]["tag"]),
        (&rows[1]["user"], &json!("batch:7"))
    );
    assert_ne!(page("user=bob")[0]["user"], rows[0]["user"]);
    let unfiled = &fixture.gatekeeper.requests()[0];
    assert_eq!(
        (&unfiled["user"], &unfiled["tag"]),
        (&Value::Null, &Value::Null)
    );
    let id = rows[1]["id"].as_str().expect("an id");
    let explained = fixture.gatekeeper.run(&["requests", "explain", id]);
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(
        explained.contains("tag      nightly") && explained.contains(pseudonym),
        "{explained}"
    );
    let usage = fixture.gatekeeper.usage().to_string();
    assert!(
        !usage.contains("nightly") && !usage.contains(pseudonym),
        "{usage}"
    );
}

#[test]
fn tag_is_not_forwarded_and_user_name_is_not_stored() {
    let mut fixture = Fixture::new();
    fixture.upstream.accepting();
    for dialect in BOTH {
        send(
            &fixture,
            dialect,
            "ann-canary-77@example.com",
            "tag-canary-77",
        )
        .assert_status(200);
        let request = fixture.upstream.last_request();
        assert_eq!(request.header(TAG), None);
        assert!(
            !request
                .head
                .headers
                .iter()
                .any(|(_, value)| value.contains("tag-canary-77")),
            "{:?}",
            request.head
        );
        assert!(
            String::from_utf8_lossy(&request.body).contains("ann-canary-77"),
            "the vendor gets the user unchanged"
        );
    }
    fixture.gatekeeper.stop();
    let holds = |needle: &str| {
        let files = walk(&fixture.gatekeeper.folder().join("data"));
        files.iter().any(|file| {
            memchr::memmem::find(&std::fs::read(file).unwrap_or_default(), needle.as_bytes())
                .is_some()
        })
    };
    assert!(holds("tag-canary-77") && !holds("ann-canary-77"));
    assert!(!fixture.gatekeeper.all_output().contains("ann-canary-77"));
    fixture.gatekeeper.start();
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn tag_invalid_is_refused_before_upstream() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        for tag in ["", "two words", "Größe", "tab\there", &"x".repeat(65)] {
            let response = send(&fixture, dialect, "ann", tag);
            assert_refusal_at(dialect, &response, 400, "invalid_request_error", TAG);
        }
    }
    fixture.assert_no_call();
    send(&fixture, Chat, "ann", &"x".repeat(64)).assert_status(200);
    fixture.assert_recorded();
}

#[test]
fn tag_of_killed_call_is_kept() {
    let mut fixture = Fixture::new();
    fixture.upstream.respond_with(Script::hangs());
    let mut connection = fixture.user().with(TAG, "nightly").connect();
    connection.send_request(
        "POST",
        Chat.path(),
        Some(of_user(Chat, "ann").to_string().as_bytes()),
    );
    wait_until("the call is held", || fixture.gatekeeper.holds_open() == 1);
    fixture.gatekeeper.kill_9();
    fixture.gatekeeper.start();
    let page = fixture
        .gatekeeper
        .admin()
        .get("/v1/requests?tag=nightly&user=ann")
        .json();
    assert_eq!(page["data"][0]["status"], json!("orphaned"), "{page}");
}
