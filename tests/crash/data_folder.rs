//! Changed data folder: newer, damaged, torn, foreign, lost or in use. Untrusted files are refused with exit code 78 and a reason,
//! and stay unchanged; recoverable ones are repaired with a remark in the log.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use redb::TableDefinition;

use crate::budget::call::Call;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

const LOG: &str = "ledger/000001.log";

/// A stopped gateway with five calls in its books.
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

/// Files of the data folder with their bytes, without lock and socket.
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

/// Checks that a start is refused with 78 and leaves the folder unchanged; returns its output.
fn assert_refused(gatekeeper: &mut Gatekeeper) -> String {
    let before = snapshot(&gatekeeper.data);
    let (status, output) = gatekeeper.start_expecting_failure();
    assert_eq!(status.code(), Some(78), "{output}");
    assert!(!output.contains("panicked"), "{output}");
    let after = snapshot(&gatekeeper.data);
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>(),
        "{output}"
    );
    for (path, bytes) in before {
        assert!(
            after[&path] == bytes,
            "{} was written to: {output}",
            path.display()
        );
    }
    output
}

fn write_at(gatekeeper: &Gatekeeper, name: &str, offset: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new()
        .write(true)
        .open(gatekeeper.data.join(name))
        .expect("the file is there");
    file.write_all_at(bytes, offset)
        .expect("the file can be written");
}

/// End of the last record in the log.
fn log_end(gatekeeper: &Gatekeeper) -> u64 {
    let bytes = fs::read(gatekeeper.data.join(LOG)).expect("the log is there");
    let last = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("the log has records");
    (last as u64 + 1).next_multiple_of(8)
}

#[test]
fn data_folder_lost_while_running_ends_the_process() {
    let damages: [fn(&Path); 2] = [
        |data| fs::remove_dir_all(data).expect("the folder can be deleted"),
        |data| fs::remove_file(data.join(LOG)).expect("a segment can be deleted"),
    ];
    for damage in damages {
        let upstream = Upstream::start();
        let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
            .ledger("segment_mb = 1")
            .start();
        gatekeeper.skip_books_check();
        damage(&gatekeeper.data);
        let status = gatekeeper.wait_for_exit();
        let output = gatekeeper.output();
        assert_eq!(status.code(), Some(74), "{output}");
        assert!(
            output.contains("ERROR") && output.contains("data folder deleted or replaced"),
            "{output}"
        );
        assert!(!output.contains("panicked"), "{output}");
    }
}

#[test]
fn books_with_newer_schema_are_refused_unchanged() {
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
    let output = assert_refused(&mut gatekeeper);
    assert!(
        output.contains("newer release (schema 99") && output.contains("nothing was written"),
        "{output}"
    );
}

#[test]
fn log_with_damaged_record_is_refused_with_segment_and_offset() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    write_at(&gatekeeper, LOG, 64 + 30, b"\xff\xff");
    let output = assert_refused(&mut gatekeeper);
    assert!(
        output.contains("ledger/000001.log is damaged at byte 64"),
        "{output}"
    );
    assert!(
        output.contains("mv ledger/000001.log"),
        "the repair command is printed: {output}"
    );
}

#[test]
fn log_with_damaged_header_is_refused() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    write_at(&gatekeeper, LOG, 10, b"\xff\xff");
    let output = assert_refused(&mut gatekeeper);
    assert!(
        output.contains("ledger/000001.log is damaged at byte 0"),
        "{output}"
    );
}

/// A stopped gateway whose last calls are only in the log: the books are restored from before them.
fn with_older_books(upstream: &Upstream) -> Gatekeeper {
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
    // the next record carries the synced mark
    let metric = |name| gatekeeper.metric(name);
    wait_until("every record is synced", || {
        metric("gatekeeper_ledger_synced") == metric("gatekeeper_ledger_written")
    });
    user.chat(&Call::chat().at_most(30).body())
        .assert_status(200);
    gatekeeper.stop();
    fs::rename(before, books).expect("the books can be put back");
    gatekeeper
}

#[test]
fn log_with_zeroed_header_of_synced_segment_is_refused() {
    let upstream = Upstream::start();
    for zeros in [64, 4096] {
        let mut gatekeeper = with_older_books(&upstream);
        write_at(&gatekeeper, LOG, 0, &vec![0; zeros]);
        let output = assert_refused(&mut gatekeeper);
        assert!(
            output.contains("ledger/000001.log is damaged at byte 0: record 11 was on disk"),
            "{zeros}: {output}"
        );
        assert!(
            output.contains("in the data folder: mv ledger/000001.log ledger/000001.log.damaged"),
            "{zeros}: {output}"
        );
    }
}

