//! `GET /v1/requests`: filters, cursors in both directions, and long polling for the next request.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider, text};
use crate::harness::script::Script;
use crate::harness::upstream::{ReceivedRequest, Upstream};
use crate::harness::{hello, wait_until};

struct Fixture {
    upstream: Upstream,
    gateway: InProcessGateway,
    keys: [Key; 2],
}

/// Two teams with a key each; the call of `m-large` fails and comes an hour later.
fn fixture() -> Fixture {
    let upstream = Upstream::start();
    upstream.respond_with(Script::from_request(|seen| {
        match seen.json()["model"].as_str() {
            Some("m-large") => Script::json(500, &json!({"error": {"message": "broken"}})),
            _ => model::with_usage(10, 20),
        }
    }));
    let setup =
        Gatekeeper::with_upstream(&upstream).provider(&Provider::anthropic("claude", &upstream));
    let mut gateway = setup.start_in_process();
    let keys = ["eng", "ops"].map(|name| {
        let team = gateway.team(&json!({"name": name}));
        gateway.key_of(&team)
    });
    for key in &keys {
        gateway.user(key).chat(&hello("m-small")).assert_status(200);
        gateway
            .user(key)
            .messages(&hello("c-small"))
            .assert_status(200);
    }
    gateway.advance_to("2026-11-23T11:00:00Z");
    gateway
        .user(&keys[0])
        .chat(&hello("m-large"))
        .assert_status(502);
    Fixture {
        upstream,
        gateway,
        keys,
    }
}

impl Fixture {
    fn page(&self, query: &str) -> Value {
        self.gateway
            .admin()
            .get(&format!("/v1/requests?{query}"))
            .assert_status(200)
            .json()
    }

    fn count(&self, query: &str) -> usize {
        self.page(query)["data"].as_array().expect("a list").len()
    }
}

#[test]
fn requests_filter_returns_matching_rows() {
    let fixture = fixture();
    let (first, second) = (&fixture.keys[0].id, &fixture.keys[1].id);
    for (query, expected) in [
        (String::new(), 5),
        (format!("key={first}"), 3),
        (format!("key={second}"), 2),
        (format!("key={first}&model=c-*"), 1),
        ("key=ops-key".into(), 2),
        ("team=eng".into(), 3),
        ("team=ops".into(), 2),
        ("model=m-small".into(), 2),
        ("model=m-*".into(), 3),
        ("provider=claude".into(), 2),
        ("status=upstream_error".into(), 1),
        (format!("status=upstream_error&key={second}"), 0),
        ("status=ok".into(), 4),
        ("status=broken".into(), 0),
        ("flag=orphaned".into(), 0),
        ("start=2026-11-23T10:30:00Z".into(), 1),
        ("end=2026-11-23T10:30:00Z".into(), 4),
        ("start=2026-11-24".into(), 0),
        (
            "start=2026-11-23&end=2026-11-24&team=ops&provider=up".into(),
            1,
        ),
    ] {
        assert_eq!(fixture.count(&query), expected, "{query}");
    }
    assert_eq!(
        fixture
            .gateway
            .admin()
            .get("/v1/requests?colour=blue")
            .status,
        400
    );
    let unknown = fixture.gateway.admin().get("/v1/requests?key=nobody");
    assert_eq!(unknown.status, 404);
}

/// The request arrives at 10:00 and is held at 10:05.
#[test]
fn requests_queued_request_is_listed_at_hold_time() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20).delay_ms(1_000));
    let mut gateway = Gatekeeper::with_upstream(&upstream)
        .setting("[limits]\nqueue_wait_s = 600")
        .start_in_process();
    // room for one call
    let team = gateway.team_with_budget("eng", "0.00055");
    let user = gateway.user(&gateway.key_of(&team));
    let mut call = hello("m-small");
    call["max_tokens"] = json!(40);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| user.chat(&call).assert_status(200).status);
        upstream.wait_for_requests(1);
        let second = scope.spawn(|| request_id(user.chat(&call).assert_status(200)));
        wait_until("the second call is queued", || {
            gateway.metric("gatekeeper_requests_waiting") == 1.0
        });
        gateway.advance_to("2026-11-23T10:05:00Z");
        first.join().expect("a caller");
        let id = second.join().expect("a caller");
        let page = gateway
            .admin()
            .get("/v1/requests?start=2026-11-23T10:04:00Z")
            .assert_status(200)
            .json();
        assert_eq!(
            (
                page["data"].as_array().map(Vec::len),
                &page["data"][0]["id"]
            ),
            (Some(1), &json!(id)),
            "{page}"
        );
    });
}

#[test]
fn requests_cursors_visit_every_row_once_in_both_directions() {
    let fixture = fixture();
    let walk = |direction: &str, start: &str| {
        let (mut ids, mut cursor) = (Vec::new(), start.to_owned());
        loop {
            let page = fixture.page(&format!("limit=2{cursor}"));
            let rows = page["data"].as_array().expect("a list").clone();
            ids.extend(rows.iter().map(|row| text(row, "id")));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&{direction}={next}"),
                None => return ids,
            }
        }
    };
    let mut backward = walk("before", "");
    let zero = format!("&after=req_{}", "0".repeat(26));
    let forward = walk("after", &zero);
    backward.reverse();
    assert_eq!((backward.len(), &backward), (5, &forward));
}

