//! `ledger verify`: silent over books that agree, also while they are written, and the exit code says what was tampered
//! with.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
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

fn house() -> (Upstream, Gatekeeper) {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("eng", "100");
    let key = gatekeeper.key_of(&team);
    for _ in 0..5 {
        gatekeeper
            .user(&key)
            .chat(&Call::chat().at_most(50).body())
            .assert_status(200);
    }
    (upstream, gatekeeper)
}

/// Exit code and output of `ledger verify` after the stored books were changed behind the server's back.
fn verified_after(tamper: impl FnOnce(&Database)) -> (Option<i32>, String) {
    let (_upstream, mut gatekeeper) = house();
    gatekeeper.skip_books_check();
    gatekeeper.stop();
    tamper(&Database::open(gatekeeper.data.join("gatekeeper.redb")).expect("the books open"));
    gatekeeper.start();
    let ran = gatekeeper.run(&[
        "ledger",
        "verify",
        "--config",
        gatekeeper.config.to_str().expect("a path"),
    ]);
    (
        ran.status.code(),
        String::from_utf8_lossy(&ran.stdout).into_owned(),
    )
}

/// One picodollar, as a balance is stored.
const ONE_PICO: [u8; 2] = [2, 2];

fn tampers_balance(books: &Database) {
    let change = books.begin_write().expect("a transaction");
    {
        let mut table = change.open_table(BALANCES).expect("the table");
        let key = table.first().expect("reads").expect("a balance").0.value();
        table.insert(key, ONE_PICO.as_slice()).expect("inserts");
    }
    change.commit().expect("commits");
}

