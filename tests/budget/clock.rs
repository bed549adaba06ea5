//! Wall clocks that jump: no window is minted, no request is lost, and the books say at what time things happened. A jump
//! is believed after ten steady minutes or by command, and what was spent stays spent whichever way time went.

use serde_json::{Value, json};

use crate::harness::hello;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Team, gatekeeper_command, text};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
/// Ten years, two leap days and a half included.
const DECADE_MS: i64 = 87_660 * HOUR_MS;

/// A call of 110 micro-dollars; three of them fit into a day.
const DAY_LIMIT: &str = "0.0005";
const FIT: usize = 3;

struct House {
    upstream: Upstream,
    gateway: InProcessGateway,
    team: Team,
    /// of the team whose days are limited
    key: Key,
    /// of a team without a budget
    free: Key,
}

impl House {
    /// Half an hour before midnight, with the day's budget spent.
    fn late_in_the_evening() -> House {
        let house = House::new();
        house.gateway.advance_to("2026-11-23T23:30:00Z");
        assert_eq!(house.served(), FIT);
        house
    }

    fn new() -> House {
        let upstream = Upstream::start();
        upstream.respond_with(model::with_usage(10, 20));
        let mut gateway = Gatekeeper::with_upstream(&upstream)
            .ledger("segment_mb = 1")
            .start_in_process();
        let budgets =
            json!([{"limit": DAY_LIMIT, "period": "daily"}, {"limit": "1", "period": "total"}]);
        let team = gateway.team(&json!({"name": "eng", "budgets": budgets}));
        let key = gateway.key_of(&team);
        let free = gateway.team(&json!({"name": "free"}));
        let free = gateway.key_of(&free);
        House {
            upstream,
            gateway,
            team,
            key,
            free,
        }
    }

    /// How many calls are served until the day's budget refuses one; a call without a budget is served too.
    fn served(&self) -> usize {
        self.gateway
            .user(&self.free)
            .chat(&call())
            .assert_status(200);
        let user = self.gateway.user(&self.key);
        for served in 0..10 {
            let answer = user.chat(&call());
            if answer.status != 200 {
                assert!(
                    answer
                        .assert_status(402)
                        .error_message()
                        .contains("the daily budget"),
                    "{}",
                    answer.error_message()
                );
                return served;
            }
        }
        panic!("nothing blocks");
    }

    fn clock(&self) -> Value {
        self.gateway
            .admin()
            .get("/v1/clock")
            .assert_status(200)
            .json()
    }

    fn accepts(&self) -> Value {
        self.gateway
            .admin()
            .post("/v1/clock/accept", &json!({}))
            .assert_status(200)
            .json()
    }

    /// The status that everybody sees, and the reason that an administrator sees.
    fn ready(&self) -> (String, String) {
        let seen = self.gateway.anon().get("/readyz").assert_status(200).json();
        let told = self
            .gateway
            .admin()
            .get("/readyz")
            .assert_status(200)
            .json();
        assert_eq!(
            (&seen["status"], &seen["reason"]),
            (&told["status"], &Value::Null)
        );
        (
            text(&seen, "status"),
            told["reason"].as_str().unwrap_or_default().to_owned(),
        )
    }

    fn is_degraded_by(&self, way: &str) {
        let (status, reason) = self.ready();
        assert_eq!(status, "degraded");
        assert!(
            reason.contains(way) && reason.contains("gatekeeper clock"),
            "{reason}"
        );
    }

    fn is_ready(&self) {
        assert_eq!(self.ready(), ("ready".to_owned(), String::new()));
    }

    /// Ten minutes pass; somebody looks at their beginning, just before their end, and at it.
    fn ten_steady_minutes(&self) {
        assert_eq!(self.clock()["in_step"], false);
        self.gateway.clock.advance_ms(10 * MINUTE_MS - 1);
        let clock = self.clock();
        assert_eq!(
            (&clock["in_step"], &clock["steady_ms"]),
            (&json!(false), &json!(599_999)),
            "{clock}"
        );
        self.gateway.clock.advance_ms(1);
        assert_eq!(self.clock()["in_step"], true);
    }

    fn day(&self) -> Value {
        let team = self
            .gateway
            .admin()
            .get(&format!("/v1/teams/{}", self.team.id))
            .assert_status(200)
            .json();
        team["budgets"][0].clone()
    }

    fn resets_at(&self) -> String {
        text(&self.day(), "resets_at")
    }

    /// Days with their cost, oldest first.
    fn days(&self) -> Vec<(String, String)> {
        self.gateway.usage();
        let path = "/v1/usage?group_by=day&start=2000-01-01&end=2100-01-01";
        let report = self.gateway.admin().get(path).assert_status(200).json();
        let rows = report["data"].as_array().expect("rows");
        rows.iter()
            .map(|row| (text(row, "day")[..10].to_owned(), text(row, "cost_usd")))
            .collect()
    }

