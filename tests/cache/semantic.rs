//! Requests that ask the same in other words: served by strict and balanced routes over HTTP, never across what separates requests, and a
//! miss names the guard that refused its nearest entry. The development pairs are a sample of pairs; each counts once.

use serde_json::{Value, json};

use super::fixture::{CHAT, Fixture, ask, with};
use crate::harness::process::text;

const ROUTES: &str = r#"
[routes.strict]
targets = ["openai/m-small"]
cache = { mode = "semantic", scope = "key" }
[routes.balanced]
targets = ["openai/m-small"]
cache = { mode = "semantic", scope = "key", guard = "balanced" }
"#;

fn start() -> Fixture {
    let fixture = Fixture::with(ROUTES);
    // the first question starts the embedder
    fixture.chat(&fixture.one, &ask("strict", "Hello there"));
    fixture
}

/// Keeps the answer to `first`, then asks `second`; returns the outcome.
fn served(
    fixture: &Fixture,
    route: &str,
    namespace: &str,
    (first, second): (&Value, &Value),
) -> String {
    let client = |directive: &str| {
        let client = fixture.client(&fixture.one);
        client
            .with("x-gatekeeper-cache-namespace", namespace)
            .with("x-gatekeeper-cache", directive)
    };
    let body = |messages: &Value| json!({"model": route, "max_tokens": 50, "messages": messages});
    client("refresh").chat(&body(first)).assert_status(200);
    let answered = client("no-store").chat(&body(second));
    let outcome = answered.assert_status(200).header("x-gatekeeper-cache");
    outcome.expect("an outcome").to_owned()
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

#[test]
fn near_repeat_is_served_with_its_similarity_and_a_trap_is_not() {
    let fixture = start();
    let first = ask("strict", "What is the capital of France?");
    let (answer, _) = fixture.send(&fixture.one, CHAT, &first);
    let again = ask("strict", "what is the capital of france");
    let (hit, outcome) = fixture.send(&fixture.one, CHAT, &again);
    assert_eq!(outcome, "semantic", "{}", hit.text());
    let similarity = hit
        .header("x-gatekeeper-cache-similarity")
        .expect("a header");
    assert!(
        similarity.parse::<f64>().expect("a number") >= 0.8,
        "{similarity}"
    );
    assert_eq!(
        hit.json()["choices"][0]["message"]["content"],
        answer.json()["choices"][0]["message"]["content"]
    );
    assert_eq!(hit.cost(), 0);
    let exact = fixture
        .client(&fixture.one)
        .with("x-gatekeeper-cache", "exact");
    assert_eq!(
        exact.chat(&again).header("x-gatekeeper-cache"),
        Some("miss")
    );
    let km = |text: &str| fixture.chat(&fixture.one, &ask("strict", text));
    assert_eq!(km("Convert 5 km to miles"), "miss");
    assert_eq!(km("Convert 50 km to miles"), "miss");
    let row = &fixture.gateway.requests()[0];
    assert_eq!(
        (&row["cache"]["outcome"], &row["cache"]["reason"]),
        (&json!("miss"), &json!("number"))
    );
    assert!(
        row["cache"]["entry"]
            .as_str()
            .is_some_and(|id| id.starts_with("ce_"))
    );
    assert!(
        row["cache"]["similarity"]
            .as_str()
            .is_some_and(|text| text.starts_with("0."))
    );
    assert!(!row.to_string().contains("miles"), "no text in the record");
    let path = format!(
        "/v1/cache/difference?entry={}&other={}",
        text(&row["cache"], "own_entry"),
        text(&row["cache"], "entry")
    );
    let difference = fixture.gateway.admin().get(&path);
    let difference = difference.assert_status(200).json();
    assert_eq!(
        (&difference["entry"], &difference["other"]),
        (&json!(["50"]), &json!(["5"]))
    );
    let events = fixture.gateway.audit();
    assert_eq!(
        events.last().expect("an event")["action"],
        "cache.difference"
    );
}

#[test]
fn threshold_may_only_be_raised() {
    let fixture = start();
    let first = ask("strict", "What is the capital of France?");
    fixture.chat(&fixture.one, &first);
    let again = ask("strict", "what is the capital of france please");
    let with_threshold = |threshold: &str| {
        let client = fixture
            .client(&fixture.one)
            .with("x-gatekeeper-cache-threshold", threshold);
        let answered = client.with("x-gatekeeper-cache", "no-store").chat(&again);
        answered
            .header("x-gatekeeper-cache")
            .expect("an outcome")
            .to_owned()
    };
    assert_eq!(with_threshold("0"), "semantic");
    assert_eq!(with_threshold("1"), "miss");
    let row = &fixture.gateway.requests()[0];
    assert_eq!(row["cache"]["reason"], "threshold");
}

#[test]
fn similar_request_is_not_served_across_what_separates_requests() {
    let fixture = start();
    let first = ask("strict", "What is the capital of France?");
    let again = ask("strict", "what is the capital of france");
    assert_eq!(fixture.chat(&fixture.one, &first), "miss");
    let system = json!({"messages": [{"role": "system", "content": "In French."}, {"role": "user", "content": "what is the capital of france"}]});
    let tools =
        json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]});
    for members in [
        system,
        tools,
        json!({"temperature": 0.3}),
        json!({"seed": 4}),
        json!({"model": "balanced"}),
    ] {
        assert_eq!(
            fixture.chat(&fixture.one, &with(again.clone(), members.clone())),
            "miss",
            "{members}"
        );
    }
    assert_eq!(fixture.chat(&fixture.two, &again), "miss", "another key");
    assert_eq!(
        fixture.send(&fixture.one, "/v1/messages", &again).1,
        "miss",
        "another dialect"
    );
    assert_eq!(fixture.chat(&fixture.one, &again), "semantic");
}

