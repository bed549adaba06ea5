//! Canaries: a provider's credential, a virtual key, an administrative key, a password, a session, a one-time link, the secret of an
//! issuer and a captured prompt through sixty kinds of error at the most verbose log level. None of them, nor its base64, hexadecimal or
//! URL form, is in a log, an error, a metric, the audit log or the data folder.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use serde_json::{Value, json};

use crate::harness::client::{HttpClient, Response};
use crate::harness::instance::text;
use crate::harness::process::{Gatekeeper, Key, UPSTREAM_KEY};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

/// Credential of a provider that is declared through the API.
const SEALED: &str = "sk-sealed-canary-7c1f0e";
const PROMPT: &str = "canary prompt +/&= 1f9d2c77ab";
const PASSWORD: &str = "canary password +/&= 5ca1ab1e";
const ISSUER_SECRET: &str = "canary-issuer-secret-0ddba11";
/// Errors that the test must provoke at least.
const ERRORS_MIN: usize = 60;

/// Forms of a canary in bytes.
fn forms(canary: &str) -> Vec<Vec<u8>> {
    let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
    let url: String = canary
        .bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect();
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD;
    let mut forms = vec![
        canary.to_owned(),
        hex.to_uppercase(),
        hex,
        url,
        canary.replace(' ', "+"),
    ];
    // at each offset the middle of the text has a form of its own
    for skipped in 0..3 {
        let part = &canary.as_bytes()[skipped..];
        let whole = part.len() - part.len() % 3;
        forms.push(base64.encode(&part[..whole]));
    }
    forms.into_iter().map(String::into_bytes).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

struct Canaries<'g> {
    gatekeeper: &'g Gatekeeper,
    key: Key,
    ops: String,
    /// cookie of a session
    session: String,
    /// token of a used one-time link
    link: String,
    /// answers of errors
    answers: Vec<String>,
}