    fn clock_events(&self) -> Vec<Value> {
        let mut events = self.gateway.audit();
        events.retain(|event| event["subject"] == "clock");
        events
    }
}

fn call() -> Value {
    json!({"model": "m-small", "max_tokens": 20, "messages": [{"role": "user", "content": "What does it cost?"}]})
}

/// A jump, what `/readyz` calls it, the day's end once it is adopted, how many calls that day still takes.
const JUMPS: [(i64, &str, &str, usize); 4] = [
    (HOUR_MS, "3600 s ahead of", "2026-11-25T00:00:00Z", FIT),
    (-HOUR_MS, "3600 s behind", "2026-11-24T00:00:00Z", 0),
    (
        DECADE_MS,
        "315576000 s ahead of",
        "2036-11-24T00:00:00Z",
        FIT,
    ),
    (
        -DECADE_MS,
        "315576000 s behind",
        "2016-11-24T00:00:00Z",
        FIT,
    ),
];

#[test]
fn a_jump_mints_no_window_and_loses_no_request_until_it_has_run_for_ten_minutes() {
    for (jump_ms, way, resets_at, fit) in JUMPS {
        let house = House::late_in_the_evening();
        house.is_ready();
        house.gateway.clock.jump_ms(jump_ms);
        house.is_degraded_by(way);
        assert_eq!(
            house.gateway.metric("gatekeeper_clock_ahead_ms"),
            jump_ms as f64
        );
        assert_eq!(house.gateway.metric("gatekeeper_clock_adopted"), 0.0);
        assert_eq!(
            (house.served(), house.resets_at()),
            (0, "2026-11-24T00:00:00Z".to_owned()),
            "{jump_ms}"
        );
        house.ten_steady_minutes();
        house.is_ready();
        assert_eq!(
            (house.resets_at(), house.served()),
            (resets_at.to_owned(), fit),
            "{jump_ms}"
        );
        assert_eq!(house.gateway.metric("gatekeeper_clock_adopted"), 1.0);
        let events = house.clock_events();
        let words = |name: &str| {
            events
                .iter()
                .map(|event| text(event, name))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (words("action"), words("actor")),
            (vec!["clock.adopt".to_owned()], vec!["process".to_owned()])
        );
        assert_eq!(text(&events[0]["detail"], "from"), "2026-11-23T23:40:00Z");
    }
}

#[test]
fn a_jump_is_adopted_at_once_by_an_audited_command() {
    for (jump_ms, _, resets_at, fit) in JUMPS {
        let house = House::late_in_the_evening();
        house.gateway.clock.jump_ms(jump_ms);
        assert_eq!(house.served(), 0);
        let accepted = house.accepts();
        assert_eq!(
            (text(&accepted, "from"), &accepted["by_ms"]),
            ("2026-11-23T23:30:00Z".to_owned(), &json!(jump_ms))
        );
        house.is_ready();
        assert_eq!(
            (house.resets_at(), house.served()),
            (resets_at.to_owned(), fit),
            "{jump_ms}"
        );
        let events = house.clock_events();
        assert_eq!(
            (text(&events[0], "action"), events.len()),
            ("clock.accept".to_owned(), 1)
        );
        assert!(text(&events[0], "actor").starts_with("admin:"));
        assert_eq!(
            events[0]["detail"],
            json!({"from": accepted["from"], "to": accepted["to"]})
        );
    }
}

#[test]
fn a_jump_during_a_restart_is_a_jump() {
    for (jump_ms, way, resets_at, fit) in JUMPS {
        let mut house = House::late_in_the_evening();
        house.gateway.stop();
        house.gateway.clock.advance_ms(10 * MINUTE_MS);
        house.gateway.clock.jump_ms(jump_ms);
        house.gateway.start();
        house.is_degraded_by(way);
        assert_eq!(
            (house.served(), house.resets_at()),
            (0, "2026-11-24T00:00:00Z".to_owned()),
            "{jump_ms}"
        );
        assert_eq!(text(&house.clock(), "adopted"), "2026-11-23T23:40:00Z");
        // nor does it help to start again and again
        house.gateway.stop();
        house.gateway.clock.advance_ms(MINUTE_MS);
        house.gateway.start();
        house.is_degraded_by(way);
        assert_eq!(house.served(), 0);
        house.ten_steady_minutes();
        house.is_ready();
        assert_eq!(
            (house.resets_at(), house.served()),
            (resets_at.to_owned(), fit),
            "{jump_ms}"
        );
    }
}

