//! Tests of the route table: bare, qualified, dated, aliased and ambiguous names, and error messages.

use super::*;
use crate::config::PriceSetting;
use crate::domain::api_error::ErrorCode;
use crate::price::OwnRates;
use crate::price::{Mode, Price, Support};
use crate::provider;
use crate::route::models::is_offered;

fn provider(name: &str, preset: &str, price: PriceSetting, models: &[&str]) -> Arc<Provider> {
    Arc::new(Provider {
        name: name.to_owned(),
        preset: provider::find(preset).expect(preset),
        base_url: "http://127.0.0.1:1".to_owned(),
        headers: Vec::new(),
        api_keys: Vec::new(),
        limits: Default::default(),
        timeouts: Default::default(),
        signer: None,
        price,
        prices: Vec::new(),
        place: None,
        models: models.iter().map(|model| (*model).to_owned()).collect(),
        bare_names: true,
        prices_all_models: false,
        takes: Vec::new(),
        request_ceiling: None,
        priced_as: Default::default(),
        api_version: None,
        unsupported: Default::default(),
        on_disconnect: provider::OnDisconnect::Abort,
        connection: Default::default(),
    })
}

fn table(providers: &[Arc<Provider>]) -> RouteTable {
    RouteTable::new(providers, Arc::new(Sheet::embedded()))
}

fn openai() -> Arc<Provider> {
    provider("openai", "openai", PriceSetting::Sheet("openai"), &[])
}

/// A provider `local` of free models.
pub(in crate::route) fn local_provider(models: &[&str]) -> Arc<Provider> {
    local(models)
}

fn local(models: &[&str]) -> Arc<Provider> {
    provider("local", "ollama", PriceSetting::Free, models)
}

fn resolve(table: &RouteTable, asked: &str) -> Result<String, RouteError> {
    table
        .resolve_model(asked)
        .map(|deployment| deployment.qualified())
}

#[test]
fn bare_name_resolves_to_the_only_provider_listing_it() {
    let table = table(&[openai(), local(&["qwen3:8b"])]);
    assert_eq!(resolve(&table, "gpt-5.1").as_deref(), Ok("openai/gpt-5.1"));
    assert_eq!(resolve(&table, "qwen3:8b").as_deref(), Ok("local/qwen3:8b"));
    assert_eq!(
        resolve(&table, "gpt-5.1-2026-10-31").as_deref(),
        Ok("openai/gpt-5.1-2026-10-31")
    );
    assert!(
        matches!(&table.resolve_model("gpt-5.1-2026-10-31").expect("dated").price, Price::Sheet(row) if row.model == "gpt-5.1")
    );
    for unknown in [
        "claude-haiku-4-5",
        "",
        "/",
        "openai/",
        "openai/..",
        "nobody/gpt-5.1",
        "gpt-9.9-codex",
    ] {
        assert_eq!(
            resolve(&table, unknown),
            Err(RouteError::Unknown),
            "{unknown}"
        );
    }
}

#[test]
fn embedding_model_is_listed_and_priced_by_input() {
    let table = table(&[openai()]);
    let small = table
        .resolve_model("text-embedding-3-small")
        .expect("listed");
    assert_eq!(
        (small.price.mode(), small.price.is_known()),
        (Some(Mode::Embedding), true)
    );
    assert!(
        table
            .names()
            .any(|(name, _)| name == "text-embedding-3-small")
    );
}

#[test]
fn custom_deployment_name_is_priced_as_configured() {
    let mut azure = Arc::unwrap_or_clone(provider(
        "azure",
        "azure",
        PriceSetting::Sheet("azure"),
        &["other"],
    ));
    azure.priced_as = [("our-chat".to_owned(), "gpt-4.1".to_owned())].into();
    let table = table(&[Arc::new(azure)]);
    let ours = table.resolve_model("our-chat").expect("listed");
    assert_eq!(
        (ours.model.as_str(), ours.qualified().as_str()),
        ("our-chat", "azure/our-chat")
    );
    assert!(matches!(&ours.price, Price::Sheet(row) if row.model == "gpt-4.1"));
    assert!(matches!(
        table.resolve_model("other").expect("listed").price,
        Price::Unknown
    ));
}

#[test]
fn qualified_name_always_resolves() {
    let table = table(&[openai(), local(&[])]);
    let price = |asked: &str| table.resolve_model(asked).expect(asked).price.clone();
    assert!(matches!(price("openai/gpt-5.1"), Price::Sheet(_)));
    assert!(
        matches!(price("openai/gpt-5.1-codex"), Price::Sheet(_)),
        "a model of an unlisted mode"
    );
    assert!(matches!(price("openai/not-yet-known"), Price::Unknown));
    assert!(matches!(price("local/org/some-model"), Price::Free));
    assert_eq!(
        table
            .resolve_model("local/org/some-model")
            .expect("a slash")
            .model,
        "org/some-model"
    );
}

#[test]
fn alias_resolves_to_listed_name_and_hides_none() {
    let table = table(&[openai(), local(&["anthropic/own", "own"])]);
    assert_eq!(table.resolve_alias("anthropic/gpt-5.1"), "gpt-5.1");
    for name in [
        "anthropic/own",
        "anthropic/unknown",
        "anthropic/claude-haiku-4-5",
        "gpt-5.1",
        "anthropic/",
    ] {
        assert_eq!(table.resolve_alias(name), name);
    }
}

