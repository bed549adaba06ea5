//! Resolves model names. Takes the name a client asked for, returns the one deployment it means or why there is none; never
//! picks between two providers by itself. Built once from the configuration; names that it does not list are worked out per
//! call and not remembered, so that no client can make it grow.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::{PriceSetting, Provider};
use crate::conversation::{Capabilities, ReasoningStyle};
use crate::dialect::behind_alias;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::price::{Mode, Price, Sheet};

/// A model at a provider, with its price.
#[derive(Clone, Debug)]
pub struct Deployment {
    pub provider: Arc<Provider>,
    /// the model's name as it is sent upstream
    pub model: String,
    pub price: Price,
}

impl Deployment {
    /// The form that always means this deployment: `provider/model`.
    pub fn qualified(&self) -> String {
        format!("{}/{}", self.provider.name, self.model)
    }

    /// What the model takes of a request from another dialect: as its vendor's table says, less what the price sheet knows that
    /// it cannot.
    pub fn capabilities(&self) -> Capabilities {
        let takes = (self.provider.preset.capabilities)(&self.model);
        let Price::Sheet(row) = &self.price else {
            return takes;
        };
        Capabilities {
            images: takes.images && row.has_capability("vision"),
            documents: takes.documents && row.has_capability("pdf"),
            json_schema: takes.json_schema && row.has_capability("json_schema"),
            reasoning: if row.supports_reasoning() {
                takes.reasoning
            } else {
                ReasoningStyle::None
            },
            ..takes
        }
    }
}

/// Why a name means no deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// no configured provider lists it
    Unknown,
    /// several do: their `provider/model` forms
    Ambiguous(Vec<String>),
}

/// Every name that the configuration lists, resolved.
#[derive(Debug)]
pub struct RouteTable {
    providers: Vec<Arc<Provider>>,
    sheet: Arc<Sheet>,
    listed: HashMap<String, Arc<Deployment>>,
    ambiguous: BTreeMap<String, Vec<String>>,
    /// what may be shown, sorted
    names: Vec<(String, Arc<Deployment>)>,
}

impl RouteTable {
    pub fn new(providers: &[Arc<Provider>], sheet: Arc<Sheet>) -> RouteTable {
        let mut table = RouteTable {
            providers: providers.to_vec(),
            sheet,
            listed: HashMap::new(),
            ambiguous: BTreeMap::new(),
            names: Vec::new(),
        };
        for name in table.bare_names() {
            table.list(name);
        }
        table.names.sort_by(|(one, _), (other, _)| one.cmp(other));
        table
    }

    /// The deployment that a name means: `provider/model` for any model of a configured provider, or a bare name that
    /// exactly one provider lists. Both kinds of name may hold slashes; the provider's form goes first.
    pub fn resolve(&self, asked: &str) -> Result<Arc<Deployment>, RouteError> {
        if let Some(deployment) = self.listed.get(asked) {
            return Ok(deployment.clone());
        }
        if let Some((provider, model)) = self.qualified(asked) {
            return Ok(self.deployment(provider, model));
        }
        if let Some(forms) = self.ambiguous.get(asked) {
            return Err(RouteError::Ambiguous(forms.clone()));
        }
        let candidates = self.candidates(asked);
        match candidates.as_slice() {
            [] => Err(RouteError::Unknown),
            [only] => Ok(only.clone()),
            several => Err(RouteError::Ambiguous(forms(several))),
        }
    }

