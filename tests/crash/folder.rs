//! A data folder that is not as it was left: newer, damaged, torn, foreign, in use. What cannot be trusted is refused with
//! exit code 78 and the reason, and nothing is written; what can be put right is put right and said.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use std::sync::Arc;
use std::time::Duration;

use gatekeeper::domain::zone::Zone;
use gatekeeper::store::disk::Disk;
use gatekeeper::store::{Options, RecoveredState, Store, StoreError};
use redb::TableDefinition;

use super::books::{Books, Work, waits};
use crate::budget::call::Call;
use crate::harness::process::Gatekeeper;
use crate::harness::rng::SeededRng;
use crate::harness::simulated_disk::{PowerLoss, SharedDisk, SimulatedDisk};
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

const LOG: &str = "ledger/000001.log";

/// A gateway with some calls in its books, stopped.
fn stopped(upstream: &Upstream) -> Gatekeeper {
    let mut gatekeeper = Gatekeeper::with_upstream(upstream)
        .ledger("segment_mb = 1")
        .start();
    let team = gatekeeper.team_with_budget("eng", "10");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    for _ in 0..5 {
        user.chat(&Call::chat().at_most(30).body())
            .assert_status(200);
    }
    gatekeeper.stop();
    gatekeeper
}

/// Every file of the data folder with its bytes; the lock and the socket are no data.
fn snapshot(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in [data.to_owned(), data.join("ledger")] {
        for entry in fs::read_dir(folder).expect("the folder can be listed") {
            let path = entry.expect("an entry").path();
            if path.is_file() && !path.ends_with("lock") {
                files.insert(path.clone(), fs::read(path).expect("a file can be read"));
            }
        }
    }
    files
}

/// Starts, is refused with 78, and finds the folder as it was.
fn refused(gatekeeper: &mut Gatekeeper) -> String {
    let before = snapshot(&gatekeeper.data);
    let (status, said) = gatekeeper.start_expecting_failure();
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let after = snapshot(&gatekeeper.data);
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>(),
        "{said}"
    );
    for (path, bytes) in before {
        assert!(
            after[&path] == bytes,
            "{} was written to: {said}",
            path.display()
        );
    }
    said
}

fn write_at(gatekeeper: &Gatekeeper, name: &str, offset: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new()
        .write(true)
        .open(gatekeeper.data.join(name))
        .expect("the file is there");
    file.write_all_at(bytes, offset)
        .expect("the file can be written");
}

/// Where the log's records end.
fn log_end(gatekeeper: &Gatekeeper) -> u64 {
    let bytes = fs::read(gatekeeper.data.join(LOG)).expect("the log is there");
    let last = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("the log has records");
    (last as u64 + 1).next_multiple_of(8)
}

#[test]
fn books_of_a_newer_release_are_refused_and_nothing_is_written() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    {
        const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
        let database = redb::Database::open(gatekeeper.data.join("gatekeeper.redb"))
            .expect("the books can be opened");
        let write = database.begin_write().expect("a transaction");
        write
            .open_table(META)
            .expect("the table")
            .insert("schema", 99)
            .expect("a row");
        write.commit().expect("a commit");
    }
    let said = refused(&mut gatekeeper);
    assert!(
        said.contains("newer release (schema 99") && said.contains("nothing was written"),
        "{said}"
    );
}

#[test]
fn a_damaged_log_is_refused_with_segment_and_offset() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    write_at(&gatekeeper, LOG, 64 + 30, b"\xff\xff");
    let said = refused(&mut gatekeeper);
    assert!(
        said.contains("ledger/000001.log is damaged at byte 64"),
        "{said}"
    );
    assert!(
        said.contains("mv ledger/000001.log"),
        "the repair is named: {said}"
    );
}

#[test]
fn a_damaged_head_of_the_log_is_refused() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    write_at(&gatekeeper, LOG, 10, b"\xff\xff");
    let said = refused(&mut gatekeeper);
    assert!(
        said.contains("ledger/000001.log is damaged at byte 0"),
        "{said}"
    );
}

