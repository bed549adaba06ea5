//! Mask of a provider's own secrets: a vendor may repeat the credential that it rejects, in an error body or inside a stream. What is
//! forwarded, logged or stored of such an error passes here.

use bytes::Bytes;
use memchr::memmem;

use crate::config::Provider;
use crate::dialect::UpstreamError;

/// Shorter values of headers, such as a name of an API version, are no secrets.
const SECRET_BYTES_MIN: usize = 12;
/// Text in place of a secret.
const MASK: &[u8] = b"[credential]";

/// The body of an error without the provider's secrets.
pub(super) fn masked_body(provider: &Provider, body: Bytes) -> Bytes {
    let headers = provider.headers.iter().map(|(_, value)| value);
    let mut body = body;
    let keys = provider.api_keys.iter().map(|key| &key.secret);
    for secret in headers.chain(keys) {
        let secret = secret.expose().as_bytes();
        if secret.len() < SECRET_BYTES_MIN || memmem::find(&body, secret).is_none() {
            continue;
        }
        let mut masked = Vec::with_capacity(body.len());
        let mut from = 0;
        for at in memmem::find_iter(&body, secret) {
            masked.extend_from_slice(&body[from..at]);
            masked.extend_from_slice(MASK);
            from = at + secret.len();
        }
        masked.extend_from_slice(&body[from..]);
        body = masked.into();
    }
    body
}

/// An error inside a response without the provider's secrets.
pub(super) fn masked_error(provider: &Provider, error: &UpstreamError) -> UpstreamError {
    UpstreamError {
        kind: masked_text(provider, &error.kind),
        message: masked_text(provider, &error.message),
        ..error.clone()
    }
}

fn masked_text(provider: &Provider, text: &str) -> String {
    let masked = masked_body(provider, Bytes::copy_from_slice(text.as_bytes()));
    String::from_utf8_lossy(&masked).into_owned()
}
