//! The `[otlp]` section: collector of traces. Without an endpoint nothing is traced.

use toml::de::DeValue;

use super::base_url::parse_base_url;
use super::egress;
use super::file::{ConfigErrors, Section};
use super::price::amount_digits;
use super::provider::headers;
use super::secret::Environment;
use super::settings::OtlpConfig;
use crate::domain::egress::ConnectionConfig;

const TIMEOUT_S_DEFAULT: u64 = 10;
/// Path of traces at a collector, in OTLP over HTTP.
const TRACES_PATH: &str = "/v1/traces";

/// `None` without an endpoint, or without an environment: for commands that trace nothing.
pub(super) fn resolve(
    mut section: Section<'_>,
    environment: Option<Environment<'_>>,
    errors: &mut ConfigErrors,
) -> Option<OtlpConfig> {
    let endpoint = section.string("endpoint", errors);
    let ratio = section.take("sample_ratio");
    let sample_ratio = ratio.map(|written| written.parse(errors, |value| parse_ratio(value)));
    let timeout_ms = section.integer("timeout_s", TIMEOUT_S_DEFAULT, 1..=60, errors) * 1_000;
    let private_hosts = egress::networks(&mut section, errors);
    let nothing = |_: &str| None;
    let headers = headers(&mut section, environment.unwrap_or(&nothing), errors);
    section.finish(errors);
    let (Some(endpoint), Some(_)) = (endpoint, environment) else {
        return None;
    };
    Some(OtlpConfig {
        url: endpoint.parse(errors, |url| traces_url(url))?,
        headers,
        sample_ratio: sample_ratio.unwrap_or(Some(1.0))?,
        connection: ConnectionConfig {
            private_hosts,
            ..ConnectionConfig::default()
        },
        timeout_ms,
    })
}

/// The collector's URL with or without the path of traces.
fn traces_url(url: &str) -> Result<String, String> {
    let base = parse_base_url(url)?;
    let base = base.strip_suffix(TRACES_PATH).unwrap_or(&base);
    Ok(format!("{base}{TRACES_PATH}"))
}

fn parse_ratio(value: &DeValue<'_>) -> Result<f64, String> {
    let digits = amount_digits(value)?;
    let ratio = digits
        .parse()
        .ok()
        .filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| {
        "invalid ratio; use a decimal from 0 to 1 in quotes, e.g. \"0.05\"".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    fn resolved(text: &str) -> Result<Option<OtlpConfig>, String> {
        let mut errors = ConfigErrors::default();
        let section = file::parse("gatekeeper.toml", text, &mut errors);
        let environment = |name: &str| (name == "TOKEN").then(|| "hush".to_owned());
        let otlp = resolve(section, Some(&environment), &mut errors);
        match errors.0.is_empty() {
            true => Ok(otlp),
            false => Err(errors.to_string()),
        }
    }

    #[test]
    fn otlp_is_off_without_an_endpoint_and_complete_with_one() {
        assert!(resolved("").expect("defaults").is_none());
        for endpoint in ["http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"] {
            let text = format!(
                "endpoint = {endpoint:?}\nsample_ratio = \"0.05\"\ntimeout_s = 3\nheaders = {{ authorization = \"env:TOKEN\", x-tenant = \"a\" }}"
            );
            let otlp = resolved(&text).expect("valid").expect("on");
            assert_eq!(otlp.url, "http://127.0.0.1:4318/v1/traces");
            assert_eq!((otlp.sample_ratio, otlp.timeout_ms), (0.05, 3_000));
            let headers: Vec<(&str, &str)> = otlp
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.expose()))
                .collect();
            assert_eq!(headers, [("authorization", "hush"), ("x-tenant", "a")]);
            assert!(!format!("{otlp:?}").contains("hush"));
        }
        let default = resolved("endpoint = \"http://127.0.0.1:4318\"").expect("valid");
        assert_eq!(default.map(|otlp| otlp.sample_ratio), Some(1.0));
    }

    #[test]
    fn otlp_invalid_setting_is_reported() {
        for (text, message) in [
            ("endpoint = \"collector:4318\"", "http"),
            (
                "endpoint = \"http://127.0.0.1:4318\"\nsample_ratio = \"2\"",
                "from 0 to 1",
            ),
            (
                "endpoint = \"http://127.0.0.1:4318\"\nsample_ratio = 0.5",
                "in quotes",
            ),
            (
                "endpoint = \"http://127.0.0.1:4318\"\nheaders = { host = \"x\" }",
                "reserved",
            ),
            ("endpoints = \"x\"", "unknown key"),
        ] {
            let errors = resolved(text).expect_err(text);
            assert!(errors.contains(message), "{errors}");
        }
    }
}
