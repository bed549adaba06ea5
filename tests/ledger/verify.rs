//! `ledger verify`: no difference in consistent books, also during writes; the exit code names the tampered part.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::json;

use crate::budget::call::Call;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;
use crate::harness::workers::run_workers;
use crate::harness::{SetOnDrop, model};

type Bytes = &'static [u8];
const BALANCES: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("balances");
const HOURS: TableDefinition<(u64, u64, &str, &str, &str, u8), Bytes> =
    TableDefinition::new("hours");
const RECORDS: TableDefinition<(u128, u8), Bytes> = TableDefinition::new("records");
const OF_KEY: TableDefinition<(u64, u128, u8), ()> = TableDefinition::new("records_of_key");
const CORRECTIONS: TableDefinition<(u128, u8, u32), Bytes> = TableDefinition::new("corrections");

const STATED: TableDefinition<(u64, u8, &str, u64), Bytes> = TableDefinition::new("stated_days");
const STATED_COUNTS: TableDefinition<(u64, u8), u64> = TableDefinition::new("stated_counts");

/// A gateway with five served calls, all with one tag and two of a user.
fn fixture() -> (Upstream, Gatekeeper) {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("eng", "100");
    let key = gatekeeper.key_of(&team);
    for number in 0..5 {
        let mut body = Call::chat().at_most(50).body();
        if number < 2 {
            body["user"] = json!("ann");
        }
        let user = gatekeeper.user(&key).with("x-gatekeeper-tag", "nightly");
        user.chat(&body).assert_status(200);
    }
    (upstream, gatekeeper)
}

/// Exit code and output of `ledger verify` after the stored books were changed while the gateway was stopped.
fn verify_after(tamper: impl FnOnce(&Database)) -> (Option<i32>, String) {
    let (_upstream, mut gatekeeper) = fixture();
    gatekeeper.skip_books_check();
    gatekeeper.stop();
    tamper(&Database::open(gatekeeper.data.join("gatekeeper.redb")).expect("the books open"));
    gatekeeper.start();
    let result = gatekeeper.run(&[
        "ledger",
        "verify",
        "--config",
        gatekeeper.config.to_str().expect("a path"),
    ]);
    (
        result.status.code(),
        String::from_utf8_lossy(&result.stdout).into_owned(),
    )
}

/// Stored form of a balance of one pico-dollar.
const ONE_PICO: [u8; 2] = [2, 2];

fn change_balance(books: &Database) {
    let change = books.begin_write().expect("a transaction");
    {
        let mut table = change.open_table(BALANCES).expect("the table");
        let key = table.first().expect("reads").expect("a balance").0.value();
        table.insert(key, ONE_PICO.as_slice()).expect("inserts");
    }
    change.commit().expect("commits");
}

fn change_hour(books: &Database) {
    let read = books.begin_read().expect("a transaction");
    let table = read.open_table(HOURS).expect("the table");
    let (key, _) = table.first().expect("reads").expect("an hour");
    let change = books.begin_write().expect("a transaction");
    // one request, no tokens, no cost
    change
        .open_table(HOURS)
        .expect("the table")
        .insert(key.value(), [2, 1, 0, 0, 0, 0, 0].as_slice())
        .expect("inserts");
    change.commit().expect("commits");
}

/// Takes the only row of a kind (0: tags, 1: users) away, with or without its count.
fn remove_stated(books: &Database, kind: u8, with_count: bool) {
    let change = books.begin_write().expect("a transaction");
    {
        let mut days = change.open_table(STATED).expect("the table");
        days.retain(|(_, number, ..), _| number != kind)
            .expect("removes");
        let mut counts = change.open_table(STATED_COUNTS).expect("the table");
        counts
            .retain(|(_, number), _| number != kind || !with_count)
            .expect("removes");
    }
    change.commit().expect("commits");
}

fn add_stray_correction(books: &Database) {
    let change = books.begin_write().expect("a transaction");
    // at 0 ms, one pico-dollar back, without reason and actor
    change
        .open_table(CORRECTIONS)
        .expect("the table")
        .insert((1, 1, 1), [2, 0, 1, 0, 0].as_slice())
        .expect("inserts");
    change.commit().expect("commits");
}

fn remove_index_entry(books: &Database) {
    let change = books.begin_write().expect("a transaction");
    change
        .open_table(OF_KEY)
        .expect("the table")
        .pop_first()
        .expect("reads")
        .expect("an index entry");
    change.commit().expect("commits");
}

