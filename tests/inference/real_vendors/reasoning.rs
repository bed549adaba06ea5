//! Reasoning of models about which the price sheet says nothing: asked for where the model may reason, named where it does not.

use serde_json::{Value, json};

use super::{chat, dropped, messages, say};
use crate::harness::process::Provider;
use crate::harness::upstream::Upstream;
use crate::inference::fixture::Fixture;
use crate::inference::matrix::{Client, Say};

const MODELS: [(&str, &[&str]); 2] = [
    (
        "mistral",
        &["mistral-large-latest", "ministral-8b-latest", "glm-5-2"],
    ),
    (
        "together",
        &[
            "deepseek-ai/DeepSeek-R1-0528",
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        ],
    ),
];

/// Both vendors at their list prices.
fn fixture() -> Fixture {
    let upstream = Upstream::start();
    let url = upstream.url();
    let providers = MODELS.map(|(preset, models)| {
        Provider::openai(preset, &upstream)
            .preset(preset)
            .models(models)
            .priced_by("sheet")
            .base_url(&format!("{url}/{preset}"))
    });
    Fixture::with_upstream(upstream, |setup| {
        let providers = providers.iter();
        providers.fold(setup, |setup, provider| setup.provider(provider))
    })
}

#[test]
fn reasoning_that_the_price_sheet_does_not_mention_is_asked_for_where_the_model_may_have_it() {
    let fixture = fixture();
    say(&fixture, Say::Text, false);
    let thinking = |effort: &str| json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}});
    for (model, asked, sent) in [
        ("mistral/mistral-large-latest", "low", json!("high")),
        ("mistral/mistral-large-latest", "high", json!("high")),
        ("mistral/ministral-8b-latest", "high", Value::Null),
        ("mistral/glm-5-2", "low", json!("low")),
        (
            "together/deepseek-ai/DeepSeek-R1-0528",
            "high",
            json!("high"),
        ),
        (
            "together/meta-llama/Llama-3.3-70B-Instruct-Turbo",
            "high",
            Value::Null,
        ),
    ] {
        let response = fixture
            .user()
            .post(Client::Messages.path(), &messages(model, thinking(asked)));
        response.assert_status(200);
        let body = fixture.upstream.last_request().json();
        assert_eq!(body["reasoning_effort"], sent, "{model} {asked}");
        let is_named = dropped(&response).iter().any(|name| name == "thinking");
        assert_eq!(
            is_named,
            sent.is_null(),
            "{model}: {:?}",
            dropped(&response)
        );
    }
    // a chat client's own effort for a model that refuses it
    let body = chat(
        "mistral/ministral-8b-latest",
        json!({"reasoning_effort": "high"}),
    );
    let response = fixture.user().post(Client::Chat.path(), &body);
    response.assert_status(200);
    assert_eq!(dropped(&response), ["reasoning_effort"]);
}
