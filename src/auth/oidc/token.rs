//! ID tokens (OpenID Connect Core, section 3.1.3.7; JWS compact serialization, RFC 7515): signature by a key of the issuer, then issuer,
//! audience, time and nonce. The algorithm of the header only selects among those that the issuer's keys are for.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::auth::oidc::jwks::{Algorithm, KeySet};

/// Difference between the clocks of the issuer and this machine.
pub const SKEW_S: u64 = 60;
const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// Reason why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("malformed ID token")]
    Malformed,
    #[error("ID token signed with an algorithm other than RS256 and ES256")]
    Algorithm,
    #[error("ID token signed by an unknown key")]
    UnknownKey,
    #[error("ID token with an invalid signature")]
    Signature,
    #[error("ID token of another issuer")]
    Issuer,
    #[error("ID token for another client")]
    Audience,
    #[error("ID token of another sign-in (nonce)")]
    Nonce,
    #[error("ID token expired; check the clocks of this machine and the issuer")]
    Expired,
    #[error("ID token from the future; check the clocks of this machine and the issuer")]
    NotYetValid,
}

/// Claims that a token must have.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'e> {
    pub issuer: &'e str,
    pub client_id: &'e str,
    pub nonce: &'e str,
    pub now_s: u64,
}

/// Claims of a verified token.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    pub subject: String,
    all: Map<String, Value>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// extensions that a reader must understand: none is
    crit: Option<Value>,
}

/// Name of the key that a token says it was signed with; the outer `None` for a malformed token.
pub fn key_id(token: &str) -> Option<Option<String>> {
    let (header, _) = token.split_once('.')?;
    decoded::<Header>(header).map(|header| header.kid)
}

/// Verifies a token with the keys of the issuer.
pub fn verify(
    token: &str,
    keys: &KeySet,
    expected: &Expectation<'_>,
) -> Result<Claims, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
    let header: Header = decoded(header).ok_or(TokenError::Malformed)?;
    if header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    let algorithm = Algorithm::parse(&header.alg).ok_or(TokenError::Algorithm)?;
    let signature = URL_SAFE_NO_PAD.decode(signature);
    let signature = signature.map_err(|_| TokenError::Malformed)?;
    let id = header.kid.as_deref();
    if !keys.has(id) {
        return Err(TokenError::UnknownKey);
    }
    if !keys.verify(id, algorithm, message.as_bytes(), &signature) {
        return Err(TokenError::Signature);
    }
    let claims: Map<String, Value> = decoded(payload).ok_or(TokenError::Malformed)?;
    check(claims, expected)
}

fn decoded<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn check(claims: Map<String, Value>, expected: &Expectation<'_>) -> Result<Claims, TokenError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(TokenError::Issuer);
    }
    check_audience(&claims, expected.client_id)?;
    if text("nonce") != Some(expected.nonce) {
        return Err(TokenError::Nonce);
    }
    // issuers may write seconds as a number with a fraction
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64);
    let now_s = expected.now_s as f64;
    let skew_s = SKEW_S as f64;
    let expires_s = seconds("exp").ok_or(TokenError::Malformed)?;
    if now_s >= expires_s + skew_s {
        return Err(TokenError::Expired);
    }
    let issued_s = seconds("iat").ok_or(TokenError::Malformed)?;
    let begins_s = seconds("nbf").unwrap_or(issued_s).max(issued_s);
    if begins_s > now_s + skew_s {
        return Err(TokenError::NotYetValid);
    }
    let subject = text("sub").filter(|subject| !subject.is_empty() && subject.len() <= 255);
    Ok(Claims {
        subject: subject.ok_or(TokenError::Malformed)?.to_owned(),
        all: claims,
    })
}

/// A token for several clients must name the one that it was issued to.
fn check_audience(claims: &Map<String, Value>, client_id: &str) -> Result<(), TokenError> {
    let authorized = claims.get("azp");
    let is_for_client = match claims.get("aud") {
        Some(Value::String(audience)) => audience == client_id,
        Some(Value::Array(audiences)) => {
            let is_named = audiences.iter().any(|audience| audience == client_id);
            is_named && (audiences.len() == 1 || authorized.is_some())
        }
        _ => false,
    };
    let is_authorized = authorized.is_none_or(|authorized| authorized == client_id);
    match is_for_client && is_authorized {
        true => Ok(()),
        false => Err(TokenError::Audience),
    }
}