impl Canaries<'_> {
    fn note(&mut self, response: &Response) {
        assert!(response.status >= 400, "no error: {}", response.text());
        self.answers
            .push(format!("{:?} {}", response.headers, response.text()));
    }

    fn user(&self) -> HttpClient {
        self.gatekeeper.user(&self.key)
    }

    /// Errors of the data plane before a call goes up.
    fn refusals(&mut self) {
        let user = self.user();
        let secret = self.key.secret.clone();
        for dialect in ["chat/completions", "messages", "responses", "embeddings"] {
            let path = format!("/v1/{dialect}");
            for body in [
                json!({"model": "nothing", "messages": [{"role": "user", "content": PROMPT}], "input": PROMPT}),
                json!({"model": "m-small", "messages": PROMPT}),
                json!({"messages": [{"role": PROMPT}]}),
                json!([PROMPT]),
                json!({"model": {"name": PROMPT}}),
                json!({"model": "m-small", "max_tokens": PROMPT, "messages": [], "input": {"x": PROMPT}}),
            ] {
                self.note(&user.post(&path, &body));
            }
            self.note(&user.post_bytes(
                &path,
                format!("{{\"model\": \"m-small\", \"input\": \"{PROMPT}").as_bytes(),
            ));
            self.note(&user.get(&format!("{path}/{PROMPT}").replace(' ', "%20")));
            let wrong =
                crate::harness::client::user(self.gatekeeper.address(), &format!("{secret}x"));
            self.note(&wrong.post(&path, &json!({"model": "m-small"})));
        }
    }

    /// Errors of the control plane: secrets where names, ids and filters belong.
    fn administration(&mut self) {
        let admin = self.gatekeeper.admin();
        for secret in [
            self.key.secret.clone(),
            self.ops.clone(),
            PROMPT.to_owned() + "\n",
        ] {
            for (path, body) in [
                ("/v1/keys", json!({"name": "x", "team": secret})),
                (
                    "/v1/keys",
                    json!({"name": "x", "team": "eng", "models": [format!("{secret}\u{7}")]}),
                ),
                ("/v1/keys", json!({"name": [secret], "team": "eng"})),
                ("/v1/teams", json!({"name": "x", "organization": secret})),
                ("/v1/users", json!({"email": secret})),
                (
                    "/v1/state",
                    json!({"organizations": [{"name": {"x": secret}}]}),
                ),
                (
                    "/v1/ledger/corrections",
                    json!({"request": secret, "amount": "1", "reason": "x"}),
                ),
            ] {
                self.note(&admin.post(path, &body));
            }
            let filter: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
            for path in [
                "keys?team=",
                "keys?after=",
                "requests?status=",
                "usage?group_by=",
            ] {
                self.note(&admin.get(&format!("/v1/{path}{filter}")));
            }
        }
        let virtual_key = self.user();
        self.note(&virtual_key.get("/v1/keys"));
        let ops = crate::harness::client::admin(self.gatekeeper.address(), &self.ops);
        self.note(
            &ops.chat(
                &json!({"model": "m-small", "messages": [{"role": "user", "content": PROMPT}]}),
            ),
        );
    }

    /// Errors of sign-in: each secret in the places of the others.
    fn sign_in(&mut self) {
        let anon = self.gatekeeper.anon().with("sec-fetch-site", "same-origin");
        let (link, session) = (self.link.clone(), self.session.clone());
        for secret in [PASSWORD, &link, &session, ISSUER_SECRET] {
            for (path, body) in [
                (
                    "/v1/sign-in",
                    json!({"email": "ada@example.org", "password": format!("{secret}x")}),
                ),
                (
                    "/v1/sign-in",
                    json!({"email": secret, "password": PASSWORD}),
                ),
                ("/v1/sign-in", json!({"email": [secret]})),
                (
                    "/v1/sign-in/link",
                    json!({"token": secret, "password": PASSWORD}),
                ),
                (
                    "/v1/sign-in/link",
                    json!({"token": format!("{secret}x"), "password": PASSWORD}),
                ),
                (
                    "/v1/sign-in/link",
                    json!({"token": secret, "password": {"x": secret}}),
                ),
            ] {
                self.note(&anon.post(path, &body));
            }
            let query: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
            self.note(&anon.get(&format!(
                "/sign-in/oidc/callback?code={query}&state={query}"
            )));
            let cookie = anon
                .clone()
                .with("cookie", &format!("gatekeeper-session={session}x"));
            self.note(&cookie.get("/v1/session"));
        }
        let cookie = format!("gatekeeper-session={session}");
        let foreign = self.gatekeeper.anon().with("cookie", &cookie);
        let foreign = foreign.with("origin", "https://evil.example.com");
        self.note(&foreign.post(
            "/v1/session/password",
            &json!({"password": PASSWORD, "new_password": PASSWORD}),
        ));
        // the issuer does not answer
        self.note(&anon.get("/sign-in/oidc"));
    }

    /// Failures of the upstream, which repeats the credential and the prompt.
    fn upstream_failures(&mut self, upstream: &Upstream) {
        let echo =
            json!({"error": {"message": format!("bad key {UPSTREAM_KEY}"), "type": UPSTREAM_KEY}});
        let user = self.user();
        for status in [401, 403, 404, 429, 500, 503] {
            upstream.respond_with(Script::json(status, &echo));
            let call = json!({"model": "m-small", "max_tokens": 5, "messages": [{"role": "user", "content": PROMPT}]});
            self.note(&user.chat(&call));
        }
        for script in [
            Script::closes(),
            Script::unary(200, PROMPT),
            Script::raw(PROMPT),
        ] {
            upstream.respond_with(script);
            let call = json!({"model": "m-small", "max_tokens": 5, "messages": [{"role": "user", "content": PROMPT}]});
            self.note(&user.chat(&call));
        }
    }

    /// Errors inside streams with status 200 that repeat a credential, before the first content and after it.
    fn stream_failures(&mut self, upstream: &Upstream, model: &str, credential: &str) {
        let user = self.user();
        let error = json!({"error": {"message": format!("bad key {credential}"), "type": credential, "code": credential}});
        let content = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
        for first in ["", content] {
            for dialect in ["chat/completions", "messages", "responses"] {
                let events = [first.to_owned(), format!("data: {error}\n\n")];
                upstream.respond_with(Script::stream(events));
                let messages = json!([{"role": "user", "content": PROMPT}]);
                let call =
                    json!({"model": model, "stream": true, "max_tokens": 20, "messages": messages});
                let call = match dialect {
                    "responses" => {
                        json!({"model": model, "stream": true, "max_output_tokens": 20, "input": PROMPT})
                    }
                    _ => call,
                };
                let answer = user.post(&format!("/v1/{dialect}"), &call);
                let text = answer.text();
                assert!(text.contains("[credential]"), "{dialect}: {text}");
                self.answers.push(format!("{:?} {text}", answer.headers));
            }
        }
    }

    /// Searches everything that may keep a text for every form of each canary.
    fn assert_unkept(&self, texts: &[String]) {
        for (name, bytes) in self.kept() {
            for canary in texts {
                for form in forms(canary) {
                    if let Some(at) = memchr::memmem::find(&bytes, &form) {
                        let around = &bytes[at.saturating_sub(300)..bytes.len().min(at + 100)];
                        panic!(
                            "{name} contains {canary}: {}",
                            String::from_utf8_lossy(around)
                        );
                    }
                }
            }
        }
    }

    /// Everything that may keep a text: answers, metrics, audit log, data folder, output of the process.
    fn kept(&self) -> Vec<(String, Vec<u8>)> {
        let admin = self.gatekeeper.admin();
        let mut kept = vec![
            (
                "metrics".to_owned(),
                admin.get("/metrics").text().into_bytes(),
            ),
            (
                "audit".to_owned(),
                admin.get("/v1/audit?limit=500").text().into_bytes(),
            ),
            (
                "output".to_owned(),
                self.gatekeeper.all_output().into_bytes(),
            ),
        ];
        let answers = self.answers.iter().enumerate();
        kept.extend(
            answers.map(|(number, text)| (format!("answer {number}"), text.clone().into_bytes())),
        );
        kept.extend(files(&self.gatekeeper.data).into_iter().map(|path| {
            let bytes = fs::read(&path).unwrap_or_default();
            (path.display().to_string(), bytes)
        }));
        kept
    }
}

