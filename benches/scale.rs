//! What a million requests weigh: bytes on disk split into records, indexes and roll-ups, the rows and pages of the books that a
//! month's report reads and how long it takes, those of a page of the request log, the start after `kill -9`, and memory. The books are filled through the
//! log and the writer, by a process that is killed while it writes; everything else is asked of a real server on that folder.
//!
//! ```text
//! cargo bench --bench scale                  1,000,000 requests
//! GK_RECORDS=50000 …                         a smoke run
//! GATEKEEPER_BIN=path …                      another binary than the one cargo built
//! ```
//! 35 days, 50 keys in 5 teams with a daily and a monthly budget each, 12 models of 4 providers of which a key uses 4, 97 % ok, the rest
//! failed or left by their clients. Asserted are counts of rows and pages and generous bounds; the figures are for reading.

#[path = "scale/books.rs"]
mod books;
#[path = "scale/fill.rs"]
mod fill;
#[path = "scale/server.rs"]
mod server;

use std::path::Path;
use std::time::{Duration, Instant};

use books::{Part, Weight};
use server::Server;

/// Whatever they were read for, since the start.
const PAGES_READ: &str = "gatekeeper_books_pages_read";
/// However large the books are.
const START_PAGES_MAX: f64 = 500.0;
/// A page of 4 KB has so many roll-ups at least, the pages of their tree counted in.
const ROLLUPS_OF_PAGE_MIN: f64 = 12.0;
const REPORTS: usize = 21;
const ROLLUPS_MAX: f64 = 20_000.0;
const PAGE_ROWS_MAX: f64 = 10_000.0;
const MEMORY_MB_MAX: f64 = 150.0;
/// Ten times the bar of 2 s and of 50 ms, because the machine may be busy; the figures say what it was.
const START_MAX: Duration = Duration::from_secs(20);
const REPORT_MAX: Duration = Duration::from_millis(500);
/// A leaf that was just split is half full, less what a page itself takes.
const FULL_MIN: f64 = 0.4;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--role=fill") => fill::role(&arguments[2..]),
        _ => conduct(records()),
    }
}

fn records() -> u64 {
    let text = std::env::var("GK_RECORDS").unwrap_or_else(|_| "1000000".to_owned());
    let records: u64 = text
        .parse()
        .unwrap_or_else(|_| panic!("GK_RECORDS={text} is not a count"));
    records.clamp(10_000, 20_000_000)
}

fn figure(name: &str, value: &str) {
    println!("FIGURE scale, {name}: {value}");
}

fn conduct(records: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let admin = Server::sets_up(folder.path(), &data);
    figure("requests", &records.to_string());

    // a tenth first, so that growth can be told
    fill::filled(&data, records / 10, records);
    let tenth = Weight::of(&data);
    let begun = Instant::now();
    fill::filled_and_killed(&data, records / 10, records);
    let took = begun.elapsed().as_secs_f64();
    figure(
        "filled through the log and the writer, requests/s",
        &format!("{:.0}", (records - records / 10) as f64 / took),
    );

    let begun = Instant::now();
    let server = Server::starts(folder.path());
    let start = begun.elapsed();
    figure("start after kill -9, ms", &start.as_millis().to_string());
    assert!(start < START_MAX, "the start after kill -9 took {start:?}");
    let server = server.with_key(admin);
    let pages = server.metric(PAGES_READ);
    figure("pages read at that start", &pages.to_string());
    assert!(
        pages <= START_PAGES_MAX,
        "the start after kill -9 reads {pages} pages"
    );
    let memory = server.memory_mb();
    figure(
        "memory of that server at its most, MB",
        &format!("{memory:.0}"),
    );
    assert!(memory < MEMORY_MB_MAX, "{memory} MB");
    let server = server.starts_again(folder.path());
    let pages = server.metric(PAGES_READ);
    figure("pages read at a start after a stop", &pages.to_string());
    assert!(pages <= START_PAGES_MAX, "a start reads {pages} pages");
    measures_usage(&server);
    measures_pages(&server);
    let memory = server.memory_mb();
    figure(
        "memory of the server at its most, MB",
        &format!("{memory:.0}"),
    );
    assert!(memory < MEMORY_MB_MAX, "{memory} MB");
    measures_verification(&server);
    drop(server);
    compares(&tenth, &Weight::of(&data));
    println!("scale: passed");
}

