//! Wall clock jumps: no budget window is opened, no request lost, and spent amounts stay spent. A jump is adopted after ten
//! steady minutes or by command.

use serde_json::json;

use super::clock_fixture::{CALLS_PER_DAY, DECADE_MS, Fixture, HOUR_MS, MINUTE_MS, call};
use crate::harness::model;
use crate::harness::process::text;
use crate::harness::script::Script;

/// Jump, its reason in `/readyz`, end of the day once adopted, and calls that day still serves.
const JUMPS: [(i64, &str, &str, usize); 4] = [
    (
        HOUR_MS,
        "3600 s ahead of",
        "2026-11-25T00:00:00Z",
        CALLS_PER_DAY,
    ),
    (-HOUR_MS, "3600 s behind", "2026-11-24T00:00:00Z", 0),
    (
        DECADE_MS,
        "315576000 s ahead of",
        "2036-11-24T00:00:00Z",
        CALLS_PER_DAY,
    ),
    (
        -DECADE_MS,
        "315576000 s behind",
        "2016-11-24T00:00:00Z",
        CALLS_PER_DAY,
    ),
];

#[test]
fn clock_jump_opens_no_window_before_ten_steady_minutes() {
    for (jump_ms, reason, resets_at, served) in JUMPS {
        let fixture = Fixture::before_midnight();
        fixture.assert_ready();
        fixture.gateway.clock.jump_ms(jump_ms);
        fixture.assert_degraded(reason);
        assert_eq!(
            fixture.gateway.metric("gatekeeper_clock_ahead_ms"),
            jump_ms as f64
        );
        assert_eq!(fixture.gateway.metric("gatekeeper_clock_adopted"), 0.0);
        assert_eq!(fixture.gateway.metric("gatekeeper_degraded"), 1.0);
        assert_eq!(
            (fixture.count_served(), fixture.resets_at()),
            (0, "2026-11-24T00:00:00Z".to_owned()),
            "{jump_ms}"
        );
        fixture.run_ten_steady_minutes();
        fixture.assert_ready();
        assert_eq!(
            (fixture.resets_at(), fixture.count_served()),
            (resets_at.to_owned(), served),
            "{jump_ms}"
        );
        assert_eq!(fixture.gateway.metric("gatekeeper_clock_adopted"), 1.0);
        assert_eq!(fixture.gateway.metric("gatekeeper_degraded"), 0.0);
        let events = fixture.clock_events();
        let fields = |name: &str| {
            events
                .iter()
                .map(|event| text(event, name))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (fields("action"), fields("actor")),
            (vec!["clock.adopt".to_owned()], vec!["process".to_owned()])
        );
        assert_eq!(text(&events[0]["detail"], "from"), "2026-11-23T23:40:00Z");
    }
}

