//! Places and tiers: the deployment's region or data zone, the tier that served, impossible cache counts, all of which stand in the
//! record and in its explanation.

use serde_json::{Value, json};

use super::{amount, listed, newest, start, texts};
use crate::budget::vendor_responses::Vendor;
use crate::harness::hello;
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

fn chat(tier: &str, usage: &Value) -> Script {
    let message = json!({"role": "assistant", "content": "hi"});
    let choices = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
    Script::json(
        200,
        &json!({"id": "a", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage,
            "service_tier": tier}),
    )
}

fn converse() -> Script {
    let usage = json!({"inputTokens": 1_000_000, "outputTokens": 0, "totalTokens": 1_000_000});
    Vendor::Converse.respond(false, &Vendor::Converse.usage_member(&usage.to_string()))
}

#[test]
fn rates_follow_region_profile_and_data_zone_of_the_deployment() {
    let upstream = Upstream::start();
    let bedrock = |name: &str, region: &str| {
        Provider::openai(name, &upstream)
            .preset("bedrock")
            .priced_by("sheet")
            .models(&[])
            .base_url(&upstream.url())
            .line(&format!("region = {region:?}"))
    };
    let azure = listed("azure", &upstream)
        .line("[providers.azure.prices.\"gpt-4.1-mini\"]\nplace = \"eu\"");
    let providers = [
        bedrock("virginia", "us-east-1"),
        bedrock("london", "eu-west-2"),
        azure,
    ];
    let (gatekeeper, key) = start(&providers, "100");
    upstream.respond_with(converse());
    let mut costs = Vec::new();
    for model in [
        "virginia/meta.llama3-70b-instruct-v1:0",
        "london/meta.llama3-70b-instruct-v1:0",
        "virginia/us.amazon.nova-pro-v1:0",
        "virginia/eu.amazon.nova-pro-v1:0",
    ] {
        gatekeeper.user(&key).chat(&hello(model)).assert_status(200);
        let row = newest(&gatekeeper);
        assert!(!row["flags"].to_string().contains("estimated"), "{row}");
        costs.push(row["cost_usd"].as_str().expect("a cost").to_owned());
        let region = if model.starts_with("london") {
            "eu-west-2"
        } else {
            "us-east-1"
        };
        assert_eq!(row["priced_place"], region, "{row}");
    }
    assert_eq!(costs[..2], ["2.65", "3.45"]);
    assert_ne!(costs[2], costs[3], "a profile has its own price");
    upstream.respond_with(chat(
        "default",
        &json!({"prompt_tokens": 1_000_000, "completion_tokens": 0}),
    ));
    gatekeeper
        .user(&key)
        .chat(&hello("azure/gpt-4.1-mini"))
        .assert_status(200);
    let row = newest(&gatekeeper);
    assert_eq!(
        (&row["cost_usd"], &row["priced_place"]),
        (&json!("0.44"), &json!("eu"))
    );
    assert!(texts(&row)[0].contains("of gpt-4.1-mini in eu"), "{row}");
}

#[test]
fn shares_of_a_class_keep_their_relation_in_every_tier() {
    let upstream = Upstream::start();
    let gemini = listed("gemini", &upstream).base_url(&upstream.url());
    let openai = listed("openai", &upstream);
    let (gatekeeper, key) = start(&[gemini, openai], "100");
    let lines = |tier: &str| {
        let usage = json!({"promptTokenCount": 100_000, "candidatesTokenCount": 1_000, "thoughtsTokenCount": 50_000,
            "serviceTier": tier});
        upstream.respond_with(
            Vendor::Gemini.respond(false, &Vendor::Gemini.usage_member(&usage.to_string())),
        );
        gatekeeper
            .user(&key)
            .chat(&hello("gemini-3.8-flash"))
            .assert_status(200);
        let row = newest(&gatekeeper);
        let of = |class: &str| {
            let amount = amount(&row, class);
            amount
                .as_str()
                .expect(class)
                .parse::<f64>()
                .expect("a number")
        };
        (
            of("input"),
            of("output") / 1_000.0,
            of("reasoning") / 50_000.0,
            row["priced_tier"].clone(),
        )
    };
    let (base_input, base_output, base_thought, _) = lines("standard");
    for (word, tier) in [
        ("priority", "priority"),
        ("PRIORITY", "priority"),
        ("flex", "flex"),
    ] {
        let (input, output, thought, priced) = lines(word);
        assert_eq!(priced, tier);
        assert!(
            (output - thought).abs() < 1e-12,
            "{word}: thoughts cost what output costs"
        );
        assert!((input > base_input) == (thought > base_thought), "{word}");
        assert!((output > base_output) == (tier == "priority"), "{word}");
    }
    // a word that nobody knows is never the cheapest
    let usage = json!({"prompt_tokens": 1_000_000, "completion_tokens": 0});
    let cost = |tier: &str| {
        upstream.respond_with(chat(tier, &usage));
        gatekeeper
            .user(&key)
            .chat(&hello("gpt-5.1"))
            .assert_status(200);
        let row = newest(&gatekeeper);
        (
            row["cost_usd"].clone(),
            row["priced_tier"].clone(),
            row["flags"].clone(),
        )
    };
    let unknown = cost("turbo");
    assert_eq!(
        (&unknown.0, &unknown.1),
        (&cost("priority").0, &json!("unlisted"))
    );
    assert!(unknown.2.to_string().contains("estimated"));
}

