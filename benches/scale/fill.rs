//! Fills the books like the ledger: the hold and the settlement of each request pass through the WAL to the writer thread.
//! Uses the stored keys and budgets; the requests cover the last 35 days.

use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gatekeeper::domain::budget::Owner;
use gatekeeper::domain::event::{
    CallResult, Charge, CostLine, Flags, Hold, HoldId, LedgerEvent, Progress, Settlement, Status,
    Subject,
};
use gatekeeper::domain::id::RequestId;
use gatekeeper::domain::tenant::VirtualKey;
use gatekeeper::domain::usage::Usage;
use gatekeeper::domain::zone::Zone;
use gatekeeper::store::disk::FolderDisk;
use gatekeeper::store::{AppendError, Options, SealKeyCheck, Store, Tenants, Wal};

pub const KEYS: usize = 50;
pub const MODELS: usize = 12;
const PROVIDERS: usize = 4;
const MODELS_OF_KEY: usize = 4;
const DAYS: u64 = 35;
const DAY_MS: u64 = 86_400_000;
/// Time limit of filling.
const FILL_MAX: Duration = Duration::from_secs(7_200);

/// Fills in the first requests and closes the store.
pub fn fill(data: &Path, first: u64, requests: u64) {
    let mut child = child(data, 0..first, requests, "close");
    let status = child.wait().expect("the filling process ends");
    assert!(status.success(), "filling ended with {status}");
}

/// Fills in the remaining requests, continues to write, and is killed while it writes.
pub fn fill_and_kill(data: &Path, first: u64, requests: u64) {
    let mut child = child(data, first..requests, requests, "go on");
    let mut line = String::new();
    let output = child.stdout.take().expect("the output is a pipe");
    BufReader::new(output)
        .read_line(&mut line)
        .expect("the process reports completion");
    assert_eq!(line.trim(), "filled");
    std::thread::sleep(Duration::from_millis(200));
    child.kill().expect("the process still writes");
    child.wait().expect("the process ends");
}

fn child(data: &Path, numbers: Range<u64>, requests: u64, then: &str) -> Child {
    let own = std::env::current_exe().expect("the path of this executable");
    let mut fill = Command::new(own);
    let counts = [numbers.start, numbers.end, requests].map(|count| count.to_string());
    fill.arg("--role=fill")
        .arg(data)
        .args(counts)
        .arg(then)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    fill.spawn().expect("the filling process starts")
}