#[test]
fn kept_question_is_found_after_a_restart_and_not_after_a_purge() {
    let mut fixture = start();
    let first = ask("strict", "What is the capital of France?");
    let again = ask("strict", "what is the capital of france");
    let no_store = |fixture: &Fixture| {
        let client = fixture
            .client(&fixture.one)
            .with("x-gatekeeper-cache", "no-store");
        client
            .chat(&again)
            .header("x-gatekeeper-cache")
            .expect("an outcome")
            .to_owned()
    };
    fixture.chat(&fixture.one, &first);
    fixture.gateway.stop();
    fixture.gateway.start();
    assert_eq!(no_store(&fixture), "semantic");
    fixture
        .gateway
        .admin()
        .delete("/v1/cache?all=true")
        .assert_status(200);
    assert_eq!(no_store(&fixture), "miss");
}

/// Every `GK_SEMANTIC_STEP`-th development pair counts; a vector takes seconds without optimization.
fn step() -> usize {
    let step = std::env::var("GK_SEMANTIC_STEP").ok();
    step.map_or(150, |step| step.parse().expect("a number"))
}

fn pairs(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/cache/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the pairs");
    let lines = text.lines().step_by(step());
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn messages(side: &Value) -> Value {
    side.as_str().map_or_else(|| side.clone(), user)
}

/// Served and all, of pairs that may and that must not share an answer.
fn count(fixture: &Fixture, route: &str, name: &str) -> [(usize, usize); 2] {
    let mut counts = [(0, 0); 2];
    for (number, pair) in pairs(name).iter().enumerate() {
        let (first, second) = (messages(&pair["a"]), messages(&pair["b"]));
        let outcome = served(
            fixture,
            route,
            &format!("{name}-{number}"),
            (&first, &second),
        );
        let side = &mut counts[usize::from(pair["same_answer"] != true)];
        side.0 += usize::from(outcome != "miss");
        side.1 += 1;
    }
    println!(
        "FIGURE semantic {route} {name}: positives {} of {}, traps {} of {}",
        counts[0].0, counts[0].1, counts[1].0, counts[1].1
    );
    counts
}

#[test]
fn development_pairs_strict_serves_no_trap_and_balanced_few() {
    let fixture = start();
    let [positives, traps] = count(&fixture, "strict", "fow-pairs.jsonl");
    assert_eq!(traps.0, 0, "traps served");
    let has_most = step() > 1 || positives.0 * 10 >= positives.1 * 3;
    assert!(has_most, "{positives:?}");
    assert_eq!(
        count(&fixture, "strict", "own-pairs.jsonl")[1].0,
        0,
        "traps served"
    );
    assert_eq!(
        count(&fixture, "strict", "fow-conversations.jsonl")[1].0,
        0,
        "traps served"
    );
    let [_, fow] = count(&fixture, "balanced", "fow-pairs.jsonl");
    let [_, own] = count(&fixture, "balanced", "own-pairs.jsonl");
    let (served, all) = (fow.0 + own.0, fow.1 + own.1);
    assert!(served * 50 <= all, "{served} of {all} traps served");
}
