//! Drills: each class of failure at the first target and at all, from the books and without a trace in live traffic.

use serde_json::{Value, json};

use super::fixture::{Fixture, chat};
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::upstream::Upstream;

const ROUTES: &str = "[routes.smart]\ntargets = [\"a/m-small\", \"b/m-small\"]\nstrategy = \"ordered\"\n\
    fallbacks = [\"c/c-small\"]\ncontext_fallbacks = [\"c/c-small\"]\ncontent_fallbacks = [\"c/c-small\"]\n";

fn drill(fixture: &Fixture, body: &Value) -> Value {
    let drilled = fixture.gateway.admin().post("/v1/routes/smart/drill", body);
    drilled.assert_status(200).json()
}

fn outcome<'d>(drilled: &'d Value, class: &str, (failing, form): (&str, &str)) -> &'d Value {
    let mut data = drilled["data"].as_array().expect("a list").iter();
    let is_asked =
        |row: &&Value| row["class"] == class && row["failing"] == failing && row["form"] == form;
    let found = data.find(is_asked);
    found.unwrap_or_else(|| panic!("no outcome for {class} at {failing} as {form}"))
}

/// Targets and decisions.
fn path(outcome: &Value) -> String {
    let attempts = outcome["attempts"].as_array().expect("a list").iter();
    let attempt = |attempt: &Value| {
        let decision = attempt["failure"]["decision"].as_str().unwrap_or("ok");
        format!("{} {decision}", attempt["provider"].as_str().unwrap_or("-"))
    };
    attempts.map(attempt).collect::<Vec<_>>().join(", ")
}

#[test]
fn drill_shows_every_class_at_the_first_target_and_at_all() {
    let fixture = Fixture::new(ROUTES);
    let drilled = drill(&fixture, &json!({}));
    assert_eq!(drilled["data"].as_array().map(Vec::len), Some(45));
    for form in ["whole", "stream"] {
        assert_every_class(&drilled, form);
    }
    // content has reached the client: no other target is asked
    let cut = outcome(&drilled, "broken", ("first", "cut_stream"));
    assert_eq!(path(cut), "a give_up", "{cut:#}");
    let client = &cut["client"];
    assert_eq!(
        (&client["status"], &client["code"], &client["complete"]),
        (&json!(200), &json!("upstream_error"), &json!(false))
    );
    // nothing was called
    assert_eq!(fixture.counts(), [0, 0, 0]);
}

fn assert_every_class(drilled: &Value, form: &str) {
    for (class, first, status) in [
        ("overloaded", "a next_target, b ok", 200),
        ("rate_limited", "a next_target, b ok", 200),
        ("timed_out", "a next_target, b ok", 200),
        ("connect_failed", "a next_target, b ok", 200),
        ("bad_credential", "a next_target, b ok", 200),
        ("quota_exhausted", "a next_target, b ok", 200),
        ("model_not_found", "a next_target, b ok", 200),
        ("broken", "a next_target, b ok", 200),
        ("context_too_long", "a fallback, c ok", 200),
        ("content_filtered", "a fallback, c ok", 200),
        ("bad_request", "a give_up", 400),
    ] {
        let row = outcome(drilled, class, ("first", form));
        assert_eq!(
            (path(row).as_str(), row["client"]["status"].as_u64()),
            (first, Some(status)),
            "{class}: {row:#}"
        );
        assert_eq!(row["client"]["complete"], status == 200, "{class}: {row:#}");
        let all = outcome(drilled, class, ("all", form));
        let failed = all["attempts"].as_array().expect("a list").iter();
        for attempt in failed {
            assert_eq!(attempt["failure"]["class"], class, "{attempt}");
        }
        assert!(
            all["client"]["status"]
                .as_u64()
                .is_some_and(|status| status >= 400),
            "{class}"
        );
    }
}

#[test]
fn drill_streams_in_the_dialect_and_framing_of_every_vendor() {
    let upstream = Upstream::refusing();
    let models = [
        ("anthropic", "claude-haiku-4-5"),
        ("gemini", "gemini-2.5-flash"),
        ("bedrock", "amazon.nova-pro-v1:0"),
        ("cohere", "command-a-03-2025"),
        ("ollama_native", "qwen3:8b"),
        ("openai", "gpt-5.1"),
    ];
    let mut setup = Gatekeeper::without_providers().provider(&Provider::openai("a", &upstream));
    let mut routes = String::new();
    for (vendor, model) in models {
        let provider = Provider::openai(vendor, &upstream).preset(vendor);
        setup = setup.provider(&match vendor {
            "bedrock" => provider.models(&[model]).line("region = \"eu-west-1\""),
            _ => provider.models(&[model]),
        });
        routes += &format!(
            "[routes.{vendor}]\nstrategy = \"ordered\"\ntargets = [\"a/m-small\", \"{vendor}/{model}\"]\n"
        );
    }
    let gateway = setup.setting(&routes).start_in_process();
    for (vendor, _) in models {
        let path = format!("/v1/routes/{vendor}/drill");
        let drilled = gateway.admin().post(&path, &json!({}));
        let drilled = drilled.assert_status(200).json();
        for form in ["whole", "stream"] {
            let row = outcome(&drilled, "overloaded", ("first", form));
            let client = &row["client"];
            assert_eq!(
                (&client["complete"], &client["provider"]),
                (&json!(true), &json!(vendor)),
                "{form}: {row:#}"
            );
            // 12 tokens of input and one of output, at the prices of the fixture
            assert_eq!(row["cost_usd"], "0.000017", "{vendor}, {form}");
        }
    }
}

