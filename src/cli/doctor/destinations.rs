//! Checks of the network: each provider by one call that no vendor bills, the other destinations by their names.

use std::time::Duration;

use super::finding::Finding;
use crate::cli::check::{destination_of, other_destinations};
use crate::config::{Config, Provider};
use crate::domain::clock::{Clock, SystemClock};
use crate::gateway::{ProviderTest, ProviderVerdict, test_provider};
use crate::process;
use crate::upstream::{Client, look_up};

/// Time for one provider, connection included.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let egress = match process::egress(config) {
        Ok(egress) => egress,
        Err(error) => return vec![Finding::fault("egress", error.to_string())],
    };
    let client = Client::new(&egress, None);
    let now_ms = SystemClock { boot: None }.wall_ms();
    let mut findings = Vec::new();
    if config.providers.is_empty() {
        let remedy = "add a [providers.NAME] section with its api_key, or see `gatekeeper providers list` for those of the server";
        findings.push(Finding::warning(
            "providers",
            format!("none in the file; {remedy}"),
        ));
    }
    for provider in &config.providers {
        let check = format!("provider {}", provider.name);
        findings.push(
            match test_provider(&client, provider, TIMEOUT, now_ms).await {
                None => Finding::ok(check, "no endpoint for conversations to test"),
                Some(test) => of_test(check, provider, &test),
            },
        );
    }
    // a receiver is not called, as it would take the call for an alert or an event; a proxy looks names up itself
    let others = match config.egress.proxy {
        Some(_) => Vec::new(),
        None => other_destinations(config),
    };
    for (purpose, url, _) in others {
        findings.push(name(&purpose, &url).await);
    }
    findings
}

fn of_test(check: String, provider: &Provider, test: &ProviderTest) -> Finding {
    let at = destination_of(&provider.base_url);
    let status = test.status.unwrap_or_default();
    match &test.verdict {
        ProviderVerdict::Ok => Finding::ok(check, format!("{at} answers in {} ms", test.total_ms)),
        ProviderVerdict::CredentialRejected => {
            let remedy = "check its api_key";
            Finding::fault(
                check,
                format!("{at} rejects the credential ({status}); {remedy}"),
            )
        }
        ProviderVerdict::WrongAddress => {
            let remedy = "check base_url";
            Finding::fault(
                check,
                format!("{at} has no such endpoint ({status}); {remedy}"),
            )
        }
        ProviderVerdict::Failing => {
            let remedy = "its fault or its rate limit: try again";
            Finding::warning(check, format!("{at} answers {status}; {remedy}"))
        }
        ProviderVerdict::Unreachable(reason) => {
            let remedy = "check the network, [egress] and the name servers";
            Finding::fault(check, format!("{at}: {reason}; {remedy}"))
        }
    }
}

/// Look-up of the name of a destination.
async fn name(check: &str, url: &str) -> Finding {
    let at = destination_of(url);
    let (host, port) = at.rsplit_once(':').unwrap_or((&at, ""));
    match look_up(host, port.parse().unwrap_or_default()).await {
        Ok(_) => Finding::ok(check, format!("{at} has an address")),
        Err(reason) => Finding::fault(check, format!("{at}: {reason}; check the name servers")),
    }
}
