//! Seals provider state for its way through a client of another dialect: origin, bytes and a MAC. A
//! token that does not open is returned without an origin: it can be genuine, and its vendor
//! decides. Must never attribute unsealed bytes to a model.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;

use crate::conversation::{Origin, ProviderState, ProviderStateKind};

const MAC_BYTES: usize = 32;
/// Separator of the sealed parts; occurs in no dialect name and in no model name.
const SEPARATOR: char = '\n';

/// Sealer with the key of one instance.
#[derive(Clone)]
pub struct StateSealer([u8; 32]);

impl std::fmt::Debug for StateSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StateSealer")
    }
}

impl StateSealer {
    /// Prefix of a sealed token, and of no vendor's; the digit is the version of the format.
    pub const PREFIX: &str = "gk1.";

    pub fn new(key: [u8; 32]) -> StateSealer {
        StateSealer(key)
    }

    /// Token that the client gets instead of the vendor's bytes. State without an origin is
    /// returned as it is.
    pub fn seal(&self, provider_state: &ProviderState) -> String {
        let Some(origin) = &provider_state.origin else {
            return provider_state.data.clone();
        };
        let kind = match provider_state.kind {
            ProviderStateKind::Signature => 's',
            ProviderStateKind::Redacted => 'r',
        };
        let (dialect, model, data) = (&origin.dialect, &origin.model, &provider_state.data);
        let mut sealed =
            format!("{kind}{SEPARATOR}{dialect}{SEPARATOR}{model}{SEPARATOR}{data}").into_bytes();
        let mac = hmac::sign(&self.key(), &sealed);
        sealed.extend_from_slice(mac.as_ref());
        format!("{}{}", StateSealer::PREFIX, BASE64.encode(sealed))
    }

    /// State in a client's token: opened if sealed by this instance, else the bytes without an
    /// origin.
    pub fn open(&self, token: &str) -> ProviderState {
        self.try_open(token).unwrap_or_else(|| ProviderState {
            origin: None,
            kind: ProviderStateKind::Signature,
            data: token.to_owned(),
        })
    }

    fn try_open(&self, token: &str) -> Option<ProviderState> {
        let sealed = BASE64
            .decode(token.strip_prefix(StateSealer::PREFIX)?)
            .ok()?;
        let (text, mac) = sealed.split_at_checked(sealed.len().checked_sub(MAC_BYTES)?)?;
        hmac::verify(&self.key(), text, mac).ok()?;
        let mut parts = std::str::from_utf8(text).ok()?.splitn(4, SEPARATOR);
        let kind = match parts.next()? {
            "s" => ProviderStateKind::Signature,
            "r" => ProviderStateKind::Redacted,
            _ => return None,
        };
        let origin = Origin {
            dialect: parts.next()?.to_owned().into(),
            model: parts.next()?.to_owned(),
        };
        Some(ProviderState {
            origin: Some(origin),
            kind,
            data: parts.next()?.to_owned(),
        })
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider_state(data: &str) -> ProviderState {
        let origin = Origin {
            dialect: "gemini".into(),
            model: "gemini-3-pro".into(),
        };
        ProviderState {
            origin: Some(origin),
            kind: ProviderStateKind::Signature,
            data: data.into(),
        }
    }

    #[test]
    fn sealed_state_opens_only_unchanged_and_with_the_same_key() {
        let sealer = StateSealer::new([7; 32]);
        for data in ["", "c2ln", "a\nb\n", "日"] {
            let token = sealer.seal(&provider_state(data));
            assert_eq!(sealer.open(&token), provider_state(data));
            assert_eq!(StateSealer::new([8; 32]).open(&token).origin, None);
            for at in StateSealer::PREFIX.len()..token.len() {
                let mut changed = token.clone().into_bytes();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).expect("ASCII");
                assert_eq!(sealer.open(&changed).data, changed, "at {at}");
                assert_eq!(sealer.open(&token[..at]).origin, None, "cut at {at}");
            }
        }
    }

    #[test]
    fn state_without_seal_is_forwarded_unchanged() {
        let sealer = StateSealer::new([7; 32]);
        let foreign = sealer.open("EqQBCgIYAhIk");
        assert_eq!(
            (foreign.origin.as_ref(), foreign.data.as_str()),
            (None, "EqQBCgIYAhIk")
        );
        assert_eq!(sealer.seal(&foreign), "EqQBCgIYAhIk");
    }
}
