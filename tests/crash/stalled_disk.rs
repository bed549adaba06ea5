//! Stalled disk: with `ledger.sync = "os"` no request waits for a sync, with `"disk"` every request does.

use std::time::{Duration, Instant};

use super::fixture;
use crate::budget::call::{Call, is_complete};
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::Key;
use crate::harness::upstream::Upstream;
use crate::harness::workers::run_workers;
use crate::harness::{print_figure, wait_until};

const STALL_MS: u64 = 3_000;

/// Duration of each call while every sync stalls.
fn stalled_call_times(sync: &str, calls: usize) -> Vec<Duration> {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let (gateway, key) = fixture(&upstream, &format!("sync = {sync:?}"));
    let unsynced_ms = || gateway.metric("gatekeeper_ledger_unsynced_ms");
    gateway.disk.set_sync_delay_ms(STALL_MS);
    let times = call_times(&gateway, &key, calls);
    if sync == "os" {
        call_times(&gateway, &key, 1);
        wait_until("the metric shows the time without a sync", || {
            unsynced_ms() >= 300.0
        });
    }
    gateway.disk.heal();
    wait_until("every record is synced", || unsynced_ms() == 0.0);
    times
}

fn call_times(gateway: &InProcessGateway, key: &Key, calls: usize) -> Vec<Duration> {
    run_workers(
        16,
        calls,
        |_| gateway.user(key).connect(),
        |connection, number| {
            let call = if number % 3 == 0 {
                Call::messages()
            } else {
                Call::chat()
            }
            .at_most(30)
            .streamed(number % 2 == 0);
            let start = Instant::now();
            let response = call.by(connection);
            assert!(
                response.status == 200 && is_complete(&response),
                "{}",
                response.text()
            );
            start.elapsed()
        },
    )
}

#[test]
fn stalled_disk_with_sync_os_delays_no_request() {
    let times = stalled_call_times("os", 200);
    let longest = times.iter().max().expect("200 calls");
    print_figure(
        "3 s fsync stall",
        &format!("longest of 200 requests {} ms", longest.as_millis()),
    );
    assert!(
        *longest < Duration::from_millis(STALL_MS - 500),
        "a request took {longest:?} while the disk stalled"
    );
}

#[test]
fn stalled_disk_with_sync_disk_delays_every_request() {
    let times = stalled_call_times("disk", 16);
    let shortest = times.iter().min().expect("16 calls");
    assert!(
        *shortest >= Duration::from_millis(STALL_MS),
        "a request took only {shortest:?}"
    );
}
