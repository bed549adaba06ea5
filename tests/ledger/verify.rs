//! `ledger verify`: silent over books that agree, also while they are written, and the exit code says what was tampered
//! with.

use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::json;

use crate::budget::call::Call;
use crate::harness::crowd::at_once;
use crate::harness::model;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;

type Bytes = &'static [u8];
const BALANCES: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("balances");
const HOURS: TableDefinition<(u64, u64, &str, &str, &str, u8), Bytes> = TableDefinition::new("hours");
const CORRECTIONS: TableDefinition<(u128, u8, u32), Bytes> = TableDefinition::new("corrections");

fn house() -> (Upstream, Gatekeeper) {
    let upstream = Upstream::start();
    upstream.answers(model::uses(10, 20));
    let mut gatekeeper = Gatekeeper::before(&upstream).starts();
    let team = gatekeeper.team_with_budget("eng", "100");
    let key = gatekeeper.key_of(&team);
    for _ in 0..5 {
        gatekeeper.user(&key).chat(&Call::chat().at_most(50).body()).expects(200);
    }
    (upstream, gatekeeper)
}

/// Exit code and output of `ledger verify` after the stored books were changed behind the server's back.
fn verified_after(tamper: impl FnOnce(&Database)) -> (Option<i32>, String) {
    let (_upstream, mut gatekeeper) = house();
    gatekeeper.without_checking_books();
    gatekeeper.stop();
    tamper(&Database::open(gatekeeper.data.join("gatekeeper.redb")).expect("the books open"));
    gatekeeper.start();
    let ran = gatekeeper.runs(&["ledger", "verify", "--config", gatekeeper.config.to_str().expect("a path")]);
    (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned())
}

/// One picodollar, as a balance is stored.
const ONE_PICO: [u8; 2] = [1, 2];

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
    change.open_table(HOURS).expect("the table").insert(key.value(), [1, 1, 0, 0, 0, 0, 0].as_slice()).expect("inserts");
    change.commit().expect("commits");
}

fn adds_stray_correction(books: &Database) {
    let change = books.begin_write().expect("a transaction");
    // at 0, one picodollar back, no reason, by nobody
    change.open_table(CORRECTIONS).expect("the table").insert((1, 1, 1), [1, 0, 1, 0, 0].as_slice()).expect("inserts");
    change.commit().expect("commits");
}

#[test]
fn the_exit_code_says_what_differs() {
    let (code, said) = verified_after(|_| {});
    assert!(code == Some(0) && said.contains("5 records") && said.contains("all agree"), "{code:?} {said}");
    let (code, said) = verified_after(adds_stray_correction);
    assert!(code == Some(10) && said.contains("a correction without its record"), "{code:?} {said}");
    let (code, said) = verified_after(tampers_balance);
    assert!(code == Some(11) && said.contains("it says $0.000000000001, its records come to $0.00055"), "{code:?} {said}");
    let (code, said) = verified_after(tampers_hour);
    assert!(code == Some(12) && said.contains("its records have +4 requests, +50 input"), "{code:?} {said}");
    let (code, said) = verified_after(|books| {
        tampers_hour(books);
        tampers_balance(books);
    });
    assert!(code == Some(11) && said.contains("rollups: hour"), "the first of them: {code:?} {said}");
}

#[test]
fn books_that_are_being_written_agree() {
    let upstream = Upstream::start();
    upstream.answers(model::uses(10, 20));
    let mut gatekeeper = Gatekeeper::before(&upstream).starts();
    let team = gatekeeper.team_with_budget("eng", "100");
    let key = gatekeeper.key_of(&team);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (gatekeeper, key, over) = (&gatekeeper, &key, &over);
        let load = scope.spawn(move || {
            at_once(
                8,
                8,
                |_| gatekeeper.user(key).connects(),
                |connection, number| {
                    while !over.load(Ordering::SeqCst) {
                        let call = Call::chat().at_most(50).streamed(number % 2 == 0);
                        assert_eq!(call.by(connection).status, 200);
                    }
                },
            );
        });
        for _ in 0..10 {
            let verified = gatekeeper.verifies();
            assert_eq!(verified["differences"], json!([]), "{verified:#}");
            let newest = gatekeeper.admin().get("/v1/requests?limit=1").expects(200).json();
            if let Some(row) = newest["data"].as_array().and_then(|rows| rows.first()) {
                let body = json!({"request": row["id"], "amount": "0.000001", "reason": "meanwhile"});
                gatekeeper.admin().post("/v1/ledger/corrections", &body).expects(201);
            }
        }
        over.store(true, Ordering::SeqCst);
        load.join().expect("a client saw something wrong");
    });
}