/// A month by model: the rows that it reads, and its time.
fn measures_usage(server: &Server) {
    let path = format!(
        "/v1/usage?group_by=model&start={}&end={}",
        fill::date(30),
        fill::date(0)
    );
    let before = server.metric("gatekeeper_report_rollups_read");
    let mut report = serde_json::Value::Null;
    let pages = reads_pages(server, || report = server.gets(&path));
    let rows = server.metric("gatekeeper_report_rollups_read") - before;
    assert_eq!(
        report["data"].as_array().map(Vec::len),
        Some(fill::MODELS),
        "one row per model"
    );
    assert!(
        report["total"]["requests"]
            .as_u64()
            .is_some_and(|requests| requests > 0),
        "{report}"
    );
    figure("roll-ups read for 30 days by model", &format!("{rows:.0}"));
    figure("pages read for it", &pages.to_string());
    assert!(
        pages > 0.0 && pages <= rows / ROLLUPS_OF_PAGE_MIN,
        "{rows} roll-ups are read in {pages} pages"
    );
    assert!(
        rows <= ROLLUPS_MAX,
        "a month's report reads {rows} roll-ups"
    );
    let mut times: Vec<Duration> = (0..REPORTS)
        .map(|_| timed(|| drop(server.gets(&path))))
        .collect();
    times.sort();
    let median = times[REPORTS / 2];
    figure(
        "30 days by model, ms (median, slowest of 21)",
        &format!("{:.1}, {:.1}", ms(median), ms(times[REPORTS - 1])),
    );
    assert!(median < REPORT_MAX, "a month's report takes {median:?}");
}

/// Pages of the books that are read from the disk meanwhile.
fn reads_pages(server: &Server, meanwhile: impl FnOnce()) -> f64 {
    let before = server.metric(PAGES_READ);
    meanwhile();
    server.metric(PAGES_READ) - before
}

fn timed(what: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    what();
    begun.elapsed()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Pages of the request log: with an index as many rows as are shown, without one a bounded number.
fn measures_pages(server: &Server) {
    let key = server.gets("/v1/keys")["data"][7]["id"]
        .as_str()
        .expect("a key")
        .to_owned();
    for (name, query, rows_max, pages_max) in [
        ("newest", "limit=50".to_owned(), 51.0, 30.0),
        // each of its records may stand in a page of its own, below pages of their tree
        ("of a key", format!("limit=50&key={key}"), 51.0, 150.0),
        ("failed", "limit=50&status=failed".to_owned(), 51.0, 150.0),
        (
            "of a provider that nobody has",
            "limit=50&provider=nobody".to_owned(),
            PAGE_ROWS_MAX,
            1_500.0,
        ),
    ] {
        let before = server.metric("gatekeeper_report_requests_read");
        let mut took = Duration::ZERO;
        let pages = reads_pages(server, || {
            took = timed(|| drop(server.gets(&format!("/v1/requests?{query}"))))
        });
        let rows = server.metric("gatekeeper_report_requests_read") - before;
        figure(
            &format!("page of requests ({name}), rows, pages read and ms"),
            &format!("{rows:.0}, {pages}, {:.1}", ms(took)),
        );
        assert!(
            rows > 0.0 && rows <= rows_max,
            "a page of requests, {name}, reads {rows} rows"
        );
        assert!(
            pages <= pages_max,
            "a page of requests, {name}, reads {pages} pages of the books"
        );
    }
}

fn measures_verification(server: &Server) {
    let mut verified = serde_json::Value::Null;
    let took = timed(|| verified = server.gets("/v1/ledger/verify"));
    assert_eq!(verified["agrees"], true, "{verified:#}");
    figure("verification, s", &format!("{:.1}", took.as_secs_f64()));
    figure(
        "memory of the server after it, at its most, MB",
        &format!("{:.0}", server.memory_mb()),
    );
}

/// Bytes per request, and that they do not grow with the number of requests. Asserted is what rows take, which is the same in each run;
/// how full their pages are at one instant is chance (rows in random order split pages at their half), so of that only the bounds.
fn compares(tenth: &Weight, all: &Weight) {
    for (name, part) in [
        ("record", &all.records),
        ("indexes", &all.indexes),
        ("roll-ups", &all.rollups),
        ("other", &all.other),
    ] {
        figure(
            &format!("bytes per request on disk, {name}"),
            &format!("{:.1}", part.bytes as f64 / all.requests as f64),
        );
    }
    figure(
        "bytes per request on disk, the whole file",
        &format!("{:.1}", all.file as f64 / all.requests as f64),
    );
    for (name, small, large) in [
        ("records", &tenth.records, &all.records),
        ("indexes", &tenth.indexes, &all.indexes),
    ] {
        let growth = |of: fn(&Part) -> u64| {
            (of(large) as f64 / all.requests as f64) / (of(small) as f64 / tenth.requests as f64)
        };
        let (rows, pages) = (growth(|part| part.stored), growth(|part| part.bytes));
        figure(
            &format!("bytes per request of {name}, against a tenth of the requests: rows, pages"),
            &format!("{rows:.3}, {pages:.3}"),
        );
        assert!(
            (0.98..1.02).contains(&rows),
            "rows of {name} do not grow with the number of requests: {rows}"
        );
        for part in [small, large] {
            let full = part.stored as f64 / part.bytes as f64;
            assert!(full >= FULL_MIN, "pages of {name} are {full:.2} full");
        }
    }
    let growth = all.rollups.rows as f64 / tenth.rollups.rows as f64;
    figure(
        "roll-ups, against a tenth of the requests",
        &format!("{growth:.2}"),
    );
    assert!(
        growth <= all.requests as f64 / tenth.requests as f64,
        "roll-ups grow faster than requests: {growth}"
    );
}

/// The file of the books below a data folder.
fn file(data: &Path) -> std::path::PathBuf {
    data.join("gatekeeper.redb")
}