#[test]
fn drill_leaves_live_traffic_untouched_and_books_to_its_team() {
    let fixture = Fixture::new(ROUTES);
    let metrics = || {
        let text = fixture.gateway.admin().get("/metrics").text();
        let of_health = text.lines().filter(|line| {
            line.starts_with("gatekeeper_deployment")
                || line.starts_with("gatekeeper_requests_total")
                || line.starts_with("gatekeeper_refused")
        });
        of_health.map(str::to_owned).collect::<Vec<_>>()
    };
    fixture.call("smart").assert_status(200);
    let before = metrics();
    let drilled = drill(&fixture, &json!({}));
    assert_eq!(metrics(), before);
    let list = fixture
        .gateway
        .admin()
        .get("/v1/requests?flag=drill&limit=500")
        .json();
    let rows = list["data"].as_array().expect("a list");
    assert!(
        rows.len() > 45 && rows.iter().all(|row| row["team"] == drilled["team"]),
        "{}",
        rows.len()
    );
    // the key of the drill is gone, and a second drill uses the same team
    let key = drilled["key"].as_str().expect("an id");
    fixture
        .gateway
        .admin()
        .get(&format!("/v1/keys/{key}"))
        .assert_status(404);
    assert_eq!(drill(&fixture, &json!({}))["team"], drilled["team"]);
    // the first target still serves
    fixture.call("smart").assert_status(200);
    assert_eq!(fixture.counts(), [2, 0, 0]);
    let actions: Vec<Value> = fixture
        .gateway
        .audit()
        .iter()
        .map(|event| event["action"].clone())
        .collect();
    assert!(actions.contains(&json!("route.drill")), "{actions:?}");
}

#[test]
fn live_drill_calls_the_other_targets_within_its_bound() {
    let fixture = Fixture::new(ROUTES);
    let admin = fixture.gateway.admin();
    admin
        .post("/v1/routes/smart/drill", &json!({"live": true}))
        .assert_status(400);
    let drilled = drill(&fixture, &json!({"live": true, "max_cost_usd": "1"}));
    let [a, b, c] = fixture.counts();
    // eight classes lead to the second target, two to the fallback, each twice
    assert_eq!([a, b, c], [0, 16, 4], "{drilled:#}");
    let tight = drill(
        &fixture,
        &json!({"live": true, "max_cost_usd": "0.0000001"}),
    );
    assert_eq!(fixture.counts(), [0, 16, 4]);
    assert_eq!(
        outcome(&tight, "overloaded", ("first", "whole"))["client"]["status"],
        402
    );
}

#[test]
fn drill_is_for_owners_and_names_that_lead_somewhere() {
    let fixture = Fixture::new(ROUTES);
    let admin = fixture.gateway.admin();
    admin
        .post("/v1/routes/nowhere/drill", &json!({}))
        .assert_status(404);
    let viewer = admin
        .post(
            "/v1/keys",
            &json!({"admin": true, "name": "v", "role": "viewer"}),
        )
        .json();
    let secret = viewer["key"].as_str().expect("a secret").to_owned();
    let viewer = crate::harness::client::admin(fixture.gateway.address(), &secret);
    viewer
        .post("/v1/routes/smart/drill", &json!({}))
        .assert_status(403);
    fixture
        .user()
        .post("/v1/chat/completions", &chat("smart", false))
        .assert_status(200);
}

#[test]
fn name_resolved_for_a_key_names_what_the_key_may_not_use() {
    let fixture = Fixture::new(ROUTES);
    let key = fixture
        .gateway
        .key(&json!({"name": "by-name", "team": fixture.team.id, "models": ["smart"]}));
    let resolve = |id: &str, name: &str| {
        fixture
            .gateway
            .admin()
            .get(&format!("/v1/keys/{id}/resolve?model={name}"))
    };
    let resolved = resolve(&key.id, "smart").assert_status(200).json();
    let rows: Vec<(&str, bool)> = resolved["targets"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| {
            (
                row["target"].as_str().unwrap_or("-"),
                row["allowed"] == true,
            )
        })
        .collect();
    assert_eq!(
        rows[..3],
        [
            ("a/m-small", true),
            ("b/m-small", true),
            ("c/c-small", false)
        ]
    );
    assert_eq!(resolved["strategy"], "ordered");
    resolve(&key.id, "nowhere").assert_status(404);
    resolve("key_999", "smart").assert_status(404);
}
