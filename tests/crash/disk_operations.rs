//! Disk operations per request, as counts that do not depend on the machine: two log writes, no sync of its own, and
//! commits of the books that many requests share.

use super::fixture;
use crate::budget::call::{Call, is_complete};
use crate::harness::in_process::InProcessGateway;
use crate::harness::print_figure;
use crate::harness::process::Key;
use crate::harness::upstream::Upstream;
use crate::harness::workers::run_workers;

const REQUESTS: usize = 640;
const CONCURRENCY: usize = 64;

fn run_load(gateway: &InProcessGateway, key: &Key) {
    let call = |connection: &mut _, _| {
        Call::chat()
            .at_most(30)
            .by(connection)
            .assert_status(200)
            .status
    };
    run_workers(CONCURRENCY, REQUESTS, |_| gateway.user(key).connect(), call);
}

#[test]
fn request_makes_two_log_writes_and_no_sync() {
    let upstream = Upstream::start();
    let (gateway, key) = fixture(&upstream, "");
    gateway.usage();
    gateway.disk.reset_counts();
    let mut connection = gateway.user(&key).connect();
    for number in 0..50 {
        let call = if number % 2 == 0 {
            Call::chat()
        } else {
            Call::messages()
        }
        .at_most(30)
        .streamed(number % 4 < 2);
        assert!(is_complete(call.by(&mut connection).assert_status(200)));
    }
    let counts = gateway.disk.counts();
    assert_eq!((counts.log_writes, counts.syncs_elsewhere), (100, 0));
}

#[test]
fn refused_request_writes_nothing() {
    let upstream = Upstream::start();
    let (mut gateway, _) = fixture(&upstream, "");
    let team = gateway.team_with_budget("small", "0.00001");
    let key = gateway.key_of(&team);
    gateway.usage();
    gateway.disk.reset_counts();
    for _ in 0..20 {
        assert_eq!(
            gateway
                .user(&key)
                .chat(&Call::chat().at_most(30).body())
                .status,
            402
        );
    }
    assert_eq!(gateway.disk.counts().log_writes, 0);
}

/// With 200 ms per sync, as on a busy disk, more concurrent requests share a commit.
#[test]
fn concurrent_requests_share_syncs_and_commits() {
    let upstream = Upstream::start();
    let (gateway, key) = fixture(&upstream, "");
    gateway.usage();
    gateway.disk.set_sync_delay_ms(200);
    gateway.disk.reset_counts();
    run_load(&gateway, &key);
    let counts = gateway.disk.counts();
    let syncs = counts.log_syncs + counts.book_syncs;
    print_figure(
        "syncs per request",
        &format!(
            "{:.3} at {CONCURRENCY} at once, os mode",
            syncs as f64 / REQUESTS as f64
        ),
    );
    assert_eq!(
        (counts.log_writes, counts.syncs_elsewhere),
        (2 * REQUESTS, 0)
    );
    assert!(
        syncs * 5 < REQUESTS,
        "{syncs} syncs for {REQUESTS} requests: {counts:?}"
    );
}

#[test]
fn concurrent_requests_with_sync_disk_share_log_syncs() {
    let upstream = Upstream::start();
    let (gateway, key) = fixture(&upstream, "sync = \"disk\"");
    gateway.usage();
    gateway.disk.set_sync_delay_ms(50);
    gateway.disk.reset_counts();
    run_load(&gateway, &key);
    let counts = gateway.disk.counts();
    assert_eq!(
        (counts.log_writes, counts.syncs_elsewhere),
        (2 * REQUESTS, 0)
    );
    assert!(
        counts.log_syncs < REQUESTS / 2,
        "{} syncs of the log for {REQUESTS} requests",
        counts.log_syncs
    );
}