fn tampers_hour(books: &Database) {
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

fn adds_stray_correction(books: &Database) {
    let change = books.begin_write().expect("a transaction");
    // at 0, one picodollar back, no reason, by nobody
    change
        .open_table(CORRECTIONS)
        .expect("the table")
        .insert((1, 1, 1), [2, 0, 1, 0, 0].as_slice())
        .expect("inserts");
    change.commit().expect("commits");
}

fn takes_a_place_in_the_index(books: &Database) {
    let change = books.begin_write().expect("a transaction");
    change
        .open_table(OF_KEY)
        .expect("the table")
        .pop_first()
        .expect("reads")
        .expect("a place");
    change.commit().expect("commits");
}

fn takes_a_record(books: &Database) {
    takes_a_place_in_the_index(books);
    let change = books.begin_write().expect("a transaction");
    change
        .open_table(RECORDS)
        .expect("the table")
        .pop_first()
        .expect("reads")
        .expect("a record");
    change.commit().expect("commits");
}

/// As a bad disk leaves it.
fn garbles_a_record(books: &Database) {
    let change = books.begin_write().expect("a transaction");
    {
        let mut records = change.open_table(RECORDS).expect("the table");
        let key = records.first().expect("reads").expect("a record").0.value();
        records.insert(key, [0xff; 40].as_slice()).expect("inserts");
    }
    change.commit().expect("commits");
}

#[test]
fn a_record_that_cannot_be_read_is_told_and_the_rest_is_looked_at() {
    let (code, said) = verified_after(garbles_a_record);
    assert!(
        code == Some(10) && said.contains("unreadable"),
        "{code:?} {said}"
    );
    assert!(
        said.contains("balances: ") && said.contains("rollups: hour") && said.contains("log: "),
        "{said}"
    );
}

#[test]
fn the_exit_code_says_what_differs() {
    let (code, said) = verified_after(|_| {});
    assert!(
        code == Some(0) && said.contains("5 records") && said.contains("all agree"),
        "{code:?} {said}"
    );
    let (code, said) = verified_after(adds_stray_correction);
    assert!(
        code == Some(10) && said.contains("a correction without its record"),
        "{code:?} {said}"
    );
    let (code, said) = verified_after(takes_a_place_in_the_index);
    assert!(
        code == Some(10) && said.contains("it is missing in the index by key"),
        "{code:?} {said}"
    );
    let (code, said) = verified_after(tampers_balance);
    assert!(
        code == Some(11) && said.contains("it says $0.000000000001, its records come to $0.00055"),
        "{code:?} {said}"
    );
    let (code, said) = verified_after(tampers_hour);
    assert!(
        code == Some(12) && said.contains("its records have +4 requests, +50 input"),
        "{code:?} {said}"
    );
    let (code, said) = verified_after(|books| {
        tampers_hour(books);
        tampers_balance(books);
    });
    assert!(
        code == Some(11) && said.contains("rollups: hour"),
        "the first of them: {code:?} {said}"
    );
}

#[test]
fn a_record_that_the_books_lost_is_told_by_the_log() {
    let (code, said) = verified_after(takes_a_record);
    assert!(
        code == Some(11) && said.contains("log: ") && said.contains("the books do not have it"),
        "{code:?} {said}"
    );
}

#[test]
fn damage_in_the_log_is_found_before_the_next_start_refuses_it_and_what_it_prints_repairs_it() {
    const LOG: &str = "ledger/000001.log";
    let (_upstream, mut gatekeeper) = house();
    let verify = [
        "ledger",
        "verify",
        "--config",
        &gatekeeper.config.display().to_string(),
    ]
    .map(str::to_owned);
    let verifies = |gatekeeper: &Gatekeeper| {
        let ran = gatekeeper.run(&verify.each_ref().map(String::as_str));
        (
            ran.status.code(),
            String::from_utf8_lossy(&ran.stdout).into_owned(),
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
        .expect("its head and the first record's");
    // a byte of the second record
    let at = 64 + (24 + u64::from(u16::from_le_bytes([head[64], head[65]]))).next_multiple_of(8);
    log.write_all_at(b"\xff\xff", at + 30)
        .expect("the log can be written");
    let (code, said) = verifies(&gatekeeper);
    assert!(
        code == Some(13) && said.contains(&format!("log: {LOG}: record 2 at byte {at} is damaged")),
        "{code:?} {said}"
    );
    let repair = said
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
        "nothing is lost"
    );
    // and the head of the file
    let log = OpenOptions::new()
        .write(true)
        .open(newest_log(&gatekeeper))
        .expect("the log is there");
    log.write_all_at(b"\xff", 12)
        .expect("the log can be written");
    let (code, said) = verifies(&gatekeeper);
    assert!(
        code == Some(13) && said.contains("its header is damaged"),
        "{code:?} {said}"
    );
    gatekeeper.skip_books_check();
}

#[test]
fn a_log_that_is_deleted_under_a_running_server_is_told_and_costs_nothing_if_it_is_stopped() {
    let (_upstream, mut gatekeeper) = house();
    fs::remove_file(newest_log(&gatekeeper)).expect("the log can be removed");
    let ran = gatekeeper.run(&[
        "ledger",
        "verify",
        "--config",
        &gatekeeper.config.display().to_string(),
    ]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(
        ran.status.code() == Some(13) && said.contains("it is gone"),
        "{:?} {said}",
        ran.status.code()
    );
    gatekeeper.skip_books_check();
    gatekeeper.stop();
    gatekeeper.start();
    assert_eq!(
        gatekeeper.usage()["total"]["requests"],
        5,
        "nothing is lost"
    );
    assert_eq!(gatekeeper.verify_ledger()["agrees"], true);
}

fn newest_log(gatekeeper: &Gatekeeper) -> std::path::PathBuf {
    let entries = fs::read_dir(gatekeeper.data.join("ledger")).expect("the folder can be listed");
    let logs = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"));
    logs.max().expect("a log")
}

#[test]
fn books_that_are_being_written_agree() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("eng", "100");
    let key = gatekeeper.key_of(&team);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (gatekeeper, key, over) = (&gatekeeper, &key, &over);
        let load = scope.spawn(move || {
            run_workers(
                8,
                8,
                |_| gatekeeper.user(key).connect(),
                |connection, number| {
                    while !over.load(Ordering::SeqCst) {
                        let call = Call::chat().at_most(50).streamed(number % 2 == 0);
                        assert_eq!(call.by(connection).status, 200);
                    }
                },
            );
        });
        let over = SetOnDrop(over);
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
        drop(over);
        load.join().expect("a client saw something wrong");
    });
}
