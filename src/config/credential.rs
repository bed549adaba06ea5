//! Who a provider is called as: a key that goes along, or keys of AWS that sign, for a region. Takes the lines of the section,
//! answers with what was found or what is wrong. It never looks beyond the places that the lines name.

use super::file::{ConfigErrors, Section, Spanned};
use super::secret::{Environment, SecretSource};
use crate::domain::secret::Secret;
use crate::provider::{AwsKeys, BaseUrl, CredentialStyle, Preset, Signer};

const KEEP: &str = "\"env:NAME\", \"file:/path\" or \"credential:NAME\" (systemd)";
const REGION_BYTES_MAX: usize = 40;

/// A line that names where a secret is kept, and the secret, if it could be read.
type Line = Option<(Spanned<String>, Option<Secret>)>;

/// The lines as they were written.
pub(super) struct Lines {
    api_key: Line,
    access_key_id: Line,
    secret_access_key: Line,
    session_token: Line,
    region: Option<Spanned<String>>,
}

/// What they come to.
#[derive(Debug, Default)]
pub(super) struct Credential {
    pub api_key: Option<Secret>,
    pub signer: Option<Signer>,
    pub region: Option<String>,
}

impl Lines {
    pub(super) fn take(
        section: &mut Section<'_>,
        environment: Environment<'_>,
        faults: &mut ConfigErrors,
    ) -> Lines {
        let mut line = |key: &'static str| {
            let written = section.text(key, faults)?;
            let secret = written.clone().checked(faults, |source| {
                SecretSource::parse(source)?.read(environment)
            });
            Some((written, secret))
        };
        Lines {
            api_key: line("api_key"),
            access_key_id: line("access_key_id"),
            secret_access_key: line("secret_access_key"),
            session_token: line("session_token"),
            region: section.text("region", faults),
        }
    }

    /// `has_address`: the section says where the vendor is reached; a fake or a gateway there may want no credential.
    pub(super) fn resolve(
        self,
        preset: &Preset,
        name: &Spanned<String>,
        has_address: bool,
        faults: &mut ConfigErrors,
    ) -> Credential {
        let region = self.region(preset, name, has_address, faults);
        let of_aws = [
            &self.access_key_id,
            &self.secret_access_key,
            &self.session_token,
        ]
        .into_iter()
        .flatten()
        .next();
        let needed = preset.needs_key && !has_address;
        match (preset.credential, &self.api_key, of_aws) {
            (CredentialStyle::BearerOrSigned(_), Some((api_key, _)), Some(_)) => {
                api_key.fault(
                    faults,
                    "stands beside keys of AWS; leave the one or the others out",
                );
            }
            (CredentialStyle::BearerOrSigned(service), None, Some(_)) => {
                return Credential {
                    api_key: None,
                    signer: self.signer(service, region.clone(), name, faults),
                    region,
                };
            }
            (CredentialStyle::BearerOrSigned(_), None, None) if needed => {
                let keys = "or access_key_id = … and secret_access_key = … (keys of AWS)";
                name.fault(
                    faults,
                    format_args!(
                        "has no credential; write api_key = … (a key of {}), {keys}, each {KEEP}",
                        preset.name
                    ),
                );
            }
            (_, _, Some((written, _))) => {
                written.fault(
                    faults,
                    format_args!(
                        "has no meaning for type {}; write api_key = {KEEP}",
                        preset.name
                    ),
                );
            }
            (_, None, None) if needed => name.fault(
                faults,
                format_args!("has no api_key; write api_key = {KEEP}"),
            ),
            _ => {}
        }
        Credential {
            api_key: found(self.api_key),
            signer: None,
            region,
        }
    }

    fn signer(
        self,
        service: &'static str,
        region: Option<String>,
        name: &Spanned<String>,
        faults: &mut ConfigErrors,
    ) -> Option<Signer> {
        for (key, line) in [
            ("access_key_id", &self.access_key_id),
            ("secret_access_key", &self.secret_access_key),
        ] {
            if line.is_none() {
                name.fault(faults, format_args!("has no {key}; write {key} = {KEEP}"));
            }
        }
        let keys = AwsKeys {
            access_key_id: found(self.access_key_id)?,
            secret_access_key: found(self.secret_access_key)?,
            session_token: found(self.session_token),
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
        has_address: bool,
        faults: &mut ConfigErrors,
    ) -> Option<String> {
        match (preset.base_url, self.region.clone()) {
            (BaseUrl::Regional(_), Some(written)) => written.checked(faults, |region| {
                let plain =
                    |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                if region.is_empty()
                    || region.len() > REGION_BYTES_MAX
                    || !region.bytes().all(plain)
                {
                    return Err("is no region; write it like \"eu-west-1\"".to_owned());
                }
                Ok(region.clone())
            }),
            (BaseUrl::Regional(_), None) => {
                // the region stands in the address, and in every signature
                if !has_address || self.access_key_id.is_some() {
                    name.fault(faults, "has no region; write region = \"eu-west-1\"");
                }
                None
            }
            (_, Some(written)) => {
                written.fault(
                    faults,
                    format_args!("has no meaning for type {}; leave it out", preset.name),
                );
                None
            }
            (_, None) => None,
        }
    }
}

fn found(line: Line) -> Option<Secret> {
    line.and_then(|(_, secret)| secret)
}
