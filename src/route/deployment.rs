//! A deployment: a model at a provider with one of its API keys and its price; and the errors of names that lead to none.

use std::sync::Arc;

use crate::config::Provider;
use crate::conversation::{Capabilities, ReasoningStyle};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::provider_key::{DeploymentLimits, ProviderKey};
use crate::price::{Price, PricingContext, Support};

/// A model at a provider, with its price.
#[derive(Clone, Debug)]
pub struct Deployment {
    pub provider: Arc<Provider>,
    /// model name as sent upstream
    pub model: String,
    pub price: Price,
    /// place whose list prices apply
    pub place: Option<String>,
    /// number of the API key among those of the provider
    pub key: usize,
    /// names of provider and model as records have them
    pub names: DeploymentNames,
}

/// Names of a deployment that every record of its calls shares.
#[derive(Clone, Debug)]
pub struct DeploymentNames {
    pub provider: Arc<str>,
    pub model: Arc<str>,
}

impl DeploymentNames {
    pub fn new(provider: &Provider, model: &str) -> DeploymentNames {
        DeploymentNames {
            provider: provider.name.as_str().into(),
            model: model.into(),
        }
    }

    /// The name by which a client asked for the model.
    pub fn asked(&self, asked: &str) -> Arc<str> {
        match *self.model == *asked {
            true => self.model.clone(),
            false => asked.into(),
        }
    }
}

impl Deployment {
    /// Facts that select the card of a call besides its usage.
    pub fn pricing<'a>(&'a self, tier: Option<&'a str>) -> PricingContext<'a> {
        PricingContext {
            tier,
            place: self.place.as_deref(),
            ..PricingContext::default()
        }
    }

    /// API key of its calls; `None` for a provider without.
    pub fn credential(&self) -> Option<&ProviderKey> {
        self.provider.api_keys.get(self.key)
    }

    /// Name of its API key, if the provider has several.
    pub fn key_name(&self) -> Option<&str> {
        let key = self.credential()?;
        (self.provider.api_keys.len() > 1).then_some(key.name.as_str())
    }

    /// The deployments of the same model with each of the provider's API keys, of which this is one.
    pub(super) fn with_each_key(self: &Arc<Deployment>) -> Vec<Arc<Deployment>> {
        if self.provider.api_keys.len() <= 1 {
            return vec![self.clone()];
        }
        let keys = 0..self.provider.api_keys.len();
        keys.map(|key| {
            Arc::new(Deployment {
                key,
                ..Deployment::clone(self)
            })
        })
        .collect()
    }

    /// Bounds of its calls per minute, those of its provider and its API key.
    pub(super) fn limits(&self) -> DeploymentLimits {
        let key = self.credential().map(|key| key.limits);
        self.provider.limits.tightened(key.unwrap_or_default())
    }

    /// Part of `parts` that its API key gets of the calls at the model.
    pub(super) fn key_share(&self, parts: u64) -> u64 {
        let keys = self.provider.api_keys.iter();
        let total: u64 = keys.map(|key| u64::from(key.weight)).sum();
        match self.credential() {
            Some(key) => (parts * u64::from(key.weight) / total.max(1)).max(1),
            None => parts,
        }
    }

    /// Unambiguous name of the deployment: `provider/model`.
    pub fn qualified(&self) -> String {
        format!("{}/{}", self.provider.name, self.model)
    }

    /// Capabilities for requests translated from another dialect: those of the vendor's table without those that the price sheet
    /// excludes.
    pub fn capabilities(&self) -> Capabilities {
        let capabilities = (self.provider.preset.capabilities)(&self.model);
        let Some(row) = self.price.row() else {
            return capabilities;
        };
        // the silence of the sheet is no refusal
        let is_possible = |capability: &str| row.capability(capability) != Support::No;
        Capabilities {
            images: capabilities.images && is_possible("vision"),
            documents: capabilities.documents && is_possible("pdf"),
            json_schema: capabilities.json_schema && is_possible("json_schema"),
            reasoning: match row.capability("reasoning") {
                Support::Yes => capabilities.reasoning,
                Support::Unknown if capabilities.reasoning_by_model => capabilities.reasoning,
                Support::Unknown | Support::No => ReasoningStyle::None,
            },
            ..capabilities
        }
    }
}

/// Reason why a name resolves to no deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// no configured provider lists it
    Unknown,
    /// several providers list it; contains the `provider/model` names
    Ambiguous(Vec<String>),
    /// it leads to a route, named here, of which no target can be reached
    Unserved(String),
}

impl RouteError {
    /// API error for the client.
    pub fn to_api_error(&self, asked: &str) -> ApiError {
        let asked = truncate(asked);
        match self {
            RouteError::Unknown => ApiError::new(
                ErrorCode::ModelNotFound,
                format!(
                    "unknown model `{asked}`: no configured provider lists it; use a model of GET /v1/models or the form \
                     `provider/model`"
                ),
            ),
            RouteError::Unserved(route) => ApiError::new(
                ErrorCode::ModelNotFound,
                format!("model `{asked}` unavailable: no target of route `{}` can be reached; ask an administrator", truncate(route)),
            ),
            RouteError::Ambiguous(forms) => {
                let forms: Vec<String> = forms.iter().map(|form| format!("`{}`", truncate(form))).collect();
                ApiError::new(
                    ErrorCode::ModelAmbiguous,
                    format!("ambiguous model `{asked}`: several providers list it; use {}", forms.join(" or ")),
                )
            }
        }
        .with_param("model")
    }
}

/// Cuts a name to a length that fits a message; clients may send megabytes.
fn truncate(name: &str) -> &str {
    const CHARS_MAX: usize = 128;
    name.char_indices()
        .nth(CHARS_MAX)
        .map_or(name, |(end, _)| &name[..end])
}
