//! `GET /v1/requests`: filters, cursors in both directions, and waiting for the next request.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider, text};
use crate::harness::script::Script;
use crate::harness::upstream::{ReceivedRequest, Upstream};
use crate::harness::{hello, wait_until};

struct House {
    upstream: Upstream,
    gateway: InProcessGateway,
    keys: [Key; 2],
}

/// Two teams with a key each; `m-large` fails, and its calls come an hour later.
fn house() -> House {
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
    House {
        upstream,
        gateway,
        keys,
    }
}

impl House {
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
fn each_filter_keeps_what_it_says() {
    let house = house();
    let (first, second) = (&house.keys[0].id, &house.keys[1].id);
    for (query, expected) in [
        (String::new(), 5),
        (format!("key={first}"), 3),
        (format!("key={second}"), 2),
        (format!("key={first}&model=c-*"), 1),
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
        assert_eq!(house.count(&query), expected, "{query}");
    }
    assert_eq!(
        house.gateway.admin().get("/v1/requests?colour=blue").status,
        400
    );
}

/// It came at ten, and had its hold after five minutes in the line.
#[test]
fn a_request_that_waited_is_found_at_the_time_of_its_hold() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20).delay_ms(1_000));
    let mut gateway = Gatekeeper::with_upstream(&upstream)
        .setting("[limits]\nqueue_wait_s = 600")
        .start_in_process();
    // room for one of them
    let team = gateway.team_with_budget("eng", "0.00055");
    let user = gateway.user(&gateway.key_of(&team));
    let mut call = hello("m-small");
    call["max_tokens"] = json!(40);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| user.chat(&call).assert_status(200).status);
        upstream.wait_for_requests(1);
        let second = scope.spawn(|| text_of_id(user.chat(&call).assert_status(200)));
        wait_until("the second waits", || {
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
fn cursors_lead_back_and_forth_through_every_row_once() {
    let house = house();
    let walk = |direction: &str, start: &str| {
        let (mut ids, mut cursor) = (Vec::new(), start.to_owned());
        loop {
            let page = house.page(&format!("limit=2{cursor}"));
            let rows = page["data"].as_array().expect("a list").clone();
            ids.extend(rows.iter().map(|row| text(row, "id")));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&{direction}={next}"),
                None => return ids,
            }
        }
    };
    let mut back = walk("before", "");
    let zero = format!("&after=req_{}", "0".repeat(26));
    let forth = walk("after", &zero);
    back.reverse();
    assert_eq!((back.len(), &back), (5, &forth));
}

#[test]
fn a_follower_waits_for_the_next_request_and_no_longer_than_told() {
    let house = house();
    let follow = text(&house.page("limit=1"), "follow");
    let begun = Instant::now();
    let none = house.page(&format!("after={follow}&wait=1"));
    assert!(
        begun.elapsed() >= Duration::from_secs(1) && none["data"] == json!([]),
        "{none}"
    );
    let next = text(&none, "next");
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| {
            (
                house.page(&format!("after={next}&wait=20&team=ops")),
                Instant::now(),
            )
        });
        wait_until("somebody follows", || {
            house.gateway.metric("gatekeeper_followers_waiting") >= 1.0
        });
        house
            .gateway
            .user(&house.keys[0])
            .chat(&hello("m-small"))
            .assert_status(200);
        let id = house.gateway.user(&house.keys[1]).chat(&hello("m-small"));
        let called = Instant::now();
        let (page, at) = follower.join().expect("a page");
        assert_eq!(
            page["data"][0]["id"],
            json!(id.header("x-gatekeeper-request-id"))
        );
        assert!(
            at.saturating_duration_since(called) < Duration::from_secs(2),
            "told after {:?}",
            at - called
        );
    });
}

