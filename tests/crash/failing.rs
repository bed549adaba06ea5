//! A disk that fails while the gateway runs. Requests are refused in words while nothing can be written, and taken again
//! by themselves; a sync that failed is not trusted, and loses nothing.

use serde_json::json;

use super::house;
use crate::budget::call::Call;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

fn call() -> serde_json::Value {
    Call::chat().at_most(30).body()
}

#[test]
fn a_disk_that_is_nearly_full_refuses_new_requests_and_heals_without_a_restart() {
    let upstream = Upstream::start();
    let (inside, key) = house(&upstream, "disk_reserve_mb = 100");
    let user = inside.user(&key);
    user.chat(&call()).expects(200);
    inside.disk.says_free_mb(99);
    wait_until("the full disk is noticed", || inside.anon().get("/readyz").status == 503);
    let before = upstream.request_count();
    let refused = user.chat(&call());
    assert_eq!(refused.expects(503).error_word(), "ledger_unavailable");
    assert!(refused.header("retry-after").is_some());
    assert!(refused.error_message().contains("free some space"), "{}", refused.error_message());
    let refused = user.messages(&Call::messages().at_most(30).body());
    assert_eq!(refused.expects(503).error_word(), "overloaded_error");
    assert_eq!(upstream.request_count(), before);
    assert_eq!(inside.anon().get("/healthz").status, 200);
    inside.usage();
    inside.disk.says_free_mb(0);
    wait_until("the healed disk is noticed", || inside.anon().get("/readyz").status == 200);
    user.chat(&call()).expects(200);
}

#[test]
fn a_reserve_larger_than_the_disk_is_said_at_the_real_door_too() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::before(&upstream).ledger("disk_reserve_mb = 1").starts();
    let key = {
        let team = gatekeeper.team_with_budget("eng", "10");
        gatekeeper.key_of(&team)
    };
    let config = std::fs::read_to_string(&gatekeeper.config).expect("the config can be read");
    std::fs::write(&gatekeeper.config, config.replace("disk_reserve_mb = 1", "disk_reserve_mb = 1000000")).expect("written");
    gatekeeper.stop();
    gatekeeper.start_whether_ready_or_not();
    wait_until("the full disk is noticed", || gatekeeper.anon().get("/readyz").status == 503);
    let refused = gatekeeper.user(&key).chat(&call());
    assert_eq!(refused.expects(503).error_word(), "ledger_unavailable");
    assert_eq!(upstream.request_count(), 0);
}

#[test]
fn a_sync_that_failed_loses_nothing() {
    let upstream = Upstream::start();
    let (mut inside, key) = house(&upstream, "");
    let user = inside.user(&key);
    for failing in [1, 0, 3, 0] {
        inside.disk.fails_syncs(failing);
        for _ in 0..5 {
            user.chat(&call()).expects(200);
        }
    }
    // a sync of the books may have failed too: they cannot be read until they are opened again, within a second
    wait_until("the books have caught up", || {
        let usage = inside.admin().get("/v1/usage?start=2000-01-01&end=2100-01-01");
        usage.status == 200 && usage.json()["total"]["requests"] == json!(20)
    });
    inside.checks_books();
    let before = inside.requests();
    inside.stop();
    inside.start();
    inside.usage();
    assert_eq!(inside.requests(), before);
    assert_eq!(upstream.bill_total(1_000_000, 5_000_000), inside.usage_total());
}

/// The records that a failed sync did not cover are written again; here that fails as well, in the middle.
#[test]
fn a_sync_that_failed_and_could_not_be_made_good_at_once_loses_nothing() {
    let upstream = Upstream::start();
    let (mut inside, key) = house(&upstream, "");
    let user = inside.user(&key);
    inside.usage();
    inside.disk.syncs_take_ms(300);
    inside.disk.fails_syncs(1);
    for _ in 0..6 {
        user.chat(&call()).expects(200);
    }
    inside.disk.fails_after_log_writes(5);
    wait_until("the sync has failed", || inside.disk.counts().failed_syncs > 0);
    std::thread::sleep(std::time::Duration::from_millis(100));
    inside.disk.heals();
    user.chat(&call()).expects(200);
    wait_until("the books have caught up", || inside.usage()["total"]["requests"] == json!(7));
    let before = inside.requests();
    inside.stop();
    inside.start();
    inside.usage();
    assert_eq!(inside.requests(), before);
    assert_eq!(upstream.bill_total(1_000_000, 5_000_000), inside.usage_total());
}

#[test]
fn while_nothing_can_be_written_requests_are_refused_and_afterwards_taken_again() {
    let upstream = Upstream::start();
    let (inside, key) = house(&upstream, "");
    let user = inside.user(&key);
    user.chat(&call()).expects(200);
    inside.usage();
    inside.disk.fails_writes(true);
    let refused = user.chat(&call());
    assert_eq!(refused.expects(503).error_word(), "ledger_unavailable");
    assert_eq!(upstream.request_count(), 1, "nothing is sent upstream that is not in the log");
    inside.disk.fails_writes(false);
    user.chat(&call()).expects(200);
    wait_until("the books have caught up", || inside.usage()["total"]["requests"] == json!(2));
}

#[test]
fn an_answer_whose_cost_cannot_be_written_is_not_ended() {
    let upstream = Upstream::start();
    let (mut inside, key) = house(&upstream, "");
    upstream.answers(crate::harness::model::uses(10, 20).pause_ms_between(10));
    let mut stream = inside.user(&key).streams(Call::chat().path(), &Call::chat().at_most(30).streamed(true).body());
    stream.reads_deltas(3);
    inside.disk.fails_writes(true);
    let (events, _) = stream.rest();
    let said: String = events.iter().map(|event| String::from_utf8_lossy(&event.raw).into_owned()).collect();
    assert!(said.contains("ledger_unavailable"), "{said}");
    assert!(!said.contains("[DONE]"), "{said}");
    inside.disk.fails_writes(false);
    // the hold stays until the next start, and is booked at its ceiling then
    assert_eq!(inside.holds_open(), 1);
    inside.stop();
    inside.start();
    inside.usage();
    let row = inside.requests().remove(0);
    assert_eq!((&row["flags"], &row["cost_usd"]), (&json!(["orphaned"]), &row["ceiling_usd"]));
}

/// Who asks whether to send requests here is told no while they would be refused, and asked to look again soon: only a request shows
/// whether the log can be written once more.
#[test]
fn while_the_log_cannot_be_written_the_gateway_is_not_ready() {
    let upstream = Upstream::start();
    let (inside, key) = house(&upstream, "");
    let user = inside.user(&key);
    let ready = || inside.anon().get("/readyz").status;
    user.chat(&Call::chat().at_most(30).body()).expects(200);
    assert_eq!(ready(), 200);
    inside.disk.fails_after_log_writes(0);
    for _ in 0..2 {
        assert_eq!(user.chat(&Call::chat().at_most(30).body()).expects(503).error_word(), "ledger_unavailable");
        assert_eq!(ready(), 503);
    }
    inside.disk.heals();
    user.chat(&Call::chat().at_most(30).body()).expects(200);
    assert_eq!(ready(), 200, "at once, by the request that was taken");
    inside.disk.fails_after_log_writes(0);
    user.chat(&Call::chat().at_most(30).body()).expects(503);
    assert_eq!(ready(), 503);
    inside.disk.heals();
    wait_until("it takes requests again", || ready() == 200);
}