#[test]
fn clock_jump_is_adopted_at_once_by_audited_accept() {
    for (jump_ms, _, resets_at, served) in JUMPS {
        let fixture = Fixture::before_midnight();
        fixture.gateway.clock.jump_ms(jump_ms);
        assert_eq!(fixture.count_served(), 0);
        let accepted = fixture.accept_clock();
        assert_eq!(
            (text(&accepted, "from"), &accepted["by_ms"]),
            ("2026-11-23T23:30:00Z".to_owned(), &json!(jump_ms))
        );
        fixture.assert_ready();
        assert_eq!(
            (fixture.resets_at(), fixture.count_served()),
            (resets_at.to_owned(), served),
            "{jump_ms}"
        );
        let events = fixture.clock_events();
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
fn clock_jump_during_restart_opens_no_window() {
    for (jump_ms, reason, resets_at, served) in JUMPS {
        let mut fixture = Fixture::before_midnight();
        fixture.gateway.stop();
        fixture.gateway.clock.advance_ms(10 * MINUTE_MS);
        fixture.gateway.clock.jump_ms(jump_ms);
        fixture.gateway.start();
        fixture.assert_degraded(reason);
        assert_eq!(
            (fixture.count_served(), fixture.resets_at()),
            (0, "2026-11-24T00:00:00Z".to_owned()),
            "{jump_ms}"
        );
        assert_eq!(text(&fixture.clock(), "adopted"), "2026-11-23T23:40:00Z");
        // a further restart changes nothing
        fixture.gateway.stop();
        fixture.gateway.clock.advance_ms(MINUTE_MS);
        fixture.gateway.start();
        fixture.assert_degraded(reason);
        assert_eq!(fixture.count_served(), 0);
        fixture.run_ten_steady_minutes();
        fixture.assert_ready();
        assert_eq!(
            (fixture.resets_at(), fixture.count_served()),
            (resets_at.to_owned(), served),
            "{jump_ms}"
        );
    }
}

#[test]
fn clock_after_reboot_continues_last_adopted_time() {
    for (off_ms, jump_ms, resets_at, served) in [
        (
            3 * 24 * HOUR_MS as u64,
            0,
            "2026-11-27T00:00:00Z",
            CALLS_PER_DAY,
        ),
        (MINUTE_MS, HOUR_MS, "2026-11-25T00:00:00Z", CALLS_PER_DAY),
        (MINUTE_MS, -HOUR_MS, "2026-11-24T00:00:00Z", 0),
        (MINUTE_MS, DECADE_MS, "2036-11-24T00:00:00Z", CALLS_PER_DAY),
    ] {
        let mut fixture = Fixture::before_midnight();
        fixture.gateway.stop();
        fixture.gateway.clock.reboot_after_ms(off_ms);
        fixture.gateway.clock.jump_ms(jump_ms);
        fixture.gateway.start();
        fixture.assert_degraded("adopted time");
        assert_eq!(text(&fixture.clock(), "adopted"), "2026-11-23T23:30:00Z");
        assert_eq!(
            (fixture.count_served(), fixture.resets_at()),
            (0, "2026-11-24T00:00:00Z".to_owned())
        );
        let cost_before = fixture.cost_by_day();
        assert_eq!(
            cost_before,
            [("2026-11-23".to_owned(), "0.00055".to_owned())],
            "calls are booked at adopted time"
        );
        fixture.run_ten_steady_minutes();
        assert_eq!(
            (fixture.resets_at(), fixture.count_served()),
            (resets_at.to_owned(), served)
        );
        fixture.assert_ready();
    }
}

#[test]
fn clock_jumps_give_each_window_its_limit_once() {
    let mut fixture = Fixture::before_midnight();
    let jump = |fixture: &mut Fixture, jump_ms: i64, restart: bool, served: usize| {
        fixture.gateway.clock.jump_ms(jump_ms);
        if restart {
            fixture.gateway.stop();
            fixture.gateway.start();
        }
        fixture.accept_clock();
        assert_eq!(
            fixture.count_served(),
            served,
            "after {jump_ms}, restart: {restart}"
        );
    };
    for restart in [false, true] {
        let first_time = if restart { 0 } else { CALLS_PER_DAY };
        jump(&mut fixture, 24 * HOUR_MS, restart, first_time);
        jump(&mut fixture, 24 * HOUR_MS, restart, first_time);
        jump(&mut fixture, -48 * HOUR_MS, restart, 0);
        jump(&mut fixture, -24 * HOUR_MS, restart, first_time);
        jump(&mut fixture, 24 * HOUR_MS, restart, 0);
    }
    // steady time passes through the days whose budget was spent early
    for (instant, served) in [
        ("2026-11-24T12:00:00Z", 0),
        ("2026-11-25T12:00:00Z", 0),
        ("2026-11-26T12:00:00Z", CALLS_PER_DAY),
    ] {
        fixture.gateway.advance_to(instant);
        assert_eq!(fixture.count_served(), served, "{instant}");
    }
    let days: Vec<String> = fixture
        .cost_by_day()
        .into_iter()
        .map(|(day, _)| day)
        .collect();
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
fn clock_set_back_during_call_books_it_in_its_admission_window() {
    let fixture = Fixture::new();
    fixture.gateway.advance_to("2026-11-24T00:30:00Z");
    fixture.upstream.respond_with(Script::from_request(|_| {
        model::with_usage(10, 20).delay_ms(700)
    }));
    let before = fixture.upstream.request_count();
    let user = fixture.gateway.user(&fixture.key);
    let running = std::thread::spawn(move || user.chat(&call()).status);
    fixture.upstream.wait_for_requests(before + 1);
    fixture.gateway.clock.jump_ms(-HOUR_MS);
    fixture.accept_clock();
    assert_eq!(fixture.resets_at(), "2026-11-24T00:00:00Z");
    assert_eq!(running.join().expect("a caller"), 200);
    assert_eq!(
        text(&fixture.daily_budget(), "spent"),
        "0",
        "the call belongs to the next day"
    );
    fixture.upstream.respond_with(model::with_usage(10, 20));
    assert_eq!(fixture.count_served(), CALLS_PER_DAY);
    fixture.gateway.advance_to("2026-11-24T00:00:00Z");
    assert_eq!(text(&fixture.daily_budget(), "spent"), "0.00011");
    assert_eq!(fixture.count_served(), CALLS_PER_DAY - 1);
    let row = fixture.gateway.requests().remove(0);
    assert!(text(&row, "at").starts_with("2026-11-24T00:30:00"), "{row}");
    assert!(
        row["total_ms"]
            .as_u64()
            .is_some_and(|ms| (700..20_000).contains(&ms)),
        "the duration does not follow the wall clock: {row}"
    );
}