fn remove_record(books: &Database) {
    remove_index_entry(books);
    let change = books.begin_write().expect("a transaction");
    change
        .open_table(RECORDS)
        .expect("the table")
        .pop_first()
        .expect("reads")
        .expect("a record");
    change.commit().expect("commits");
}

/// Overwrites a record with bytes that do not decode.
fn garble_record(books: &Database) {
    let change = books.begin_write().expect("a transaction");
    {
        let mut records = change.open_table(RECORDS).expect("the table");
        let key = records.first().expect("reads").expect("a record").0.value();
        records.insert(key, [0xff; 40].as_slice()).expect("inserts");
    }
    change.commit().expect("commits");
}

#[test]
fn verify_unreadable_record_is_reported_and_rest_is_checked() {
    let (code, output) = verify_after(garble_record);
    assert!(
        code == Some(10) && output.contains("unreadable"),
        "{code:?} {output}"
    );
    assert!(
        output.contains("balances: ")
            && output.contains("rollups: hour")
            && output.contains("log: "),
        "{output}"
    );
}

#[test]
fn verify_exit_code_names_first_difference() {
    let (code, output) = verify_after(|_| {});
    assert!(
        code == Some(0) && output.contains("5 records") && output.contains("all agree"),
        "{code:?} {output}"
    );
    let (code, output) = verify_after(add_stray_correction);
    assert!(
        code == Some(10) && output.contains("a correction without its record"),
        "{code:?} {output}"
    );
    let (code, output) = verify_after(remove_index_entry);
    assert!(
        code == Some(10) && output.contains("it is missing in the index by key"),
        "{code:?} {output}"
    );
    let (code, output) = verify_after(change_balance);
    assert!(
        code == Some(11)
            && output.contains("it says $0.000000000001, its records come to $0.00055"),
        "{code:?} {output}"
    );
    let (code, output) = verify_after(change_hour);
    assert!(
        code == Some(12) && output.contains("its records have +4 requests, +50 input"),
        "{code:?} {output}"
    );
    let (code, output) = verify_after(|books| {
        change_hour(books);
        change_balance(books);
    });
    assert!(
        code == Some(11) && output.contains("rollups: hour"),
        "the exit code is that of the first difference: {code:?} {output}"
    );
}

#[test]
fn verify_recounts_the_days_of_tags_and_users() {
    let (code, output) = verify_after(|books| remove_stated(books, 0, true));
    assert!(
        code == Some(12)
            && output.contains("tag nightly of key_")
            && output.contains("its records have +5 requests, +50 input"),
        "{code:?} {output}"
    );
    let (code, output) = verify_after(|books| remove_stated(books, 1, false));
    assert!(
        code == Some(12)
            && output.contains(" user ")
            && output.contains("its records have +2 requests")
            && output.contains("number of users of the day")
            && output.contains("it says 1, the day has rows of 0"),
        "{code:?} {output}"
    );
}

#[test]
fn verify_record_missing_in_books_is_found_in_log() {
    let (code, output) = verify_after(remove_record);
    assert!(
        code == Some(11) && output.contains("log: ") && output.contains("the books do not have it"),
        "{code:?} {output}"
    );
}

#[test]
fn verify_damaged_log_prints_working_repair_command() {
    const LOG: &str = "ledger/000001.log";
    let (_upstream, mut gatekeeper) = fixture();
    let verify = [
        "ledger",
        "verify",
        "--config",
        &gatekeeper.config.display().to_string(),
    ]
    .map(str::to_owned);
    let verifies = |gatekeeper: &Gatekeeper| {
        let result = gatekeeper.run(&verify.each_ref().map(String::as_str));
        (
            result.status.code(),
            String::from_utf8_lossy(&result.stdout).into_owned(),
        )
    };
    assert_eq!(verifies(&gatekeeper).0, Some(0));
    let log = OpenOptions::new()
        .read(true)
        .write(true)
        .open(gatekeeper.data.join(LOG))
        .expect("the log is there");
    let mut head = [0; 64 + 24];
    log.read_exact_at(&mut head, 0)
        .expect("the headers of the file and the first record");
    // two bytes of the second record
    let at = 64 + (24 + u64::from(u16::from_le_bytes([head[64], head[65]]))).next_multiple_of(8);
    log.write_all_at(b"\xff\xff", at + 30)
        .expect("the log can be written");
    let (code, output) = verifies(&gatekeeper);
    assert!(
        code == Some(13)
            && output.contains(&format!("log: {LOG}: record 2 at byte {at} is damaged")),
        "{code:?} {output}"
    );
    let repair = output
        .split("in the data folder: ")
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .expect("a command")
        .to_owned();
    gatekeeper.stop();
    assert_eq!(gatekeeper.start_expecting_failure().0.code(), Some(78));
    let done = std::process::Command::new("sh")
        .args(["-c", &repair])
        .current_dir(&gatekeeper.data)
        .status();
    assert!(done.expect("a shell").success(), "{repair}");
    gatekeeper.start();
    assert_eq!(verifies(&gatekeeper).0, Some(0));
    assert_eq!(
        gatekeeper.usage()["total"]["requests"],
        5,
        "no request is lost"
    );
    // damage in the segment header
    let log = OpenOptions::new()
        .write(true)
        .open(oldest_log(&gatekeeper.data))
        .expect("the log is there");
    log.write_all_at(b"\xff", 12)
        .expect("the log can be written");
    let (code, output) = verifies(&gatekeeper);
    assert!(
        code == Some(13) && output.contains("its header is damaged"),
        "{code:?} {output}"
    );
    gatekeeper.skip_books_check();
}

