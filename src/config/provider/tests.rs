//! Tests of provider sections: credential, price, versioned URLs, AWS signing.

use std::path::Path;

use crate::config::file::ConfigErrors;
use crate::config::resolve::{Overrides, parse};
use crate::config::settings::{Config, PriceSetting, Provider};
use crate::dialect::{Dialect, Operation};
use crate::price::OwnRates;

const KEY: &str = "sk-canary-0123456789";

fn resolved(text: &str) -> Result<Config, ConfigErrors> {
    let environment = |name: &str| match name {
        "OPENAI_API_KEY" | "ANTHROPIC_API_KEY" => Some(KEY.to_owned()),
        "MODELS_ADDRESS" => Some("https://models.example.internal/v1".to_owned()),
        "MODELS_ADDRESS_WITH_QUERY" => Some("https://models.example.internal/v1?a=b".to_owned()),
        _ => None,
    };
    parse(
        Path::new("gatekeeper.toml"),
        text,
        &Overrides::default(),
        &environment,
    )
}

fn errors(text: &str) -> String {
    resolved(text).expect_err("an invalid file").to_string()
}

/// Resolves a file with a single provider.
fn provider(text: &str) -> Result<Provider, ConfigErrors> {
    resolved(text).map(|config| Provider::clone(&config.providers[0]))
}

fn chat_url(provider: &Provider, model: &str, streamed: bool) -> String {
    let endpoint = provider
        .preset
        .endpoint(Operation::Conversation, Dialect::Chat, model);
    provider.url(endpoint.expect("a chat endpoint"), model, streamed)
}

#[test]
fn base_url_and_header_values_are_read_from_the_environment() {
    let section = |address: &str| {
        format!(
            "[providers.lan]\ntype = \"openai_compatible\"\nbase_url = \"env:{address}\"\nprice = \"free\"\n\
             headers = {{ x-org = \"env:OPENAI_API_KEY\" }}"
        )
    };
    let lan = provider(&section("MODELS_ADDRESS")).expect("a provider");
    assert_eq!(lan.base_url, "https://models.example.internal/v1");
    let header = lan
        .headers
        .first()
        .map(|(name, value)| (name.as_str(), value.expose()));
    assert_eq!(header, Some(("x-org", KEY)));
    for (address, expected) in [
        ("MISSING", "MISSING"),
        ("MODELS_ADDRESS_WITH_QUERY", "query"),
    ] {
        let errors = errors(&section(address));
        assert!(
            errors.contains(expected) && errors.contains("base_url"),
            "{errors}"
        );
    }
}

#[test]
fn vendor_needs_only_its_api_key() {
    let config = resolved(
        r#"
        [providers.openai]
        api_key = "env:OPENAI_API_KEY"
        [providers.anthropic]
        api_key = "env:ANTHROPIC_API_KEY"
        "#,
    )
    .expect("two providers");
    let openai = config
        .providers
        .iter()
        .find(|provider| provider.name == "openai")
        .expect("openai");
    assert_eq!(openai.base_url, "https://api.openai.com/v1");
    assert_eq!(
        openai.api_keys.first().map(|key| key.secret.expose()),
        Some(KEY)
    );
    assert!(matches!(openai.price, PriceSetting::Sheet(_)));
}

#[test]
fn openai_compatible_provider_needs_base_url_and_price() {
    let lan = provider(
        r#"
        [providers.lan]
        type = "openai_compatible"
        base_url = "http://10.0.0.5:8000/v1/"
        price = { input = "0.25", output = 5 }
        models = ["llama-4"]
        request_ceiling = "0.50"
        "#,
    )
    .expect("one provider");
    assert_eq!(lan.base_url, "http://10.0.0.5:8000/v1");
    assert_eq!(
        lan.price,
        PriceSetting::Own(OwnRates::fixed(250_000, 5_000_000))
    );
    assert_eq!(
        (lan.models.as_slice(), lan.api_keys.is_empty()),
        (["llama-4".to_owned()].as_slice(), true)
    );
    assert_eq!(
        lan.request_ceiling
            .map(|ceiling| ceiling.to_string())
            .as_deref(),
        Some("0.5")
    );
}