#[test]
fn a_restart_without_a_jump_is_ready_at_once_however_long_it_took() {
    let mut house = House::late_in_the_evening();
    house.gateway.stop();
    house.gateway.advance_to("2026-11-26T09:00:00Z");
    house.gateway.start();
    house.is_ready();
    assert_eq!(
        (house.resets_at(), house.served()),
        ("2026-11-27T00:00:00Z".to_owned(), FIT)
    );
    assert!(house.clock_events().is_empty());
}

#[test]
fn after_a_start_of_the_machine_the_last_known_time_goes_on_until_the_clock_is_believed() {
    for (off_ms, jump_ms, resets_at, fit) in [
        (3 * 24 * HOUR_MS as u64, 0, "2026-11-27T00:00:00Z", FIT),
        (MINUTE_MS, HOUR_MS, "2026-11-25T00:00:00Z", FIT),
        (MINUTE_MS, -HOUR_MS, "2026-11-24T00:00:00Z", 0),
        (MINUTE_MS, DECADE_MS, "2036-11-24T00:00:00Z", FIT),
    ] {
        let mut house = House::late_in_the_evening();
        house.gateway.stop();
        house.gateway.clock.reboot_after_ms(off_ms);
        house.gateway.clock.jump_ms(jump_ms);
        house.gateway.start();
        house.is_degraded_by("adopted time");
        assert_eq!(text(&house.clock(), "adopted"), "2026-11-23T23:30:00Z");
        assert_eq!(
            (house.served(), house.resets_at()),
            (0, "2026-11-24T00:00:00Z".to_owned())
        );
        let cost_before = house.days();
        assert_eq!(
            cost_before,
            [("2026-11-23".to_owned(), "0.00055".to_owned())],
            "calls are booked at adopted time"
        );
        house.ten_steady_minutes();
        assert_eq!(
            (house.resets_at(), house.served()),
            (resets_at.to_owned(), fit)
        );
        house.is_ready();
    }
}

#[test]
fn a_new_instance_believes_its_clock() {
    let house = House::new();
    house.is_ready();
    let clock = house.clock();
    assert_eq!(
        (text(&clock, "adopted"), &clock["ahead_ms"]),
        ("2026-11-23T10:00:00Z".to_owned(), &json!(0))
    );
    assert_eq!(house.served(), FIT);
}

#[test]
fn every_window_has_its_limit_once_however_often_time_passes_through_it() {
    let mut house = House::late_in_the_evening();
    let jumps = |house: &mut House, jump_ms: i64, restarts: bool, fit: usize| {
        house.gateway.clock.jump_ms(jump_ms);
        if restarts {
            house.gateway.stop();
            house.gateway.start();
        }
        house.accepts();
        assert_eq!(
            house.served(),
            fit,
            "after {jump_ms}, restarted: {restarts}"
        );
    };
    for restarts in [false, true] {
        let first_time = if restarts { 0 } else { FIT };
        jumps(&mut house, 24 * HOUR_MS, restarts, first_time);
        jumps(&mut house, 24 * HOUR_MS, restarts, first_time);
        jumps(&mut house, -48 * HOUR_MS, restarts, 0);
        jumps(&mut house, -24 * HOUR_MS, restarts, first_time);
        jumps(&mut house, 24 * HOUR_MS, restarts, 0);
    }
    // and time itself passes through the days that were used too early
    for (instant, fit) in [
        ("2026-11-24T12:00:00Z", 0),
        ("2026-11-25T12:00:00Z", 0),
        ("2026-11-26T12:00:00Z", FIT),
    ] {
        house.gateway.advance_to(instant);
        assert_eq!(house.served(), fit, "{instant}");
    }
    let days: Vec<String> = house.days().into_iter().map(|(day, _)| day).collect();
    assert_eq!(
        days,
        [
            "2026-11-22",
            "2026-11-23",
            "2026-11-24",
            "2026-11-25",
            "2026-11-26"
        ]
    );
}

#[test]
fn a_call_that_is_running_while_time_is_set_back_is_booked_where_it_was_admitted() {
    let house = House::new();
    house.gateway.advance_to("2026-11-24T00:30:00Z");
    house.upstream.respond_with(Script::from_request(|_| {
        model::with_usage(10, 20).delay_ms(700)
    }));
    let before = house.upstream.request_count();
    let user = house.gateway.user(&house.key);
    let running = std::thread::spawn(move || user.chat(&call()).status);
    house.upstream.wait_for_requests(before + 1);
    house.gateway.clock.jump_ms(-HOUR_MS);
    house.accepts();
    assert_eq!(house.resets_at(), "2026-11-24T00:00:00Z");
    assert_eq!(running.join().expect("a caller"), 200);
    assert_eq!(
        text(&house.day(), "spent"),
        "0",
        "it belongs to the day after"
    );
    house.upstream.respond_with(model::with_usage(10, 20));
    assert_eq!(house.served(), FIT);
    house.gateway.advance_to("2026-11-24T00:00:00Z");
    assert_eq!(text(&house.day(), "spent"), "0.00011");
    assert_eq!(house.served(), FIT - 1);
    let row = house.gateway.requests().remove(0);
    assert!(text(&row, "at").starts_with("2026-11-24T00:30:00"), "{row}");
    assert!(
        row["total_ms"]
            .as_u64()
            .is_some_and(|ms| (700..20_000).contains(&ms)),
        "how long it took is not what the clock says: {row}"
    );
}

