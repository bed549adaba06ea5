//! `kill -9` under load. Who saw the end of an answer has its exact row; what was in flight is booked at its ceiling and
//! flagged; the difference to the upstream's own bill is exactly that; and a second restart changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::harness::client::Connection;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider, text};
use crate::harness::upstream::Upstream;
use crate::harness::workers::run_workers;
use crate::harness::{SetOnDrop, pico, print_figure, repetitions, usd};

const WORKERS: usize = 24;
const INPUT: u64 = 1_000_000;
const OUTPUT: u64 = 5_000_000;
const CAP: u64 = 64;
/// Call number n has a body of so many bytes and n: its ceiling tells which call a row is of.
const BODY_BYTES: u64 = 300;

/// A call as a client knew it at the end.
struct Complete {
    number: u64,
    request: String,
    /// a unary answer says it in a header, a stream in a comment
    cost: i128,
}

fn body(number: u64, streamed: bool) -> Vec<u8> {
    let mut body = json!({"model": if number.is_multiple_of(3) { "c-small" } else { "m-small" }, "max_tokens": CAP,
        "stream": streamed, "messages": [{"role": "user", "content": format!("{number} ")}]});
    let missing = (BODY_BYTES + number) as usize - body.to_string().len();
    body["messages"][0]["content"] = json!(format!("{number} {}", "x".repeat(missing)));
    body.to_string().into_bytes()
}

/// One call; `None` once the server is gone.
fn calls(connection: &mut Connection, number: u64) -> Option<Complete> {
    let path = if number.is_multiple_of(3) {
        "/v1/messages"
    } else {
        "/v1/chat/completions"
    };
    let streamed = !number.is_multiple_of(2);
    connection.send_request("POST", path, Some(&body(number, streamed)));
    let answer = connection.try_read_response("POST").ok()?;
    answer.assert_status(200);
    let cost = if streamed {
        let said = answer.text();
        assert!(
            said.contains("[DONE]") || said.contains("message_stop"),
            "a clean end without a terminal event: {said}"
        );
        let comment = said
            .lines()
            .find_map(|line| line.strip_prefix(": x-gatekeeper-cost-usd "));
        pico(comment.unwrap_or_else(|| panic!("no cost comment in {said}")))
    } else {
        answer.cost()
    };
    let request = answer
        .header("x-gatekeeper-request-id")
        .expect("an id")
        .to_owned();
    Some(Complete {
        number,
        request,
        cost,
    })
}

struct House {
    upstream: Upstream,
    gatekeeper: Gatekeeper,
    key: Key,
    next: AtomicU64,
    complete: Mutex<Vec<Complete>>,
}

impl House {
    fn new() -> House {
        let upstream = Upstream::start();
        upstream.respond_with(model::with_usage(10, 20).pause_ms_between(1));
        let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
            .provider(&Provider::anthropic("claude", &upstream))
            .ledger("segment_mb = 1")
            .start();
        let team = gatekeeper.team_with_budget("eng", "1000");
        let key = gatekeeper.key_of(&team);
        House {
            upstream,
            gatekeeper,
            key,
            next: AtomicU64::new(1),
            complete: Mutex::default(),
        }
    }

    /// Load from all workers until the server is killed, once so many more requests have reached the upstream.
    fn is_killed_after(&mut self, requests: usize) {
        let wanted = self.upstream.request_count() + requests;
        let user = self.gatekeeper.user(&self.key);
        let (next, complete, over) = (&self.next, &self.complete, &AtomicBool::new(false));
        let (upstream, gatekeeper) = (&self.upstream, &mut self.gatekeeper);
        std::thread::scope(|scope| {
            let load = scope.spawn(move || {
                run_workers(
                    WORKERS,
                    WORKERS,
                    |_| user.connect(),
                    |connection, _| {
                        while !over.load(Ordering::SeqCst) {
                            let Some(call) = calls(connection, next.fetch_add(1, Ordering::SeqCst))
                            else {
                                return;
                            };
                            complete
                                .lock()
                                .expect("no panic while calls are noted")
                                .push(call);
                        }
                    },
                )
            });
            let ends = SetOnDrop(over);
            upstream.wait_for_requests(wanted);
            gatekeeper.kill_9();
            drop(ends);
            load.join().expect("a client saw something wrong");
        });
        self.upstream.wait_until_idle();
    }

    /// What the upstream has charged for each call.
    fn bill(&self) -> BTreeMap<u64, i128> {
        let seen = self.upstream.requests();
        let charged = self.upstream.bill();
        let number = |request: usize| {
            let asked = seen[request].json()["messages"][0]["content"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            asked
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok())
                .expect("every call says its number")
        };
        charged
            .iter()
            .map(|line| (number(line.request), line.cost(INPUT, OUTPUT)))
            .collect()
    }

    fn checks(&self) -> usize {
        // the usage report says whether it is up to date; the list of requests does not
        self.gatekeeper.usage();
        let rows = self.gatekeeper.requests();
        let by_number: BTreeMap<u64, &Value> =
            rows.iter().map(|row| (number_of(row), row)).collect();
        assert_eq!(by_number.len(), rows.len(), "no call has two rows");
        for call in self.complete.lock().expect("nobody calls now").iter() {
            let row = by_number
                .get(&call.number)
                .unwrap_or_else(|| panic!("call {} is not in the books", call.request));
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
        self.checks_orphans(&by_number)
    }

    /// Ledger − upstream's bill = what the orphans were booked too high; returns how many there are.
    fn checks_orphans(&self, rows: &BTreeMap<u64, &Value>) -> usize {
        let bill = self.bill();
        let missing: BTreeSet<&u64> = bill
            .keys()
            .filter(|number| !rows.contains_key(number))
            .collect();
        assert!(
            missing.is_empty(),
            "billed by the upstream, but not in the books: {missing:?}"
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

    /// Everything the books say.
    fn books(&self) -> (Vec<Value>, Value, Value) {
        let usage = self.gatekeeper.usage();
        let teams = self.gatekeeper.admin().get("/v1/teams").json();
        (self.gatekeeper.requests(), usage["total"].clone(), teams)
    }
}

fn number_of(row: &Value) -> u64 {
    let ceiling = pico(&text(row, "ceiling_usd")) - i128::from(CAP * OUTPUT);
    assert_eq!(ceiling % i128::from(INPUT), 0, "{row}");
    u64::try_from(ceiling / i128::from(INPUT)).expect("a body has bytes") - BODY_BYTES
}

#[test]
fn who_saw_the_end_of_an_answer_has_its_row_after_kill_9() {
    let mut house = House::new();
    let mut seeded = crate::budget::call::SeededRng::new(2026);
    let kills = repetitions("GK_KILLS", 5);
    let mut orphans = 0;
    for kill in 0..kills {
        house.is_killed_after(seeded.between(20, 150) as usize);
        house.gatekeeper.start();
        orphans = house.checks();
        house.gatekeeper.assert_books_agree();
        let before = house.books();
        if kill % 2 == 0 {
            house.gatekeeper.kill_9();
            house.gatekeeper.start();
        } else {
            house.gatekeeper.restart();
        }
        assert_eq!(before, house.books(), "a second restart changes nothing");
    }
    let complete = house.complete.lock().expect("nobody calls now").len();
    assert!(orphans > 0, "no kill caught a call in flight");
    print_figure(
        "kill -9",
        &format!(
            "{kills} kills: {complete} complete calls all exact, {orphans} orphans at their ceiling"
        ),
    );
}
