//! Whom a call is filed under: its tag as it was sent, its user as a pseudonym; both in the record, neither upstream.

use serde_json::{Value, json};

use super::house::{BOTH, Chat, Dialect, House, Messages, refused_at};
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

fn asks(house: &House, dialect: Dialect, user: &str, tag: &str) -> Response {
    house
        .user()
        .with(TAG, tag)
        .post(dialect.path(), &of_user(dialect, user))
}

#[test]
fn tag_and_user_are_in_the_record_and_find_it_again() {
    let house = House::opens();
    for (dialect, user, tag) in [
        (Chat, "ann@example.com", "nightly"),
        (Messages, "ann@example.com", "batch:7"),
        (Chat, "bob", "nightly"),
    ] {
        asks(&house, dialect, user, tag).assert_status(200);
    }
    house.asks(Chat, false).assert_status(200);
    house.booked_all(4);
    let page = |query: &str| {
        house
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
    let unfiled = &house.gatekeeper.requests()[0];
    assert_eq!(
        (&unfiled["user"], &unfiled["tag"]),
        (&Value::Null, &Value::Null)
    );
    let id = rows[1]["id"].as_str().expect("an id");
    let explained = house.gatekeeper.run(&["requests", "explain", id]);
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(
        explained.contains("tag      nightly") && explained.contains(pseudonym),
        "{explained}"
    );
    let usage = house.gatekeeper.usage().to_string();
    assert!(
        !usage.contains("nightly") && !usage.contains(pseudonym),
        "{usage}"
    );
}

#[test]
fn a_tag_stays_here_and_a_users_name_is_nowhere_in_the_folder() {
    let mut house = House::opens();
    for dialect in BOTH {
        asks(
            &house,
            dialect,
            "ann-canary-77@example.com",
            "tag-canary-77",
        )
        .assert_status(200);
        let seen = house.upstream.last_request();
        assert_eq!(seen.header(TAG), None);
        assert!(
            !seen
                .head
                .headers
                .iter()
                .any(|(_, value)| value.contains("tag-canary-77")),
            "{:?}",
            seen.head
        );
        assert!(
            String::from_utf8_lossy(&seen.body).contains("ann-canary-77"),
            "the vendor is told as the client wrote it"
        );
    }
    house.gatekeeper.stop();
    let holds = |needle: &str| {
        let files = walk(&house.gatekeeper.folder().join("data"));
        files.iter().any(|file| {
            memchr::memmem::find(&std::fs::read(file).unwrap_or_default(), needle.as_bytes())
                .is_some()
        })
    };
    assert!(holds("tag-canary-77") && !holds("ann-canary-77"));
    assert!(!house.gatekeeper.all_output().contains("ann-canary-77"));
    house.gatekeeper.start();
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
fn what_is_no_tag_is_refused_and_goes_nowhere() {
    let house = House::opens();
    for dialect in BOTH {
        for tag in ["", "two words", "Größe", "tab\there", &"x".repeat(65)] {
            let answer = asks(&house, dialect, "ann", tag);
            refused_at(dialect, &answer, 400, "invalid_request_error", TAG);
        }
    }
    house.nothing_happened();
    asks(&house, Chat, "ann", &"x".repeat(64)).assert_status(200);
    house.booked();
}

#[test]
fn a_call_that_was_cut_off_by_a_kill_keeps_its_tag() {
    let mut house = House::opens();
    house.upstream.respond_with(Script::hangs());
    let mut connection = house.user().with(TAG, "nightly").connect();
    connection.send_request(
        "POST",
        Chat.path(),
        Some(of_user(Chat, "ann").to_string().as_bytes()),
    );
    wait_until("the call is held", || house.gatekeeper.holds_open() == 1);
    house.gatekeeper.kill_9();
    house.gatekeeper.start();
    let page = house
        .gatekeeper
        .admin()
        .get("/v1/requests?tag=nightly&user=ann")
        .json();
    assert_eq!(page["data"][0]["status"], json!("orphaned"), "{page}");
}
