//! Keys of an issuer (JWK Set, RFC 7517): RSA for RS256 and P-256 for ES256. Keys of other kinds and uses are skipped.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

/// Keys of a set that are looked at.
const KEYS_MAX: usize = 100;

/// Signature algorithm that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    pub fn parse(name: &str) -> Option<Algorithm> {
        match name {
            "RS256" => Some(Algorithm::Rs256),
            "ES256" => Some(Algorithm::Es256),
            _ => None,
        }
    }
}

/// Public keys that sign tokens.
#[derive(Clone, Debug, Default)]
pub struct KeySet(Vec<SigningKey>);

#[derive(Clone, Debug)]
struct SigningKey {
    id: Option<String>,
    material: KeyMaterial,
}

#[derive(Clone, Debug)]
enum KeyMaterial {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// uncompressed point
    P256(Vec<u8>),
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// `None`: the text is no JWK Set.
    pub fn parse(json: &[u8]) -> Option<KeySet> {
        let set: JwkSet = serde_json::from_slice(json).ok()?;
        let keys = set.keys.into_iter().take(KEYS_MAX);
        Some(KeySet(keys.filter_map(SigningKey::of).collect()))
    }

    /// True if a token that names this key can be checked.
    pub fn has(&self, id: Option<&str>) -> bool {
        self.named(id).next().is_some()
    }

    /// True if one of the keys of that name has signed the message. A key only fits the algorithm of its kind.
    pub fn verify(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        self.named(id)
            .any(|key| key.material.verify(algorithm, message, signature))
    }

    fn named<'k>(&'k self, id: Option<&'k str>) -> impl Iterator<Item = &'k SigningKey> {
        let is_named = move |key: &&SigningKey| match (id, key.id.as_deref()) {
            (Some(id), Some(own)) => id == own,
            // an issuer with one key may leave out its name
            _ => true,
        };
        self.0.iter().filter(is_named)
    }
}

impl SigningKey {
    fn of(jwk: Jwk) -> Option<SigningKey> {
        if jwk.purpose.is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
        let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => KeyMaterial::Rsa {
                modulus: bytes(jwk.n)?,
                exponent: bytes(jwk.e)?,
            },
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(jwk.x)?, bytes(jwk.y)?);
                KeyMaterial::P256([&[4][..], &x, &y].concat())
            }
            _ => return None,
        };
        Some(SigningKey {
            id: jwk.kid,
            material,
        })
    }
}

impl KeyMaterial {
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (self, algorithm) {
            (KeyMaterial::Rsa { modulus, exponent }, Algorithm::Rs256) => {
                let (n, e) = (modulus.as_slice(), exponent.as_slice());
                RsaPublicKeyComponents { n, e }
                    .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                    .is_ok()
            }
            (KeyMaterial::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signature)
                    .is_ok()
            }
            _ => false,
        }
    }
}