    /// The name that is meant by one that may be a picker's alias: a name that is listed itself is no alias.
    pub fn resolve_alias<'a>(&self, asked: &'a str) -> &'a str {
        match behind_alias(asked) {
            Some(name) if self.listed.contains_key(name) && !self.listed.contains_key(asked) => {
                name
            }
            _ => asked,
        }
    }

    /// The names that may be shown, sorted: bare where they mean one deployment, else `provider/model`.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Arc<Deployment>)> {
        self.names
            .iter()
            .map(|(name, deployment)| (name.as_str(), deployment))
    }

    /// The listed names that several providers have, each with its `provider/model` forms.
    pub fn ambiguous(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.ambiguous
            .iter()
            .map(|(name, forms)| (name.as_str(), forms.as_slice()))
    }

    fn bare_names(&self) -> BTreeSet<String> {
        let of_sheet = |provider: &Arc<Provider>| {
            let rows = sheet_vendor(provider)
                .into_iter()
                .flat_map(|vendor| self.sheet.models(vendor));
            rows.filter(|row| is_offered(row.mode))
                .map(|row| row.model.clone())
        };
        self.providers
            .iter()
            .flat_map(|provider| {
                of_sheet(provider).chain(
                    provider
                        .models
                        .iter()
                        .chain(provider.priced_as.keys())
                        .cloned(),
                )
            })
            .collect()
    }

    /// Remembers what a listed name means, and how it is shown.
    fn list(&mut self, name: String) {
        let candidates = self.candidates(&name);
        for deployment in &candidates {
            self.listed
                .insert(deployment.qualified(), deployment.clone());
        }
        // a bare name that reads as another provider's form is reached by its own `provider/model` only
        let shadowed = self.qualified(&name).is_some();
        match candidates.as_slice() {
            [only] if !shadowed => {
                self.listed.insert(name.clone(), only.clone());
                self.names.push((name, only.clone()));
            }
            several => {
                self.names.extend(
                    several
                        .iter()
                        .map(|deployment| (deployment.qualified(), deployment.clone())),
                );
                if !shadowed {
                    self.ambiguous.insert(name, forms(several));
                }
            }
        }
    }

    /// A deployment for each provider that lists the bare name, in the order of the configuration.
    fn candidates(&self, name: &str) -> Vec<Arc<Deployment>> {
        self.providers
            .iter()
            .filter(|provider| self.lists(provider, name))
            .map(|provider| self.deployment(provider, name))
            .collect()
    }

    fn lists(&self, provider: &Provider, name: &str) -> bool {
        let row = || sheet_vendor(provider).and_then(|vendor| self.sheet.find(vendor, name));
        let in_sheet = || row().is_some_and(|row| is_offered(row.mode));
        provider
            .models
            .iter()
            .chain(provider.priced_as.keys())
            .any(|listed| listed == name)
            || in_sheet()
    }

    /// Splits `provider/model` if the provider is configured.
    fn qualified<'a>(&self, asked: &'a str) -> Option<(&Arc<Provider>, &'a str)> {
        // a name of dots only would climb in an address that holds it
        let (name, model) = asked
            .split_once('/')
            .filter(|(_, model)| model.bytes().any(|byte| byte != b'.'))?;
        self.providers
            .iter()
            .find(|provider| provider.name == name)
            .map(|provider| (provider, model))
    }

    fn deployment(&self, provider: &Arc<Provider>, model: &str) -> Arc<Deployment> {
        let price = match provider.price {
            PriceSetting::Sheet(vendor) => {
                let listed = provider.priced_as.get(model).map_or(model, String::as_str);
                self.sheet
                    .find(vendor, listed)
                    .map_or(Price::Unknown, Price::Sheet)
            }
            PriceSetting::Free => Price::Free,
            PriceSetting::Fixed { input, output } => Price::Fixed { input, output },
        };
        Arc::new(Deployment {
            provider: provider.clone(),
            model: model.to_owned(),
            price,
        })
    }
}

/// Whether models of this mode are served under their bare names: those that some endpoint is for.
fn is_offered(mode: Mode) -> bool {
    matches!(mode, Mode::Chat | Mode::Responses | Mode::Embedding)
}

/// The vendor whose rows a provider offers; none if it is priced otherwise.
fn sheet_vendor(provider: &Provider) -> Option<&'static str> {
    match provider.price {
        PriceSetting::Sheet(vendor) => Some(vendor),
        PriceSetting::Free | PriceSetting::Fixed { .. } => None,
    }
}

fn forms(deployments: &[Arc<Deployment>]) -> Vec<String> {
    deployments
        .iter()
        .map(|deployment| deployment.qualified())
        .collect()
}

impl RouteError {
    /// The refusal that the client reads.
    pub fn to_api_error(&self, asked: &str) -> ApiError {
        let asked = clipped(asked);
        match self {
            RouteError::Unknown => ApiError::new(
                ErrorCode::ModelNotFound,
                format!(
                    "no configured provider lists the model `{asked}`; see GET /v1/models for those that can be called, \
                     or name the provider as in `provider/model`"
                ),
            ),
            RouteError::Ambiguous(forms) => {
                let forms: Vec<String> = forms.iter().map(|form| format!("`{}`", clipped(form))).collect();
                ApiError::new(
                    ErrorCode::ModelAmbiguous,
                    format!("more than one provider lists the model `{asked}`; ask for {}", forms.join(" or ")),
                )
            }
        }
        .with_param("model")
    }
}