#[test]
fn verify_deleted_log_is_reported_and_clean_stop_loses_nothing() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    // on a disk that does not watch its names: a process would end by itself
    let mut gateway = Gatekeeper::with_upstream(&upstream).start_in_process();
    let team = gateway.team_with_budget("eng", "100");
    let user = gateway.user(&gateway.key_of(&team));
    for _ in 0..5 {
        user.chat(&Call::chat().at_most(50).body())
            .assert_status(200);
    }
    fs::remove_file(oldest_log(&gateway.data())).expect("the log can be removed");
    let report = gateway.verify_ledger();
    assert!(
        report["agrees"] == false && report.to_string().contains("it is gone"),
        "{report}"
    );
    gateway.stop();
    gateway.start();
    assert_eq!(
        gateway.usage()["total"]["requests"],
        5,
        "no request is lost"
    );
    assert_eq!(gateway.verify_ledger()["agrees"], true);
}

#[test]
fn log_deleted_while_running_ends_the_process_and_loses_nothing() {
    let (_upstream, mut gatekeeper) = fixture();
    gatekeeper.skip_books_check();
    fs::remove_file(oldest_log(&gatekeeper.data)).expect("the log can be removed");
    assert_eq!(gatekeeper.wait_for_exit().code(), Some(74));
    gatekeeper.start();
    assert_eq!(
        gatekeeper.usage()["total"]["requests"],
        5,
        "no request is lost"
    );
    assert_eq!(gatekeeper.verify_ledger()["agrees"], true);
}

/// Oldest segment: the newest may be one that the server has prepared and not begun.
fn oldest_log(data: &Path) -> PathBuf {
    let entries = fs::read_dir(data.join("ledger")).expect("the folder can be listed");
    let logs = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"));
    logs.min().expect("a log")
}

#[test]
fn verify_during_writes_reports_no_difference() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("eng", "100");
    let key = gatekeeper.key_of(&team);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (gatekeeper, key, stop) = (&gatekeeper, &key, &stop);
        let load = scope.spawn(move || {
            run_workers(
                8,
                8,
                |number| {
                    let tag = format!("t{}", number % 3);
                    let user = gatekeeper.user(key);
                    user.with("x-gatekeeper-tag", &tag).connect()
                },
                |connection, number| {
                    while !stop.load(Ordering::SeqCst) {
                        let call = Call::chat().at_most(50).streamed(number % 2 == 0);
                        assert_eq!(call.by(connection).status, 200);
                    }
                },
            );
        });
        let stop = SetOnDrop(stop);
        for _ in 0..10 {
            let verified = gatekeeper.verify_ledger();
            assert_eq!(verified["differences"], json!([]), "{verified:#}");
            let newest = gatekeeper
                .admin()
                .get("/v1/requests?limit=1")
                .assert_status(200)
                .json();
            if let Some(row) = newest["data"].as_array().and_then(|rows| rows.first()) {
                let body =
                    json!({"request": row["id"], "amount": "0.000001", "reason": "meanwhile"});
                gatekeeper
                    .admin()
                    .post("/v1/ledger/corrections", &body)
                    .assert_status(201);
            }
        }
        drop(stop);
        load.join().expect("all clients succeed");
    });
}