#[test]
fn requests_follow_returns_next_row_or_empty_page_at_timeout() {
    let fixture = fixture();
    let follow = text(&fixture.page("limit=1"), "follow");
    let start = Instant::now();
    let none = fixture.page(&format!("after={follow}&wait=1"));
    assert!(
        start.elapsed() >= Duration::from_secs(1) && none["data"] == json!([]),
        "{none}"
    );
    let next = text(&none, "next");
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| {
            (
                fixture.page(&format!("after={next}&wait=30&team=ops")),
                Instant::now(),
            )
        });
        wait_until("the follower waits", || {
            fixture.gateway.metric("gatekeeper_followers_waiting") >= 1.0
        });
        fixture
            .gateway
            .user(&fixture.keys[0])
            .chat(&hello("m-small"))
            .assert_status(200);
        let id = fixture
            .gateway
            .user(&fixture.keys[1])
            .chat(&hello("m-small"));
        let called = Instant::now();
        let (page, at) = follower.join().expect("a page");
        assert_eq!(
            page["data"][0]["id"],
            json!(id.header("x-gatekeeper-request-id"))
        );
        assert!(
            at.saturating_duration_since(called) < Duration::from_secs(20),
            "returned after {:?}",
            at - called
        );
    });
}

#[test]
fn requests_follow_disconnect_frees_slot() {
    let fixture = fixture();
    let follow = text(&fixture.page("limit=1"), "follow");
    let mut connection = fixture.gateway.admin().connect();
    connection.send_request("GET", &format!("/v1/requests?after={follow}&wait=30"), None);
    wait_until("the follower waits", || {
        fixture.gateway.metric("gatekeeper_followers_waiting") == 1.0
    });
    let left = Instant::now();
    connection.disconnect();
    wait_until("the follower is gone", || {
        fixture.gateway.metric("gatekeeper_followers_waiting") == 0.0
    });
    assert!(
        left.elapsed() < Duration::from_secs(20),
        "disconnect noticed after {:?}",
        left.elapsed()
    );
}

#[test]
fn requests_follow_returns_rows_in_order_of_completion() {
    let fixture = fixture();
    let holds = |seen: &ReceivedRequest| seen.json()["messages"][0]["content"] == "slow";
    fixture
        .upstream
        .respond_with(Script::from_request(move |seen| {
            model::with_usage(10, 20).delay_ms(if holds(seen) { 5_000 } else { 0 })
        }));
    let (before, user) = (
        fixture.upstream.request_count(),
        fixture.gateway.user(&fixture.keys[0]),
    );
    let mut follow = text(&fixture.page("limit=1"), "follow");
    let (slow, fast) = std::thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let mut body = hello("m-small");
            body["messages"][0]["content"] = json!("slow");
            request_id(&user.chat(&body))
        });
        fixture.upstream.wait_for_requests(before + 1);
        let fast = request_id(
            &fixture
                .gateway
                .user(&fixture.keys[1])
                .chat(&hello("m-small")),
        );
        let refused = request_id(
            &fixture
                .gateway
                .user(&fixture.keys[1])
                .chat(&hello("no-such-model")),
        );
        let mut ids = Vec::new();
        while ids.len() < 3 {
            let page = fixture.page(&format!("after={follow}&wait=20&limit=1"));
            assert_ne!(page["data"], json!([]), "no row in 20 s after {ids:?}");
            ids.extend(
                page["data"]
                    .as_array()
                    .expect("a list")
                    .iter()
                    .map(|row| text(row, "id")),
            );
            follow = text(&page, "next");
        }
        let slow = slow.join().expect("a caller");
        assert_eq!(ids.last(), Some(&slow), "the slow call ends last");
        assert!(ids.contains(&fast) && ids.contains(&refused), "{ids:?}");
        (slow, fast)
    });
    assert!(slow < fast, "the slow call starts first");
    let nothing = fixture.page(&format!("after={follow}"));
    assert_eq!(
        (&nothing["data"], &nothing["next"]),
        (&json!([]), &json!(follow))
    );
}

#[test]
fn requests_follow_cursor_before_restart_is_refused() {
    let mut fixture = fixture();
    let follow = text(&fixture.page("limit=1"), "follow");
    fixture.gateway.stop();
    fixture.gateway.start();
    let refused = fixture
        .gateway
        .admin()
        .get(&format!("/v1/requests?after={follow}&wait=5"));
    assert_eq!(
        refused.assert_status(400).json()["error"]["param"],
        json!("after")
    );
    assert!(
        refused
            .error_message()
            .contains("continue from its `follow`"),
        "{}",
        refused.error_message()
    );
}

fn request_id(answer: &Response) -> String {
    answer
        .header("x-gatekeeper-request-id")
        .expect("every response has a request id")
        .to_owned()
}

#[test]
fn requests_follow_on_shutdown_returns_empty_page() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let follow = text(
        &gatekeeper
            .admin()
            .get("/v1/requests?limit=1")
            .assert_status(200)
            .json(),
        "follow",
    );
    let admin = gatekeeper.admin();
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| admin.get(&format!("/v1/requests?after={follow}&wait=25")));
        wait_until("the follower waits", || {
            gatekeeper.metric("gatekeeper_followers_waiting") == 1.0
        });
        gatekeeper.signal(rustix::process::Signal::TERM);
        let page = follower
            .join()
            .expect("an answer")
            .assert_status(200)
            .json();
        assert_eq!((&page["data"], &page["next"]), (&json!([]), &json!(follow)));
    });
    assert_eq!(gatekeeper.wait_for_exit().code(), Some(0));
    gatekeeper.start();
}
