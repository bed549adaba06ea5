//! Memory that requests free: what large bodies took returns to the system, what small ones took is kept for the next ones.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{count_from_env, print_figure, resident_mb};
use crate::budget::call::Call;
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::upstream::Upstream;
use crate::harness::workers::run_workers;
use crate::harness::{SetOnDrop, wait_until};

/// Memory that may stay.
const KEPT_MB: f64 = 30.0;

/// A request of so many bytes in messages of 300 bytes each.
fn large_body(model: &str, bytes: usize) -> Vec<u8> {
    let message = format!(r#"{{"role":"user","content":"{}"}}"#, "x".repeat(270));
    let messages = vec![message; bytes / 300].join(",");
    format!(r#"{{"model":"{model}","max_tokens":5,"messages":[{messages}]}}"#).into_bytes()
}

/// Longest answer of `/healthz` until the flag is set.
fn slowest_health(gatekeeper: &Gatekeeper, over: &AtomicBool) -> Duration {
    let mut connection = gatekeeper.anon().connect();
    let mut slowest = Duration::ZERO;
    while !over.load(Ordering::SeqCst) {
        let start = Instant::now();
        connection.call("GET", "/healthz", None).assert_status(200);
        slowest = slowest.max(start.elapsed());
        std::thread::sleep(Duration::from_millis(2));
    }
    slowest
}

/// Twelve bodies of 30 MB took 1 GB and stopped `/healthz` for 2.2 s. Some of them are refused, some translated and encoded.
#[test]
fn memory_of_large_bodies_returns_to_the_system() {
    let (count, mb) = (
        count_from_env("GK_LARGE_BODIES", 4),
        count_from_env("GK_LARGE_MB", 6),
    );
    let upstream = Upstream::start();
    let messages = Provider::anthropic("claude", &upstream).models(&["c-small"]);
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .provider(&messages)
        .start();
    let poor = gatekeeper.team_with_budget("poor", "0.5");
    let rich = gatekeeper.team_with_budget("rich", "100000");
    let keys = [gatekeeper.key_of(&poor), gatekeeper.key_of(&rich)];
    gatekeeper
        .user(&keys[1])
        .post_bytes("/v1/chat/completions", &large_body("c-small", 3_000))
        .assert_status(200);
    let before = resident_mb(gatekeeper.pid());
    let over = AtomicBool::new(false);
    let slowest = std::thread::scope(|scope| {
        let health = scope.spawn(|| slowest_health(&gatekeeper, &over));
        let _over = SetOnDrop(&over);
        let attackers: Vec<_> = (0..count)
            .map(|number| {
                let user = gatekeeper.user(&keys[number % 2]);
                scope.spawn(move || {
                    let model = ["m-small", "c-small"][number % 2];
                    let body = large_body(model, mb * 1_000_000);
                    let status = user.post_bytes("/v1/chat/completions", &body).status;
                    let expected = [402, 200][number % 2];
                    assert!(status == expected || status == 503, "{number}: {status}");
                })
            })
            .collect();
        for attacker in attackers {
            attacker.join().expect("an expected status");
        }
        over.store(true, Ordering::SeqCst);
        health.join().expect("healthy")
    });
    let (peak, end) = (super::resident_peak_mb(gatekeeper.pid()), Instant::now());
    wait_until("memory returns to the system", || {
        resident_mb(gatekeeper.pid()) <= before + KEPT_MB
    });
    print_figure(
        &format!("{count} bodies of {mb} MB, MB before, most, after"),
        &format!(
            "{before:.0}, {peak:.0}, {:.0}",
            resident_mb(gatekeeper.pid())
        ),
    );
    print_figure(
        "its memory is returned after, s",
        &format!("{:.1}", end.elapsed().as_secs_f64()),
    );
    print_figure(
        "slowest /healthz beside it, ms",
        &slowest.as_millis().to_string(),
    );
}

/// New pages that a process got from the system, with a file behind them or none.
fn page_faults(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    // the tenth word is `minflt`, the second ends with the last parenthesis
    let (_, words) = stat.rsplit_once(") ").expect("the name of the process");
    let count = words.split(' ').nth(7).expect("its page faults");
    count.parse().expect("a number")
}

/// A page costs some two microseconds. A request got one of them here, and two at saturation, while the allocator returned at
/// once what was free; a quarter of a page is the log.
#[test]
fn requests_in_steady_use_get_few_new_pages() {
    const REQUESTS: usize = 6_400;
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("steady", "100000");
    let key = gatekeeper.key_of(&team);
    let run = || {
        let call = |connection: &mut _, _| Call::chat().by(connection).assert_status(200).status;
        run_workers(64, REQUESTS, |_| gatekeeper.user(&key).connect(), call);
    };
    run();
    let before = page_faults(gatekeeper.pid());
    run();
    let faults = page_faults(gatekeeper.pid()) - before;
    let each = faults as f64 / REQUESTS as f64;
    print_figure("new pages per request", &format!("{each:.3}"));
    assert!(each < 0.7, "{faults} page faults for {REQUESTS} requests");
}
