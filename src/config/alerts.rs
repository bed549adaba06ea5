//! The `[alerts]` section: from how much on a budget says so, and whom a webhook tells. No fault repeats the webhook's
//! address: many have a token in them.

use super::file::{ConfigErrors, Section, Spanned};
use super::provider::checked_url;
use super::secret::{Environment, SecretSource};
use super::{AlertConfig, Webhook};
use crate::domain::secret::Secret;

const TIMEOUT_S: u64 = 5;
const URL_BYTES_MAX: usize = 2_000;

/// Without an environment no secret is read, and nobody is told: for commands that only look.
pub(super) fn resolve(
    mut section: Section<'_>,
    environment: Option<Environment<'_>>,
    faults: &mut ConfigErrors,
) -> AlertConfig {
    let usual = AlertConfig::default();
    let percent = section.whole(
        "threshold_percent",
        usual.threshold_percent.into(),
        1..=100,
        faults,
    );
    let url = section.text("webhook", faults);
    let secret = section.text("webhook_secret", faults);
    let timeout_ms = section.whole("webhook_timeout_s", TIMEOUT_S, 1..=60, faults) * 1_000;
    section.finish(faults);
    if let (None, Some(secret)) = (&url, &secret) {
        secret.fault(
            faults,
            "has a meaning only with a webhook; leave it out, or write webhook = \"https://…\"",
        );
    }
    let webhook = url.zip(environment).and_then(|(url, environment)| {
        let secret = match secret {
            Some(written) => Some(read(written, environment, faults)?),
            None => None,
        };
        Some(Webhook {
            url: url.checked(faults, |url| checked_webhook(url))?,
            secret,
            timeout_ms,
        })
    });
    AlertConfig {
        threshold_percent: u8::try_from(percent).unwrap_or(usual.threshold_percent),
        webhook,
    }
}

fn read(
    written: Spanned<String>,
    environment: Environment<'_>,
    faults: &mut ConfigErrors,
) -> Option<Secret> {
    written.checked(faults, |source| {
        SecretSource::parse(source)?.read(environment)
    })
}

/// An address with a query, as webhooks have them.
fn checked_webhook(url: &str) -> Result<Secret, String> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    checked_url(address)?;
    if url.len() > URL_BYTES_MAX
        || query.contains('#')
        || !query.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(format!(
            "has a query that no address has, or more than {URL_BYTES_MAX} bytes"
        ));
    }
    Ok(Secret::new(url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    fn resolved(text: &str) -> Result<AlertConfig, String> {
        let mut faults = ConfigErrors::default();
        let section = file::parse("gatekeeper.toml", text, &mut faults);
        let alerts = resolve(
            section,
            Some(&|name| (name == "KEY").then(|| "hush".to_owned())),
            &mut faults,
        );
        if faults.0.is_empty() {
            Ok(alerts)
        } else {
            Err(faults.to_string())
        }
    }

    #[test]
    fn nothing_said_is_eighty_five_percent_and_no_webhook() {
        let alerts = resolved("").expect("defaults");
        assert_eq!(
            (alerts.threshold_percent, alerts.webhook.is_none()),
            (85, true)
        );
    }

    #[test]
    fn a_webhook_has_an_address_a_secret_and_a_deadline() {
        let text = "threshold_percent = 70\nwebhook = \"https://host/x?sig=1\"\nwebhook_secret = \"env:KEY\"\nwebhook_timeout_s = 9";
        let alerts = resolved(text).expect("a webhook");
        let webhook = alerts.webhook.expect("a webhook");
        assert_eq!(
            (
                alerts.threshold_percent,
                webhook.timeout_ms,
                webhook.url.expose()
            ),
            (70, 9_000, "https://host/x?sig=1")
        );
        assert_eq!(webhook.secret.as_ref().map(Secret::expose), Some("hush"));
        assert!(!format!("{webhook:?}").contains("sig=1"));
    }

    #[test]
    fn what_is_wrong_is_named_and_no_address_repeated() {
        for (text, says) in [
            ("threshold_percent = 0", "from 1 to 100"),
            ("webhook = \"hunter2.example\"", "must begin with http"),
            (
                "webhook = \"https://user:hunter2@host/\"",
                "no user or password",
            ),
            ("webhook = \"https://host/?a=hunter2 b\"", "query"),
            (
                "webhook = \"https://host\"\nwebhook_secret = \"hunter2\"",
                "env:NAME",
            ),
            ("webhook_secret = \"env:KEY\"", "only with a webhook"),
            ("hook = 1", "not a key"),
        ] {
            let faults = resolved(text).expect_err(text);
            assert!(
                faults.contains(says) && !faults.contains("hunter2"),
                "{faults}"
            );
        }
    }
}
