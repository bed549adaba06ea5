//! What a request costs the disk, as counts that do not drift with the machine: two writes to the log, no sync of its own,
//! and commits of the books that many requests share.

use super::house;
use crate::budget::call::{Call, is_whole};
use crate::harness::crowd::at_once;
use crate::harness::inside::Inside;
use crate::harness::process::Key;
use crate::harness::record;
use crate::harness::upstream::Upstream;

const REQUESTS: usize = 640;
const AT_ONCE: usize = 64;

fn crowd(inside: &Inside, key: &Key) {
    let ask = |connection: &mut _, _| Call::chat().at_most(30).by(connection).expects(200).status;
    at_once(AT_ONCE, REQUESTS, |_| inside.user(key).connects(), ask);
}

#[test]
fn a_request_is_two_writes_to_the_log_and_waits_for_no_sync() {
    let upstream = Upstream::start();
    let (inside, key) = house(&upstream, "");
    inside.usage();
    inside.disk.counts_anew();
    let mut connection = inside.user(&key).connects();
    for number in 0..50 {
        let call = if number % 2 == 0 {
            Call::chat()
        } else {
            Call::messages()
        }
        .at_most(30)
        .streamed(number % 4 < 2);
        assert!(is_whole(call.by(&mut connection).expects(200)));
    }
    let counts = inside.disk.counts();
    assert_eq!((counts.log_writes, counts.syncs_elsewhere), (100, 0));
}

#[test]
fn a_refused_request_writes_nothing() {
    let upstream = Upstream::start();
    let (mut inside, _) = house(&upstream, "");
    let team = inside.team_with_budget("poor", "0.00001");
    let key = inside.key_of(&team);
    inside.usage();
    inside.disk.counts_anew();
    for _ in 0..20 {
        assert_eq!(
            inside
                .user(&key)
                .chat(&Call::chat().at_most(30).body())
                .status,
            402
        );
    }
    assert_eq!(inside.disk.counts().log_writes, 0);
}

/// On a disk that takes 200 ms to sync, as a busy one does: the faster the requests come, the more share a commit.
#[test]
fn requests_at_once_share_their_syncs_and_commits() {
    let upstream = Upstream::start();
    let (inside, key) = house(&upstream, "");
    inside.usage();
    inside.disk.syncs_take_ms(200);
    inside.disk.counts_anew();
    crowd(&inside, &key);
    let counts = inside.disk.counts();
    let syncs = counts.log_syncs + counts.book_syncs;
    record(
        "syncs per request",
        &format!(
            "{:.3} at {AT_ONCE} at once, os mode",
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
fn with_sync_disk_requests_at_once_share_one_sync_of_the_log() {
    let upstream = Upstream::start();
    let (inside, key) = house(&upstream, "sync = \"disk\"");
    inside.usage();
    inside.disk.syncs_take_ms(50);
    inside.disk.counts_anew();
    crowd(&inside, &key);
    let counts = inside.disk.counts();
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
