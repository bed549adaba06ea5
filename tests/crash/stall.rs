//! A disk that stalls. With `ledger.sync = "os"` no request waits for it; with `"disk"` every request does, because that is
//! what was asked for.

use std::time::{Duration, Instant};

use super::house;
use crate::budget::call::{Call, is_whole};
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::Key;
use crate::harness::upstream::Upstream;
use crate::harness::workers::run_workers;
use crate::harness::{print_figure, wait_until};

const STALL_MS: u64 = 3_000;

/// How long each of so many calls took while every sync stalls.
fn times(sync: &str, calls: usize) -> Vec<Duration> {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let (gateway, key) = house(&upstream, &format!("sync = {sync:?}"));
    let unsynced_ms = || gateway.metric("gatekeeper_ledger_unsynced_ms");
    gateway.disk.set_sync_delay_ms(STALL_MS);
    let times = timed(&gateway, &key, calls);
    if sync == "os" {
        timed(&gateway, &key, 1);
        wait_until("the metric says for how long nothing was synced", || {
            unsynced_ms() >= 300.0
        });
    }
    gateway.disk.heal();
    wait_until("all is synced", || unsynced_ms() == 0.0);
    times
}

fn timed(gateway: &InProcessGateway, key: &Key, calls: usize) -> Vec<Duration> {
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
            let begun = Instant::now();
            let answer = call.by(connection);
            assert!(
                answer.status == 200 && is_whole(&answer),
                "{}",
                answer.text()
            );
            begun.elapsed()
        },
    )
}

#[test]
fn no_request_sees_a_stall_of_the_disk() {
    let times = times("os", 200);
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
fn with_sync_disk_every_request_waits_for_the_disk() {
    let times = times("disk", 16);
    let shortest = times.iter().min().expect("16 calls");
    assert!(
        *shortest >= Duration::from_millis(STALL_MS),
        "a request took only {shortest:?}"
    );
}