/// Token of the used link and secret of the session of an owner's account.
fn owner_of(gatekeeper: &Gatekeeper) -> (String, String) {
    let made = gatekeeper.run(&["setup", "--json"]);
    let link: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let token = text(&link, "path")
        .rsplit('#')
        .next()
        .expect("a token")
        .to_owned();
    let account =
        json!({"token": token, "password": PASSWORD, "email": "ada@example.org", "name": "Ada"});
    let browser = gatekeeper.anon().with("sec-fetch-site", "same-origin");
    let session = browser.post("/v1/sign-in/link", &account);
    let cookie = session
        .assert_status(200)
        .header("set-cookie")
        .expect("a cookie");
    let session = cookie.split(['=', ';']).nth(1).expect("a value");
    (token, session.to_owned())
}

#[test]
fn canaries_are_in_no_log_error_metric_audit_event_or_file() {
    let upstream = Upstream::start();
    let secret = tempfile::NamedTempFile::new().expect("a file");
    fs::write(secret.path(), ISSUER_SECRET).expect("written");
    let issuer = format!(
        "[sign_in.oidc]\nissuer = \"http://127.0.0.1:9\"\nclient_id = \"gate\"\nclient_secret = \"file:{}\"",
        secret.path().display()
    );
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream)
        .setting(&issuer)
        .start();
    gatekeeper.log_at("trace");
    gatekeeper.restart();
    let team = gatekeeper.team(&json!({"name": "eng"}));
    let key = gatekeeper.key_of(&team);
    let ops = json!({"name": "ops", "admin": true});
    let ops = gatekeeper.admin().post("/v1/keys", &ops).json();
    let capture = format!("/v1/teams/{}/capture", team.id);
    let on = json!({"on": true});
    gatekeeper.admin().patch(&capture, &on).assert_status(200);
    let (link, session) = owner_of(&gatekeeper);
    let secrets = [
        key.secret.clone(),
        gatekeeper.admin_key.clone(),
        text(&ops, "key"),
    ];
    let sealed = json!({
        "name": "sealed", "type": "openai_compatible", "api_key": SEALED, "price": "free", "models": ["s-small"],
        "base_url": format!("{}/v1", upstream.url()), "headers": {"x-token": SEALED},
    });
    let created = gatekeeper.admin().post("/v1/providers", &sealed);
    created.assert_status(201);
    let mut canaries = Canaries {
        gatekeeper: &gatekeeper,
        key,
        ops: text(&ops, "key"),
        session,
        link,
        answers: Vec::new(),
    };
    canaries.refusals();
    canaries.administration();
    canaries.sign_in();
    canaries.upstream_failures(&upstream);
    canaries.stream_failures(&upstream, "m-small", UPSTREAM_KEY);
    canaries.stream_failures(&upstream, "s-small", SEALED);
    for body in [json!({"api_key": [SEALED]}), json!({"base_url": SEALED})] {
        canaries.note(&gatekeeper.admin().patch("/v1/providers/sealed", &body));
    }
    canaries
        .answers
        .push(gatekeeper.admin().get("/v1/providers").text());
    wait_until("prompts of the failed calls are captured", || {
        gatekeeper.metric("gatekeeper_captures_stored_total") > 0.0
    });
    assert!(
        canaries.answers.len() >= ERRORS_MIN,
        "{}",
        canaries.answers.len()
    );
    let random = |secret: &String| secret.rsplit('-').next().unwrap_or_default().to_owned();
    let texts = secrets.iter().map(random);
    let texts: Vec<String> = texts
        .chain([UPSTREAM_KEY, SEALED, PROMPT, PASSWORD, ISSUER_SECRET].map(str::to_owned))
        .chain([canaries.link.clone(), canaries.session.clone()])
        .collect();
    canaries.assert_unkept(&texts);
    let _: Value = gatekeeper.usage();
}