#[test]
fn a_follower_that_leaves_gives_its_place_back() {
    let house = house();
    let follow = text(&house.page("limit=1"), "follow");
    let mut connection = house.gateway.admin().connect();
    connection.send_request("GET", &format!("/v1/requests?after={follow}&wait=30"), None);
    wait_until("somebody follows", || {
        house.gateway.metric("gatekeeper_followers_waiting") == 1.0
    });
    let left = Instant::now();
    connection.disconnect();
    wait_until("nobody follows", || {
        house.gateway.metric("gatekeeper_followers_waiting") == 0.0
    });
    assert!(
        left.elapsed() < Duration::from_secs(2),
        "noticed after {:?}",
        left.elapsed()
    );
}

#[test]
fn a_follower_is_told_what_began_early_and_ended_late() {
    let house = house();
    let holds = |seen: &ReceivedRequest| seen.json()["messages"][0]["content"] == "slow";
    house
        .upstream
        .respond_with(Script::from_request(move |seen| {
            model::with_usage(10, 20).delay_ms(if holds(seen) { 5_000 } else { 0 })
        }));
    let (before, user) = (
        house.upstream.request_count(),
        house.gateway.user(&house.keys[0]),
    );
    let mut follow = text(&house.page("limit=1"), "follow");
    let (slow, fast) = std::thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let mut body = hello("m-small");
            body["messages"][0]["content"] = json!("slow");
            text_of_id(&user.chat(&body))
        });
        house.upstream.wait_for_requests(before + 1);
        let fast = text_of_id(&house.gateway.user(&house.keys[1]).chat(&hello("m-small")));
        let refused = text_of_id(
            &house
                .gateway
                .user(&house.keys[1])
                .chat(&hello("no-such-model")),
        );
        let mut told = Vec::new();
        while told.len() < 3 {
            let page = house.page(&format!("after={follow}&wait=20&limit=1"));
            assert_ne!(
                page["data"],
                json!([]),
                "nothing came in 20 s after {told:?}"
            );
            told.extend(
                page["data"]
                    .as_array()
                    .expect("a list")
                    .iter()
                    .map(|row| text(row, "id")),
            );
            follow = text(&page, "next");
        }
        let slow = slow.join().expect("a caller");
        assert_eq!(told.last(), Some(&slow), "it ended last");
        assert!(told.contains(&fast) && told.contains(&refused), "{told:?}");
        (slow, fast)
    });
    assert!(slow < fast, "it began first");
    let nothing = house.page(&format!("after={follow}"));
    assert_eq!(
        (&nothing["data"], &nothing["next"]),
        (&json!([]), &json!(follow))
    );
}

#[test]
fn a_follower_that_comes_back_after_a_restart_is_told_to_read_the_list() {
    let mut house = house();
    let follow = text(&house.page("limit=1"), "follow");
    house.gateway.stop();
    house.gateway.start();
    let refused = house
        .gateway
        .admin()
        .get(&format!("/v1/requests?after={follow}&wait=5"));
    assert_eq!(
        refused.assert_status(400).json()["error"]["param"],
        json!("after")
    );
    assert!(
        refused.error_message().contains("follow from its `follow`"),
        "{}",
        refused.error_message()
    );
}

fn text_of_id(answer: &Response) -> String {
    answer
        .header("x-gatekeeper-request-id")
        .expect("every answer has its id")
        .to_owned()
}

#[test]
fn who_waits_for_the_next_request_is_answered_when_the_process_stops() {
    let upstream = Upstream::start();
    let mut gatekeeper = crate::harness::process::Gatekeeper::with_upstream(&upstream).start();
    let follow = text(
        &gatekeeper
            .admin()
            .get("/v1/requests?limit=1")
            .assert_status(200)
            .json(),
        "follow",
    );
    let person = gatekeeper.admin();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| person.get(&format!("/v1/requests?after={follow}&wait=25")));
        wait_until("it waits", || {
            gatekeeper.metric("gatekeeper_followers_waiting") == 1.0
        });
        gatekeeper.signal(rustix::process::Signal::TERM);
        let page = waits.join().expect("an answer").assert_status(200).json();
        assert_eq!((&page["data"], &page["next"]), (&json!([]), &json!(follow)));
    });
    assert_eq!(gatekeeper.wait_for_exit().code(), Some(0));
    gatekeeper.start();
}