/// Records of the log: offset and length, in order.
fn records(bytes: &[u8]) -> Vec<(u64, u64)> {
    let (mut records, mut at) = (Vec::new(), 64);
    while at + 24 <= bytes.len() {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        if length == 0 {
            break;
        }
        let size = (24 + length).next_multiple_of(8);
        records.push((at as u64, size as u64));
        at += size;
    }
    records
}

#[test]
fn log_with_damage_in_the_middle_is_repaired_by_printed_command() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    let (offset, _) = records(&fs::read(gatekeeper.data.join(LOG)).expect("the log is there"))[4];
    write_at(&gatekeeper, LOG, offset + 30, b"\xff\xff");
    let output = assert_refused(&mut gatekeeper);
    assert!(
        output.contains(&format!(
            "ledger/000001.log is damaged at byte {offset}: record 5 "
        )),
        "{output}"
    );
    let command = output
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
        "every call was in the books"
    );
}

#[test]
fn log_shorter_than_books_starts_new_segment() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    let bytes = fs::read(gatekeeper.data.join(LOG)).expect("the log is there");
    let written = records(&bytes);
    // zeroed records look as if they had never been written
    let (from, _) = written[written.len() - 3];
    write_at(
        &gatekeeper,
        LOG,
        from,
        &vec![0; bytes.len() - from as usize],
    );
    gatekeeper.start();
    let (last, output) = (written.len(), gatekeeper.output());
    let remark = format!(
        "ends at record {}, the books at {last}: a new segment begins at {}",
        last - 3,
        last + 1
    );
    assert!(output.contains(&remark), "{output}");
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
fn log_with_missing_segment_is_refused() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    // header of a segment that starts ten records after the end of the books
    let mut head = fs::read(gatekeeper.data.join(LOG)).expect("the log is there")[..64].to_vec();
    let first = u64::from_le_bytes(head[28..36].try_into().expect("eight bytes")) + 20;
    head[28..36].copy_from_slice(&first.to_le_bytes());
    let checksum = crc32fast::hash(&head[..36]);
    head[36..40].copy_from_slice(&checksum.to_le_bytes());
    write_at(&gatekeeper, LOG, 0, &head);
    let output = assert_refused(&mut gatekeeper);
    assert!(output.contains("a segment is missing"), "{output}");
}

#[test]
fn books_with_damage_are_refused_with_message() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    write_at(&gatekeeper, "gatekeeper.redb", 0, &[0x5a; 512]);
    let output = assert_refused(&mut gatekeeper);
    assert!(output.contains("gatekeeper.redb"), "{output}");
}

#[test]
fn books_of_zero_bytes_are_refused_as_damaged() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    fs::write(gatekeeper.data.join("gatekeeper.redb"), b"").expect("the books can be emptied");
    let output = assert_refused(&mut gatekeeper);
    assert!(
        output.contains("the books are damaged") && output.contains("restore a backup"),
        "{output}"
    );
    assert!(!output.contains("gatekeeper init"), "{output}");
}

#[test]
fn log_with_torn_tail_is_truncated_with_remark() {
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
    let output = gatekeeper.output();
    assert!(
        output.contains(&format!("torn tail of 43 bytes at byte {end} was cut")),
        "{output}"
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
fn log_of_other_data_folder_is_refused() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    let other = stopped(&upstream);
    fs::copy(other.data.join(LOG), gatekeeper.data.join(LOG)).expect("a file can be copied");
    let output = assert_refused(&mut gatekeeper);
    assert!(
        output.contains("belongs to another data folder"),
        "{output}"
    );
}

#[test]
fn log_removed_starts_new_segment_after_books() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    fs::remove_file(gatekeeper.data.join(LOG)).expect("the log can be removed");
    gatekeeper.start();
    let output = gatekeeper.output();
    assert!(output.contains("a new segment begins at"), "{output}");
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
fn second_process_on_same_data_folder_is_refused() {
    let upstream = Upstream::start();
    let mut gatekeeper = stopped(&upstream);
    gatekeeper.start();
    let config = gatekeeper.config.display().to_string();
    let second = gatekeeper.run(&["serve", "--config", &config, "--listen", "127.0.0.1:0"]);
    let output = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(75), "{output}");
    assert!(
        output.contains("in use by another gatekeeper process"),
        "{output}"
    );
    assert_eq!(gatekeeper.anon().get("/readyz").status, 200);
    gatekeeper.key(&serde_json::json!({"name": "after", "team": "eng"}));
}
