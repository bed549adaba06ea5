//! The `[alerts]` section: threshold of budget alerts and their webhook. Must never repeat the webhook's URL in a
//! message: many contain a token.

use super::base_url::parse_base_url;
use super::egress;
use super::file::{ConfigErrors, Section, Spanned};
use super::secret::{Environment, SecretSource};
use super::settings::{AlertConfig, Webhook};
use crate::domain::egress::ConnectionConfig;
use crate::domain::secret::Secret;

const TIMEOUT_S_DEFAULT: u64 = 5;
const URL_BYTES_MAX: usize = 2_000;

/// Without an environment no secret is read and no webhook is returned: for commands that send no alerts.
pub(super) fn resolve(
    mut section: Section<'_>,
    environment: Option<Environment<'_>>,
    errors: &mut ConfigErrors,
) -> AlertConfig {
    let default = AlertConfig::default();
    let percent = section.integer(
        "threshold_percent",
        default.threshold_percent.into(),
        1..=100,
        errors,
    );
    let url = section.string("webhook", errors);
    let secret = section.string("webhook_secret", errors);
    let timeout_ms =
        section.integer("webhook_timeout_s", TIMEOUT_S_DEFAULT, 1..=60, errors) * 1_000;
    let private_hosts = egress::networks(&mut section, errors);
    section.finish(errors);
    if let (None, Some(secret)) = (&url, &secret) {
        secret.report(
            errors,
            "no effect without a webhook; remove it, or write webhook = \"https://…\"",
        );
    }
    let webhook = url.zip(environment).and_then(|(url, environment)| {
        let secret = match secret {
            Some(written) => Some(read_secret(written, environment, errors)?),
            None => None,
        };
        Some(Webhook {
            url: url.parse(errors, |url| parse_webhook_url(url))?,
            secret,
            connection: ConnectionConfig {
                private_hosts,
                ..ConnectionConfig::default()
            },
            timeout_ms,
        })
    });
    AlertConfig {
        threshold_percent: u8::try_from(percent).unwrap_or(default.threshold_percent),
        webhook,
    }
}

pub(super) fn read_secret(
    written: Spanned<String>,
    environment: Environment<'_>,
    errors: &mut ConfigErrors,
) -> Option<Secret> {
    written.parse(errors, |source| {
        SecretSource::parse(source)?.read(environment)
    })
}

/// Parses a URL that, unlike a base URL, may have a query.
pub(super) fn parse_webhook_url(url: &str) -> Result<Secret, String> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    parse_base_url(base)?;
    if url.len() > URL_BYTES_MAX
        || query.contains('#')
        || !query.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(format!(
            "invalid query or more than {URL_BYTES_MAX} bytes; percent-encode the query, without #"
        ));
    }
    Ok(Secret::new(url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    fn resolved(text: &str) -> Result<AlertConfig, String> {
        let mut errors = ConfigErrors::default();
        let section = file::parse("gatekeeper.toml", text, &mut errors);
        let alerts = resolve(
            section,
            Some(&|name| (name == "KEY").then(|| "hush".to_owned())),
            &mut errors,
        );
        if errors.0.is_empty() {
            Ok(alerts)
        } else {
            Err(errors.to_string())
        }
    }

    #[test]
    fn alerts_default_is_85_percent_without_webhook() {
        let alerts = resolved("").expect("defaults");
        assert_eq!(
            (alerts.threshold_percent, alerts.webhook.is_none()),
            (85, true)
        );
    }

    #[test]
    fn webhook_url_secret_and_timeout_are_resolved() {
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
    fn alerts_invalid_setting_is_reported_without_url() {
        for (text, message) in [
            ("threshold_percent = 0", "from 1 to 100"),
            ("webhook = \"hunter2.example\"", "start it with http"),
            (
                "webhook = \"https://user:hunter2@host/\"",
                "user or password",
            ),
            ("webhook = \"https://host/?a=hunter2 b\"", "query"),
            (
                "webhook = \"https://host\"\nwebhook_secret = \"hunter2\"",
                "env:NAME",
            ),
            ("webhook_secret = \"env:KEY\"", "without a webhook"),
            ("hook = 1", "unknown key"),
        ] {
            let errors = resolved(text).expect_err(text);
            assert!(
                errors.contains(message) && !errors.contains("hunter2"),
                "{errors}"
            );
        }
    }
}
