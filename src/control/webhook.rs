//! Posts to a configured receiver, signed with its secret: budget alerts, and copies of the audit log.

use bytes::Bytes;
use ring::hmac;

use crate::config::Webhook;
use crate::domain::secret::Secret;
use crate::upstream::{Client, OutgoingRequest};

const SIGNATURE_HEADER: &str = "x-gatekeeper-signature";

/// `Err`: reason in words, without the address of the webhook.
pub(super) async fn post(
    client: &Client,
    webhook: &Webhook,
    content_type: &str,
    message: &str,
) -> Result<(), String> {
    let signature = webhook
        .secret
        .as_ref()
        .map(|secret| signature(secret, message));
    let mut headers = vec![("content-type", content_type), ("user-agent", "gatekeeper")];
    headers.extend(
        signature
            .as_deref()
            .map(|signature| (SIGNATURE_HEADER, signature)),
    );
    let body = Bytes::copy_from_slice(message.as_bytes());
    let outgoing = OutgoingRequest {
        url: webhook.url.expose(),
        connection: &webhook.connection,
        headers,
        body,
        head_timeout_ms: webhook.timeout_ms,
    };
    match client.post(outgoing, |_| false).await {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
        Ok(answer) => Err(format!("status {}", answer.status)),
        Err(error) => Err(error.to_string()),
    }
}

fn signature(secret: &Secret, message: &str) -> String {
    use std::fmt::Write;
    let digest = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()),
        message.as_bytes(),
    );
    digest
        .as_ref()
        .iter()
        .fold("sha256=".to_owned(), |mut text, byte| {
            // writing to a String cannot fail
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_hmac_sha256_of_the_body() {
        // RFC 4231, test case 2
        let signed = signature(&Secret::new("Jefe"), "what do ya want for nothing?");
        assert_eq!(
            signed,
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
