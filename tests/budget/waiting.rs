//! Waiting for room: what fits once the holds of others settle waits for that, in a line that is bounded in length and
//! time, and a place in it is given up by whoever has no more use for it. The times are the product's own, so some tests
//! take them.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::call::Call;
use crate::harness::process::{Gatekeeper, Key, Provider, Team};
use crate::harness::script::Script;
use crate::harness::upstream::{ReceivedRequest, Upstream};
use crate::harness::{model, wait_until};

/// Micro-dollars a call of 40 tokens is held at, some 100 for its bytes included: two of them do not fit into LIMIT.
const LIMIT: &str = "0.00055";

struct House {
    upstream: Arc<Upstream>,
    gatekeeper: Gatekeeper,
    team: Team,
    key: Key,
}

impl House {
    fn new(limits: &str, script: Script) -> House {
        let upstream = Arc::new(Upstream::start());
        upstream.respond_with(script);
        let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
            .provider(&Provider::anthropic("claude", &upstream))
            .provider(
                &Provider::openai("gratis", &upstream)
                    .priced_by("free")
                    .models(&["m-gratis"]),
            )
            .setting(&format!("[limits]\n{limits}"))
            .start();
        let team = gatekeeper.team_with_budget("eng", LIMIT);
        let key = gatekeeper.key_of(&team);
        House {
            upstream,
            gatekeeper,
            team,
            key,
        }
    }

    /// A call that somebody else makes meanwhile.
    fn meanwhile(&self, key: &Key, body: &Value) -> thread::JoinHandle<(u16, String, Duration)> {
        let (user, body) = (self.gatekeeper.user(key), body.clone());
        thread::spawn(move || {
            let begun = Instant::now();
            let answer = user.chat(&body);
            (answer.status, answer.error_or_empty(), begun.elapsed())
        })
    }

    /// Takes all the room there is, for as long as the upstream's script lasts.
    fn holds_all(&self) -> thread::JoinHandle<(u16, String, Duration)> {
        let before = self.upstream.request_count();
        let holder = self.meanwhile(&self.key, &saying("hold"));
        self.upstream.wait_for_requests(before + 1);
        holder
    }

    fn waits_for_waiting(&self, count: usize) {
        wait_until(&format!("{count} requests wait"), || {
            self.gatekeeper.metric("gatekeeper_requests_waiting") == count as f64
        });
    }
}

impl crate::harness::client::Response {
    fn error_or_empty(&self) -> String {
        if self.status == 200 {
            String::new()
        } else {
            self.error_type()
        }
    }
}

fn saying(text: &str) -> Value {
    let mut body = Call::chat().at_most(40).body();
    body["messages"][0]["content"] = json!(text);
    body
}

