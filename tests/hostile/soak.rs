//! Soak: mixed load with faults of clients and vendors. Memory, descriptors, threads and the log stay flat, the books grow by the
//! records only, and they are exact in the end.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{count_from_env, descriptors, print_figure, resident_mb, threads};
use crate::harness::SetOnDrop;
use crate::harness::client::HttpClient;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::rng::SeededRng;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const CLIENTS: u64 = 6;
/// Between two calls of a client.
const PAUSE: Duration = Duration::from_millis(40);
const SAMPLES: usize = 24;
/// Samples of the time in which the process takes what it keeps: five of thirty minutes.
const WARM: usize = SAMPLES / 6;
/// Growth that is no leak: the cache of the books, which takes 32 MB once they are as large (200,000 requests), and arenas of threads.
const MEMORY_MB: f64 = 32.0 + 8.0;
const LOG_MB: f64 = 3.0;
const BOOKS_BYTES_PER_RECORD: f64 = 3_000.0;
const BOOKS_MB: f64 = 4.0;

/// An answer, or a fault once in five times.
fn vendor() -> Script {
    let turn = AtomicU64::new(1);
    Script::from_request(move |request| {
        let mut rng = SeededRng::new(turn.fetch_add(1, Ordering::SeqCst));
        let honest = model::with_usage(10, rng.between(1, 30));
        if request.path().ends_with("/models") {
            return honest;
        }
        match rng.between(0, 24) {
            0 => Script::json(503, &json!({"error": {"message": "busy"}})),
            1 => Script::json(429, &json!({"error": {"message": "slow down"}}))
                .header("retry-after", "1"),
            2 => Script::closes(),
            3 => honest.then_resets(),
            4 => honest.truncated_after(200),
            _ => honest,
        }
    })
}

/// One call of a client that may be large, streamed, translated, cut off or malformed.
fn call(user: &HttpClient, rng: &mut SeededRng) {
    let model = ["m-small", "c-small"][rng.between(0, 1) as usize];
    let streamed = rng.between(0, 1) == 1;
    let size = if rng.between(0, 40) == 0 {
        1_500_000
    } else {
        rng.between(1, 4_000)
    };
    let body = json!({"model": model, "max_tokens": 20, "stream": streamed,
        "messages": [{"role": "user", "content": "x".repeat(size as usize)}]});
    let path =
        ["/v1/chat/completions", "/v1/messages", "/v1/responses"][rng.between(0, 2) as usize];
    let mut connection = user.connect();
    match rng.between(0, 15) {
        0 => {
            // leaves before the answer
            connection.send_request("POST", path, Some(body.to_string().as_bytes()));
            connection.disconnect();
        }
        1 => {
            let half = body.to_string();
            connection.send_request("POST", path, Some(&half.as_bytes()[..half.len() / 2]));
            let _ = connection.try_read_response("POST");
        }
        _ => {
            connection.send_request("POST", path, Some(body.to_string().as_bytes()));
            let _ = connection.try_read_response("POST");
        }
    }
    std::thread::sleep(PAUSE);
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    memory_mb: f64,
    descriptors: usize,
    threads: usize,
    log_mb: f64,
    books_mb: f64,
    records: f64,
}

fn folder_mb(folder: &Path) -> f64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|file| file.len());
    sizes.sum::<u64>() as f64 / 1_048_576.0
}

fn sample(gatekeeper: &Gatekeeper) -> Sample {
    let pid = gatekeeper.pid();
    let books = std::fs::metadata(gatekeeper.data.join("gatekeeper.redb")).expect("books");
    Sample {
        memory_mb: resident_mb(pid),
        descriptors: descriptors(pid),
        threads: threads(pid),
        log_mb: folder_mb(&gatekeeper.data.join("ledger")),
        books_mb: books.len() as f64 / 1_048_576.0,
        records: gatekeeper.metric("gatekeeper_ledger_written"),
    }
}

