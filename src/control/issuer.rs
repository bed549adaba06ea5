//! The issuer as it describes itself: endpoints (OpenID Connect Discovery) and keys (JWKS), fetched when a sign-in needs them and kept
//! for an hour. An issuer rotates its keys: an unknown one is looked up at once, and further unknown ones at most once a minute.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Deserialize;

use crate::auth::oidc::jwks::KeySet;
use crate::config::OidcConfig;
use crate::domain::egress::ConnectionConfig;
use crate::upstream::{Client, OutgoingRequest};

const KEPT_MS: u64 = 3_600_000;
const KEYS_REREAD_MS: u64 = 60_000;
const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// Discovery document, as far as it is used.
#[derive(Clone, Debug, Deserialize)]
pub struct Endpoints {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub jwks_uri: String,
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
}

/// An issuer with what is known of it.
#[derive(Debug)]
pub struct Issuer {
    pub config: OidcConfig,
    pub redirect_uri: String,
    connection: ConnectionConfig,
    known: Mutex<IssuerState>,
}

#[derive(Debug, Default)]
struct IssuerState {
    endpoints: Option<(u64, Arc<Endpoints>)>,
    keys: Option<(u64, Arc<KeySet>)>,
    /// last look for an unknown key
    reread_ms: Option<u64>,
}

impl Issuer {
    /// `redirect_uri`: where the issuer sends the browser back to.
    pub fn new(config: OidcConfig, redirect_uri: String) -> Issuer {
        Issuer {
            connection: ConnectionConfig {
                private_hosts: config.private_hosts.clone(),
                ..ConnectionConfig::default()
            },
            config,
            redirect_uri,
            known: Mutex::default(),
        }
    }

    /// Endpoints; `Err` says why the issuer cannot be used.
    pub async fn endpoints(&self, client: &Client, now_ms: u64) -> Result<Arc<Endpoints>, String> {
        let kept = self.known().endpoints.clone();
        if let Some((_, endpoints)) = kept.filter(|(at_ms, _)| now_ms < at_ms + KEPT_MS) {
            return Ok(endpoints);
        }
        let base = self.config.issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let text = self.get(client, &url).await?;
        let endpoints: Endpoints =
            serde_json::from_slice(&text).map_err(|_| "malformed discovery document".to_owned())?;
        self.check(&endpoints)?;
        let endpoints = Arc::new(endpoints);
        self.known().endpoints = Some((now_ms, endpoints.clone()));
        Ok(endpoints)
    }

    /// An issuer speaks for itself only, and sends no secret over plain HTTP.
    fn check(&self, endpoints: &Endpoints) -> Result<(), String> {
        if endpoints.issuer != self.config.issuer {
            return Err(format!(
                "the discovery document is of the issuer `{}`; write exactly that as `issuer`",
                endpoints.issuer
            ));
        }
        let scheme = match self.config.issuer.starts_with("http://") {
            true => "http",
            false => "https://",
        };
        let urls = [
            &endpoints.authorization_endpoint,
            &endpoints.token_endpoint,
            &endpoints.jwks_uri,
        ];
        match urls.iter().all(|url| url.starts_with(scheme)) {
            true => Ok(()),
            false => Err("the discovery document names an endpoint without TLS".to_owned()),
        }
    }

    /// Keys of the issuer. If none has the name, they are read again, within bounds.
    pub async fn keys(
        &self,
        client: &Client,
        endpoints: &Endpoints,
        id: Option<&str>,
        now_ms: u64,
    ) -> Result<Arc<KeySet>, String> {
        let kept = self.known().keys.clone();
        if let Some((at_ms, keys)) = kept {
            let is_fresh = now_ms < at_ms + KEPT_MS;
            if is_fresh && (keys.has(id) || !self.take_reread(now_ms)) {
                return Ok(keys);
            }
        }
        let text = self.get(client, &endpoints.jwks_uri).await?;
        let keys = KeySet::parse(&text).ok_or("malformed keys of the issuer")?;
        let keys = Arc::new(keys);
        self.known().keys = Some((now_ms, keys.clone()));
        Ok(keys)
    }

    /// Takes the permission to look for an unknown key, which is given once a minute.
    fn take_reread(&self, now_ms: u64) -> bool {
        let mut known = self.known();
        let is_due = known
            .reread_ms
            .is_none_or(|reread_ms| now_ms >= reread_ms + KEYS_REREAD_MS);
        if is_due {
            known.reread_ms = Some(now_ms);
        }
        is_due
    }

    /// Sends a form to an endpoint of the issuer; the body of a 200.
    pub(super) async fn post_form(
        &self,
        client: &Client,
        url: &str,
        form: String,
        authorization: Option<&str>,
    ) -> Result<Bytes, String> {
        let mut headers = vec![
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
        ];
        headers.extend(authorization.map(|value| ("authorization", value)));
        let outgoing = self.outgoing(url, headers, form.into());
        let answer = client.post(outgoing, |_| false).await;
        self.body(answer).await
    }

    async fn get(&self, client: &Client, url: &str) -> Result<Bytes, String> {
        let outgoing = self.outgoing(url, vec![("accept", "application/json")], Bytes::new());
        let answer = client.get(outgoing, |_| false).await;
        self.body(answer).await
    }

    fn outgoing<'r>(
        &'r self,
        url: &'r str,
        headers: Vec<(&'r str, &'r str)>,
        body: Bytes,
    ) -> OutgoingRequest<'r> {
        OutgoingRequest {
            url,
            connection: &self.connection,
            headers,
            body,
            head_timeout_ms: self.config.timeout_ms,
        }
    }

    async fn body(
        &self,
        answer: Result<crate::upstream::IncomingResponse, crate::upstream::TransportError>,
    ) -> Result<Bytes, String> {
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("status {}", answer.status));
        }
        answer
            .read_body(DOCUMENT_BYTES_MAX, self.config.timeout_ms, |_| {})
            .await
            .map_err(|error| error.to_string())
    }

    fn known(&self) -> MutexGuard<'_, IssuerState> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoints {
    /// Hosts that the process connects to, with the port where one is written.
    pub fn hosts(&self) -> Vec<&str> {
        let authority = |url: &'_ str| -> Option<(usize, usize)> {
            let start = url.find("://")? + 3;
            let length = url[start..].find(['/', '?']).unwrap_or(url.len() - start);
            Some((start, start + length))
        };
        let mut hosts: Vec<&str> = [&self.token_endpoint, &self.jwks_uri]
            .into_iter()
            .filter_map(|url| authority(url).map(|(from, to)| &url[from..to]))
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }
}