impl Claims {
    /// The e-mail address, and true if the issuer has verified it.
    pub fn email(&self) -> Option<(&str, bool)> {
        let email = self.all.get("email")?.as_str()?;
        // some issuers write the boolean as text
        let verified = self.all.get("email_verified");
        let is_verified = verified.is_some_and(|value| *value == true || *value == "true");
        Some((email, is_verified))
    }

    pub fn name(&self) -> Option<&str> {
        let names = ["name", "preferred_username"];
        let mut found = names
            .iter()
            .filter_map(|name| self.all.get(*name)?.as_str());
        found.find(|name| !name.is_empty())
    }

    /// Texts of a claim, or of a member of one: `groups`, `realm_access.roles`.
    pub fn texts(&self, path: &str) -> Vec<&str> {
        let whole = self.all.get(path);
        let nested = || {
            let mut parts = path.split('.');
            let first = self.all.get(parts.next()?)?;
            parts.try_fold(first, |value, part| value.get(part))
        };
        match whole.or_else(nested) {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::json;

    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    fn expected() -> Expectation<'static> {
        Expectation {
            issuer: "https://id.example.com",
            client_id: "gate",
            nonce: "n-1",
            now_s: NOW_S,
        }
    }

    fn claims() -> Value {
        json!({"iss": "https://id.example.com", "aud": "gate", "nonce": "n-1", "sub": "u-1",
               "exp": NOW_S + 300, "iat": NOW_S - 5})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Signer {
            let random = SystemRandom::new();
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random);
            Signer(pair.expect("a key"))
        }

        fn keys(&self, id: &str) -> KeySet {
            let point = self.0.public_key().as_ref();
            let (x, y) = (
                URL_SAFE_NO_PAD.encode(&point[1..33]),
                URL_SAFE_NO_PAD.encode(&point[33..]),
            );
            let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "kid": id, "x": x, "y": y}]});
            KeySet::parse(set.to_string().as_bytes()).expect("a set")
        }

        fn token(&self, header: &Value, claims: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let message = format!("{}.{}", part(header), part(claims));
            let signature = self.0.sign(&SystemRandom::new(), message.as_bytes());
            let signature = signature.expect("signed");
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn es256() -> Value {
        json!({"alg": "ES256", "kid": "k-1"})
    }

    #[test]
    fn token_of_the_issuer_for_this_client_is_accepted() {
        let signer = Signer::new();
        let keys = signer.keys("k-1");
        let verified = verify(&signer.token(&es256(), &claims()), &keys, &expected());
        assert_eq!(verified.expect("valid").subject, "u-1");
        let several = with("aud", json!(["other", "gate"]));
        let mut named = several.clone();
        named["azp"] = json!("gate");
        assert!(verify(&signer.token(&es256(), &named), &keys, &expected()).is_ok());
        // clocks may differ a little
        let early = with("iat", json!(NOW_S + SKEW_S));
        assert!(verify(&signer.token(&es256(), &early), &keys, &expected()).is_ok());
        let late = with("exp", json!(NOW_S - SKEW_S + 1));
        assert!(verify(&signer.token(&es256(), &late), &keys, &expected()).is_ok());
    }

    #[test]
    fn token_within_the_clock_skew_is_accepted() {
        let signer = Signer::new();
        let keys = signer.keys("k-1");
        for claims in [
            with("exp", json!(NOW_S - SKEW_S + 1)),
            with("iat", json!(NOW_S + SKEW_S)),
            with("nbf", json!(NOW_S + SKEW_S)),
        ] {
            let token = signer.token(&es256(), &claims);
            assert!(verify(&token, &keys, &expected()).is_ok(), "{claims}");
        }
    }

    #[test]
    fn token_of_a_rotated_key_is_accepted_with_the_new_keys_only() {
        let (old, new) = (Signer::new(), Signer::new());
        let header = json!({"alg": "ES256", "kid": "k-2"});
        let token = new.token(&header, &claims());
        let refused = verify(&token, &old.keys("k-1"), &expected());
        assert_eq!(refused, Err(TokenError::UnknownKey));
        assert!(verify(&token, &new.keys("k-2"), &expected()).is_ok());
        let reused = verify(&token, &old.keys("k-2"), &expected());
        assert_eq!(reused, Err(TokenError::Signature));
    }

    #[test]
    fn token_with_any_wrong_claim_is_refused() {
        let signer = Signer::new();
        let keys = signer.keys("k-1");
        for (claims, error) in [
            (
                with("iss", json!("https://evil.example.com")),
                TokenError::Issuer,
            ),
            (with("aud", json!("other")), TokenError::Audience),
            (with("aud", json!(["gate", "other"])), TokenError::Audience),
            (with("azp", json!("other")), TokenError::Audience),
            (with("nonce", json!("n-2")), TokenError::Nonce),
            (with("nonce", Value::Null), TokenError::Nonce),
            (with("exp", json!(NOW_S - SKEW_S)), TokenError::Expired),
            (with("exp", Value::Null), TokenError::Malformed),
            (
                with("iat", json!(NOW_S + SKEW_S + 1)),
                TokenError::NotYetValid,
            ),
            (
                with("nbf", json!(NOW_S + SKEW_S + 1)),
                TokenError::NotYetValid,
            ),
            (with("sub", json!("")), TokenError::Malformed),
        ] {
            let refused = verify(&signer.token(&es256(), &claims), &keys, &expected());
            assert_eq!(refused, Err(error), "{claims}");
        }
    }

    #[test]
    fn token_without_a_signature_of_the_issuer_is_refused() {
        let signer = Signer::new();
        let keys = signer.keys("k-1");
        let refused = |token: &str| verify(token, &keys, &expected()).expect_err("refused");
        for alg in ["none", "None", "HS256", "RS512", "PS256", ""] {
            let token = signer.token(&json!({"alg": alg, "kid": "k-1"}), &claims());
            assert_eq!(refused(&token), TokenError::Algorithm, "{alg}");
        }
        let token = signer.token(&es256(), &claims());
        let (message, _) = token.rsplit_once('.').expect("parts");
        assert_eq!(refused(&format!("{message}.")), TokenError::Signature);
        let other = Signer::new().token(&es256(), &claims());
        assert_eq!(refused(&other), TokenError::Signature);
        let unknown = signer.token(&json!({"alg": "ES256", "kid": "k-2"}), &claims());
        assert_eq!(refused(&unknown), TokenError::UnknownKey);
        // a key of another kind does not fit the algorithm
        let rsa = signer.token(&json!({"alg": "RS256", "kid": "k-1"}), &claims());
        assert_eq!(refused(&rsa), TokenError::Signature);
        let critical = json!({"alg": "ES256", "kid": "k-1", "crit": ["b64"]});
        assert_eq!(
            refused(&signer.token(&critical, &claims())),
            TokenError::Malformed
        );
        for malformed in ["", ".", "..", "a.b.c", message] {
            assert_eq!(refused(malformed), TokenError::Malformed, "{malformed}");
        }
    }

    #[test]
    fn signatures_equal_the_vectors_of_rfc_7515() {
        // appendix A.2 (RS256) and A.3 (ES256): the payload is not an ID token, so the signature alone is accepted
        let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let rsa = r#"{"keys":[{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]}"#;
        let rs256 = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
        let ec = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
        let es256 = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        for (header, keys, signature) in [
            ("eyJhbGciOiJSUzI1NiJ9", rsa, rs256),
            ("eyJhbGciOiJFUzI1NiJ9", ec, es256),
        ] {
            let keys = KeySet::parse(keys.as_bytes()).expect("a set");
            let token = format!("{header}.{payload}.{signature}");
            assert_eq!(
                verify(&token, &keys, &expected()),
                Err(TokenError::Issuer),
                "the signature is accepted"
            );
            let changed = token.replacen("eyJpc3M", "eyJpc3N", 1);
            assert_eq!(
                verify(&changed, &keys, &expected()),
                Err(TokenError::Signature)
            );
        }
    }

    #[test]
    fn claims_give_address_name_and_groups() {
        let claims = |json: Value| Claims {
            subject: "u".into(),
            all: json.as_object().expect("an object").clone(),
        };
        let of_text = claims(json!({"email": "a@b.c", "email_verified": "true", "groups": "eng"}));
        assert_eq!(of_text.email(), Some(("a@b.c", true)));
        assert_eq!(of_text.texts("groups"), ["eng"]);
        let nested = claims(
            json!({"email": "a@b.c", "realm_access": {"roles": ["x", 1, "y"]},
                                   "https://corp/groups.all": ["z"], "preferred_username": "ada"}),
        );
        assert_eq!(nested.email(), Some(("a@b.c", false)));
        assert_eq!(nested.texts("realm_access.roles"), ["x", "y"]);
        assert_eq!(nested.texts("https://corp/groups.all"), ["z"]);
        assert!(nested.texts("missing.roles").is_empty());
        assert_eq!(nested.name(), Some("ada"));
    }
}
