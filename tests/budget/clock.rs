//! Adopted clock without a jump: restarts, small steps, key expiry, storage, and the `gatekeeper clock` command.

use serde_json::json;

use super::clock_fixture::{CALLS_PER_DAY, DECADE_MS, Fixture, HOUR_MS, MINUTE_MS, call};
use crate::harness::process::{Gatekeeper, gatekeeper_command, text};
use crate::harness::upstream::Upstream;
use crate::harness::{hello, model, wait_until};

#[test]
fn clock_after_long_restart_without_jump_is_ready() {
    let mut fixture = Fixture::before_midnight();
    fixture.gateway.stop();
    fixture.gateway.advance_to("2026-11-26T09:00:00Z");
    fixture.gateway.start();
    fixture.assert_ready();
    assert_eq!(
        (fixture.resets_at(), fixture.count_served()),
        ("2026-11-27T00:00:00Z".to_owned(), CALLS_PER_DAY)
    );
    assert!(fixture.clock_events().is_empty());
}

#[test]
fn clock_of_new_instance_is_adopted() {
    let fixture = Fixture::new();
    fixture.assert_ready();
    let clock = fixture.clock();
    assert_eq!(
        (text(&clock, "adopted"), &clock["ahead_ms"]),
        ("2026-11-23T10:00:00Z".to_owned(), &json!(0))
    );
    assert_eq!(fixture.count_served(), CALLS_PER_DAY);
}

#[test]
fn key_expiry_uses_adopted_time() {
    let fixture = Fixture::new();
    let key = fixture
        .gateway
        .key(&json!({"name": "week", "team": fixture.team.id, "expires": "7d"}));
    let send = || fixture.gateway.user(&key).chat(&call()).status;
    fixture.gateway.clock.jump_ms(DECADE_MS);
    assert_eq!(send(), 200, "a jump ahead expires no key");
    fixture.gateway.clock.jump_ms(-DECADE_MS);
    fixture.gateway.advance_to("2026-12-01T00:00:00Z");
    assert_eq!(send(), 401);
    fixture.gateway.clock.jump_ms(-DECADE_MS);
    assert_eq!(send(), 401, "a clock set back renews no key");
}

#[test]
fn clock_small_step_is_followed_without_event() {
    let fixture = Fixture::before_midnight();
    fixture.gateway.clock.jump_ms(4_000);
    fixture.assert_ready();
    let clock = fixture.clock();
    assert_eq!(
        (&clock["in_step"], &clock["ahead_ms"]),
        (&json!(true), &json!(4_000))
    );
    fixture.gateway.clock.advance_ms(10 * MINUTE_MS);
    assert_eq!(fixture.clock()["ahead_ms"], 0);
    assert!(fixture.clock_events().is_empty());
}

#[test]
fn clock_accept_that_cannot_be_stored_is_not_adopted() {
    let fixture = Fixture::before_midnight();
    fixture.gateway.clock.jump_ms(HOUR_MS);
    fixture.gateway.disk.set_writes_failing(true);
    let refusal = fixture.gateway.admin().post("/v1/clock/accept", &json!({}));
    assert_eq!(
        refusal.assert_status(503).error_type(),
        "ledger_unavailable"
    );
    assert_eq!(text(&fixture.clock(), "adopted"), "2026-11-23T23:30:00Z");
    fixture.gateway.disk.heal();
    wait_until("the books are written again", || {
        fixture
            .gateway
            .admin()
            .post("/v1/clock/accept", &json!({}))
            .status
            == 200
    });
    assert_eq!(
        (fixture.count_served(), fixture.clock_events().len()),
        (CALLS_PER_DAY, 1)
    );
}

#[test]
fn clock_command_shows_both_clocks_and_accepts() {
    let fixture = Fixture::before_midnight();
    let run = |arguments: &[&str]| {
        let mut command = gatekeeper_command();
        command
            .arg("clock")
            .args(arguments)
            .args(["--url", &fixture.gateway.url()]);
        let output = command
            .env("GATEKEEPER_ADMIN_KEY", &fixture.gateway.admin_key)
            .output()
            .expect("the binary runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(run(&[]).contains("in step"));
    fixture.gateway.clock.jump_ms(HOUR_MS);
    let shown = run(&[]);
    for expected in [
        "adopted  2026-11-23T23:30:00Z",
        "wall     2026-11-24T00:30:00Z  1 h 0 min ahead",
        "10 min",
        "clock accept",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert_eq!(
        run(&["accept"]),
        "adopted time changed from 2026-11-23T23:30:00Z to 2026-11-24T00:30:00Z\n"
    );
    assert!(run(&[]).contains("in step"));
    fixture
        .gateway
        .anon()
        .post("/v1/clock/accept", &json!({}))
        .assert_status(401);
    fixture
        .gateway
        .user(&fixture.key)
        .get("/v1/clock")
        .assert_status(403);
}

#[test]
fn system_clocks_after_kill_9_are_in_step() {
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
