//! Vendors as data: where one is reached, how it takes its credential, what it speaks and how it is priced. The only place
//! that knows vendors apart; everything else reads these rows. It opens no connection and holds no secret.

mod anthropic;
mod ollama;
mod openai;
mod openai_compatible;
mod simulator;

use crate::dialect::Dialect;
use crate::domain::secret::Secret;

/// Every preset that a `[providers.NAME]` can name; one file each.
pub static REGISTRY: &[&Preset] =
    &[&anthropic::PRESET, &ollama::PRESET, &openai::PRESET, &openai_compatible::PRESET, &simulator::PRESET];

/// The preset of this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    REGISTRY.iter().copied().find(|preset| preset.name == name)
}

/// What is the same for every account at one vendor.
#[derive(Debug)]
pub struct Preset {
    pub name: &'static str,
    /// without a trailing slash; `None` if the configuration must say
    pub base_url: Option<&'static str>,
    pub credential: CredentialStyle,
    /// whether calls are pointless without a credential
    pub needs_key: bool,
    pub endpoints: &'static [Endpoint],
    /// the price where the configuration says nothing
    pub price: PriceRule,
    /// the member that caps the output of a chat call, where the client named none
    pub output_cap_member: &'static str,
    /// whether a chat stream reports its usage only if `stream_options.include_usage` asks for it
    pub asks_usage: bool,
    /// sent unless the client sent its own
    pub default_headers: &'static [(&'static str, &'static str)],
}

/// A dialect that the vendor speaks, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub dialect: Dialect,
    /// appended to the base URL
    pub path: &'static str,
}

/// How a credential travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialStyle {
    None,
    /// `authorization: Bearer KEY`
    Bearer,
    /// `x-api-key: KEY`
    XApiKey,
}

/// What a vendor's calls cost, as far as the vendor alone says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceRule {
    /// the shipped list prices, under this vendor's name
    Sheet(&'static str),
    /// pico-USD per token
    Fixed {
        input: u64,
        output: u64,
    },
    Free,
    /// the configuration must say
    MustSay,
}

impl Preset {
    /// The path of a dialect, if the vendor speaks it.
    pub fn path(&self, dialect: Dialect) -> Option<&'static str> {
        self.endpoints.iter().find(|endpoint| endpoint.dialect == dialect).map(|endpoint| endpoint.path)
    }
}

impl CredentialStyle {
    /// The header that carries the credential: its name and its value.
    pub fn header(self, key: &Secret) -> Option<(&'static str, Secret)> {
        match self {
            CredentialStyle::None => None,
            CredentialStyle::Bearer => Some(("authorization", Secret::new(format!("Bearer {}", key.expose())))),
            CredentialStyle::XApiKey => Some(("x-api-key", key.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::price::Sheet;

    #[test]
    fn the_registry_is_the_folder() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/provider")).expect("the folder");
        let files: BTreeSet<String> = folder
            .map(|file| file.expect("a file").file_name().to_string_lossy().trim_end_matches(".rs").to_owned())
            .filter(|file| file != "mod")
            .collect();
        let presets: BTreeSet<String> = REGISTRY.iter().map(|preset| preset.name.to_owned()).collect();
        assert_eq!(presets, files);
        assert!(REGISTRY.iter().all(|preset| find(preset.name).is_some()));
        assert!(find("nobody").is_none());
    }

    #[test]
    fn addresses_join_and_sheets_exist() {
        let sheet = Sheet::embedded();
        for preset in REGISTRY {
            assert!(preset.base_url.is_none_or(|url| !url.ends_with('/')), "{}", preset.name);
            assert!(!preset.endpoints.is_empty(), "{}", preset.name);
            assert!(preset.endpoints.iter().all(|endpoint| endpoint.path.starts_with('/')), "{}", preset.name);
            if let PriceRule::Sheet(vendor) = preset.price {
                assert!(sheet.models(vendor).any(|row| row.is_priced()), "{}", preset.name);
            }
        }
        assert_eq!(openai::PRESET.path(Dialect::Messages), None);
        assert_eq!(ollama::PRESET.path(Dialect::Messages), Some("/messages"));
    }

    #[test]
    fn a_credential_travels_in_the_vendors_header_and_is_never_printed() {
        let key = Secret::new("k-1");
        let sent = |style: CredentialStyle| style.header(&key).map(|(name, value)| (name, value.expose().to_owned()));
        assert_eq!(sent(CredentialStyle::Bearer), Some(("authorization", "Bearer k-1".to_owned())));
        assert_eq!(sent(CredentialStyle::XApiKey), Some(("x-api-key", "k-1".to_owned())));
        assert_eq!(sent(CredentialStyle::None), None);
        assert!(!format!("{:?}", CredentialStyle::Bearer.header(&key)).contains("k-1"));
    }
}