/// The books as they were before the last calls, of which only the log tells.
fn behind(upstream: &Upstream) -> Gatekeeper {
    let mut gatekeeper = stopped(upstream);
    let (books, before) = (
        gatekeeper.data.join("gatekeeper.redb"),
        gatekeeper.data.join("before"),
    );
    fs::copy(&books, &before).expect("the books can be copied");
    gatekeeper.start();
    let key = gatekeeper.key(&serde_json::json!({"name": "later", "team": "eng"}));
    let user = gatekeeper.user(&key);
    for _ in 0..30 {
        user.chat(&Call::chat().at_most(30).body())
            .assert_status(200);
    }
    // a record says what was synced before it
    let metric = |name| gatekeeper.metric(name);
    wait_until("all of it is synced", || {
        metric("gatekeeper_ledger_synced") == metric("gatekeeper_ledger_written")
    });
    user.chat(&Call::chat().at_most(30).body())
        .assert_status(200);
    gatekeeper.stop();
    fs::rename(before, books).expect("the books can be put back");
    gatekeeper
}

#[test]
fn a_log_whose_head_was_lost_is_no_file_that_nobody_misses() {
    let upstream = Upstream::start();
    for zeros in [64, 4096] {
        let mut gatekeeper = behind(&upstream);
        write_at(&gatekeeper, LOG, 0, &vec![0; zeros]);
        let said = refused(&mut gatekeeper);
        assert!(
            said.contains("ledger/000001.log is damaged at byte 0: record 11 was on disk"),
            "{zeros}: {said}"
        );
        assert!(
            said.contains("in the data folder: mv ledger/000001.log ledger/000001.log.damaged"),
            "{zeros}: {said}"
        );
    }
}

/// Small segments, and books that stay where they are.
fn opens(disk: &Arc<SimulatedDisk>, create: bool) -> Result<(Store, RecoveredState), StoreError> {
    let segment_bytes = 8 * 1024;
    let disk = Arc::new(SharedDisk(Arc::clone(disk)));
    Store::open(Options {
        disk,
        zone: Zone::utc(),
        segment_bytes,
        disk_reserve_mb: 0,
        wait_for_disk: true,
        create,
    })
}

fn work() -> Work {
    Work {
        seeded: SeededRng::new(7),
        events: Vec::new(),
        books: Books::default(),
        promises: Arc::default(),
        wait_for_disk: true,
        patience: 0,
        bears_faults: Some(Duration::from_millis(3)),
        refused: 0,
    }
}

/// A log of several segments of which nothing is booked, and what it says.
fn several_segments() -> (Arc<SimulatedDisk>, usize, Vec<String>) {
    let disk = Arc::new(SimulatedDisk::default());
    let (store, _) = opens(&disk, true).expect("an empty disk can be set up");
    disk.fail_book_syncs();
    let mut work = work();
    for _ in 0..9 {
        work.holds(&store, 10);
        waits(store.wal().wait_committed(work.events.len() as u64));
    }
    work.holds(&store, 1);
    let killed = Arc::new(
        disk.snapshot()
            .after(&PowerLoss::KeepAll, &mut SeededRng::new(1)),
    );
    store.close();
    let folder = SharedDisk(Arc::clone(&killed));
    let mut logs = folder.names("ledger").expect("the folder can be listed");
    // one that waits to be begun is missed by nobody
    logs.retain(|log| {
        let mut head = [0; 8];
        folder
            .open(&format!("ledger/{log}"))
            .and_then(|file| file.read_at(0, &mut head))
            .expect("it can be read");
        head != [0; 8]
    });
    assert!(logs.len() >= 3, "{logs:?}");
    (killed, work.events.len(), logs)
}

/// What the store says of a copy that something was done to.
fn opened_after(
    disk: &Arc<SimulatedDisk>,
    done: impl FnOnce(&SharedDisk),
) -> Result<usize, String> {
    let copy = Arc::new(
        disk.snapshot()
            .after(&PowerLoss::KeepAll, &mut SeededRng::new(1)),
    );
    done(&SharedDisk(Arc::clone(&copy)));
    let (store, recovered) = opens(&copy, false).map_err(|error| error.to_string())?;
    store.close();
    Ok(recovered.holds.len())
}