/// Reports of vendors whose cached and written tokens exceed the prompt of 100 or each other, and the counts that remain.
fn impossible_counts() -> [(Vendor, Value, u64, u64); 5] {
    [
        (
            Vendor::Chat,
            json!({"prompt_tokens": 100, "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 90, "cache_write_tokens": 30}}),
            70,
            30,
        ),
        (
            Vendor::Responses,
            json!({"input_tokens": 100, "output_tokens": 1,
                "input_tokens_details": {"cached_tokens": 150, "cache_write_tokens": 0}}),
            100,
            0,
        ),
        (
            Vendor::Gemini,
            json!({"promptTokenCount": 100, "candidatesTokenCount": 1, "cachedContentTokenCount": 130}),
            100,
            0,
        ),
        (
            Vendor::Messages,
            json!({"input_tokens": 70, "output_tokens": 1, "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 40}}),
            0,
            30,
        ),
        (
            Vendor::Converse,
            json!({"inputTokens": 70, "outputTokens": 1, "totalTokens": 101, "cacheWriteInputTokens": 30,
                "cacheDetails": [{"ttl": "1h", "inputTokens": 31}]}),
            0,
            30,
        ),
    ]
}

#[test]
fn impossible_cache_counts_are_cut_and_flagged_in_every_shape() {
    let upstream = Upstream::start();
    let vendors = [
        Vendor::Chat,
        Vendor::Responses,
        Vendor::Gemini,
        Vendor::Messages,
        Vendor::Converse,
    ];
    let setup = vendors
        .iter()
        .fold(Gatekeeper::without_providers(), |setup, vendor| {
            setup.provider(&vendor.provider(&upstream))
        });
    let mut gatekeeper = setup.start();
    let team = gatekeeper.team_with_budget("eng", "10");
    let key = gatekeeper.key_of(&team);
    for (vendor, usage, cached, written) in impossible_counts() {
        upstream.respond_with(vendor.respond(false, &vendor.usage_member(&usage.to_string())));
        let client = vendor.clients()[0];
        let body = client.request(vendor, false).to_string();
        gatekeeper
            .user(&key)
            .post_bytes(client.path(), body.as_bytes())
            .assert_status(200);
        let row = newest(&gatekeeper);
        assert_eq!(row["flags"], json!(["clamped"]), "{vendor:?} {row}");
        let usage = &row["usage"];
        let counts = (
            &usage["input_tokens"],
            &usage["cached_tokens"],
            &usage["cache_write_tokens"],
        );
        assert_eq!(
            counts,
            (&json!(100), &json!(cached), &json!(written)),
            "{vendor:?}"
        );
    }
}

#[test]
fn explanation_names_card_tier_place_factor_and_fee() {
    let upstream = Upstream::start();
    let anthropic = listed("anthropic", &upstream);
    let (gatekeeper, key) = start(&[anthropic], "100");
    let usage = json!({"input_tokens": 1_000_000, "output_tokens": 10, "inference_geo": "us", "speed": "fast",
        "server_tool_use": {"web_search_requests": 2}});
    let body = json!({"id": "a", "type": "message", "role": "assistant", "model": "c", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "hi"}], "usage": usage});
    upstream.respond_with(Script::json(200, &body));
    gatekeeper
        .user(&key)
        .messages(&hello("claude-opus-5"))
        .assert_status(200);
    let row = newest(&gatekeeper);
    assert_eq!(row["priced_tier"], "fast", "{row}");
    assert_eq!(row["usage"]["service_tier"], "fast+inference_geo=us");
    let id = row["id"].as_str().expect("an id");
    let output = gatekeeper.run(&["requests", "explain", id]);
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    for expected in [
        "× $0.000011 per token, $0.000005 × 2.2 (fast tier of claude-opus-5)",
        "2 × $0.01 per call (fast tier of claude-opus-5)",
    ] {
        assert!(words.contains(expected), "{expected}\n{words}");
    }
}