fn said(seen: &ReceivedRequest) -> String {
    seen.json()["messages"][0]["content"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Answers at once, but who says `hold` only after so long.
fn holding_ms(ms: u64) -> Script {
    Script::from_request(move |seen| {
        model::with_usage(10, 20).delay_ms(if said(seen) == "hold" { ms } else { 0 })
    })
}

#[test]
fn what_fits_once_a_hold_settles_waits_and_is_served() {
    let house = House::new("", holding_ms(400));
    let holder = house.holds_all();
    let (status, error, took) = house
        .meanwhile(&house.key, &saying("next"))
        .join()
        .expect("a caller");
    assert_eq!((status, &*error), (200, ""));
    assert!(
        took > Duration::from_millis(100) && took < Duration::from_secs(2),
        "{took:?}"
    );
    assert_eq!(holder.join().expect("a caller").0, 200);
    assert_eq!(
        house.upstream.in_flight_max(),
        1,
        "both were never held at once"
    );
}

#[test]
fn who_waits_past_the_deadline_is_told_to_come_again() {
    let house = House::new("queue_wait_s = 1", holding_ms(5_000));
    let holder = house.holds_all();
    let begun = Instant::now();
    let answer = house.gatekeeper.user(&house.key).chat(&saying("next"));
    assert_eq!(answer.assert_status(429).error_type(), "budget_held");
    assert!(
        answer
            .error_message()
            .contains("the rest of the total budget bud_"),
        "{}",
        answer.error_message()
    );
    assert_eq!(
        answer
            .header("x-gatekeeper-budget-remaining-usd")
            .map(|left| left.parse::<f64>().is_ok()),
        Some(true)
    );
    assert!(
        answer
            .header("retry-after")
            .is_some_and(|seconds| seconds.parse::<u64>().is_ok())
    );
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(900) && took < Duration::from_secs(2),
        "{took:?}"
    );
    let messages = house
        .gatekeeper
        .user(&house.key)
        .messages(&Call::messages().at_most(40).body());
    assert_eq!(messages.assert_status(429).error_type(), "rate_limit_error");
    holder.join().expect("a caller");
    assert_eq!(house.upstream.request_count(), 1);
}

#[test]
fn a_full_line_says_so_at_once_and_who_hangs_up_leaves_its_place() {
    let house = House::new("queue_max = 1", holding_ms(1_500));
    let holder = house.holds_all();
    let mut waiter = house.gatekeeper.user(&house.key).connect();
    waiter.send_request(
        "POST",
        Call::chat().path(),
        Some(saying("leaves").to_string().as_bytes()),
    );
    house.waits_for_waiting(1);
    let begun = Instant::now();
    let turned_away = house.gatekeeper.user(&house.key).chat(&saying("too many"));
    assert_eq!(turned_away.assert_status(429).error_type(), "budget_held");
    assert!(
        begun.elapsed() < Duration::from_millis(500),
        "{:?}",
        begun.elapsed()
    );
    waiter.disconnect();
    house.waits_for_waiting(0);
    let (status, error, _) = house
        .meanwhile(&house.key, &saying("stays"))
        .join()
        .expect("a caller");
    assert_eq!((status, &*error), (200, ""));
    holder.join().expect("a caller");
    assert_eq!(
        house
            .upstream
            .requests()
            .iter()
            .map(|seen| said(seen))
            .collect::<Vec<_>>(),
        ["hold", "stays"]
    );
}

#[test]
fn a_revoked_key_waits_no_longer() {
    let house = House::new("", holding_ms(2_000));
    let other = house
        .gatekeeper
        .key(&json!({"name": "other", "team": house.team.id}));
    let holder = house.holds_all();
    let waiter = house.meanwhile(&other, &saying("revoked"));
    house.waits_for_waiting(1);
    house
        .gatekeeper
        .admin()
        .patch(
            &format!("/v1/keys/{}", other.id),
            &json!({"disabled": true}),
        )
        .assert_status(200);
    let (status, error, took) = waiter.join().expect("a caller");
    assert_eq!((status, &*error), (401, "authentication_error"));
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    holder.join().expect("a caller");
    assert_eq!(house.upstream.request_count(), 1);
}

#[test]
fn a_waiter_is_admitted_when_its_limit_is_raised() {
    let house = House::new("", holding_ms(3_000));
    let holder = house.holds_all();
    let waiter = house.meanwhile(&house.key, &saying("raised"));
    house.waits_for_waiting(1);
    let budgets = json!({"budgets": [{"limit": "1", "period": "total", "action": "block"}]});
    house
        .gatekeeper
        .admin()
        .patch(&format!("/v1/teams/{}", house.team.id), &budgets)
        .assert_status(200);
    let (status, _, took) = waiter.join().expect("a caller");
    assert_eq!(status, 200);
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    holder.join().expect("a caller");
}

#[test]
fn a_request_of_another_budget_is_not_held_up() {
    let mut house = House::new("", holding_ms(3_500));
    let other = house.gatekeeper.team_with_budget("other", LIMIT);
    let other = house.gatekeeper.key_of(&other);
    // a second way to another budget: the same key, a budget for other models
    let split = house.gatekeeper.team(&json!({"name": "split", "budgets": [
        {"limit": LIMIT, "model": "m-small"}, {"limit": "1", "model": "m-large"}]}));
    let split = house.gatekeeper.key_of(&split);
    let holders = [house.holds_all(), {
        let before = house.upstream.request_count();
        let holder = house.meanwhile(&split, &saying("hold"));
        house.upstream.wait_for_requests(before + 1);
        holder
    }];
    let waiters = [
        house.meanwhile(&house.key, &saying("a")),
        house.meanwhile(&split, &saying("b")),
    ];
    house.waits_for_waiting(2);
    // longer than those in line let others pass
    thread::sleep(Duration::from_millis(2_100));
    let large = {
        let mut body = saying("large");
        body["model"] = json!("m-large");
        body
    };
    for (key, body) in [(&other, saying("small")), (&split, large)] {
        let (status, _, took) = house.meanwhile(key, &body).join().expect("a caller");
        assert_eq!(status, 200);
        assert!(
            took < Duration::from_millis(500),
            "{body} took {took:?}: it was held up by a budget that is not its own"
        );
    }
    holders
        .into_iter()
        .chain(waiters)
        .for_each(|call| assert_eq!(call.join().expect("a caller").0, 200));
}

#[test]
fn smaller_requests_pass_for_two_seconds_then_the_first_in_line_goes_first() {
    let house = House::new("", holding_ms(6_000));
    let small = |text: &str| {
        let mut body = saying(text);
        body["max_tokens"] = json!(1);
        body
    };
    let holder = house.holds_all();
    let large = house.meanwhile(&house.key, &saying("large"));
    house.waits_for_waiting(1);
    let (status, _, took) = house
        .meanwhile(&house.key, &small("small 1"))
        .join()
        .expect("a caller");
    assert!(
        status == 200 && took < Duration::from_secs(3),
        "{status} {took:?}"
    );
    thread::sleep(Duration::from_millis(2_100));
    let late = house.meanwhile(&house.key, &small("small 2"));
    for call in [holder, large, late] {
        assert_eq!(call.join().expect("a caller").0, 200);
    }
    let order: Vec<String> = house
        .upstream
        .requests()
        .iter()
        .map(|seen| said(seen))
        .collect();
    assert_eq!(order, ["hold", "small 1", "large", "small 2"]);
}

/// A budget of another period is another budget: what waits is held in it, and in no other.
#[test]
fn a_budget_that_is_replaced_while_calls_wait_holds_for_them() {
    let house = House::new("", holding_ms(3_000));
    let holder = house.holds_all();
    let waiters: Vec<_> = (0..3)
        .map(|number| house.meanwhile(&house.key, &saying(&format!("waits {number}"))))
        .collect();
    house.waits_for_waiting(3);
    let budgets = json!({"budgets": [{"limit": LIMIT, "period": "daily"}]});
    house
        .gatekeeper
        .admin()
        .patch(&format!("/v1/teams/{}", house.team.id), &budgets)
        .assert_status(200);
    for waiter in waiters {
        let (status, error, took) = waiter.join().expect("a caller");
        assert!(
            status == 200 && took < Duration::from_secs(3),
            "{status} {error} {took:?}"
        );
    }
    assert_eq!(
        house.upstream.in_flight_max(),
        2,
        "one in the old budget, and one at once in the new"
    );
    holder.join().expect("a caller");
    house.gatekeeper.usage();
    let rows = house.gatekeeper.requests();
    let charged = rows
        .iter()
        .filter(|row| {
            row["charges"]
                .as_array()
                .is_some_and(|charges| charges.len() == 1)
        })
        .count();
    assert_eq!(charged, 4, "{rows:#?}");
    let team = house
        .gatekeeper
        .admin()
        .get(&format!("/v1/teams/{}", house.team.id))
        .assert_status(200)
        .json();
    assert_eq!(
        team["budgets"][0]["spent"], "0.00033",
        "three calls of $0.00011"
    );
}

#[test]
fn what_is_changed_above_a_waiter_is_changed_for_it() {
    let house = House::new("", holding_ms(4_000));
    let key = |name: &str| {
        house
            .gatekeeper
            .key(&json!({"name": name, "team": house.team.id}))
    };
    let keys = ["models", "budget", "limits"].map(key);
    let holder = house.holds_all();
    let waiters = keys
        .each_ref()
        .map(|key| house.meanwhile(key, &saying(&key.id)));
    house.waits_for_waiting(3);
    for (key, change) in keys.iter().zip([
        json!({"models": ["gpt-*"]}),
        json!({"budgets": [{"limit": "0.00001", "period": "daily"}]}),
        json!({"tpm": 1, "rpm": 1}),
    ]) {
        house
            .gatekeeper
            .admin()
            .patch(&format!("/v1/keys/{}", key.id), &change)
            .assert_status(200);
    }
    let [models, budget, limits] = waiters.map(|waiter| waiter.join().expect("a caller"));
    assert_eq!((models.0, &*models.1), (403, "model_not_allowed"));
    assert_eq!((budget.0, &*budget.1), (402, "budget_exceeded"));
    assert!(
        models.2 < Duration::from_secs(3) && budget.2 < Duration::from_secs(3),
        "{:?} {:?}",
        models.2,
        budget.2
    );
    assert_eq!((limits.0, &*limits.1), (200, ""));
    let again = house.gatekeeper.user(&keys[2]).chat(&saying("again"));
    assert_eq!(
        again.assert_status(429).error_type(),
        "rate_limit_exceeded",
        "the one that waited was counted"
    );
    holder.join().expect("a caller");
}

/// Once the first in line has waited for two seconds nobody passes it. That is no reason to let those wait whom no wait can help.
#[test]
fn behind_a_patient_waiter_nobody_waits_in_vain_or_without_need() {
    let house = House::new("queue_max = 1", holding_ms(6_000));
    let limited = house
        .gatekeeper
        .key(&json!({"name": "limited", "team": house.team.id, "tpm": 1000, "rpm": 1}));
    let mut small = saying("uses the minute up");
    small["max_tokens"] = json!(1);
    house
        .gatekeeper
        .user(&limited)
        .chat(&small)
        .assert_status(200);
    let holder = house.holds_all();
    let waiter = house.meanwhile(&house.key, &saying("waits"));
    house.waits_for_waiting(1);
    thread::sleep(Duration::from_millis(2_100));
    let (mut oversized, mut free) = (saying("oversized"), saying("free"));
    oversized["max_tokens"] = json!(100_000);
    free["model"] = json!("m-gratis");
    for (key, body, status, word) in [
        (&house.key, oversized, 402, "budget_exceeded"),
        (&limited, small, 429, "rate_limit_exceeded"),
        (&house.key, free, 200, ""),
        (&house.key, saying("would fit"), 429, "budget_held"),
    ] {
        let (answered, error, took) = house.meanwhile(key, &body).join().expect("a caller");
        assert_eq!((answered, &*error), (status, word), "{body}");
        assert!(took < Duration::from_secs(2), "{body} took {took:?}");
    }
    [holder, waiter]
        .into_iter()
        .for_each(|call| assert_eq!(call.join().expect("a caller").0, 200));
}

#[test]
fn a_stopping_process_lets_nobody_wait() {
    let mut house = House::new("", holding_ms(3_000));
    let holder = house.holds_all();
    let waiter = house.meanwhile(&house.key, &saying("waits"));
    house.waits_for_waiting(1);
    house.gatekeeper.signal(rustix::process::Signal::TERM);
    let (status, error, took) = waiter.join().expect("a caller");
    assert_eq!((status, &*error), (503, "shutting_down"));
    assert!(took < Duration::from_millis(2_500), "{took:?}");
    assert_eq!(
        holder.join().expect("a caller").0,
        200,
        "what runs may finish"
    );
    assert_eq!(house.gatekeeper.wait_for_exit().code(), Some(0));
    assert_eq!(house.upstream.request_count(), 1);
    house.gatekeeper.start();
}
