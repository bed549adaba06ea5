//! A deployment: a model at a provider with its price; and the errors of names that lead to none.

use std::sync::Arc;

use crate::config::Provider;
use crate::conversation::{Capabilities, ReasoningStyle};
use crate::domain::api_error::{ApiError, ErrorCode};
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