#[test]
fn the_lost_head_of_any_of_several_segments_is_refused_and_named() {
    let (disk, holds, logs) = several_segments();
    assert_eq!(opened_after(&disk, |_| {}), Ok(holds));
    for log in logs {
        let said = opened_after(&disk, |disk| {
            let file = disk.open(&format!("ledger/{log}")).expect("it is there");
            file.write_at(0, &[0; 64]).expect("it can be written");
        });
        let said = said.expect_err("it is refused");
        assert!(
            said.contains(&format!("ledger/{log} is damaged at byte 0")),
            "{log}: {said}"
        );
    }
}

/// The first write of a segment may reach the disk without its head. Whatever is in it was promised to nobody.
#[test]
fn a_segment_that_was_never_synced_is_cut_like_a_torn_tail_and_said() {
    let disk = Arc::new(SimulatedDisk::default());
    let (store, _) = opens(&disk, true).expect("an empty disk can be set up");
    disk.fail_book_syncs();
    let mut work = work();
    work.holds(&store, 1);
    let cut = Arc::new(
        disk.snapshot()
            .after(&PowerLoss::KeepAll, &mut SeededRng::new(1)),
    );
    store.close();
    let log = SharedDisk(Arc::clone(&cut)).open(LOG).expect("it is there");
    log.write_at(0, &[0; 64]).expect("it can be written");
    for remarks in [1, 0] {
        let (store, recovered) =
            opens(&cut, false).expect("a power cut never keeps the store from opening");
        assert_eq!(
            (recovered.holds.len(), recovered.remarks.len()),
            (0, remarks),
            "{:?}",
            recovered.remarks
        );
        assert!(
            recovered
                .remarks
                .iter()
                .all(|remark| remark.contains("it has no head")),
            "{:?}",
            recovered.remarks
        );
        store.close();
    }
}

#[test]
fn segments_under_each_others_names_are_refused() {
    let (disk, _, logs) = several_segments();
    let named = |log: &String| format!("ledger/{log}");
    for (one, other) in logs
        .iter()
        .flat_map(|one| logs.iter().map(move |other| (one, other)))
        .filter(|(one, other)| one != other)
    {
        let swapped = opened_after(&disk, |disk| {
            for (from, to) in [
                (named(one), "ledger/between".to_owned()),
                (named(other), named(one)),
                ("ledger/between".to_owned(), named(other)),
            ] {
                disk.rename(&from, &to).expect("it can be renamed");
            }
        });
        assert!(swapped.is_err(), "{one} and {other}");
    }
}

/// Records of the log: offset and length, in order.
fn records(bytes: &[u8]) -> Vec<(u64, u64)> {
    let (mut found, mut at) = (Vec::new(), 64);
    while at + 24 <= bytes.len() {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        if length == 0 {
            break;
        }
        let whole = (24 + length).next_multiple_of(8);
        found.push((at as u64, whole as u64));
        at += whole;
    }
    found
}

#[test]
fn damage_in_the_middle_of_the_log_is_refused_and_the_printed_command_repairs_it() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    let (offset, _) = records(&fs::read(gatekeeper.data.join(LOG)).expect("the log is there"))[4];
    write_at(&gatekeeper, LOG, offset + 30, b"\xff\xff");
    let said = refused(&mut gatekeeper);
    assert!(
        said.contains(&format!(
            "ledger/000001.log is damaged at byte {offset}: record 5 "
        )),
        "{said}"
    );
    let command = said
        .split("in the data folder: ")
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .expect("a command");
    let done = std::process::Command::new("sh")
        .args(["-c", command])
        .current_dir(&gatekeeper.data)
        .status();
    assert!(done.expect("a shell").success(), "{command}");
    gatekeeper.start();
    assert!(gatekeeper.data.join("ledger/000001.log.damaged").exists());
    assert_eq!(
        gatekeeper.usage()["total"]["requests"],
        5,
        "all was in the books"
    );
}

#[test]
fn a_log_that_ends_before_the_books_is_begun_anew_where_they_end() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    let bytes = fs::read(gatekeeper.data.join(LOG)).expect("the log is there");
    let written = records(&bytes);
    // as if the last records had never been written: no trace of them is left
    let (from, _) = written[written.len() - 3];
    write_at(
        &gatekeeper,
        LOG,
        from,
        &vec![0; bytes.len() - from as usize],
    );
    gatekeeper.start();
    let (last, said) = (written.len(), gatekeeper.output());
    let remark = format!(
        "ends at record {}, the books at {last}: a new segment begins at {}",
        last - 3,
        last + 1
    );
    assert!(said.contains(&remark), "{said}");
    let key = gatekeeper.key(&serde_json::json!({"name": "after", "team": "eng"}));
    gatekeeper
        .user(&key)
        .chat(&Call::chat().at_most(30).body())
        .assert_status(200);
    gatekeeper.restart();
    assert!(
        !gatekeeper.output().contains("a new segment begins"),
        "{}",
        gatekeeper.output()
    );
    assert_eq!(gatekeeper.usage()["total"]["requests"], 6);
}