/// Samples while clients call, evenly over the time.
fn samples(
    gatekeeper: &Gatekeeper,
    upstream: &Upstream,
    users: &[HttpClient],
    time: Duration,
) -> Vec<Sample> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = SetOnDrop(&over);
        for number in 0..CLIENTS {
            let (user, over) = (&users[number as usize % users.len()], &over);
            scope.spawn(move || {
                let mut rng = SeededRng::new(number + 1);
                while !over.load(Ordering::SeqCst) {
                    call(user, &mut rng);
                }
            });
        }
        let start = Instant::now();
        let taken = (1..=SAMPLES as u32).map(|number| {
            let due = time * number / SAMPLES as u32;
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            gatekeeper
                .admin()
                .get("/v1/usage?start=2000-01-01&end=2100-01-01")
                .assert_status(200);
            upstream.forget_requests();
            sample(gatekeeper)
        });
        taken.collect()
    })
}

/// Middle of the values: one burst counts for nothing.
fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn assert_flat(samples: &[Sample]) {
    let (early, late) = (&samples[WARM..2 * WARM], &samples[SAMPLES - WARM..]);
    let growth = |of: &dyn Fn(&Sample) -> f64| median(late, of) - median(early, of);
    let memory = growth(&|sample| sample.memory_mb);
    assert!(
        memory <= MEMORY_MB,
        "memory grows by {memory} MB: {samples:#?}"
    );
    let files = growth(&|sample| sample.descriptors as f64);
    assert!(files <= 16.0, "{files} descriptors more: {samples:#?}");
    let threads = growth(&|sample| sample.threads as f64);
    assert!(threads <= 4.0, "{threads} threads more: {samples:#?}");
    let log = growth(&|sample| sample.log_mb);
    assert!(log <= LOG_MB, "the log grows by {log} MB: {samples:#?}");
    let last = samples[SAMPLES - 1];
    let books = BOOKS_MB + last.records * BOOKS_BYTES_PER_RECORD / 1_048_576.0;
    assert!(
        last.books_mb <= books,
        "books of {} MB for {} records",
        last.books_mb,
        last.records
    );
    print_figure(
        "soak, MB, descriptors, threads, MB of log and of books, early and late",
        &format!(
            "{:.0} {:.0}, {:.0} {:.0}, {:.0} {:.0}, {:.0} {:.0}, {:.0} {:.0}",
            median(early, |sample| sample.memory_mb),
            median(late, |sample| sample.memory_mb),
            median(early, |sample| sample.descriptors as f64),
            median(late, |sample| sample.descriptors as f64),
            median(early, |sample| sample.threads as f64),
            median(late, |sample| sample.threads as f64),
            median(early, |sample| sample.log_mb),
            median(late, |sample| sample.log_mb),
            median(early, |sample| sample.books_mb),
            median(late, |sample| sample.books_mb),
        ),
    );
}

#[test]
fn mixed_load_with_faults_leaves_the_process_flat_and_the_books_exact() {
    let time = Duration::from_secs(count_from_env("GK_SOAK_S", 6) as u64);
    let upstream = Upstream::start();
    upstream.respond_with(vendor());
    let messages = Provider::anthropic("claude", &upstream).models(&["c-small"]);
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .provider(&messages)
        .ledger("segment_mb = 1")
        .start();
    let users: Vec<HttpClient> = (0..3)
        .map(|number| {
            let team = gatekeeper.team_with_budget(&format!("team-{number}"), "100000");
            gatekeeper.user(&gatekeeper.key_of(&team))
        })
        .collect();
    let samples = samples(&gatekeeper, &upstream, &users, time);
    assert_flat(&samples);
    let total: Value = gatekeeper.usage();
    print_figure("soak, calls", &total["total"]["requests"].to_string());
    // the drop of the gateway asserts that no hold is open and that usage, requests and budgets agree
}
