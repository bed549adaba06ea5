//! Several API keys of one provider: each is a deployment with a share of the calls and a cooldown of its own.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::fixture::{chat, decisions, rejection};
use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const SECRETS: [(&str, &str); 3] = [
    ("first", "sk-first-canary-1111"),
    ("second", "sk-second-canary-2222"),
    ("third", "sk-third-canary-3333"),
];

struct Keys {
    gateway: InProcessGateway,
    upstream: Upstream,
    other: Upstream,
    key: Key,
    _folder: TempDir,
}

impl Keys {
    /// A gateway whose provider `up` has these keys, `FOLDER` standing for the folder of the key files; and a provider `other`.
    fn new(api_keys: &str, lines: &str) -> Keys {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, secret) in SECRETS {
            std::fs::write(folder.path().join(name), secret).expect("a key file");
        }
        let path = folder.path().to_string_lossy().into_owned();
        let (upstream, other) = (Upstream::start(), Upstream::start());
        let provider = Provider::openai("up", &upstream)
            .without_credential()
            .line(&format!("api_keys = {}", api_keys.replace("FOLDER", &path)));
        let mut gateway = Gatekeeper::without_providers()
            .provider(&provider)
            .provider(&Provider::openai("other", &other))
            .setting(lines)
            .start_in_process();
        let team = gateway.team_with_budget("eng", "1000");
        let key = gateway.key_of(&team);
        Keys {
            gateway,
            upstream,
            other,
            key,
            _folder: folder,
        }
    }

    fn call(&self, model: &str) -> Response {
        let user = self.gateway.user(&self.key);
        user.post("/v1/chat/completions", &chat(model, false))
    }

    fn attempts(&self, response: &Response) -> Vec<Value> {
        let id = response.header("x-gatekeeper-request-id").expect("an id");
        let request = self.gateway.admin().get(&format!("/v1/requests/{id}"));
        let request = request.assert_status(200).json();
        request["attempts"].as_array().cloned().unwrap_or_default()
    }

    /// Calls that came with each of the three keys.
    fn counts(&self) -> [usize; 3] {
        SECRETS.map(|(_, secret)| {
            let requests = self.upstream.requests();
            let bearer = format!("Bearer {secret}");
            let with = requests
                .iter()
                .filter(|request| request.header("authorization") == Some(bearer.as_str()));
            with.count()
        })
    }
}

/// Rejects the key; answers those that come with another.
fn rejecting(secret: &'static str, rejection: Script) -> Script {
    Script::from_request(move |request| {
        let is_rejected = request
            .header("authorization")
            .is_some_and(|header| header.ends_with(secret));
        match is_rejected {
            true => rejection.clone(),
            false => model::with_usage(10, 20),
        }
    })
}

const THREE: &str = "[{ key = \"file:FOLDER/first\", weight = 2 }, \"file:FOLDER/second\", { key = \"file:FOLDER/third\", name = \"eu\" }]";
const TWO: &str = "[\"file:FOLDER/first\", \"file:FOLDER/second\"]";

#[test]
fn api_keys_get_their_shares_of_the_calls_by_route_and_by_own_name() {
    let keys = Keys::new(THREE, "[routes.smart]\ntargets = [\"up/m-small\"]\n");
    for name in ["smart", "up/m-small"] {
        keys.upstream.forget_requests();
        for _ in 0..40 {
            keys.call(name).assert_status(200);
        }
        assert_eq!(keys.counts(), [20, 10, 10], "{name}");
    }
    let attempts = keys.attempts(&keys.call("up/m-small"));
    let chosen = attempts[0]["chosen"].as_str().expect("a reason");
    assert!(
        chosen.starts_with("weighted: ") && chosen.contains(" % of the calls; key "),
        "{chosen}"
    );
}

#[test]
fn target_with_several_api_keys_keeps_its_weight_beside_another() {
    let keys = Keys::new(
        THREE,
        "[routes.smart]\ntargets = [\"up/m-small\", { model = \"other/m-small\", weight = 3 }]\n",
    );
    for _ in 0..64 {
        keys.call("smart").assert_status(200);
    }
    assert_eq!((keys.counts(), keys.other.request_count()), ([8, 4, 4], 48));
}

