//! Fixture of the routing tests: three upstreams `a`, `b` (chat) and `c` (messages), and a key that may call every model.

use serde_json::{Value, json};

use crate::harness::client::{HttpClient, Response};
use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Gatekeeper, Key, Provider, Team};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

pub struct Fixture {
    pub gateway: InProcessGateway,
    pub a: Upstream,
    pub b: Upstream,
    pub c: Upstream,
    pub team: Team,
    pub key: Key,
}

impl Fixture {
    /// Gateway with these lines of TOML, usually routes.
    pub fn new(routes: &str) -> Fixture {
        Fixture::with_upstreams(routes, Upstream::start(), Upstream::start())
    }

    pub fn with_upstreams(routes: &str, a: Upstream, b: Upstream) -> Fixture {
        let c = Upstream::start();
        let setup = Gatekeeper::without_providers()
            .provider(&Provider::openai("a", &a))
            .provider(&Provider::openai("b", &b).models(&["m-small", "m-big"]))
            .provider(&Provider::anthropic("c", &c))
            .setting(routes);
        let mut gateway = setup.start_in_process();
        let team = gateway.team_with_budget("eng", "1000");
        let key = gateway.key_of(&team);
        Fixture {
            gateway,
            a,
            b,
            c,
            team,
            key,
        }
    }

    pub fn user(&self) -> HttpClient {
        self.gateway.user(&self.key)
    }

    /// Small chat request for a model.
    pub fn call(&self, model: &str) -> Response {
        self.user()
            .post("/v1/chat/completions", &chat(model, false))
    }

    /// Small chat request as a stream, read as one body.
    pub fn stream(&self, model: &str) -> Response {
        self.user().post("/v1/chat/completions", &chat(model, true))
    }

    /// Attempts of the request that was answered, oldest first, with their explanations.
    pub fn attempts(&self, response: &Response) -> Vec<Value> {
        let id = response
            .header("x-gatekeeper-request-id")
            .expect("every response has a request id");
        let request = self.gateway.admin().get(&format!("/v1/requests/{id}"));
        let request = request.assert_status(200).json();
        request["attempts"].as_array().cloned().unwrap_or_default()
    }

    /// Requests that the three upstreams received.
    pub fn counts(&self) -> [usize; 3] {
        [&self.a, &self.b, &self.c].map(Upstream::request_count)
    }
}

pub fn chat(model: &str, streamed: bool) -> Value {
    json!({"model": model, "stream": streamed, "max_tokens": 50,
        "messages": [{"role": "user", "content": "hello"}]})
}

/// A rejection in OpenAI's shape.
pub fn rejection(status: u16, code: &str, message: &str) -> Script {
    let error = json!({"message": message, "type": code, "param": null, "code": code});
    Script::json(status, &json!({"error": error}))
}

/// Decision after each attempt; `-` for one that did not fail.
pub fn decisions(attempts: &[Value]) -> Vec<String> {
    let decision = |attempt: &Value| {
        let failure = &attempt["failure"];
        failure["decision"].as_str().unwrap_or("-").to_owned()
    };
    attempts.iter().map(decision).collect()
}
