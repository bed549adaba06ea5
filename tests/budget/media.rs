//! What is no text has a price of its own: images that Gemini makes, and sound that its cache served, are held and booked at it.

use serde_json::{Value, json};

use super::vendors::Vendor;
use crate::harness::process::{Gatekeeper, Key, Provider, text};
use crate::harness::upstream::Upstream;

const IMAGES: &str = "gemini-2.5-flash-image";
const SOUND: &str = "gemini-2.5-flash";

/// Gemini at its list prices, and a key with this much to spend.
fn house(upstream: &Upstream, budget: &str) -> (Gatekeeper, Key) {
    let gemini = Provider::openai("g", upstream)
        .preset("gemini")
        .base_url(&upstream.url())
        .priced_by("sheet");
    let mut gatekeeper = Gatekeeper::without_providers()
        .provider(&gemini.models(&[IMAGES, SOUND]))
        .start();
    let team = gatekeeper.team_with_budget("eng", budget);
    let key = gatekeeper.key_of(&team);
    (gatekeeper, key)
}

fn asking(model: &str, streamed: bool) -> Value {
    json!({"model": model, "max_tokens": 1_290, "stream": streamed, "messages": [{"role": "user", "content": "A cat, please."}]})
}

fn an_image() -> String {
    let made = json!([{"modality": "IMAGE", "tokenCount": 1_290}]);
    let usage = json!({"promptTokenCount": 100, "candidatesTokenCount": 1_290, "candidatesTokensDetails": made});
    Vendor::Gemini.usage_member(&usage.to_string())
}

fn cached_sound() -> String {
    let sound = json!([{"modality": "AUDIO", "tokenCount": 800}]);
    let usage = json!({"promptTokenCount": 1_000, "cachedContentTokenCount": 800, "candidatesTokenCount": 200,
        "promptTokensDetails": sound, "cacheTokensDetails": sound});
    Vendor::Gemini.usage_member(&usage.to_string())
}

/// What was booked, and for which class apart from text.
fn booked(gatekeeper: &Gatekeeper, class: &str) -> (String, Value) {
    gatekeeper.usage();
    let row = gatekeeper.requests().remove(0);
    assert_eq!(row["flags"], json!([]), "{row}");
    let lines = row["cost_lines"].as_array().expect("lines");
    let apart = lines.iter().find(|line| line["class"] == class);
    (
        text(&row, "cost_usd"),
        apart.map_or(Value::Null, |line| {
            json!([line["count"], line["amount_usd"]])
        }),
    )
}

#[test]
fn images_and_cached_sound_are_booked_at_the_rates_of_the_sheet() {
    let upstream = Upstream::start();
    let (gatekeeper, key) = house(&upstream, "10");
    for streamed in [false, true] {
        for (model, usage, class, cost, apart) in [
            (
                IMAGES,
                an_image(),
                "image_out",
                "0.03873",
                json!([1_290, "0.0387"]),
            ),
            (
                SOUND,
                cached_sound(),
                "cache_read_audio",
                "0.00064",
                json!([800, "0.00008"]),
            ),
        ] {
            upstream.respond_with(Vendor::Gemini.answers(streamed, &usage));
            gatekeeper
                .user(&key)
                .chat(&asking(model, streamed))
                .assert_status(200);
            assert_eq!(
                booked(&gatekeeper, class),
                (cost.to_owned(), apart),
                "{model} {streamed}"
            );
        }
    }
}

/// At the rate of text the second would have seemed to fit.
#[test]
fn a_budget_that_blocks_is_not_overspent_by_images() {
    let upstream = Upstream::start();
    let (gatekeeper, key) = house(&upstream, "0.05");
    upstream.respond_with(Vendor::Gemini.answers(false, &an_image()));
    gatekeeper
        .user(&key)
        .chat(&asking(IMAGES, false))
        .assert_status(200);
    let refused = gatekeeper.user(&key).chat(&asking(IMAGES, false));
    assert_eq!(
        (
            refused.assert_status(402).error_type(),
            upstream.request_count()
        ),
        ("budget_exceeded".to_owned(), 1)
    );
    assert_eq!(booked(&gatekeeper, "image_out").0, "0.03873");
}
