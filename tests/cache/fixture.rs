//! Fixture: a gateway with cached routes in front of one upstream that speaks both dialects, two teams and three keys.

use serde_json::{Value, json};

use crate::harness::client::{HttpClient, Response};
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider, Setup, Team};
use crate::harness::upstream::Upstream;

/// Routes `exact`, `semantic`, `by-key`, `by-org`, `plain` (no cache) and `c-exact` (Anthropic's dialect upstream).
pub const ROUTES: &str = r#"
[routes.exact]
targets = ["openai/m-small"]
cache = "exact"
[routes.by-key]
targets = ["openai/m-small"]
cache = { mode = "exact", scope = "key" }
[routes.by-org]
targets = ["openai/m-small"]
cache = { mode = "exact", scope = "organization", ignore_user = true }
[routes.plain]
targets = ["openai/m-small"]
[routes.c-exact]
targets = ["claude/c-small"]
cache = { mode = "exact", ttl_s = 60 }
"#;

pub struct Fixture {
    pub gateway: InProcessGateway,
    pub upstream: Upstream,
    pub rockets: Team,
    /// keys of one team
    pub one: Key,
    pub two: Key,
    /// key of another team of the organization
    pub other: Key,
}

/// Routes that serve similar questions of one key, by the strict guards and by the balanced ones.
pub const SEMANTIC_ROUTES: &str = r#"
[routes.strict]
targets = ["openai/m-small"]
cache = { mode = "semantic", scope = "key" }
[routes.balanced]
targets = ["openai/m-small"]
cache = { mode = "semantic", scope = "key", guard = "balanced" }
"#;

pub fn setup(upstream: &Upstream) -> Setup {
    let openai = Provider::openai("openai", upstream).models(&["m-small"]);
    let claude = Provider::anthropic("claude", upstream).models(&["c-small"]);
    Gatekeeper::with_upstream(upstream)
        .provider(&openai)
        .provider(&claude)
}

impl Fixture {
    pub fn start() -> Fixture {
        Fixture::with("")
    }

    pub fn with(settings: &str) -> Fixture {
        let upstream = Upstream::start();
        let setup = setup(&upstream).setting(ROUTES).setting(settings);
        Fixture::of(setup, upstream)
    }

    pub fn of(setup: Setup, upstream: Upstream) -> Fixture {
        upstream.respond_with(model::with_usage(10, 3));
        let mut gateway = setup.start_in_process();
        let rockets = gateway.team(&json!({"name": "rockets", "models": ["*"]}));
        let support = gateway.team(&json!({"name": "support", "models": ["*"]}));
        let key = |name: &str, team: &Team| {
            gateway.key(&json!({"name": name, "team": team.id, "models": ["*"]}))
        };
        let (one, two, other) = (
            key("one", &rockets),
            key("two", &rockets),
            key("other", &support),
        );
        Fixture {
            gateway,
            upstream,
            rockets,
            one,
            two,
            other,
        }
    }

    /// Sends a request; returns the response, and the outcome of its lookup.
    #[track_caller]
    pub fn send(&self, key: &Key, path: &str, body: &Value) -> (Response, String) {
        outcome(self.client(key).post(path, body))
    }

    #[track_caller]
    pub fn chat(&self, key: &Key, body: &Value) -> String {
        self.send(key, CHAT, body).1
    }

    pub fn client(&self, key: &Key) -> HttpClient {
        self.gateway.user(key)
    }
}

pub const CHAT: &str = "/v1/chat/completions";

#[track_caller]
pub fn outcome(response: Response) -> (Response, String) {
    response.assert_status(200);
    let outcome = response.header("x-gatekeeper-cache").unwrap_or("none");
    let outcome = outcome.to_owned();
    (response, outcome)
}

/// A request with one message.
pub fn ask(route: &str, text: &str) -> Value {
    json!({"model": route, "max_tokens": 50, "messages": [{"role": "user", "content": text}]})
}

/// `body` with further members.
pub fn with(mut body: Value, members: Value) -> Value {
    for (name, value) in members.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}
