//! Credential of a provider: an API key, or AWS keys that sign requests for a region. Takes the section's credential
//! keys, returns the secrets or reports errors. Reads only the sources that the section names.

use super::api_keys::{self, ApiKeySetting};
use super::file::{ConfigErrors, Section, Spanned};
use super::secret::{Environment, SecretSource};
use crate::domain::provider_key::ProviderKey;
use crate::domain::secret::Secret;
use crate::provider::{AwsKeys, BaseUrl, CredentialStyle, Preset, Signer};

const SOURCES: &str = "\"env:NAME\", \"file:/path\" or \"credential:NAME\" (systemd)";
const REGION_BYTES_MAX: usize = 40;

/// A key that names the source of a secret, and the secret if it was readable.
type SecretSetting = Option<(Spanned<String>, Option<Secret>)>;

/// Credential keys as written, before they are checked against the preset.
pub(super) struct CredentialSettings {
    api_keys: Option<ApiKeySetting>,
    access_key_id: SecretSetting,
    secret_access_key: SecretSetting,
    session_token: SecretSetting,
    region: Option<Spanned<String>>,
}

/// Resolved credential.
#[derive(Debug, Default)]
pub(super) struct Credential {
    pub api_keys: Vec<ProviderKey>,
    pub signer: Option<Signer>,
    pub region: Option<String>,
}

impl CredentialSettings {
    pub(super) fn take(
        section: &mut Section<'_>,
        environment: Environment<'_>,
        errors: &mut ConfigErrors,
    ) -> CredentialSettings {
        let api_keys = api_keys::take(section, environment, errors);
        let mut secret = |key: &'static str| {
            let written = section.string(key, errors)?;
            let secret = written.clone().parse(errors, |source| {
                SecretSource::parse(source)?.read(environment)
            });
            Some((written, secret))
        };
        CredentialSettings {
            api_keys,
            access_key_id: secret("access_key_id"),
            secret_access_key: secret("secret_access_key"),
            session_token: secret("session_token"),
            region: section.string("region", errors),
        }
    }

    /// With an explicit `base_url` the credential is optional: a proxy or test server may need none.
    pub(super) fn resolve(
        self,
        preset: &Preset,
        name: &Spanned<String>,
        has_base_url: bool,
        errors: &mut ConfigErrors,
    ) -> Credential {
        let region = self.region(preset, name, has_base_url, errors);
        let aws_key = [
            &self.access_key_id,
            &self.secret_access_key,
            &self.session_token,
        ]
        .into_iter()
        .flatten()
        .next();
        let needed = preset.needs_key && !has_base_url;
        match (preset.credential, &self.api_keys, aws_key) {
            (CredentialStyle::BearerOrSigned(_), Some(api_keys), Some(_)) => {
                api_keys.written.report(
                    errors,
                    "both api_key and AWS keys present; remove one of them",
                );
            }
            (CredentialStyle::BearerOrSigned(service), None, Some(_)) => {
                return Credential {
                    api_keys: Vec::new(),
                    signer: self.signer(service, region.clone(), name, errors),
                    region,
                };
            }
            (CredentialStyle::BearerOrSigned(_), None, None) if needed => {
                let keys = "or access_key_id = … and secret_access_key = … (AWS keys)";
                name.report(
                    errors,
                    format_args!(
                        "missing credential; write api_key = … (a {} key), {keys}, each {SOURCES}",
                        preset.name
                    ),
                );
            }
            (_, _, Some((written, _))) => {
                written.report(
                    errors,
                    format_args!(
                        "not supported by type {}; write api_key = {SOURCES}",
                        preset.name
                    ),
                );
            }
            (_, None, None) if needed => name.report(
                errors,
                format_args!("missing api_key; write api_key = {SOURCES}"),
            ),
            _ => {}
        }
        Credential {
            api_keys: self.api_keys.map_or(Vec::new(), |setting| setting.keys),
            signer: None,
            region,
        }
    }

    fn signer(
        self,
        service: &'static str,
        region: Option<String>,
        name: &Spanned<String>,
        errors: &mut ConfigErrors,
    ) -> Option<Signer> {
        for (key, setting) in [
            ("access_key_id", &self.access_key_id),
            ("secret_access_key", &self.secret_access_key),
        ] {
            if setting.is_none() {
                name.report(
                    errors,
                    format_args!("missing {key}; write {key} = {SOURCES}"),
                );
            }
        }
        let keys = AwsKeys {
            access_key_id: into_secret(self.access_key_id)?,
            secret_access_key: into_secret(self.secret_access_key)?,
            session_token: into_secret(self.session_token),
        };
        Some(Signer {
            keys,
            region: region?,
            service,
        })
    }

    fn region(
        &self,
        preset: &Preset,
        name: &Spanned<String>,
        has_base_url: bool,
        errors: &mut ConfigErrors,
    ) -> Option<String> {
        match (preset.base_url, self.region.clone()) {
            (BaseUrl::Regional(_), Some(written)) => written.parse(errors, |region| {
                let plain =
                    |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                if region.is_empty()
                    || region.len() > REGION_BYTES_MAX
                    || !region.bytes().all(plain)
                {
                    return Err("invalid region; use e.g. \"eu-west-1\"".to_owned());
                }
                Ok(region.clone())
            }),
            (BaseUrl::Regional(_), None) => {
                // the region is part of the default host and of every signature
                if !has_base_url || self.access_key_id.is_some() {
                    name.report(errors, "missing region; write region = \"eu-west-1\"");
                }
                None
            }
            (_, Some(written)) => {
                written.report(
                    errors,
                    format_args!("not supported by type {}; remove it", preset.name),
                );
                None
            }
            (_, None) => None,
        }
    }
}

fn into_secret(setting: SecretSetting) -> Option<Secret> {
    setting.and_then(|(_, secret)| secret)
}
