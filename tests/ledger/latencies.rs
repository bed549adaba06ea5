//! Histograms of latencies in hours and days: medians and quantiles of the usage report.

use serde_json::{Value, json};

use crate::budget::call::Call;
use crate::harness::model;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;

/// Time that the upstream takes for the slow call.
const SLOW_MS: u64 = 120;

#[test]
fn usage_report_has_quantiles_of_duration_and_time_to_first_content() {
    let upstream = Upstream::start();
    let mut gateway = Gatekeeper::with_upstream(&upstream).start_in_process();
    let team = gateway.team(&json!({"name": "eng"}));
    let key = gateway.key_of(&team);
    let call = || {
        let body = Call::chat().at_most(5).body();
        gateway.user(&key).chat(&body).assert_status(200);
    };
    (0..9).for_each(|_| call());
    upstream.respond_with(model::with_usage(10, 20).delay_ms(SLOW_MS));
    call();
    let report = gateway.admin().get("/v1/usage?group_by=model").json();
    let total = &report["total"];
    for name in ["duration_p50_ms", "first_content_p95_ms"] {
        assert_eq!(report["data"][0][name], total[name]);
    }
    let ms = |name: &str| total[name].as_u64().expect(name);
    assert!(ms("duration_p50_ms") <= ms("duration_p95_ms"), "{total}");
    assert!(ms("first_content_p50_ms") <= ms("first_content_p95_ms"));
    // the tenth of ten calls, in the bucket from 100 to 150 ms or a later one
    assert!(ms("duration_p95_ms") > 100, "{total}");
    let bounds = total["latency_bounds_ms"].as_array().expect("bounds");
    for name in ["duration_histogram", "first_content_histogram"] {
        let buckets = total[name].as_array().expect("a histogram");
        let counts: Vec<u64> = buckets.iter().filter_map(Value::as_u64).collect();
        assert_eq!((counts.len(), bounds.len()), (24, 23));
        assert_eq!(counts.iter().sum::<u64>(), 10, "{name}");
        let slow: u64 = counts[4..].iter().sum();
        assert!(slow >= 1, "{name}: {counts:?}");
    }
}
