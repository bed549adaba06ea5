//! AWS Signature Version 4 for Bedrock: takes a request as it will be sent and the time, returns
//! the headers that sign it. Pure computation: must never read a clock, nor put a secret into
//! anything but a `Secret`.

use std::fmt::Write as _;

use jiff::Timestamp;
use ring::hmac;
use sha2::{Digest, Sha256};

use crate::domain::secret::Secret;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SCOPE_END: &str = "aws4_request";

/// Long-lived keys of an IAM user, or temporary keys with a session token.
#[derive(Clone, Debug)]
pub struct AwsKeys {
    pub access_key_id: Secret,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
}

/// Signer for one region and one service.
#[derive(Clone, Debug)]
pub struct Signer {
    pub keys: AwsKeys,
    pub region: String,
    pub service: &'static str,
}

/// POST request as it will be sent.
#[derive(Clone, Copy, Debug)]
pub struct RequestToSign<'a> {
    /// scheme, host, port and path, percent-encoded as on the wire; without a query
    pub url: &'a str,
    /// headers to sign, names in lower case
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

impl Signer {
    /// Headers to add: `host`, `x-amz-date`, `x-amz-security-token` (with a session token),
    /// `authorization`.
    pub fn sign(&self, request: &RequestToSign<'_>, now_ms: u64) -> Vec<(&'static str, Secret)> {
        let (host, path) = host_and_path(request.url);
        let time = timestamp(now_ms);
        let mut added = vec![
            ("host", Secret::new(host)),
            ("x-amz-date", Secret::new(time.as_str())),
        ];
        added.extend(
            self.keys
                .session_token
                .clone()
                .map(|token| ("x-amz-security-token", token)),
        );

        let mut headers: Vec<(&str, &str)> = added
            .iter()
            .map(|(name, value)| (*name, value.expose()))
            .collect();
        headers.extend_from_slice(request.headers);
        headers.sort_unstable();
        let names = headers
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(";");

        let canonical = canonical_request(&path, &headers, &names, request.body);
        let scope = format!(
            "{}/{}/{}/{SCOPE_END}",
            day(&time),
            self.region,
            self.service
        );
        let to_sign = format!(
            "{ALGORITHM}\n{time}\n{scope}\n{}",
            hex(&Sha256::digest(canonical))
        );
        let signature = hex(mac(self.signing_key(day(&time)).as_ref(), &to_sign).as_ref());
        let id = self.keys.access_key_id.expose();
        let authorization = format!(
            "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
        );
        added.push(("authorization", Secret::new(authorization)));
        added
    }

    fn signing_key(&self, day: &str) -> hmac::Tag {
        let secret = format!("AWS4{}", self.keys.secret_access_key.expose());
        let date_key = mac(secret.as_bytes(), day);
        let region_key = mac(date_key.as_ref(), &self.region);
        let service_key = mac(region_key.as_ref(), self.service);
        mac(service_key.as_ref(), SCOPE_END)
    }
}

/// Canonical request, the hashed form that both sides compute.
fn canonical_request(path: &str, headers: &[(&str, &str)], names: &str, body: &[u8]) -> String {
    let mut text = format!("POST\n{path}\n\n");
    for (name, value) in headers {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        // writing to a String cannot fail
        let _ = writeln!(text, "{name}:{value}");
    }
    let _ = write!(text, "\n{names}\n{}", hex(&Sha256::digest(body)));
    text
}

/// Host with any non-default port, and the path encoded once more: `%3A` on the wire is signed as
/// `%253A`.
fn host_and_path(url: &str) -> (String, String) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let default_port = if scheme == "http" { ":80" } else { ":443" };
    let host = authority
        .strip_suffix(default_port)
        .unwrap_or(authority)
        .to_ascii_lowercase();
    let mut encoded = String::with_capacity(path.len() + 16);
    encoded.push('/');
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    (host, encoded)
}

/// `20261124T063000Z`.
fn timestamp(now_ms: u64) -> String {
    let timestamp = i64::try_from(now_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::MAX);
    timestamp.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn day(time: &str) -> &str {
    time.split('T').next().unwrap_or_default()
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// Generated with botocore's signer:
    /// `python tests/sdk/sigv4.py > tests/golden/bedrock/sigv4.json`.
    const VECTORS: &str = include_str!("../../../tests/golden/bedrock/sigv4.json");

    #[derive(Deserialize)]
    struct Vector {
        url: String,
        region: String,
        access_key_id: String,
        secret_access_key: String,
        session_token: Option<String>,
        now_ms: u64,
        headers: Vec<(String, String)>,
        body: String,
        signed: Vec<(String, String)>,
    }

    #[test]
    fn sigv4_signature_equals_botocore() {
        let vectors: Vec<Vector> = serde_json::from_str(VECTORS).expect("the vectors");
        assert!(vectors.len() >= 100, "{}", vectors.len());
        for vector in vectors {
            let keys = AwsKeys {
                access_key_id: Secret::new(vector.access_key_id),
                secret_access_key: Secret::new(vector.secret_access_key),
                session_token: vector.session_token.map(Secret::new),
            };
            let signer = Signer {
                keys,
                region: vector.region,
                service: "bedrock",
            };
            let headers: Vec<(&str, &str)> = vector
                .headers
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            let request = RequestToSign {
                url: &vector.url,
                headers: &headers,
                body: vector.body.as_bytes(),
            };
            let signed: Vec<(String, String)> = signer
                .sign(&request, vector.now_ms)
                .iter()
                .map(|(n, v)| ((*n).to_owned(), v.expose().to_owned()))
                .collect();
            assert_eq!(signed, vector.signed, "{}", vector.url);
        }
    }

    #[test]
    fn sigv4_canonical_path_is_encoded_twice() {
        let (host, path) =
            host_and_path("https://bedrock-runtime.eu-west-1.amazonaws.com/model/a.b%3A0/converse");
        assert_eq!(
            (host.as_str(), path.as_str()),
            (
                "bedrock-runtime.eu-west-1.amazonaws.com",
                "/model/a.b%253A0/converse"
            )
        );
        for (url, expected) in [
            ("http://127.0.0.1:8080", ("127.0.0.1:8080", "/")),
            ("http://Host:80/x", ("host", "/x")),
            ("https://host:443/x", ("host", "/x")),
            ("https://host:80/x", ("host:80", "/x")),
            ("http://[::1]:9/a~b", ("[::1]:9", "/a~b")),
        ] {
            let (host, path) = host_and_path(url);
            assert_eq!((host.as_str(), path.as_str()), expected);
        }
    }

    #[test]
    fn sigv4_debug_output_contains_no_secret() {
        let keys = AwsKeys {
            access_key_id: Secret::new("AKIDCANARY"),
            secret_access_key: Secret::new("canary"),
            session_token: Some(Secret::new("canary")),
        };
        let signer = Signer {
            keys,
            region: "eu-west-1".into(),
            service: "bedrock",
        };
        let request = RequestToSign {
            url: "https://h/",
            headers: &[],
            body: b"",
        };
        let printed = format!("{signer:?} {:?}", signer.sign(&request, 0)).to_lowercase();
        assert!(!printed.contains("canary"), "{printed}");
    }
}
