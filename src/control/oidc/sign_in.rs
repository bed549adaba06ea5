//! One sign-in through the issuer: the URL to which the browser is sent, and the session for the code that it brings back. A refusal is
//! an audit event, bounded like failed passwords.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::auth::oidc::attempt::Attempt;
use crate::auth::oidc::token::{self, Claims, Expectation};
use crate::config::OidcConfig;
use crate::control::issuer::{Endpoints, Issuer};
use crate::control::plane::Control;
use crate::control::sign_in::NewSession;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::percent::percent_encode;
use crate::domain::sign_in::OIDC_SESSION_MS;
use crate::upstream::Client;

/// A sign-in that begins: the browser keeps the secret of the attempt and goes to the URL.
#[derive(Debug)]
pub struct Redirect {
    pub attempt: Attempt,
    pub url: String,
}

/// Parameters with which the issuer sends the browser back.
#[derive(Clone, Debug, Default)]
pub struct Callback {
    pub state: Option<String>,
    pub code: Option<String>,
    /// error code of the issuer
    pub error: Option<String>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
}

impl Control {
    fn issuer(&self) -> Result<&Arc<Issuer>, ApiError> {
        self.issuer.as_ref().ok_or_else(|| {
            let message =
                "sign-in through an issuer is off; set [sign_in.oidc] in the configuration";
            ApiError::new(ErrorCode::NotFound, message)
        })
    }

    /// Host of the issuer, for the sign-in page; `None` if it is off.
    pub fn issuer_name(&self) -> Option<&str> {
        let issuer = &self.issuer.as_ref()?.config.issuer;
        let (_, rest) = issuer.split_once("://")?;
        rest.split('/').next()
    }

    /// Begins a sign-in.
    pub async fn begin_oidc(&self, client: &Client) -> Result<Redirect, ApiError> {
        let issuer = self.issuer()?;
        let now_ms = self.now_ms();
        let endpoints = issuer.endpoints(client, now_ms).await;
        let endpoints = endpoints.map_err(|reason| unreachable(&reason))?;
        let attempt = Attempt::begin(now_ms).map_err(crate::control::keys::no_random_bytes)?;
        let parameters: [(&str, &str); 8] = [
            ("response_type", "code"),
            ("client_id", &issuer.config.client_id),
            ("redirect_uri", &issuer.redirect_uri),
            ("scope", "openid email profile"),
            ("state", &attempt.state()),
            ("nonce", &attempt.nonce()),
            ("code_challenge", &attempt.challenge()),
            ("code_challenge_method", "S256"),
        ];
        let base = &endpoints.authorization_endpoint;
        let separator = if base.contains('?') { '&' } else { '?' };
        let url = format!("{base}{separator}{}", form(&parameters));
        Ok(Redirect { attempt, url })
    }

    /// Ends a sign-in: redeems the code and starts a session of the user that the issuer names.
    pub async fn finish_oidc(
        &self,
        client: &Client,
        cookie: Option<&str>,
        callback: Callback,
        address: Option<IpAddr>,
    ) -> Result<NewSession, ApiError> {
        let finished = self.redeem_code(client, cookie, callback, address).await;
        finished.map_err(|refusal| {
            if let Some(reason) = refusal.reason {
                self.note_denial("sign_in.failed", None, address, reason);
            }
            *refusal.error
        })
    }

    async fn redeem_code(
        &self,
        client: &Client,
        cookie: Option<&str>,
        callback: Callback,
        address: Option<IpAddr>,
    ) -> Result<NewSession, Refusal> {
        let issuer = self.issuer().map_err(Refusal::unnoted)?;
        let now_ms = self.now_ms();
        let attempt = cookie.and_then(|cookie| Attempt::of_cookie(cookie, now_ms));
        let attempt = attempt.filter(|attempt| callback.state == Some(attempt.state()));
        let Some(attempt) = attempt else {
            let message = "the sign-in has expired or was begun in another browser; begin anew";
            return Err(Refusal::of("oidc_state", message));
        };
        let Some(code) = callback.code else {
            let error = callback.error.unwrap_or_default();
            let shown: String = error
                .chars()
                .filter(char::is_ascii_graphic)
                .take(60)
                .collect();
            let message = format!("the issuer refused the sign-in: {shown}");
            return Err(Refusal::of("oidc_refused", &message));
        };
        let endpoints = issuer.endpoints(client, now_ms).await;
        let endpoints = endpoints.map_err(|reason| Refusal::unnoted(unreachable(&reason)))?;
        let token = redeem(issuer, client, &endpoints, &code, &attempt).await;
        let token = token.map_err(|reason| {
            tracing::warn!(reason, "code not redeemed by the issuer");
            Refusal::of(
                "oidc_code",
                "the issuer did not accept the code; begin anew",
            )
        })?;
        let claims = self.verified(client, &endpoints, &token, &attempt).await?;
        let actor = self.account_of(&issuer.config, &claims).await?;
        let started = self.insert_session(actor, address, "oidc", OIDC_SESSION_MS);
        started.await.map_err(Refusal::unnoted)
    }

