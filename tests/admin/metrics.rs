//! Metrics: every name is documented, alert rules and the Grafana dashboard name none that does not exist, latencies are histograms.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::budget::call::Call;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;

const PREFIX: &str = "gatekeeper_";
/// Model name of an example, and the prefix of a file.
const NO_METRICS: [&str; 1] = ["gatekeeper_anthropic"];
const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Names in a text that begin like those of metrics.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words
        .filter(|word| word.len() > PREFIX.len() && word.starts_with(PREFIX))
        .map(|word| {
            let series = SUFFIXES.iter().find_map(|suffix| word.strip_suffix(suffix));
            series.unwrap_or(word).to_owned()
        })
        .collect()
}

fn names_in_source(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of the source") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            names_in_source(&path, into);
        } else {
            into.extend(names(&fs::read_to_string(&path).expect("a source file")));
        }
    }
}

#[test]
fn metrics_are_documented_and_rules_name_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| names(&fs::read_to_string(root.join(path)).expect(path));
    let mut written = BTreeSet::new();
    names_in_source(&root.join("src"), &mut written);
    written.retain(|name| !NO_METRICS.contains(&name.as_str()));
    assert!(written.len() > 40, "{written:?}");
    let documented = read("docs/operations.md");
    let missing: Vec<_> = written.difference(&documented).collect();
    assert!(missing.is_empty(), "not in docs/operations.md: {missing:?}");
    for page in [
        "docs/operations.md",
        "packaging/prometheus/alerts.yml",
        "packaging/grafana/gatekeeper.json",
    ] {
        let named = read(page);
        let unknown: Vec<_> = named.difference(&written).collect();
        assert!(unknown.is_empty(), "{page} names {unknown:?}");
    }
}

#[test]
fn metrics_have_histograms_of_latencies() {
    let upstream = Upstream::start();
    let mut gateway = Gatekeeper::with_upstream(&upstream).start_in_process();
    let team = gateway.team(&json!({"name": "eng"}));
    let key = gateway.key_of(&team);
    for _ in 0..3 {
        let body = Call::chat().at_most(5).body();
        gateway.user(&key).chat(&body).assert_status(200);
    }
    let response = gateway.admin().get("/metrics");
    let text = response.text();
    for name in ["answer", "first_content"] {
        for line in [
            format!("# TYPE gatekeeper_{name}_seconds histogram"),
            format!("gatekeeper_{name}_seconds_bucket{{le=\"+Inf\"}} 3"),
            format!("gatekeeper_{name}_seconds_count 3"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
