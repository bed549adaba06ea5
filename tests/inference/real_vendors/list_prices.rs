//! Models at their list price: the sheet's purpose of a model and its silence about a capability refuse nothing.

use serde_json::{Value, json};

use super::{chat, messages, say, taken};
use crate::harness::process::Provider;
use crate::harness::upstream::Upstream;
use crate::inference::fixture::Fixture;
use crate::inference::matrix::{Client, PNG, Say, TEXT};

/// Vendors at the prices of the sheet.
fn fixture(presets: &[&str]) -> Fixture {
    let upstream = Upstream::start();
    let url = upstream.url();
    let provider = |preset: &&str| {
        Provider::openai(preset, &upstream)
            .preset(preset)
            .models(&[])
            .priced_by("sheet")
            .base_url(&format!("{url}/{preset}"))
    };
    let providers: Vec<Provider> = presets.iter().map(provider).collect();
    Fixture::with_upstream(upstream, |setup| {
        let providers = providers.iter();
        providers.fold(setup, |setup, provider| setup.provider(provider))
    })
}

/// The price sheet says of these models that they answer at `/responses` alone.
#[test]
fn models_served_at_responses_alone_work_at_their_list_price() {
    let fixture = fixture(&["openai"]);
    for model in ["gpt-5.3-codex", "o3-pro", "gpt-5-pro", "gpt-5.1-codex-max"] {
        for client in [Client::Chat, Client::Messages] {
            let body = match client {
                Client::Chat => chat(model, json!({})),
                _ => messages(model, json!({})),
            };
            say(&fixture, Say::Text, false);
            let (_, response) = taken(&fixture, client, &body);
            assert_eq!(client.parse(&response, false).text, TEXT, "{model}");
            assert_eq!(fixture.upstream.last_request().path(), "/openai/responses");
            assert!(fixture.assert_recorded().cost() > 0);
        }
    }
}

#[test]
fn capability_that_the_price_sheet_does_not_mention_is_not_refused() {
    let fixture = fixture(&["together", "openai", "cohere"]);
    say(&fixture, Say::Text, false);
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}});
    let turns = json!({"messages": [{"role": "user", "content": [image]}]});
    for model in [
        "together/Qwen/Qwen2.5-VL-72B-Instruct",
        "together/Qwen/Qwen3-VL-32B-Instruct",
        "together/meta-llama/Llama-4-Scout-17B-16E-Instruct",
        "openai/ft:gpt-4o-2024-11-20",
    ] {
        let (sent, _) = taken(&fixture, Client::Messages, &messages(model, turns.clone()));
        assert!(
            sent["messages"].to_string().contains("image_url"),
            "{model}: {sent}"
        );
    }
    say(&fixture, Say::Json, false);
    let schema =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let format = json!({"type": "json_schema", "json_schema": {"name": "p", "schema": schema}});
    for model in ["cohere/command-a-03-2025", "cohere/command-r-08-2024"] {
        let body = chat(model, json!({"response_format": format}));
        let (sent, _) = taken(&fixture, Client::Chat, &body);
        let sent: &Value = &sent["response_format"];
        assert_eq!(
            sent["json_schema"]["required"],
            json!(["city"]),
            "{model}: {sent}"
        );
    }
}