/// Runs the filling process. Arguments: `FOLDER FROM TO REQUESTS close|go on`, a range of numbers and the total.
pub fn role(arguments: &[String]) {
    let [data, from, to, requests, then] = arguments else {
        panic!("--role=fill takes FOLDER FROM TO REQUESTS THEN")
    };
    let [from, to, requests] =
        [from, to, requests].map(|count| count.parse::<u64>().expect("a count"));
    let options = Options {
        disk: Arc::new(FolderDisk::lock(Path::new(data)).expect("the folder is free")),
        zone: Zone::utc(),
        segment_bytes: 64 << 20,
        disk_reserve_mb: 0,
        wait_for_disk: false,
        create: false,
        seal_key: SealKeyCheck::Skip,
    };
    let (store, _) = Store::open(options).expect("the books open");
    let workload = Workload::of(store.tenants().expect("tenants"), requests);
    let (wal, start) = (store.wal(), SystemTime::now());
    for number in from..to {
        workload.append_request(&wal, number);
        assert!(
            start.elapsed().is_ok_and(|took| took < FILL_MAX),
            "stuck after {number} requests"
        );
    }
    if then == "close" {
        return store.close();
    }
    while wal.metrics().applied < wal.metrics().written {
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("filled");
    std::io::stdout().flush().expect("the parent process reads");
    // continues until the process is killed; bounded in case it is not
    (requests..requests + 10_000_000).for_each(|number| workload.append_request(&wal, number));
}

/// Returns the exclusive end date of the day so many days ago: tomorrow for 0.
pub fn date(days_ago: u64) -> String {
    Zone::utc().date(now_ms() + DAY_MS - days_ago * DAY_MS)
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// Generator of requests.
struct Workload {
    callers: Vec<(VirtualKey, Vec<gatekeeper::domain::budget::Budget>)>,
    start_ms: u64,
    /// source of randomness
    seed: u64,
    requests: u64,
    zone: Zone,
}

impl Workload {
    fn of(tenants: Tenants, requests: u64) -> Workload {
        assert_eq!(tenants.keys.len(), KEYS, "the bench made its keys");
        let budgets_above = |key: &VirtualKey| {
            let applies =
                |owner: Owner| owner == Owner::Key(key.id) || owner == Owner::Team(key.team);
            tenants
                .budgets
                .iter()
                .filter(|budget| applies(budget.owner))
                .cloned()
                .collect()
        };
        let callers = tenants
            .keys
            .iter()
            .map(|key| (key.clone(), budgets_above(key)))
            .collect();
        Workload {
            callers,
            start_ms: now_ms() - DAYS * DAY_MS,
            seed: now_ms(),
            requests,
            zone: Zone::utc(),
        }
    }

    /// Appends hold and settlement of one request; waits while the writer thread is behind.
    fn append_request(&self, wal: &Wal, number: u64) {
        let hold = self.hold(number);
        let settlement = Settlement {
            ending: call_result(&hold, mix(self.seed ^ number)),
            hold: hold.clone(),
        };
        for event in [LedgerEvent::Hold(hold), LedgerEvent::Settle(settlement)].map(Arc::new) {
            while let Err(not_logged) = wal.append(event.clone()) {
                assert!(matches!(not_logged, AppendError::Behind(_)), "{not_logged}");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn hold(&self, number: u64) -> Hold {
        let random = mix(number.wrapping_mul(3) ^ self.seed);
        let at_ms = self.start_ms + number.min(self.requests) * (DAYS * DAY_MS) / self.requests;
        let caller = random as usize % KEYS;
        let (key, budgets) = &self.callers[caller];
        let model =
            (caller + (random >> 16) as usize % MODELS_OF_KEY * (MODELS / MODELS_OF_KEY)) % MODELS;
        let charge = |budget: &gatekeeper::domain::budget::Budget| Charge {
            budget: budget.id,
            window_start_ms: self.zone.window(budget.period, at_ms).start_ms,
        };
        Hold {
            id: HoldId {
                request: RequestId::new(at_ms, u128::from(self.seed) << 40 | u128::from(number)),
                attempt: 1,
            },
            at_ms,
            subject: Arc::new(Subject {
                organization: key.organization,
                team: key.team,
                key: key.id,
                attribution: Default::default(),
                second_models: Vec::new(),
                model_asked: format!("model-{model}").into(),
                provider: format!("provider-{}", model % PROVIDERS).into(),
                model: format!("model-{model}-2026-11-01").into(),
                dialect: "chat".into(),
                streamed: random & 1 == 0,
            }),
            ceiling: cost_lines(8_000, 4_000).iter().map(CostLine::amount).sum(),
            charges: budgets.iter().map(charge).collect(),
            progress: Progress::default(),
        }
    }
}

fn call_result(hold: &Hold, random: u64) -> CallResult {
    let status = match random % 1_000 {
        0..970 => Status::Ok,
        970..980 => Status::UpstreamError,
        980..985 => Status::Broken,
        985..990 => Status::Truncated,
        _ => Status::ClientGone,
    };
    let (uncached_in, out_total) = (200 + (random >> 20) % 6_000, 20 + (random >> 40) % 1_500);
    let flags = if status == Status::ClientGone {
        Flags::ESTIMATED
    } else {
        Flags::default()
    };
    let lines = cost_lines(uncached_in, out_total);
    CallResult {
        ended_ms: hold.at_ms + 400 + random % 20_000,
        status,
        flags,
        usage: Usage {
            uncached_in,
            out_total,
            ..Usage::default()
        },
        cost: lines.iter().map(CostLine::amount).sum(),
        lines,
        output_cap: Some(4_096),
        upstream_status: 200,
        first_content_ms: Some(300),
        note: None,
        cache: None,
    }
}

fn cost_lines(input: u64, output: u64) -> Vec<CostLine> {
    let line = |class, count, rate_pico| CostLine {
        class,
        count,
        rate_pico,
        ..CostLine::default()
    };
    vec![
        line("input", input, 1_250_000),
        line("output", output, 10_000_000),
    ]
}

/// Finalizer of SplitMix64.
fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
