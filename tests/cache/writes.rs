//! Writes of the cache beside those of the ledger: its own file by its own thread, so that the log is written as often as without a cache,
//! and a cache file that takes no writes delays nothing.

use super::fixture::{Fixture, ROUTES, ask, setup};
use crate::harness::controlled_disk::DiskCounts;
use crate::harness::upstream::Upstream;

const REQUESTS: usize = 40;

/// Disk operations of as many requests, whose outcomes are as given.
fn counts_of(fixture: &Fixture, route: &str, outcome: &str) -> DiskCounts {
    fixture.gateway.usage();
    fixture.gateway.disk.reset_counts();
    for number in 0..REQUESTS {
        let body = ask(route, &format!("churn {number}"));
        assert_eq!(fixture.chat(&fixture.one, &body), outcome);
    }
    fixture.gateway.usage();
    fixture.gateway.disk.counts()
}

#[test]
fn kept_answer_adds_no_write_to_the_log_and_no_sync_before_the_answer() {
    let upstream = Upstream::start();
    let setup = setup(&upstream)
        .setting(ROUTES)
        .ledger("sync = \"disk\"\nappend = \"written\"");
    let fixture = Fixture::of(setup, upstream);
    let plain = counts_of(&fixture, "plain", "none");
    let miss = counts_of(&fixture, "exact", "miss");
    let hit = counts_of(&fixture, "exact", "exact");
    assert_eq!(plain.log_writes, 2 * REQUESTS);
    assert_eq!(
        (miss.log_writes, miss.log_syncs),
        (plain.log_writes, plain.log_syncs)
    );
    assert_eq!(hit.log_writes, REQUESTS, "a hit is one record");
    assert_eq!(plain.cache_syncs, 0);
    assert!(miss.cache_syncs > 0, "{miss:?}");
    for counts in [&plain, &miss, &hit] {
        assert_eq!(counts.syncs_elsewhere, 0, "{counts:?}");
    }
}

#[test]
fn cache_file_that_takes_no_writes_delays_no_request_and_no_booking() {
    let fixture = Fixture::start();
    assert_eq!(fixture.chat(&fixture.one, &ask("exact", "before")), "miss");
    fixture.gateway.disk.stall_writes(Some("cache.redb"));
    for number in 0..REQUESTS {
        let body = ask("exact", &format!("stalled {number}"));
        assert_eq!(fixture.chat(&fixture.one, &body), "miss");
        assert_eq!(
            fixture.chat(&fixture.one, &body),
            "exact",
            "found unwritten"
        );
    }
    let usage = fixture.gateway.usage();
    assert_eq!(usage["total"]["requests"], 1 + 2 * REQUESTS);
    fixture.gateway.disk.stall_writes(None);
}
