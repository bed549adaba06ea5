//! Test of a provider: one call per API key that no vendor bills, an empty body, which shows whether the address answers and takes the
//! credential. It never goes to a model.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::Provider;
use crate::dialect::{Dialect, Operation};
use crate::gateway::deadlines::SendTimeouts;
use crate::gateway::exchange::http;
use crate::price::Price;
use crate::route::{Deployment, DeploymentNames};
use crate::upstream::Client;

/// Model in the URL of a vendor that needs one, where the provider lists none.
const ANY_MODEL: &str = "gatekeeper-test";

/// Result of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderTest {
    pub verdict: ProviderVerdict,
    /// status of the answer
    pub status: Option<u16>,
    pub total_ms: u64,
    /// name of the API key that the answer is about, if the provider has several
    pub key: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderVerdict {
    /// the vendor answered as to a malformed request
    Ok,
    /// the vendor did not take the credential
    CredentialRejected,
    /// the address answers, but has no such endpoint
    WrongAddress,
    /// the vendor has a fault, or too many requests
    Failing,
    /// no answer; the reason without address or credential
    Unreachable(String),
}

impl ProviderVerdict {
    pub fn as_str(&self) -> &'static str {
        match self {
            ProviderVerdict::Ok => "ok",
            ProviderVerdict::CredentialRejected => "credential_rejected",
            ProviderVerdict::WrongAddress => "wrong_address",
            ProviderVerdict::Failing => "failing",
            ProviderVerdict::Unreachable(_) => "unreachable",
        }
    }

    fn of(status: u16) -> ProviderVerdict {
        match status {
            401 | 403 => ProviderVerdict::CredentialRejected,
            404 | 405 => ProviderVerdict::WrongAddress,
            429 | 500.. => ProviderVerdict::Failing,
            _ => ProviderVerdict::Ok,
        }
    }
}

/// Tests a provider with each of its API keys until one fails; `None` if it has no endpoint for conversations.
pub async fn run(
    client: &Client,
    provider: &Arc<Provider>,
    timeout: Duration,
    now_ms: u64,
) -> Option<ProviderTest> {
    let model = provider.models.first().map_or(ANY_MODEL, String::as_str);
    let preset = provider.preset;
    let endpoint = preset.endpoint(Operation::Conversation, Dialect::Chat, model)?;
    let mut deployment = Deployment {
        provider: provider.clone(),
        model: model.to_owned(),
        price: Price::Free,
        place: None,
        key: 0,
        names: DeploymentNames::new(provider, model),
    };
    let url = provider.url(endpoint, model, false);
    let timeouts = SendTimeouts {
        connect_ms: None,
        head: timeout,
    };
    loop {
        let began = Instant::now();
        let body = Bytes::from_static(b"{}");
        let sent = http::send(client, &deployment, &url, &[], body, timeouts, now_ms).await;
        let (verdict, status) = match sent {
            Ok(incoming) => (ProviderVerdict::of(incoming.status), Some(incoming.status)),
            Err(error) => (ProviderVerdict::Unreachable(error.to_string()), None),
        };
        let is_last = deployment.key + 1 >= provider.api_keys.len();
        if verdict != ProviderVerdict::Ok || is_last {
            return Some(ProviderTest {
                verdict,
                status,
                total_ms: began.elapsed().as_millis() as u64,
                key: deployment.key_name().map(str::to_owned),
            });
        }
        deployment.key += 1;
    }
}
