//! Fits the body of an upstream request to the limits of the vendor that gets it: what the gateway or a client of another vendor wrote
//! must not come back as a vendor's 400. Every change is named to the client in its own terms.

use bytes::Bytes;

use crate::config::UnsupportedFieldPolicy;
use crate::conversation::FieldNames;
use crate::dialect::{self, Dialect, Operation};
use crate::domain::api_error::ApiError;
use crate::gateway::request::compat;
use crate::limits::{Fit, Table, Target};
use crate::price::Price;
use crate::provider::Endpoint;
use crate::route::Deployment;

/// Bounds that the endpoint sets to the output cap.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::gateway) struct CapBounds {
    pub min: Option<u64>,
    pub max: Option<u64>,
}

impl CapBounds {
    pub fn apply(self, tokens: u64) -> u64 {
        let tokens = self.max.map_or(tokens, |max| tokens.min(max));
        self.min.map_or(tokens, |min| tokens.max(min))
    }
}

/// Body that the vendor takes, and the paths that changed.
#[derive(Debug)]
pub(in crate::gateway) struct FittedBody {
    pub body: Bytes,
    pub changed: Vec<String>,
}

/// Endpoint of a deployment, with the names of its model.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Fitter<'a> {
    deployment: &'a Deployment,
    endpoint: &'a Endpoint,
}

impl<'a> Fitter<'a> {
    pub fn new(deployment: &'a Deployment, endpoint: &'a Endpoint) -> Fitter<'a> {
        Fitter {
            deployment,
            endpoint,
        }
    }

    fn with<T>(self, judge: impl FnOnce(&'static Table, Target<'_>) -> T) -> Option<T> {
        let vendor = self.deployment.provider.preset.limits?;
        let known = match &self.deployment.price {
            Price::Sheet(row) => row.model.as_str(),
            _ => &self.deployment.model,
        };
        let target = Target {
            vendor,
            endpoint: self.endpoint.limits_name(),
            models: &[&self.deployment.model, known],
        };
        Some(judge(Table::embedded(), target))
    }

    /// Bounds of the output cap at this endpoint.
    pub fn cap_bounds(self) -> CapBounds {
        let field = match self.endpoint.dialect {
            Dialect::Chat => self.deployment.provider.preset.output_cap_field,
            Dialect::Responses => "max_output_tokens",
            Dialect::Messages | Dialect::Cohere => "max_tokens",
            Dialect::Gemini => "generationConfig.maxOutputTokens",
            Dialect::Converse => "inferenceConfig.maxTokens",
            Dialect::Ollama => "options.num_predict",
        };
        let bounds = self.with(|table, target| table.bounds(target, field));
        let (min, max) = bounds.unwrap_or_default();
        CapBounds { min, max }
    }

    /// Most elements that the endpoint takes in a list of the body.
    pub fn max_items(self, field: &str) -> Option<usize> {
        self.with(|table, target| table.max_items(target, field))?
    }

    /// Endpoint that serves the model in place of this one.
    pub fn serving_endpoint(self) -> Option<&'static Endpoint> {
        let names = self.with(|table, target| table.only_at(target))??;
        let is_own = names.iter().any(|name| name == self.endpoint.limits_name());
        let other = names.iter().find_map(|name| self.endpoint_of(name));
        other.filter(|_| !is_own)
    }

    /// Endpoint that takes this body of the model in place of this one.
    pub fn endpoint_for(self, body: &[u8]) -> Option<&'static Endpoint> {
        self.deployment.provider.preset.limits?;
        let body = std::str::from_utf8(body).ok()?;
        let name = self.with(|table, target| table.served_at(target, body))??;
        self.endpoint_of(name)
    }

    fn endpoint_of(self, name: &str) -> Option<&'static Endpoint> {
        let mut endpoints = self.deployment.provider.preset.endpoints.iter();
        endpoints.find(|endpoint| {
            endpoint.operation == self.endpoint.operation && endpoint.limits_name() == name
        })
    }

    /// Fits a body; 400 where a limit of the vendor cannot be kept.
    pub fn fit(self, body: Bytes) -> Result<FittedBody, ApiError> {
        let unchanged = |body| FittedBody {
            body,
            changed: Vec::new(),
        };
        let has_limits = self.deployment.provider.preset.limits.is_some();
        let text = has_limits.then(|| std::str::from_utf8(&body));
        let Some(Ok(text)) = text else {
            return Ok(unchanged(body));
        };
        let Some(fit) = self.with(|table, target| table.fit(target, text)) else {
            return Ok(unchanged(body));
        };
        let Fit {
            body: fitted,
            changed,
            refusal,
        } = fit;
        if let Some(refusal) = refusal {
            let name = self.deployment.qualified();
            let message = format!(
                "{name} does not take this request: `{}` {}; change it or use another model",
                refusal.path, refusal.reason
            );
            return Err(ApiError::invalid(message).with_param(&refusal.path));
        }
        Ok(FittedBody {
            body: fitted.map_or(body, Bytes::from),
            changed,
        })
    }

    /// The compatibility rules of a vendor that borrows a dialect, for a body that the gateway wrote.
    pub fn apply_compat(self, body: Bytes) -> Result<Bytes, ApiError> {
        let Some(rules) = self.endpoint.compat else {
            return Ok(body);
        };
        let request = dialect::read(self.endpoint.dialect, Operation::Conversation, body)
            .map_err(|_| ApiError::defect("a translated request cannot be read"))?;
        let mut edits = Vec::new();
        compat::edits(&request, rules, &mut edits);
        Ok(request.spliced(&edits))
    }

    /// Refuses changed members where the configuration forbids changes.
    pub fn check_policy(self, changed: &[String]) -> Result<(), ApiError> {
        match changed.first() {
            Some(member)
                if self.deployment.provider.unsupported == UnsupportedFieldPolicy::Error =>
            {
                Err(compat::unsupported_member(self.deployment, member))
            }
            _ => Ok(()),
        }
    }
}

/// Name in the client's dialect of a path in the upstream's.
pub(in crate::gateway) fn client_name(path: &str, names: &FieldNames) -> String {
    let mut parts = path.split('.');
    let root = parts.next().unwrap_or_default();
    let leaf = path.rsplit('.').next().unwrap_or_default();
    let formats = [
        "response_format",
        "output_config.format",
        "text.format",
        "outputConfig",
    ];
    let is_format =
        formats.iter().any(|format| path.starts_with(format)) || leaf.starts_with("response");
    let known = match root {
        "messages" | "contents" | "input" | "system" | "systemInstruction" => names.messages,
        "tools" | "functions" => "tools",
        "tool_choice" => "tool_choice",
        "toolConfig" if path.contains("hoice") || path.contains("CallingConfig") => "tool_choice",
        "toolConfig" => "tools",
        "metadata" | "user" | "user_id" | "safety_identifier" => names.user,
        _ if is_format => names.format,
        "stop" | "stop_sequences" => names.stop,
        "reasoning" | "reasoning_effort" | "thinking" | "output_config" => names.reasoning,
        _ => match leaf {
            "stopSequences" => names.stop,
            "topP" | "p" => "top_p",
            "topK" | "k" => "top_k",
            "frequencyPenalty" => "frequency_penalty",
            "presencePenalty" => "presence_penalty",
            "temperature" => "temperature",
            "thinkingBudget" | "thinkingLevel" | "thinkingConfig" => names.reasoning,
            _ => path,
        },
    };
    known.to_owned()
}
