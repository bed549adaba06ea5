//! Histograms of latencies in hours and days: medians and quantiles of the usage report.

use serde_json::{Value, json};

use crate::budget::call::Call;
use crate::harness::gate::Gate;
use crate::harness::model;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

#[test]
fn usage_report_has_quantiles_of_duration_and_time_to_first_content() {
    let upstream = Upstream::start();
    let mut gateway = Gatekeeper::with_upstream(&upstream).start_in_process();
    let team = gateway.team(&json!({"name": "eng"}));
    let key = gateway.key_of(&team);
    // the clock stands still but for one call, which takes 5 s
    for _ in 0..9 {
        gateway
            .user(&key)
            .chat(&Call::chat().at_most(5).body())
            .assert_status(200);
    }
    let gate = Gate::default();
    upstream.respond_with(model::with_usage(10, 20).held_by(&gate));
    let user = gateway.user(&key);
    let slow = std::thread::spawn(move || user.chat(&Call::chat().at_most(5).body()).status);
    wait_until("the slow call is at the upstream", || {
        upstream.in_flight() == 1
    });
    gateway.clock.advance_ms(5_000);
    gate.open();
    assert_eq!(slow.join().expect("a call"), 200);
    let report = gateway.admin().get("/v1/usage?group_by=model").json();
    let total = &report["total"];
    assert_eq!(
        report["data"][0]["duration_p50_ms"],
        total["duration_p50_ms"]
    );
    let ms = |name: &str| total[name].as_u64().expect(name);
    assert!(ms("duration_p50_ms") <= 25, "{total}");
    assert!((4_000..=7_500).contains(&ms("duration_p95_ms")), "{total}");
    assert!(ms("first_content_p50_ms") <= 25, "{total}");
    let counts: Vec<u64> = total["duration_histogram"]
        .as_array()
        .map(|buckets| buckets.iter().filter_map(Value::as_u64).collect())
        .expect("a histogram");
    let bounds = total["latency_bounds_ms"].as_array().expect("bounds");
    assert_eq!((counts.len(), bounds.len()), (24, 23));
    assert_eq!((counts[0], counts.iter().sum::<u64>()), (9, 10));
}