#[test]
fn name_listed_by_two_providers_is_ambiguous() {
    let second = provider("openai-eu", "openai", PriceSetting::Sheet("openai"), &[]);
    let table = table(&[openai(), second, local(&["gpt-4.1-2099-01-01"])]);
    let both = |model: &str| vec![format!("openai/{model}"), format!("openai-eu/{model}")];
    assert_eq!(
        resolve(&table, "gpt-5.1"),
        Err(RouteError::Ambiguous(both("gpt-5.1")))
    );
    assert_eq!(
        resolve(&table, "gpt-5.1-2099-01-01"),
        Err(RouteError::Ambiguous(both("gpt-5.1-2099-01-01"))),
        "unlisted"
    );
    assert!(
        table
            .ambiguous()
            .any(|(name, forms)| name == "gpt-4.1-2099-01-01" && forms.len() == 3),
        "listed, and by its date"
    );
    assert_eq!(
        resolve(&table, "openai-eu/gpt-5.1").as_deref(),
        Ok("openai-eu/gpt-5.1")
    );
    let names: Vec<&str> = table.names().map(|(name, _)| name).collect();
    assert!(
        names.contains(&"openai/gpt-5.1")
            && names.contains(&"openai-eu/gpt-5.1")
            && !names.contains(&"gpt-5.1")
    );
    assert!(names.is_sorted());
}

#[test]
fn bare_name_that_reads_as_qualified_resolves_to_that_provider() {
    let table = table(&[openai(), local(&["openai/gpt-oss", "meta/llama"])]);
    assert_eq!(
        table
            .resolve_model("openai/gpt-oss")
            .expect("a name")
            .provider
            .name,
        "openai"
    );
    assert_eq!(
        resolve(&table, "local/openai/gpt-oss").as_deref(),
        Ok("local/openai/gpt-oss")
    );
    assert_eq!(
        resolve(&table, "meta/llama").as_deref(),
        Ok("local/meta/llama")
    );
    let names: Vec<&str> = table.names().map(|(name, _)| name).collect();
    assert!(
        names.contains(&"local/openai/gpt-oss")
            && names.contains(&"meta/llama")
            && !names.contains(&"openai/gpt-oss")
    );
    assert!(table.ambiguous().next().is_none());
}

#[test]
fn every_listed_name_resolves_to_its_deployment() {
    let anthropic = provider(
        "anthropic",
        "anthropic",
        PriceSetting::Sheet("anthropic"),
        &[],
    );
    let gateway = provider(
        "house",
        "openai_compatible",
        PriceSetting::Own(OwnRates::fixed(1, 2)),
        &["gpt-5.1", "house-1"],
    );
    let table = table(&[openai(), anthropic, gateway]);
    assert!(table.names().count() > 80);
    for (name, deployment) in table.names() {
        assert!(
            Arc::ptr_eq(&table.resolve_model(name).expect(name), deployment),
            "{name}"
        );
    }
    assert!(
        table.names().any(
            |(name, deployment)| name == "house-1" && matches!(deployment.price, Price::Own(_))
        )
    );
}

#[test]
fn route_error_message_is_short_and_names_the_remedy() {
    let unknown = RouteError::Unknown.to_api_error(&"é".repeat(100_000));
    assert_eq!(
        (unknown.code, unknown.param.as_deref()),
        (ErrorCode::ModelNotFound, Some("model"))
    );
    assert!(unknown.message.len() < 600 && unknown.message.contains("/v1/models"));
    let ambiguous =
        RouteError::Ambiguous(vec!["a/m".to_owned(), "b/m".to_owned()]).to_api_error("m");
    assert_eq!(ambiguous.code.status(), 400);
    assert_eq!(
        ambiguous.message,
        "ambiguous model `m`: several providers list it; use `a/m` or `b/m`"
    );
}

#[test]
fn silence_of_the_price_sheet_is_no_missing_capability() {
    let sheet = Sheet::embedded();
    let (mut silent, mut lacking) = (0, 0);
    for vendor in ["mistral", "bedrock"] {
        let table = table(&[provider("v", vendor, PriceSetting::Sheet(vendor), &[])]);
        for row in sheet.models(vendor).filter(|row| is_offered(row.mode)) {
            let deployment = table
                .resolve_model(&format!("v/{}", row.model))
                .expect("a model");
            let by_preset = (deployment.provider.preset.capabilities)(&row.model).images;
            let is_possible = deployment.capabilities().images;
            match row.capability("vision") {
                Support::No => assert!(!is_possible, "{}", row.model),
                _ => assert_eq!(is_possible, by_preset, "{}", row.model),
            }
            silent += usize::from(row.capability("vision") == Support::Unknown);
            lacking += usize::from(row.capability("vision") == Support::No);
        }
    }
    assert!(silent + lacking > 0);
}

#[test]
fn model_list_has_no_prices_of_fine_tunes_and_fine_tunes_are_resolved_to_them() {
    let table = RouteTable::new(&[openai()], Arc::new(Sheet::embedded()));
    let listed: Vec<&str> = table.names().map(|(name, _)| name).collect();
    assert!(listed.contains(&"gpt-5.1"), "{listed:?}");
    let is_price = |name: &&str| name.starts_with("ft:") || name.contains("container");
    assert_eq!(listed.iter().find(|name| is_price(name)), None);
    assert!(table.resolve_model("ft:gpt-4.1-mini-2025-04-14").is_err());
    let tuned = "ft:gpt-4.1-mini-2025-04-14:acme::id";
    let deployment = table.resolve_model(tuned).expect("a fine-tune");
    let row = deployment.price.row().expect("its price");
    assert_eq!(row.model, "ft:gpt-4.1-mini-2025-04-14");
}