#[test]
fn a_log_without_its_beginning_is_refused() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    // the head of a segment that begins ten records after the books end
    let mut head = fs::read(gatekeeper.data.join(LOG)).expect("the log is there")[..64].to_vec();
    let first = u64::from_le_bytes(head[28..36].try_into().expect("eight bytes")) + 20;
    head[28..36].copy_from_slice(&first.to_le_bytes());
    let checksum = crc32fast::hash(&head[..36]);
    head[36..40].copy_from_slice(&checksum.to_le_bytes());
    write_at(&gatekeeper, LOG, 0, &head);
    let said = refused(&mut gatekeeper);
    assert!(said.contains("a segment is missing"), "{said}");
}

#[test]
fn damaged_books_are_refused_in_words() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    write_at(&gatekeeper, "gatekeeper.redb", 0, &[0x5a; 512]);
    let said = refused(&mut gatekeeper);
    assert!(said.contains("gatekeeper.redb"), "{said}");
}

#[test]
fn books_of_no_bytes_are_damaged_books_and_no_new_folder() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    fs::write(gatekeeper.data.join("gatekeeper.redb"), b"").expect("the books can be emptied");
    let said = refused(&mut gatekeeper);
    assert!(
        said.contains("the books are damaged") && said.contains("restore a backup"),
        "{said}"
    );
    assert!(!said.contains("gatekeeper init"), "{said}");
}

#[test]
fn a_torn_tail_is_cut_and_said() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    let end = log_end(&gatekeeper);
    write_at(
        &gatekeeper,
        LOG,
        end,
        b"half a record that no sync has ever covered",
    );
    gatekeeper.start();
    let said = gatekeeper.output();
    assert!(
        said.contains(&format!("torn tail of 43 bytes at byte {end} was cut")),
        "{said}"
    );
    assert_eq!(gatekeeper.usage()["total"]["requests"], 5);
    let key = gatekeeper.key(&serde_json::json!({"name": "after", "team": "eng"}));
    gatekeeper
        .user(&key)
        .chat(&Call::chat().at_most(30).body())
        .assert_status(200);
    gatekeeper.restart();
    assert!(
        !gatekeeper.output().contains("torn"),
        "{}",
        gatekeeper.output()
    );
    assert_eq!(gatekeeper.usage()["total"]["requests"], 6);
}

#[test]
fn the_log_of_another_data_folder_is_refused() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    let other = stopped(&upstream);
    fs::copy(other.data.join(LOG), gatekeeper.data.join(LOG)).expect("a file can be copied");
    let said = refused(&mut gatekeeper);
    assert!(said.contains("belongs to another data folder"), "{said}");
}

#[test]
fn a_log_that_was_removed_is_begun_anew_where_the_books_end() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    fs::remove_file(gatekeeper.data.join(LOG)).expect("the log can be removed");
    gatekeeper.start();
    let said = gatekeeper.output();
    assert!(said.contains("a new segment begins at"), "{said}");
    assert_eq!(gatekeeper.usage()["total"]["requests"], 5);
    let key = gatekeeper.key(&serde_json::json!({"name": "after", "team": "eng"}));
    gatekeeper
        .user(&key)
        .chat(&Call::chat().at_most(30).body())
        .assert_status(200);
    gatekeeper.restart();
    assert_eq!(gatekeeper.usage()["total"]["requests"], 6);
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    gatekeeper.start();
    let config = gatekeeper.config.display().to_string();
    let second = gatekeeper.run(&["serve", "--config", &config, "--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(78), "{said}");
    assert!(
        said.contains("in use by another gatekeeper process"),
        "{said}"
    );
    assert_eq!(gatekeeper.anon().get("/readyz").status, 200);
    gatekeeper.key(&serde_json::json!({"name": "after", "team": "eng"}));
}
