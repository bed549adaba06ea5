//! Sign-ins in the audit log: successes and ends of sessions one by one, failures bounded, because strangers cause them.

use serde_json::{Value, json};

use super::recorded::list;
use crate::harness::client::{HttpClient, Response};
use crate::harness::process::Gatekeeper;
use crate::harness::wait_until;

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";

struct Fixture {
    gatekeeper: Gatekeeper,
}

impl Fixture {
    /// With the account of an owner, made by a link.
    fn new() -> Fixture {
        let gatekeeper = Gatekeeper::without_providers().start();
        let fixture = Fixture { gatekeeper };
        let link = fixture.gatekeeper.run(&["setup", "--json"]);
        let link: Value = serde_json::from_slice(&link.stdout).expect("a link");
        let path = link["path"].as_str().expect("a path");
        let token = path.split_once('#').expect("a secret").1;
        fixture.redeem(token).assert_status(200);
        fixture
    }

    fn browser(&self) -> HttpClient {
        self.gatekeeper.anon().with("sec-fetch-site", "same-origin")
    }

    fn redeem(&self, token: &str) -> Response {
        let body = json!({"token": token, "password": PASSWORD, "email": EMAIL, "name": "Ada"});
        self.browser().post("/v1/sign-in/link", &body)
    }

    fn sign_in(&self, email: &str, password: &str) -> Response {
        let body = json!({"email": email, "password": password});
        self.browser().post("/v1/sign-in", &body)
    }

    fn list(&self, query: &str) -> Vec<Value> {
        list(&self.gatekeeper, query)
    }

    /// Waits until there is an event, and returns all of them.
    fn await_events(&self, query: &str) -> Vec<Value> {
        wait_until("the event is recorded", || !self.list(query).is_empty());
        self.list(query)
    }
}

#[test]
fn session_start_and_end_are_events_with_address_and_request() {
    let fixture = Fixture::new();
    let signed_in = fixture.sign_in(EMAIL, PASSWORD);
    let cookie = signed_in.assert_status(200).header("set-cookie");
    let pair = cookie.expect("a cookie").split(';').next();
    let browser = fixture.browser().with("cookie", pair.expect("a pair"));
    browser.delete("/v1/session").assert_status(204);
    let starts = fixture.list("action=session.start");
    let by: Vec<&Value> = starts.iter().map(|event| &event["detail"]["by"]).collect();
    assert_eq!(by, ["password", "link"]);
    for event in &starts {
        assert_eq!(event["address"], "127.0.0.1", "{event}");
        let request = event["request"].as_str().expect("an id");
        assert!(request.starts_with("req_"), "{event}");
    }
    let ends = fixture.list("action=session.end");
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0]["actor"], starts[0]["actor"]);
}

#[test]
fn failed_sign_ins_are_events_for_the_first_of_each_kind_and_counted_after() {
    let mut fixture = Fixture::new();
    for number in 0..4 {
        fixture
            .sign_in(EMAIL, "not the password")
            .assert_status(401);
        let unknown = format!("eve{number}@example.com");
        fixture.sign_in(&unknown, PASSWORD).assert_status(401);
        fixture.redeem("no such link").assert_status(401);
    }
    let elsewhere = fixture
        .gatekeeper
        .anon()
        .with("sec-fetch-site", "cross-site");
    let body = json!({"email": EMAIL, "password": PASSWORD});
    elsewhere.post("/v1/sign-in", &body).assert_status(403);
    let of_user = fixture.await_events("action=sign_in.failed&subject=usr_*");
    assert_eq!(
        (&of_user[0]["actor"], &of_user[0]["detail"]["reason"]),
        (&json!("unknown"), &json!("wrong_password")),
        "a failure shows nothing about who tried"
    );
    assert_eq!(of_user[0]["address"], "127.0.0.1");
    let of_strangers = fixture.await_events("action=sign_in.failed&subject=127.0.0.1");
    let reasons: Vec<&Value> = of_strangers
        .iter()
        .map(|event| &event["detail"]["reason"])
        .collect();
    assert!(reasons.contains(&&json!("unknown_account")), "{reasons:?}");
    assert!(reasons.contains(&&json!("invalid_link")), "{reasons:?}");
    let denied = fixture.await_events("action=access.denied");
    assert_eq!(denied[0]["detail"]["reason"], "permission_denied");
    // at shutdown the rest of the minute is one event with their number
    fixture.gatekeeper.stop();
    fixture.gatekeeper.start();
    let rest = fixture.list("action=use.denied_unlisted");
    let counted: u64 = rest
        .iter()
        .filter_map(|event| event["detail"]["count"].as_u64())
        .sum();
    let listed = fixture.list("action=sign_in.failed").len() as u64;
    // three kinds, each perhaps in two minutes
    assert!((3..=6).contains(&listed), "{listed} events");
    assert_eq!(listed + counted, 12, "{rest:?}");
    let all = fixture.list("text=eve");
    assert!(all.is_empty(), "an unknown account is not named: {all:?}");
}

#[test]
fn throttled_address_is_an_event() {
    let fixture = Fixture::new();
    let refused = (0..120).find(|number| {
        let answer = fixture.sign_in(&format!("eve{number}@example.com"), PASSWORD);
        answer.status == 429
    });
    assert_eq!(refused, Some(50), "failures of an address in a window");
    let throttled = fixture.await_events("action=sign_in.throttled");
    assert_eq!(throttled[0]["subject"], "127.0.0.1");
    // links are no passwords, and the machine itself is the way back
    let link = fixture.gatekeeper.run(&["setup", "--reset", EMAIL]);
    assert!(link.status.success());
}
