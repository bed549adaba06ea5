//! Scripted OpenID Connect issuer on loopback: discovery, keys and token endpoint. It checks what the client must prove (client, redirect
//! URI, PKCE), and signs whatever claims a test wants with whatever header.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::request::ReceivedRequest;
use super::script::Script;
use super::upstream::Upstream;

pub const CLIENT_ID: &str = "gatekeeper";
pub const CLIENT_SECRET: &str = "oidc-secret-canary-77";

/// Scripted issuer.
pub struct Issuer {
    upstream: Upstream,
    state: Arc<Mutex<State>>,
}

struct State {
    url: String,
    key: EcdsaKeyPair,
    key_id: String,
    header: Value,
    claims: Value,
    /// PKCE challenge and redirect URI of the sign-in that was asked for
    asked: HashMap<String, String>,
    redeemed: usize,
    /// replaces the signature by one of HMAC with the public key
    hmac: bool,
}

impl Issuer {
    pub fn start() -> Issuer {
        let upstream = Upstream::start();
        let state = State {
            url: upstream.url(),
            key: new_key(),
            key_id: "k-1".to_owned(),
            header: json!({"alg": "ES256"}),
            claims: json!({}),
            asked: HashMap::new(),
            redeemed: 0,
            hmac: false,
        };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        upstream.respond_with(Script::from_request(move |request| {
            shared.lock().expect("unpoisoned").answer(request)
        }));
        Issuer { upstream, state }
    }

    pub fn url(&self) -> String {
        self.upstream.url()
    }

    /// Claims over the usual ones; null removes one.
    pub fn claim(&self, claims: Value) -> &Issuer {
        self.state().claims = claims;
        self
    }

    /// Header of the tokens, beside the key.
    pub fn header(&self, header: Value) -> &Issuer {
        self.state().header = header;
        self
    }

    /// Signs tokens with HMAC under the public key, as a confused client would check them.
    pub fn sign_with_public_key(&self) {
        self.state().hmac = true;
        self.header(json!({"alg": "HS256"}));
    }

    /// Replaces the key.
    pub fn rotate(&self, key_id: &str) {
        let mut state = self.state();
        state.key = new_key();
        state.key_id = key_id.to_owned();
    }

    /// Number of codes that were redeemed.
    pub fn redeemed(&self) -> usize {
        self.state().redeemed
    }

    pub fn requests(&self) -> Vec<Arc<ReceivedRequest>> {
        self.upstream.requests()
    }

    /// The person agrees: remembers what the URL asks for; returns the query with which the browser goes back.
    pub fn authorize(&self, location: &str) -> String {
        let (base, query) = location.split_once('?').expect("a query");
        assert_eq!(base, format!("{}/authorize", self.url()));
        let asked = form(query);
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", CLIENT_ID),
            ("code_challenge_method", "S256"),
        ] {
            assert_eq!(asked[name], value);
        }
        assert!(asked["scope"].split(' ').any(|scope| scope == "openid"));
        let state = asked["state"].clone();
        self.state().asked = asked;
        format!("code=the-code&state={state}")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("unpoisoned")
    }
}

impl State {
    fn answer(&mut self, request: &ReceivedRequest) -> Script {
        let url = &self.url;
        match request.path() {
            "/.well-known/openid-configuration" => Script::json(
                200,
                &json!({"issuer": url, "authorization_endpoint": format!("{url}/authorize"),
                        "token_endpoint": format!("{url}/token"), "jwks_uri": format!("{url}/jwks")}),
            ),
            "/jwks" => Script::json(200, &self.keys()),
            "/token" => self.redeem(request),
            _ => Script::json(404, &json!({})),
        }
    }

    fn keys(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.key_id,
                         "x": coordinate(&point[1..33]), "y": coordinate(&point[33..])}]})
    }

    fn redeem(&mut self, request: &ReceivedRequest) -> Script {
        let sent = form(&String::from_utf8_lossy(&request.body));
        let basic = STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
        let challenge = digest(&SHA256, sent["code_verifier"].as_bytes());
        let is_right = request.header("authorization") == Some(&format!("Basic {basic}"))
            && sent["grant_type"] == "authorization_code"
            && sent["code"] == "the-code"
            && sent["redirect_uri"] == self.asked["redirect_uri"]
            && URL_SAFE_NO_PAD.encode(challenge) == self.asked["code_challenge"];
        if !is_right {
            return Script::json(400, &json!({"error": "invalid_grant"}));
        }
        self.redeemed += 1;
        Script::json(
            200,
            &json!({"token_type": "Bearer", "access_token": "unused", "id_token": self.token()}),
        )
    }

    fn token(&self) -> String {
        let now_s = std::time::UNIX_EPOCH.elapsed().expect("a time").as_secs();
        let mut claims = json!({
            "iss": self.url, "aud": CLIENT_ID, "sub": "u-1", "nonce": self.asked["nonce"],
            "iat": now_s, "exp": now_s + 300, "email": "ada@example.com", "email_verified": true, "name": "Ada",
        });
        for (name, value) in self.claims.as_object().expect("claims") {
            claims[name] = value.clone();
        }
        let mut header = self.header.clone();
        header["kid"] = json!(self.key_id);
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = if self.hmac {
            let key = self.key.public_key().as_ref();
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
            ring::hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
        } else {
            let signed = self.key.sign(&SystemRandom::new(), message.as_bytes());
            signed.expect("signed").as_ref().to_vec()
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn new_key() -> EcdsaKeyPair {
    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key")
}

/// Pairs of a form or a query, decoded.
fn form(text: &str) -> HashMap<String, String> {
    let decode = |text: &str| {
        let mut parts = text.split('%');
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).expect("hexadecimal"));
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        String::from_utf8(bytes).expect("UTF-8")
    };
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}
