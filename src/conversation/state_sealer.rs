//! The seal on what only a vendor can read, for the way through a client of another dialect: who made it, the bytes, and a
//! code that nobody else can make. What does not open is told as nobody's: it may be genuine, and is for its vendor to judge.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;

use crate::conversation::{Origin, ProviderState, ProviderStateKind};

const CODE_BYTES: usize = 32;
/// Between the parts of what is sealed: in no dialect's word and in no model's name.
const BETWEEN: char = '\n';

/// The key of one instance.
#[derive(Clone)]
pub struct StateSealer([u8; 32]);

impl std::fmt::Debug for StateSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Envelope")
    }
}

impl StateSealer {
    /// How a sealed token begins, and no vendor's own; the digit is the version of what follows.
    pub const PREFIX: &str = "gk1.";

    pub fn new(key: [u8; 32]) -> StateSealer {
        StateSealer(key)
    }

    /// The token that a client is given in the place of the vendor's own bytes. What has no origin is handed on as it is.
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
            format!("{kind}{BETWEEN}{dialect}{BETWEEN}{model}{BETWEEN}{data}").into_bytes();
        let code = hmac::sign(&self.key(), &sealed);
        sealed.extend_from_slice(code.as_ref());
        format!("{}{}", StateSealer::PREFIX, BASE64.encode(sealed))
    }

    /// What a client sent: our own token opened, or the very bytes with no origin.
    pub fn open(&self, token: &str) -> ProviderState {
        self.opened(token).unwrap_or_else(|| ProviderState {
            origin: None,
            kind: ProviderStateKind::Signature,
            data: token.to_owned(),
        })
    }

    fn opened(&self, token: &str) -> Option<ProviderState> {
        let sealed = BASE64
            .decode(token.strip_prefix(StateSealer::PREFIX)?)
            .ok()?;
        let (text, code) = sealed.split_at_checked(sealed.len().checked_sub(CODE_BYTES)?)?;
        hmac::verify(&self.key(), text, code).ok()?;
        let mut parts = std::str::from_utf8(text).ok()?.splitn(4, BETWEEN);
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
    fn what_is_sealed_opens_only_whole_and_with_the_same_key() {
        let envelope = StateSealer::new([7; 32]);
        for data in ["", "c2ln", "a\nb\n", "日"] {
            let token = envelope.seal(&provider_state(data));
            assert_eq!(envelope.open(&token), provider_state(data));
            assert_eq!(StateSealer::new([8; 32]).open(&token).origin, None);
            for at in StateSealer::PREFIX.len()..token.len() {
                let mut changed = token.clone().into_bytes();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).expect("ASCII");
                assert_eq!(envelope.open(&changed).data, changed, "at {at}");
                assert_eq!(envelope.open(&token[..at]).origin, None, "cut at {at}");
            }
        }
    }

    #[test]
    fn what_others_made_passes_untouched() {
        let envelope = StateSealer::new([7; 32]);
        let foreign = envelope.open("EqQBCgIYAhIk");
        assert_eq!(
            (foreign.origin.as_ref(), foreign.data.as_str()),
            (None, "EqQBCgIYAhIk")
        );
        assert_eq!(envelope.seal(&foreign), "EqQBCgIYAhIk");
    }
}
