//! `kill -9` under load: every completed call has its exact row, calls in flight are booked at their ceiling and flagged,
//! the upstream's bill differs by exactly that, and a second restart changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::budget::call::SeededRng;
use crate::harness::client::Connection;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider, text};
use crate::harness::upstream::Upstream;
use crate::harness::workers::run_workers;
use crate::harness::{SetOnDrop, pico, print_figure, repetitions, usd};

const WORKERS: usize = 24;
/// Every row is compared after each kill, so that a folder of all kills would take the square of their number.
const KILLS_PER_FOLDER: usize = 50;
const INPUT: u64 = 1_000_000;
const OUTPUT: u64 = 5_000_000;
const CAP: u64 = 64;
/// Body size of call 0; call n has n bytes more, so that its ceiling identifies the call.
const BODY_BYTES: u64 = 300;

/// A call whose response the client received completely.
struct CompletedCall {
    number: u64,
    request: String,
    /// from a header of a unary response, from a comment of a stream
    cost: i128,
}

fn body(number: u64, streamed: bool) -> Vec<u8> {
    let mut body = json!({"model": if number.is_multiple_of(3) { "c-small" } else { "m-small" }, "max_tokens": CAP,
        "stream": streamed, "messages": [{"role": "user", "content": format!("{number} ")}]});
    let missing = (BODY_BYTES + number) as usize - body.to_string().len();
    body["messages"][0]["content"] = json!(format!("{number} {}", "x".repeat(missing)));
    body.to_string().into_bytes()
}

/// One call; `None` after the kill.
fn call(connection: &mut Connection, number: u64) -> Option<CompletedCall> {
    let path = if number.is_multiple_of(3) {
        "/v1/messages"
    } else {
        "/v1/chat/completions"
    };
    let streamed = !number.is_multiple_of(2);
    connection.send_request("POST", path, Some(&body(number, streamed)));
    let response = connection.try_read_response("POST").ok()?;
    response.assert_status(200);
    let cost = if streamed {
        let output = response.text();
        assert!(
            output.contains("[DONE]") || output.contains("message_stop"),
            "clean end without a terminal event: {output}"
        );
        let comment = output
            .lines()
            .find_map(|line| line.strip_prefix(": x-gatekeeper-cost-usd "));
        pico(comment.unwrap_or_else(|| panic!("no cost comment in {output}")))
    } else {
        response.cost()
    };
    let request = response
        .header("x-gatekeeper-request-id")
        .expect("an id")
        .to_owned();
    Some(CompletedCall {
        number,
        request,
        cost,
    })
}

struct LoadTest {
    upstream: Upstream,
    gatekeeper: Gatekeeper,
    key: Key,
    next: AtomicU64,
    complete: Mutex<Vec<CompletedCall>>,
}

impl LoadTest {
    /// `append`: how records reach the log, the setting `ledger.append`.
    fn new(append: &str) -> LoadTest {
        let upstream = Upstream::start();
        upstream.respond_with(model::with_usage(10, 20).pause_ms_between(1));
        let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
            .provider(&Provider::anthropic("claude", &upstream))
            .ledger(&format!("segment_mb = 1\nappend = \"{append}\""))
            .start();
        let team = gatekeeper.team_with_budget("eng", "1000");
        let key = gatekeeper.key_of(&team);
        LoadTest {
            upstream,
            gatekeeper,
            key,
            next: AtomicU64::new(1),
            complete: Mutex::default(),
        }
    }

    /// Runs load from all workers and kills the gateway once this many more requests have reached the upstream.
    fn kill_after(&mut self, requests: usize) {
        let requests_total = self.upstream.request_count() + requests;
        let user = self.gatekeeper.user(&self.key);
        let (next, complete, stop) = (&self.next, &self.complete, &AtomicBool::new(false));
        let (upstream, gatekeeper) = (&self.upstream, &mut self.gatekeeper);
        std::thread::scope(|scope| {
            let load = scope.spawn(move || {
                run_workers(
                    WORKERS,
                    WORKERS,
                    |_| user.connect(),
                    |connection, _| {
                        while !stop.load(Ordering::SeqCst) {
                            let Some(call) = call(connection, next.fetch_add(1, Ordering::SeqCst))
                            else {
                                return;
                            };
                            complete.lock().expect("no worker panicked").push(call);
                        }
                    },
                )
            });
            let stop_workers = SetOnDrop(stop);
            upstream.wait_for_requests(requests_total);
            gatekeeper.kill_9();
            drop(stop_workers);
            load.join().expect("all clients succeed");
        });
        self.upstream.wait_until_idle();
    }

    /// Amount charged by the upstream, by number of the call.
    fn bill(&self) -> BTreeMap<u64, i128> {
        let seen = self.upstream.requests();
        let charged = self.upstream.bill();
        let number = |request: usize| {
            let content = seen[request].json()["messages"][0]["content"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            content
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok())
                .expect("every call has its number")
        };
        charged
            .iter()
            .map(|line| (number(line.request), line.cost(INPUT, OUTPUT)))
            .collect()
    }

