//! Many streams at once: all end exactly, and neither descriptors nor memory are left over.

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use super::{count_from_env, descriptors, print_figure, resident_mb};
use crate::harness::client::{HttpClient, ResponseStream};
use crate::harness::gate::Gate;
use crate::harness::model;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;
use crate::harness::{print_skipped, wait_until};

/// Memory of one open stream, asserted for many streams, where nothing else counts.
const KB_PER_STREAM: f64 = 40.0;
const ASSERTED_FROM: usize = 1_000;
/// Descriptors of this process beside two per stream.
const OTHERS: usize = 400;
const OPENERS: usize = 8;
const TOKENS: usize = 3;

/// Raises the limit of descriptors; returns the number of streams that fit, two descriptors each in this process and in the gateway's.
fn streams_that_fit(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("the limit can be raised to its maximum");
    let descriptors = maximum.map_or(usize::MAX, |maximum| {
        usize::try_from(maximum).unwrap_or(usize::MAX)
    });
    wanted.min(descriptors.saturating_sub(OTHERS) / 2)
}

fn request() -> serde_json::Value {
    json!({"model": "m-small", "max_tokens": 20, "stream": true, "messages": [{"role": "user", "content": "x"}]})
}

/// Opens streams by few threads, each up to its first event; returns them with the times to it.
fn open(user: &HttpClient, count: usize) -> Vec<(ResponseStream, Duration)> {
    let opened = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..OPENERS)
            .map(|opener| {
                let share = count / OPENERS + usize::from(opener < count % OPENERS);
                scope.spawn(move || {
                    let open_one = |_| {
                        let start = Instant::now();
                        let mut stream = user.open_stream("/v1/chat/completions", &request());
                        assert_eq!(stream.status(), 200);
                        stream.read_deltas(1);
                        (stream, start.elapsed())
                    };
                    (0..share).map(open_one).collect::<Vec<_>>()
                })
            })
            .collect();
        let opened = threads
            .into_iter()
            .map(|thread| thread.join().expect("streams open"));
        opened.flatten().collect::<Vec<_>>()
    });
    assert_eq!(opened.len(), count);
    opened
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    times[(times.len() - 1) * percent / 100].as_secs_f64() * 1_000.0
}

#[test]
fn streams_in_great_number_end_exactly_and_leave_nothing_over() {
    let wanted = count_from_env("GK_STREAMS", 200);
    let count = streams_that_fit(wanted);
    if count < wanted {
        print_skipped(
            &format!("{wanted} streams at once"),
            &format!("the limit of descriptors allows {count}"),
        );
    }
    let (upstream, gate) = (Upstream::start(), Gate::default());
    upstream.respond_with(model::with_usage(10, TOKENS as u64).held_after(2, &gate));
    let most = count + 100;
    let limits = format!(
        "[limits]\nconnections_max = {most}\nconnections_per_address_max = {most}\nping_s = 600"
    );
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .setting(&limits)
        .start();
    let team = gatekeeper.team_with_budget("streams", "1000");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let pid = gatekeeper.pid();
    let (memory, files) = (resident_mb(pid), descriptors(pid));
    let (streams, mut first): (Vec<ResponseStream>, Vec<Duration>) =
        open(&user, count).into_iter().unzip();
    let each_kb = (resident_mb(pid) - memory) * 1_024.0 / count as f64;
    let start = Instant::now();
    user.get("/v1/models").assert_status(200);
    let beside = start.elapsed();
    gate.open();
    for stream in streams {
        let (events, end) = stream.read_events();
        let rest = events
            .iter()
            .filter(|event| event.delta().is_some())
            .count();
        assert_eq!((rest, format!("{end:?}").as_str()), (TOKENS - 1, "Clean"));
        assert_eq!(
            events.last().map(|event| event.data.as_str()),
            Some("[DONE]")
        );
    }
    print_figure(
        &format!("{count} streams at once, KB each"),
        &format!("{each_kb:.0}"),
    );
    let (median, slow) = (percentile(&mut first, 50), percentile(&mut first, 99));
    print_figure(
        "their first event, ms (median, p99)",
        &format!("{median:.1}, {slow:.1}"),
    );
    print_figure(
        "a call beside them, ms",
        &format!("{:.1}", beside.as_secs_f64() * 1_000.0),
    );
    if count >= ASSERTED_FROM {
        assert!(each_kb <= KB_PER_STREAM, "{each_kb} KB per stream");
    }
    wait_until("descriptors are free again", || {
        descriptors(pid) <= files + 4
    });
    gatekeeper.usage();
    assert_eq!(gatekeeper.usage()["total"]["requests"], json!(count));
    assert_eq!(
        gatekeeper.usage()["total"]["output_tokens"],
        json!(count * TOKENS)
    );
}