    async fn verified(
        &self,
        client: &Client,
        endpoints: &Endpoints,
        id_token: &str,
        attempt: &Attempt,
    ) -> Result<Claims, Refusal> {
        let issuer = self.issuer().map_err(Refusal::unnoted)?;
        let now_ms = self.now_ms();
        let key_id = token::key_id(id_token).flatten();
        let keys = issuer.keys(client, endpoints, key_id.as_deref(), now_ms);
        let keys = keys.await;
        let keys = keys.map_err(|reason| Refusal::unnoted(unreachable(&reason)))?;
        let expected = Expectation {
            issuer: &issuer.config.issuer,
            client_id: &issuer.config.client_id,
            nonce: &attempt.nonce(),
            now_s: now_ms / 1_000,
        };
        token::verify(id_token, &keys, &expected).map_err(|error| {
            tracing::warn!(%error, "ID token refused");
            Refusal::of("oidc_token", &error.to_string())
        })
    }
}

/// A refused sign-in and its reason in the audit log; without one it is no denial.
#[derive(Debug)]
pub(super) struct Refusal {
    reason: Option<&'static str>,
    error: Box<ApiError>,
}

impl Refusal {
    pub fn of(reason: &'static str, message: &str) -> Refusal {
        Refusal {
            reason: Some(reason),
            error: Box::new(ApiError::new(ErrorCode::PermissionDenied, message)),
        }
    }

    pub fn unnoted(error: ApiError) -> Refusal {
        Refusal {
            reason: None,
            error: Box::new(error),
        }
    }
}

fn unreachable(reason: &str) -> ApiError {
    tracing::warn!(reason, "issuer of sign-in not usable");
    let message = "the issuer of sign-in cannot be used now; the log of the gateway has the reason";
    ApiError::new(ErrorCode::UpstreamError, message)
}

/// Exchanges the code for an ID token.
async fn redeem(
    issuer: &Issuer,
    client: &Client,
    endpoints: &Endpoints,
    code: &str,
    attempt: &Attempt,
) -> Result<String, String> {
    let verifier = attempt.verifier();
    let mut parameters = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", issuer.redirect_uri.as_str()),
        ("code_verifier", verifier.as_str()),
    ];
    let OidcConfig {
        client_id,
        client_secret,
        ..
    } = &issuer.config;
    let methods = &endpoints.token_endpoint_auth_methods_supported;
    let is_in_header = methods.is_empty() || methods.iter().any(|one| one == "client_secret_basic");
    let mut authorization = None;
    match client_secret {
        Some(secret) if is_in_header => {
            // RFC 6749, section 2.3.1
            let (id, secret) = (percent_encode(client_id), percent_encode(secret.expose()));
            let pair = STANDARD.encode(format!("{id}:{secret}"));
            authorization = Some(format!("Basic {pair}"));
        }
        secret => {
            parameters.push(("client_id", client_id.as_str()));
            parameters.extend(
                secret
                    .as_ref()
                    .map(|secret| ("client_secret", secret.expose())),
            );
        }
    }
    let form = form(&parameters);
    let url = &endpoints.token_endpoint;
    let answer = issuer
        .post_form(client, url, form, authorization.as_deref())
        .await?;
    let answer: Result<TokenAnswer, _> = serde_json::from_slice(&answer);
    Ok(answer
        .map_err(|_| "no id_token in the answer of the issuer")?
        .id_token)
}

fn form(parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", percent_encode(value)))
        .collect();
    pairs.join("&")
}

/// Background task: logs at the start which hosts sign-in reaches, or why the issuer cannot be used.
pub(in crate::control) async fn announce(control: Control, client: Client) {
    let Some(issuer) = control.issuer.clone() else {
        return;
    };
    match issuer.endpoints(&client, control.now_ms()).await {
        Ok(endpoints) => tracing::info!(
            issuer = issuer.config.issuer,
            hosts = endpoints.hosts().join(", "),
            redirect_uri = issuer.redirect_uri,
            "sign-in through the issuer is on"
        ),
        Err(reason) => tracing::warn!(
            issuer = issuer.config.issuer,
            reason,
            "issuer of sign-in not usable; it is asked again at each sign-in"
        ),
    }
}