fn azure(lines: &str) -> Result<Provider, ConfigErrors> {
    provider(&format!(
        "[providers.azure]\napi_key = \"env:OPENAI_API_KEY\"\nbase_url = \"https://r.openai.azure.com/\"\n{lines}"
    ))
}

/// Lines of an Azure section, and the error that they cause.
const AZURE_INVALID: [(&str, &str); 5] = [
    (
        "api_version = \"2024&x=1\"",
        "providers.azure.api_version: invalid API version",
    ),
    (
        "priced_as = { a = \"gpt-nobody\" }",
        "providers.azure.priced_as.a: unknown model `gpt-nobody`; use a model on the price sheet",
    ),
    (
        "priced_as = { a = 3 }",
        "providers.azure.priced_as.a: expected a string, found an integer",
    ),
    (
        "price = \"free\"\npriced_as = { a = \"gpt-4.1\" }",
        "no effect without price = \"sheet\"",
    ),
    ("unsupported = \"ignore\"", "use \"drop\" or \"error\""),
];

#[test]
fn azure_deployment_name_is_called_and_priced_as_configured() {
    let plain = azure("").expect("azure");
    assert_eq!(
        chat_url(&plain, "our-chat", false),
        "https://r.openai.azure.com/openai/v1/chat/completions"
    );
    let older = azure("api_version = \"2024-10-21\"\nunsupported = \"error\"\npriced_as = { our-chat = \"gpt-4.1\" }")
        .expect("azure");
    assert_eq!(
        chat_url(&older, "a/b?c é", false),
        "https://r.openai.azure.com/openai/deployments/a%2Fb%3Fc%20%C3%A9/chat/completions?api-version=2024-10-21"
    );
    assert_eq!(older.priced_as["our-chat"], "gpt-4.1");
    for (lines, message) in AZURE_INVALID {
        let errors = azure(lines).expect_err(lines).to_string();
        assert!(errors.contains(message), "{errors}");
    }
    let message =
        errors("[providers.openai]\napi_key = \"env:OPENAI_API_KEY\"\napi_version = \"1\"");
    assert!(
        message.contains("api_version: not supported by type openai"),
        "{message}"
    );
    assert!(
        errors("[providers.azure]\napi_key = \"env:OPENAI_API_KEY\"")
            .contains("https://RESOURCE.openai.azure.com")
    );
}

const AWS_KEYS: &str =
    "access_key_id = \"env:OPENAI_API_KEY\"\nsecret_access_key = \"env:ANTHROPIC_API_KEY\"\n";

fn bedrock(lines: &str) -> Result<Provider, ConfigErrors> {
    provider(&format!("[providers.bedrock]\n{lines}"))
}

/// Lines of a Bedrock section, appended to AWS keys if the flag is set, and the error that they cause.
const BEDROCK_INVALID: [(bool, &str, &str); 8] = [
    (
        false,
        "",
        "providers.bedrock: missing region; write region = \"eu-west-1\"",
    ),
    (
        false,
        "region = \"eu-west-1\"",
        "providers.bedrock: missing credential; write api_key",
    ),
    (
        false,
        "region = \"EU/west\"\napi_key = \"env:OPENAI_API_KEY\"",
        "providers.bedrock.region: invalid region",
    ),
    (
        false,
        "region = \"eu-west-1\"\naccess_key_id = \"env:OPENAI_API_KEY\"",
        "missing secret_access_key; write",
    ),
    (
        false,
        "region = \"eu-west-1\"\nsession_token = \"env:OPENAI_API_KEY\"",
        "missing access_key_id; write",
    ),
    (
        true,
        "base_url = \"http://10.0.0.5\"",
        "missing region; write",
    ),
    (
        true,
        "region = \"eu-west-1\"\napi_key = \"env:OPENAI_API_KEY\"",
        "api_key: both api_key and AWS keys present",
    ),
    (
        false,
        "region = \"eu-west-1\"\naccess_key_id = \"AKID\"",
        "access_key_id: invalid secret source; a key must not be in this file",
    ),
];

