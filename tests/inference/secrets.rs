//! Secrets: the provider's key, the virtual key, the administrative key and a prompt pass through every kind of error;
//! none of them may appear in a response, the output, the metrics or the reports.

use serde_json::json;

use super::fixture::{BOTH, Dialect, Fixture};
use crate::harness::client::Response;
use crate::harness::process::UPSTREAM_KEY;
use crate::harness::script::Script;

const PROMPT: &str = "a prompt, canary 7c1f";

/// Scripts of every upstream failure in these tests.
fn failures(dialect: Dialect) -> Vec<Script> {
    let [before, content, _] = dialect.events(2);
    let begun = Script::stream([before.clone(), content].concat());
    let page = "<html><body>gateway error</body></html>";
    let mut all: Vec<Script> = [
        400, 401, 402, 403, 404, 413, 422, 429, 500, 502, 503, 504, 529, 302,
    ]
    .into_iter()
    .map(|status| Script::json(status, &dialect.rejection("some_error", "no")))
    .collect();
    all.extend([
        Script::unary(502, page),
        Script::unary(429, page),
        Script::unary(200, page),
        Script::unary(200, "{\"choices\":["),
        Script::unary(200, "{}{}"),
        Script::unary(200, "{\"x\":1}       ").truncated_after(3),
        Script::json(200, &dialect.rejection("some_error", "no")),
        Script::closes(),
        Script::raw("").then_resets(),
        Script::raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        Script::hangs(),
        Script::stream(&before),
        Script::stream(&before).then_hangs(),
        begun.clone(),
        begun.clone().then_resets(),
        begun.clone().then_hangs(),
        Script::stream([before.concat(), dialect.error_event("some_error", "no")]),
        Script::stream([before.concat(), "data: {\n\n".to_owned()]),
        Script::stream(dialect.stream(2)),
        crate::harness::model::with_usage(10, 20),
    ]);
    all
}

fn body(dialect: Dialect, streamed: bool) -> serde_json::Value {
    let mut body = dialect.body_for(streamed);
    body["messages"] = json!([{"role": "user", "content": PROMPT}]);
    body
}

/// Responses to requests that never reach an upstream.
fn refusals(fixture: &Fixture, dialect: Dialect) -> Vec<Response> {
    let (user, path) = (fixture.user(), dialect.path());
    let good = body(dialect, false).to_string();
    let mut answers: Vec<Response> = [
        good[..good.len() - 2].to_owned(),
        format!("[{good}]"),
        format!("{good}{good}"),
        format!("\"{PROMPT}\""),
        PROMPT.to_owned(),
        format!("{{\"{PROMPT}\":1,\"{PROMPT}\":2}}"),
        format!(
            "{{\"model\":\"{}\",\"messages\":\"{PROMPT}\"}}",
            dialect.model()
        ),
        format!(
            "{{\"model\":\"{}\",\"input\":\"{PROMPT}\"}}",
            dialect.model()
        ),
        good.replace("500", &format!("\"{PROMPT}\""))
            .replace("\"messages\"", "\"stream\":[],\"messages\""),
        format!("{good}{}", " ".repeat(1 << 20)),
    ]
    .iter()
    .map(|body| user.post_bytes(path, body.as_bytes()))
    .collect();
    for model in ["nobody", "m-large", "c-small", "m-small"] {
        let mut body = body(dialect, false);
        body["model"] = json!(model);
        answers.push(user.post(path, &body));
    }
    answers.push(fixture.gatekeeper.admin().post(path, &body(dialect, false)));
    answers.push(fixture.gatekeeper.anon().post(path, &body(dialect, false)));
    let cut = &fixture.key.secret[..fixture.key.secret.len() - 1];
    answers.push(
        fixture
            .gatekeeper
            .anon()
            .with("x-api-key", cut)
            .post(path, &body(dialect, false)),
    );
    answers.push(
        fixture
            .gatekeeper
            .anon()
            .with("x-api-key", UPSTREAM_KEY)
            .post(path, &body(dialect, false)),
    );
    answers.push(user.post(
        &format!("/v1/responses?key={}", fixture.key.secret),
        &body(dialect, false),
    ));
    answers.push(user.post("/v1/embeddings", &body(dialect, false)));
    answers
}

#[test]
fn errors_contain_no_secret_or_prompt() {
    let limits = "head_timeout_s = 1\nidle_timeout_s = 1\nbody_mb = 1";
    let fixture = Fixture::with_limits(limits);
    let mut answers = Vec::new();
    for dialect in BOTH {
        answers.extend(refusals(&fixture, dialect));
        for streamed in [false, true] {
            for script in failures(dialect) {
                fixture.upstream.respond_with(script);
                answers.push(
                    fixture
                        .user()
                        .post(dialect.path(), &body(dialect, streamed)),
                );
            }
        }
    }
    let admin = fixture.gatekeeper.admin();
    for path in [
        "/metrics",
        "/v1/keys",
        "/v1/keys?admin=true",
        "/v1/teams",
        "/v1/organizations",
        "/v1/usage",
        "/v1/requests?limit=500",
    ] {
        answers.push(admin.get(path));
    }
    answers.push(fixture.user().get("/v1/teams"));
    answers.push(fixture.user().get("/v1/models"));
    let request: Vec<String> = answers
        .iter()
        .map(|response| format!("{:?} {}", response.headers, response.text()))
        .collect();
    assert!(request.len() > 150);
    for secret in [
        UPSTREAM_KEY,
        &fixture.key.secret,
        &fixture.gatekeeper.admin_key,
        PROMPT,
    ] {
        for response in &request {
            assert!(!response.contains(secret), "a canary appears in {response}");
        }
        assert!(
            !fixture.gatekeeper.all_output().contains(secret),
            "a canary appears in the log"
        );
    }
    // one log line per rejected credential
    assert!(
        fixture
            .gatekeeper
            .all_output()
            .contains("check its api_key"),
        "{}",
        fixture.gatekeeper.all_output()
    );
}

#[test]
fn stored_files_contain_no_key_or_prompt() {
    let mut fixture = Fixture::new();
    for dialect in BOTH {
        fixture
            .user()
            .post(dialect.path(), &body(dialect, true))
            .assert_status(200);
    }
    fixture.gatekeeper.stop();
    let secrets = [
        UPSTREAM_KEY,
        &fixture.key.secret,
        &fixture.gatekeeper.admin_key,
        PROMPT,
    ];
    let mut folders = vec![fixture.gatekeeper.data.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the data folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).expect("a file of the data folder");
            for secret in secrets {
                let found = memchr::memmem::find(&bytes, secret.as_bytes());
                assert!(found.is_none(), "{} holds a canary", path.display());
            }
        }
    }
    fixture.gatekeeper.start();
}