#[test]
fn keys_expire_by_adopted_time() {
    let house = House::new();
    let key = house
        .gateway
        .key(&json!({"name": "week", "team": house.team.id, "expires": "7d"}));
    let asks = || house.gateway.user(&key).chat(&call()).status;
    house.gateway.clock.jump_ms(DECADE_MS);
    assert_eq!(asks(), 200, "a clock that jumps ahead locks nobody out");
    house.gateway.clock.jump_ms(-DECADE_MS);
    house.gateway.advance_to("2026-12-01T00:00:00Z");
    assert_eq!(asks(), 401);
    house.gateway.clock.jump_ms(-DECADE_MS);
    assert_eq!(asks(), 401, "and one that is set back lets nobody in");
}

#[test]
fn small_steps_are_followed_without_a_word() {
    let house = House::late_in_the_evening();
    house.gateway.clock.jump_ms(4_000);
    house.is_ready();
    let clock = house.clock();
    assert_eq!(
        (&clock["in_step"], &clock["ahead_ms"]),
        (&json!(true), &json!(4_000))
    );
    house.gateway.clock.advance_ms(10 * MINUTE_MS);
    assert_eq!(house.clock()["ahead_ms"], 0);
    assert!(house.clock_events().is_empty());
}

#[test]
fn what_cannot_be_stored_is_not_adopted() {
    let house = House::late_in_the_evening();
    house.gateway.clock.jump_ms(HOUR_MS);
    house.gateway.disk.set_writes_failing(true);
    let refused = house.gateway.admin().post("/v1/clock/accept", &json!({}));
    assert_eq!(
        refused.assert_status(503).error_type(),
        "ledger_unavailable"
    );
    assert_eq!(text(&house.clock(), "adopted"), "2026-11-23T23:30:00Z");
    house.gateway.disk.heal();
    crate::harness::wait_until("the books are written again", || {
        house
            .gateway
            .admin()
            .post("/v1/clock/accept", &json!({}))
            .status
            == 200
    });
    assert_eq!((house.served(), house.clock_events().len()), (FIT, 1));
}

#[test]
fn the_command_shows_both_clocks_and_accepts() {
    let house = House::late_in_the_evening();
    let runs = |arguments: &[&str]| {
        let mut command = gatekeeper_command();
        command
            .arg("clock")
            .args(arguments)
            .args(["--url", &house.gateway.url()]);
        let output = command
            .env("GATEKEEPER_ADMIN_KEY", &house.gateway.admin_key)
            .output()
            .expect("the binary runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(runs(&[]).contains("in step"));
    house.gateway.clock.jump_ms(HOUR_MS);
    let shown = runs(&[]);
    for told in [
        "adopted  2026-11-23T23:30:00Z",
        "wall     2026-11-24T00:30:00Z  1 h 0 min ahead",
        "10 min",
        "clock accept",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    assert_eq!(
        runs(&["accept"]),
        "adopted time changed from 2026-11-23T23:30:00Z to 2026-11-24T00:30:00Z\n"
    );
    assert!(runs(&[]).contains("in step"));
    house
        .gateway
        .anon()
        .post("/v1/clock/accept", &json!({}))
        .assert_status(401);
    house
        .gateway
        .user(&house.key)
        .get("/v1/clock")
        .assert_status(403);
}

#[test]
fn the_machine_s_own_clocks_agree_through_kill_9() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team =
        gatekeeper.team(&json!({"name": "eng", "budgets": [{"limit": "1", "period": "daily"}]}));
    let key = gatekeeper.key_of(&team);
    for _ in 0..2 {
        gatekeeper
            .user(&key)
            .chat(&hello("m-small"))
            .assert_status(200);
        gatekeeper.kill_9();
        gatekeeper.start();
        assert_eq!(
            gatekeeper.anon().get("/readyz").assert_status(200).json()["status"],
            "ready"
        );
        assert_eq!(
            gatekeeper
                .admin()
                .get("/v1/clock")
                .assert_status(200)
                .json()["in_step"],
            true
        );
    }
}