/// A name cut to a length that fits a message: a client may send megabytes.
fn clipped(name: &str) -> &str {
    const CHARS_MAX: usize = 128;
    name.char_indices()
        .nth(CHARS_MAX)
        .map_or(name, |(end, _)| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider;

    fn provider(name: &str, preset: &str, price: PriceSetting, models: &[&str]) -> Arc<Provider> {
        Arc::new(Provider {
            name: name.to_owned(),
            preset: provider::find(preset).expect(preset),
            base_url: "http://127.0.0.1:1".to_owned(),
            api_key: None,
            signer: None,
            price,
            models: models.iter().map(|model| (*model).to_owned()).collect(),
            request_ceiling: None,
            priced_as: Default::default(),
            api_version: None,
            unsupported: Default::default(),
            on_disconnect: provider::OnDisconnect::Abort,
        })
    }

    fn table(providers: &[Arc<Provider>]) -> RouteTable {
        RouteTable::new(providers, Arc::new(Sheet::embedded()))
    }

    fn openai() -> Arc<Provider> {
        provider("openai", "openai", PriceSetting::Sheet("openai"), &[])
    }

    fn local(models: &[&str]) -> Arc<Provider> {
        provider("local", "ollama", PriceSetting::Free, models)
    }

    fn meant(table: &RouteTable, asked: &str) -> Result<String, RouteError> {
        table
            .resolve(asked)
            .map(|deployment| deployment.qualified())
    }

    #[test]
    fn a_bare_name_means_the_only_provider_that_lists_it() {
        let table = table(&[openai(), local(&["qwen3:8b"])]);
        assert_eq!(meant(&table, "gpt-5.1").as_deref(), Ok("openai/gpt-5.1"));
        assert_eq!(meant(&table, "qwen3:8b").as_deref(), Ok("local/qwen3:8b"));
        assert_eq!(
            meant(&table, "gpt-5.1-2026-10-31").as_deref(),
            Ok("openai/gpt-5.1-2026-10-31")
        );
        assert!(
            matches!(&table.resolve("gpt-5.1-2026-10-31").expect("dated").price, Price::Sheet(row) if row.model == "gpt-5.1")
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
                meant(&table, unknown),
                Err(RouteError::Unknown),
                "{unknown}"
            );
        }
    }

    #[test]
    fn embeddings_are_listed_and_priced_by_their_input() {
        let table = table(&[openai()]);
        let small = table.resolve("text-embedding-3-small").expect("listed");
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
    fn a_model_of_the_customers_naming_is_priced_as_another() {
        let mut azure = Arc::unwrap_or_clone(provider(
            "azure",
            "azure",
            PriceSetting::Sheet("azure"),
            &["other"],
        ));
        azure.priced_as = [("our-chat".to_owned(), "gpt-4.1".to_owned())].into();
        let table = table(&[Arc::new(azure)]);
        let ours = table.resolve("our-chat").expect("listed");
        assert_eq!(
            (ours.model.as_str(), ours.qualified().as_str()),
            ("our-chat", "azure/our-chat")
        );
        assert!(matches!(&ours.price, Price::Sheet(row) if row.model == "gpt-4.1"));
        assert!(matches!(
            table.resolve("other").expect("listed").price,
            Price::Unknown
        ));
    }

    #[test]
    fn the_providers_form_always_works() {
        let table = table(&[openai(), local(&[])]);
        let price = |asked: &str| table.resolve(asked).expect(asked).price.clone();
        assert!(matches!(price("openai/gpt-5.1"), Price::Sheet(_)));
        assert!(
            matches!(price("openai/gpt-5.1-codex"), Price::Sheet(_)),
            "a model of another mode"
        );
        assert!(matches!(price("openai/not-yet-known"), Price::Unknown));
        assert!(matches!(price("local/org/some-model"), Price::Free));
        assert_eq!(
            table
                .resolve("local/org/some-model")
                .expect("a slash")
                .model,
            "org/some-model"
        );
    }

    #[test]
    fn an_alias_means_the_listed_name_behind_it_and_never_hides_a_name() {
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
    fn two_providers_make_a_name_ambiguous() {
        let second = provider("openai-eu", "openai", PriceSetting::Sheet("openai"), &[]);
        let table = table(&[openai(), second, local(&["gpt-4.1-2099-01-01"])]);
        let both = |model: &str| vec![format!("openai/{model}"), format!("openai-eu/{model}")];
        assert_eq!(
            meant(&table, "gpt-5.1"),
            Err(RouteError::Ambiguous(both("gpt-5.1")))
        );
        assert_eq!(
            meant(&table, "gpt-5.1-2099-01-01"),
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
            meant(&table, "openai-eu/gpt-5.1").as_deref(),
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
    fn a_bare_name_that_reads_as_a_providers_form_is_that_providers() {
        let table = table(&[openai(), local(&["openai/gpt-oss", "meta/llama"])]);
        assert_eq!(
            table
                .resolve("openai/gpt-oss")
                .expect("a name")
                .provider
                .name,
            "openai"
        );
        assert_eq!(
            meant(&table, "local/openai/gpt-oss").as_deref(),
            Ok("local/openai/gpt-oss")
        );
        assert_eq!(
            meant(&table, "meta/llama").as_deref(),
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
    fn every_shown_name_resolves_to_what_it_is_shown_with() {
        let anthropic = provider(
            "anthropic",
            "anthropic",
            PriceSetting::Sheet("anthropic"),
            &[],
        );
        let gateway = provider(
            "house",
            "openai_compatible",
            PriceSetting::Fixed {
                input: 1,
                output: 2,
            },
            &["gpt-5.1", "house-1"],
        );
        let table = table(&[openai(), anthropic, gateway]);
        assert!(table.names().count() > 80);
        for (name, deployment) in table.names() {
            assert!(
                Arc::ptr_eq(&table.resolve(name).expect(name), deployment),
                "{name}"
            );
        }
        assert!(table.names().any(|(name, deployment)| name == "house-1"
            && matches!(deployment.price, Price::Fixed { .. })));
    }

    #[test]
    fn a_refusal_names_the_thing_and_the_remedy_in_a_short_message() {
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
            "more than one provider lists the model `m`; ask for `a/m` or `b/m`"
        );
    }
}