#[test]
fn bedrock_is_called_with_an_api_key_or_signed_for_a_region() {
    let keyed = bedrock("region = \"eu-west-1\"\napi_key = \"env:OPENAI_API_KEY\"").expect("a key");
    assert_eq!(
        keyed.base_url,
        "https://bedrock-runtime.eu-west-1.amazonaws.com"
    );
    assert!(!keyed.api_keys.is_empty() && keyed.signer.is_none());
    let model = "arn%3Aaws%3Abedrock%3Ax%2Feu.anthropic.claude-opus-5%3A0";
    assert_eq!(
        chat_url(
            &keyed,
            "arn:aws:bedrock:x/eu.anthropic.claude-opus-5:0",
            true
        ),
        format!("https://bedrock-runtime.eu-west-1.amazonaws.com/model/{model}/converse-stream")
    );
    assert_signed(
        &bedrock(&format!(
            "{AWS_KEYS}region = \"us-gov-west-1\"\nsession_token = \"env:OPENAI_API_KEY\""
        ))
        .expect("keys"),
    );
    let private =
        bedrock("base_url = \"https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com\"")
            .expect("a base URL");
    assert!(private.signer.is_none() && private.base_url.starts_with("https://vpce-1."));
    for (with_keys, lines, message) in BEDROCK_INVALID {
        let keys = if with_keys { AWS_KEYS } else { "" };
        let errors = bedrock(&format!("{keys}{lines}"))
            .expect_err(lines)
            .to_string();
        assert!(errors.contains(message), "{errors}");
    }
    let message = errors(&format!(
        "[providers.openai]\napi_key = \"env:OPENAI_API_KEY\"\nregion = \"eu-west-1\"\n{AWS_KEYS}"
    ));
    assert!(
        message.contains("openai.region: not supported by type openai")
            && message.contains("access_key_id: not supported by type openai"),
        "{message}"
    );
}

fn assert_signed(provider: &Provider) {
    let signer = provider.signer.clone().expect("a signer");
    assert_eq!(
        (
            signer.region.as_str(),
            signer.service,
            provider.api_keys.is_empty()
        ),
        ("us-gov-west-1", "bedrock", true)
    );
    let token = signer.keys.session_token.as_ref();
    assert_eq!(token.map(|token| token.expose()), Some(KEY));
}

#[test]
fn api_keys_have_names_weights_and_bounds_of_their_own() {
    let config = resolved(
        "[providers.openai]\nrpm = 50\napi_keys = [\"env:OPENAI_API_KEY\", { key = \"env:ANTHROPIC_API_KEY\", name = \"eu\", weight = 3, tpm = 9 }, \
         \"env:OPENAI_API_KEY\"]\n",
    )
    .expect("three keys");
    let provider = &config.providers[0];
    let keys: Vec<_> = provider
        .api_keys
        .iter()
        .map(|key| (key.name.as_str(), key.weight, key.limits.tpm))
        .collect();
    assert_eq!(
        keys,
        [
            ("OPENAI_API_KEY", 1, None),
            ("eu", 3, Some(9)),
            ("OPENAI_API_KEY-2", 1, None)
        ]
    );
    assert_eq!(provider.limits.rpm, Some(50));
    let literal = "sk-proj-0123456789abcdef";
    for (lines, expected) in [
        (
            "api_key = \"env:OPENAI_API_KEY\"\napi_keys = [\"env:OPENAI_API_KEY\"]".to_owned(),
            "both api_key and api_keys present; remove one",
        ),
        ("api_keys = []".to_owned(), "0 keys; use 1 to 100"),
        (
            format!("api_keys = [\"{literal}\"]"),
            "invalid secret source",
        ),
        (
            "api_keys = [{ weight = 2 }]".to_owned(),
            "missing key; write { key = \"env:NAME\" }",
        ),
        (
            "api_keys = [{ key = \"env:OPENAI_API_KEY\", wait = 2 }]".to_owned(),
            "unknown key; the keys are key, name, weight, rpm, tpm",
        ),
    ] {
        let message = errors(&format!("[providers.openai]\n{lines}\n"));
        assert!(message.contains(expected), "{expected}: {message}");
        assert!(!message.contains(literal), "{message}");
    }
}