    /// Checks rows against completed calls and the bill; returns the number of orphans.
    fn assert_rows(&self) -> usize {
        // only the usage report waits until the books are up to date
        self.gatekeeper.usage();
        let rows = self.gatekeeper.requests();
        let by_number: BTreeMap<u64, &Value> =
            rows.iter().map(|row| (number_of(row), row)).collect();
        assert_eq!(by_number.len(), rows.len(), "every call has one row");
        for call in self.complete.lock().expect("no worker panicked").iter() {
            let row = by_number
                .get(&call.number)
                .unwrap_or_else(|| panic!("call {} is missing in the books", call.request));
            assert_eq!(
                (text(row, "id"), text(row, "status")),
                (call.request.clone(), "ok".to_owned())
            );
            assert_eq!(
                (usd(pico(&text(row, "cost_usd"))), &row["flags"]),
                (usd(call.cost), &json!([])),
                "{row}"
            );
        }
        self.assert_orphans(&by_number)
    }

    /// Checks that only orphans exceed the bill; returns their number.
    fn assert_orphans(&self, rows: &BTreeMap<u64, &Value>) -> usize {
        let bill = self.bill();
        let missing: BTreeSet<&u64> = bill
            .keys()
            .filter(|number| !rows.contains_key(number))
            .collect();
        assert!(
            missing.is_empty(),
            "billed calls missing in the books: {missing:?}"
        );
        let mut orphans = 0;
        for (number, row) in rows {
            let (cost, billed) = (
                pico(&text(row, "cost_usd")),
                bill.get(number).copied().unwrap_or(0),
            );
            if row["flags"] == json!(["orphaned"]) {
                orphans += 1;
                assert_eq!(
                    (text(row, "status"), text(row, "cost_usd")),
                    ("orphaned".to_owned(), text(row, "ceiling_usd"))
                );
                assert!(
                    cost >= billed,
                    "an orphan is booked below the upstream's bill: {row}"
                );
            } else {
                assert_eq!(usd(cost), usd(billed), "{row}");
            }
        }
        orphans
    }

    /// Request log, usage and budgets.
    fn books(&self) -> (Vec<Value>, Value, Value) {
        let usage = self.gatekeeper.usage();
        let teams = self.gatekeeper.admin().get("/v1/teams").json();
        (self.gatekeeper.requests(), usage["total"].clone(), teams)
    }
}

fn number_of(row: &Value) -> u64 {
    let ceiling = pico(&text(row, "ceiling_usd")) - i128::from(CAP * OUTPUT);
    assert_eq!(ceiling % i128::from(INPUT), 0, "{row}");
    u64::try_from(ceiling / i128::from(INPUT)).expect("a ceiling covers the body") - BODY_BYTES
}

#[test]
fn completed_calls_after_kill_9_have_exact_rows_in_a_mapped_log() {
    run_kills("mapped");
}

#[test]
fn completed_calls_after_kill_9_have_exact_rows_in_a_written_log() {
    run_kills("written");
}

fn run_kills(append: &str) {
    let mut rng = crate::budget::call::SeededRng::new(2026);
    let kills = repetitions("GK_KILLS", 5);
    let (mut killed, mut complete, mut orphans) = (0, 0, 0);
    while killed < kills {
        let count = KILLS_PER_FOLDER.min(kills - killed);
        let (more_complete, more_orphans) = run_kills_on_one_folder(append, count, &mut rng);
        killed += count;
        complete += more_complete;
        orphans += more_orphans;
    }
    assert!(orphans > 0, "no kill caught a call in flight");
    print_figure(
        &format!("kill -9, {append} log"),
        &format!(
            "{kills} kills: {complete} complete calls all exact, {orphans} orphans at their ceiling"
        ),
    );
}

/// Returns the number of complete calls and that of orphans.
fn run_kills_on_one_folder(append: &str, kills: usize, rng: &mut SeededRng) -> (usize, usize) {
    let mut test = LoadTest::new(append);
    let mut orphans = 0;
    for kill in 0..kills {
        let mapped = test.gatekeeper.metric("gatekeeper_ledger_mapped") > 0.0;
        assert_eq!(mapped, append == "mapped", "the log is {append}");
        test.kill_after(rng.between(20, 150) as usize);
        test.gatekeeper.start();
        orphans = test.assert_rows();
        test.gatekeeper.assert_books_agree();
        let before = test.books();
        if kill % 2 == 0 {
            test.gatekeeper.kill_9();
            test.gatekeeper.start();
        } else {
            test.gatekeeper.restart();
        }
        assert_eq!(before, test.books(), "a second restart changes nothing");
    }
    let complete = test.complete.lock().expect("no worker panicked").len();
    (complete, orphans)
}
