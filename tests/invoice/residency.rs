//! Data residency at OpenAI: the host of the base URL is the place, whose factor multiplies every token rate of the models that list
//! one. A proxy resolves the vendor's hosts to the scripted upstream.

use serde_json::json;

use super::{hello, listed, newest, texts};
use crate::harness::process::Gatekeeper;
use crate::harness::proxy::{TestProxy, egress};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

fn answer() -> Script {
    let message = json!({"role": "assistant", "content": "hi"});
    let choices = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
    let usage =
        json!({"prompt_tokens": 100_000, "completion_tokens": 10_000, "total_tokens": 110_000});
    Script::json(
        200,
        &json!({"id": "a", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage}),
    )
}

#[test]
fn host_of_openai_is_the_place_whose_factor_multiplies_token_rates() {
    let upstream = Upstream::start();
    upstream.respond_with(answer());
    let proxy = TestProxy::start(upstream.address());
    let hosts = [
        ("plain", "api.openai.com"),
        ("european", "eu.api.openai.com"),
        ("american", "us.api.openai.com"),
        ("government", "gov.api.openai.com"),
    ];
    let setup = hosts
        .iter()
        .fold(Gatekeeper::without_providers(), |setup, (name, host)| {
            let provider = listed("openai", &upstream).name(name);
            setup.provider(&provider.base_url(&format!("http://{host}/v1")))
        });
    let mut gatekeeper = setup.start();
    std::fs::write(gatekeeper.folder().join("password"), "hunter2").expect("written");
    let password = gatekeeper.folder().join("password").display().to_string();
    let lines = format!(
        "proxy = \"http://{}\"\nproxy_user = \"gk\"\nproxy_password = \"file:{password}\"",
        proxy.address
    );
    egress(&gatekeeper, &lines);
    gatekeeper.restart();
    let team = gatekeeper.team_with_budget("eng", "100");
    let key = gatekeeper.key_of(&team);
    for (model, place, usd, factor) in [
        ("plain/gpt-5.4", None, "0.4", ""),
        ("european/gpt-5.4", Some("eu"), "0.44", " × 1.1"),
        ("american/gpt-5.4", Some("us"), "0.44", " × 1.1"),
        ("government/gpt-5.4", Some("gov"), "0.44", " × 1.1"),
        // a model that lists no factor for a region, but one for the government's host
        ("european/gpt-4.1", Some("eu"), "0.28", ""),
        ("government/gpt-4.1", Some("gov"), "0.308", " × 1.1"),
    ] {
        gatekeeper.user(&key).chat(&hello(model)).assert_status(200);
        let row = newest(&gatekeeper);
        assert_eq!(row["cost_usd"], usd, "{model} {row}");
        assert_eq!(row["priced_place"], json!(place), "{model}");
        let line = &texts(&row)[0];
        assert!(line.contains(&format!(" per token{factor} = ")), "{line}");
        let id = row["id"].as_str().expect("an id");
        let explained = gatekeeper.run(&["requests", "explain", id]);
        let words = String::from_utf8_lossy(&explained.stdout).into_owned();
        assert!(words.contains(factor), "{words}");
        assert!(
            place.is_none_or(|place| words.contains(&format!(" in {place})"))),
            "{words}"
        );
    }
    let asked = proxy.heads().join(" ");
    for (_, host) in hosts {
        assert!(asked.contains(&format!("CONNECT {host}:80 ")), "{asked}");
    }
}