#[test]
fn rejected_limited_and_exhausted_api_keys_are_followed_by_another() {
    let cases = [
        (rejection(401, "invalid_api_key", "no"), "bad_credential"),
        (
            rejection(429, "insufficient_quota", "no"),
            "quota_exhausted",
        ),
        (rejection(429, "rate_limit_exceeded", "no"), "rate_limited"),
    ];
    for (rejected, class) in cases {
        let keys = Keys::new(TWO, "");
        keys.upstream
            .respond_with(rejecting(SECRETS[0].1, rejected));
        let response = keys.call("up/m-small");
        response.assert_status(200);
        let attempts = keys.attempts(&response);
        assert_eq!(decisions(&attempts), ["next_target", "-"], "{class}");
        assert_eq!(attempts[0]["failure"]["class"], class);
        assert_eq!(
            attempts[0]["failure"]["why"],
            "up/m-small with key second follows"
        );
        assert!(
            attempts[1]["chosen"]
                .as_str()
                .is_some_and(|text| text.ends_with("; key second")),
            "{class}"
        );
        let shown = json!(attempts).to_string();
        assert!(SECRETS.iter().all(|(_, secret)| !shown.contains(secret)));
    }
}

#[test]
fn rejected_api_key_cools_down_and_gets_no_more_calls() {
    let keys = Keys::new(TWO, "");
    let rejected = rejection(401, "invalid_api_key", "no");
    keys.upstream
        .respond_with(rejecting(SECRETS[0].1, rejected));
    for _ in 0..10 {
        keys.call("up/m-small").assert_status(200);
    }
    assert_eq!(keys.counts(), [1, 10, 0]);
    let metrics = keys.gateway.admin().get("/metrics").text();
    for line in [
        "gatekeeper_deployment_available{deployment=\"up/m-small\",key=\"first\"} 0",
        "gatekeeper_deployment_available{deployment=\"up/m-small\",key=\"second\"} 1",
        "gatekeeper_deployment_breaker_state{deployment=\"up/m-small\",key=\"first\"} 2",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    // a probe after the cooldown finds the key mended
    keys.upstream.respond_with(model::with_usage(10, 20));
    keys.gateway.clock.advance_ms(5_000);
    for _ in 0..4 {
        keys.call("up/m-small").assert_status(200);
    }
    assert_eq!(keys.counts(), [3, 12, 0]);
}

#[test]
fn failure_of_the_host_is_not_repeated_with_every_api_key() {
    let keys = Keys::new(
        THREE,
        "[routes.smart]\nstrategy = \"ordered\"\ntargets = [\"up/m-small\", \"other/m-small\"]\n",
    );
    keys.upstream
        .respond_with(rejection(500, "server_error", "broken"));
    let response = keys.call("smart");
    response.assert_status(200);
    assert_eq!(response.header("x-gatekeeper-provider"), Some("other"));
    assert_eq!(keys.upstream.request_count(), 1);
    // by its own name the model has no other host
    let response = keys.call("up/m-small");
    response.assert_status(502);
    let attempts = keys.attempts(&response);
    assert_eq!(decisions(&attempts), ["give_up"]);
    assert_eq!(
        attempts[0]["failure"]["why"],
        "another API key would not help"
    );
}

#[test]
fn provider_test_finds_the_api_key_that_is_rejected() {
    let keys = Keys::new(TWO, "");
    let rejected = rejection(401, "invalid_api_key", "no");
    let malformed = rejection(400, "invalid_request_error", "no model");
    keys.upstream
        .respond_with(Script::from_request(move |request| {
            let is_second = request
                .header("authorization")
                .is_some_and(|header| header.ends_with(SECRETS[1].1));
            if is_second {
                rejected.clone()
            } else {
                malformed.clone()
            }
        }));
    let tested = keys
        .gateway
        .admin()
        .post("/v1/providers/up/test", &json!({}))
        .assert_status(200)
        .json();
    assert_eq!(
        (&tested["verdict"], &tested["key"]),
        (&json!("credential_rejected"), &json!("second"))
    );
}
