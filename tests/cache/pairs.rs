//! Development pairs through HTTP, each once: the answer to the first question of a pair is kept, then the second is asked. Strict routes serve
//! no trap, balanced ones few. `GK_SEMANTIC_STEP` takes each n-th pair, and `GK_BINARY` the executable: without optimization a vector takes
//! seconds.

use serde_json::{Value, json};

use super::fixture::{SEMANTIC_ROUTES, setup};
use crate::harness::process::{Gatekeeper, Key};
use crate::harness::upstream::Upstream;
use crate::harness::{model, print_figure};

struct Pairs {
    gateway: Gatekeeper,
    key: Key,
    _upstream: Upstream,
}

/// Served pairs, and all.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    served: usize,
    all: usize,
}

impl Pairs {
    fn start() -> Pairs {
        let upstream = Upstream::start();
        upstream.respond_with(model::with_usage(10, 3));
        let mut gateway = setup(&upstream).setting(SEMANTIC_ROUTES).start();
        let team = gateway.team(&json!({"name": "rockets", "models": ["*"]}));
        let key = gateway.key(&json!({"name": "one", "team": team.id, "models": ["*"]}));
        let pairs = Pairs {
            gateway,
            key,
            _upstream: upstream,
        };
        // the first question starts the embedder
        pairs.outcome("strict", "start", "refresh", &user("Hello there"));
        pairs
    }

    fn outcome(&self, route: &str, namespace: &str, directive: &str, messages: &Value) -> String {
        let client = self.gateway.user(&self.key);
        let client = client
            .with("x-gatekeeper-cache-namespace", namespace)
            .with("x-gatekeeper-cache", directive);
        let body = json!({"model": route, "max_tokens": 50, "messages": messages});
        let answered = client.chat(&body);
        let outcome = answered.assert_status(200).header("x-gatekeeper-cache");
        outcome.expect("an outcome").to_owned()
    }

    /// Pairs of a file that may and that must not share an answer.
    fn count(&self, route: &str, file: &str) -> [Count; 2] {
        let mut counts = [Count::default(); 2];
        for (number, pair) in read(file).iter().enumerate() {
            let namespace = format!("{file}-{number}");
            self.outcome(route, &namespace, "refresh", &messages(&pair["a"]));
            let outcome = self.outcome(route, &namespace, "no-store", &messages(&pair["b"]));
            let count = &mut counts[usize::from(pair["same_answer"] != true)];
            count.served += usize::from(outcome != "miss");
            count.all += 1;
        }
        let [positives, traps] = counts;
        print_figure(
            &format!("semantic cache over HTTP, {route}, {file}"),
            &format!(
                "{} of {} positives and {} of {} traps served",
                positives.served, positives.all, traps.served, traps.all
            ),
        );
        counts
    }
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

fn messages(side: &Value) -> Value {
    side.as_str().map_or_else(|| side.clone(), user)
}

fn step() -> usize {
    let step = std::env::var("GK_SEMANTIC_STEP").ok();
    step.map_or(150, |step| step.parse().expect("a number"))
}

fn read(file: &str) -> Vec<Value> {
    let path = format!("{}/tests/cache/data/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the pairs");
    let lines = text.lines().step_by(step());
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn development_pairs_strict_serves_no_trap_and_balanced_few() {
    let pairs = Pairs::start();
    let [positives, traps] = pairs.count("strict", "fow-pairs.jsonl");
    assert_eq!(traps.served, 0, "traps served");
    let has_most = step() > 1 || positives.served * 10 >= positives.all * 3;
    assert!(has_most, "{positives:?}");
    for file in ["own-pairs.jsonl", "fow-conversations.jsonl"] {
        let [_, traps] = pairs.count("strict", file);
        assert_eq!(traps.served, 0, "traps of {file} served");
    }
    let [_, fow] = pairs.count("balanced", "fow-pairs.jsonl");
    let [_, own] = pairs.count("balanced", "own-pairs.jsonl");
    let (served, all) = (fow.served + own.served, fow.all + own.all);
    assert!(served * 50 <= all, "{served} of {all} traps served");
}
