//! Sign-in to the dashboard over HTTP: one-time links, passwords, sessions by cookie, changes from other sites.

use serde_json::{Value, json};

use crate::harness::client::{HttpClient, Response};
use crate::harness::process::{Gatekeeper, text};
use crate::harness::upstream::Upstream;

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";
const NEW_PASSWORD: &str = "staple and battery, correct";

struct Fixture {
    gatekeeper: Gatekeeper,
    _upstream: Upstream,
}

impl Fixture {
    fn new() -> Fixture {
        let upstream = Upstream::start();
        Fixture {
            gatekeeper: Gatekeeper::with_upstream(&upstream).start(),
            _upstream: upstream,
        }
    }

    /// Secret of a link that `gatekeeper setup` prints.
    fn setup_token(&self, arguments: &[&str]) -> String {
        let output = self
            .gatekeeper
            .run(&[&["setup", "--json"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        token_of(&serde_json::from_slice(&output.stdout).expect("a link"))
    }

    /// A browser on a page of the gateway, without a cookie yet.
    fn browser(&self) -> HttpClient {
        self.gatekeeper.anon().with("sec-fetch-site", "same-origin")
    }

    fn redeem(&self, token: &str, password: &str) -> Response {
        let body = json!({"token": token, "password": password, "email": EMAIL, "name": "Ada"});
        self.browser().post("/v1/sign-in/link", &body)
    }

    fn sign_in(&self, email: &str, password: &str) -> Response {
        let body = json!({"email": email, "password": password});
        self.browser().post("/v1/sign-in", &body)
    }

    /// An owner's account, and a browser with its session.
    fn owner(&self) -> HttpClient {
        let token = self.setup_token(&[]);
        let made = self.redeem(&token, PASSWORD);
        self.with_cookie(made.assert_status(200))
    }

    fn with_cookie(&self, response: &Response) -> HttpClient {
        self.browser().with("cookie", cookie_of(response))
    }
}

/// Name and value of the session's cookie.
fn cookie_of(response: &Response) -> &str {
    let cookie = response.header("set-cookie").expect("a cookie");
    cookie.split(';').next().expect("a pair")
}

fn token_of(link: &Value) -> String {
    let path = text(link, "path");
    path.split_once('#').expect("a secret").1.to_owned()
}

#[test]
fn setup_link_creates_an_owner_once() {
    let fixture = Fixture::new();
    let token = fixture.setup_token(&[]);
    let made = fixture.redeem(&token, PASSWORD);
    let cookie = made
        .assert_status(200)
        .header("set-cookie")
        .expect("a cookie");
    for attribute in [
        "gatekeeper-session=",
        "HttpOnly",
        "SameSite=Strict",
        "Path=/",
    ] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let owner = fixture.with_cookie(&made);
    let actor = owner.get("/v1/session");
    let actor = actor.assert_status(200).json();
    assert_eq!(
        (&actor["email"], &actor["memberships"][0]["role"]),
        (&json!(EMAIL), &json!("owner"))
    );
    owner
        .post("/v1/teams", &json!({"name": "eng"}))
        .assert_status(201);
    let again = fixture.redeem(&token, PASSWORD);
    again.assert_status(401);
    assert!(again.error_message().contains("used or has expired"));
}

#[test]
fn wrong_password_and_unknown_account_are_refused_alike() {
    let fixture = Fixture::new();
    fixture.owner();
    let wrong = fixture.sign_in(EMAIL, "not the password");
    let unknown = fixture.sign_in("eve@example.com", PASSWORD);
    assert_eq!(
        wrong.assert_status(401).text(),
        unknown.assert_status(401).text()
    );
    assert!(wrong.header("set-cookie").is_none());
    fixture
        .sign_in(" ADA@example.com ", PASSWORD)
        .assert_status(200);
}

#[test]
fn change_by_cookie_from_another_site_is_refused() {
    let fixture = Fixture::new();
    fixture.owner();
    let signed_in = fixture.sign_in(EMAIL, PASSWORD);
    let cookie = cookie_of(signed_in.assert_status(200));
    let body = json!({"name": "eng"});
    let anon = fixture.gatekeeper.anon().with("cookie", cookie);
    let elsewhere = anon.with("sec-fetch-site", "cross-site");
    elsewhere.post("/v1/teams", &body).assert_status(403);
    let old_browser = fixture
        .gatekeeper
        .anon()
        .with("origin", "https://evil.example.com");
    let sign_in = json!({"email": EMAIL, "password": PASSWORD});
    old_browser.post("/v1/sign-in", &sign_in).assert_status(403);
    let owner = fixture.with_cookie(&signed_in);
    owner.post("/v1/teams", &body).assert_status(201);
}

#[test]
fn signed_out_session_ends_at_once_and_others_survive_a_restart() {
    let mut fixture = Fixture::new();
    let first = fixture.owner();
    let second = fixture.with_cookie(fixture.sign_in(EMAIL, PASSWORD).assert_status(200));
    let sessions = second.get("/v1/sessions").assert_status(200).json();
    assert_eq!(sessions["data"].as_array().map(Vec::len), Some(2));
    first.delete("/v1/session").assert_status(204);
    first.get("/v1/session").assert_status(401);
    fixture.gatekeeper.restart();
    second.get("/v1/session").assert_status(200);
    first.get("/v1/session").assert_status(401);
}

#[test]
fn disabled_user_loses_all_sessions() {
    let fixture = Fixture::new();
    fixture.owner();
    let admin = fixture.gatekeeper.admin();
    let body =
        json!({"email": "bob@example.com", "name": "Bob", "memberships": [{"role": "viewer"}]});
    let user = admin.post("/v1/users", &body);
    let id = text(&user.assert_status(201).json(), "id");
    let link = admin.post(&format!("/v1/users/{id}/invitation"), &json!({}));
    let token = token_of(&link.assert_status(201).json());
    let bob = fixture.with_cookie(fixture.redeem(&token, PASSWORD).assert_status(200));
    bob.get("/v1/teams").assert_status(200);
    bob.post("/v1/teams", &json!({"name": "eng"}))
        .assert_status(403);
    // not used while the user is disabled, when a look at it would already end it
    let idle = fixture.sign_in("bob@example.com", PASSWORD);
    let idle = fixture.with_cookie(idle.assert_status(200));
    let path = format!("/v1/users/{id}");
    admin
        .patch(&path, &json!({"disabled": true}))
        .assert_status(200);
    bob.get("/v1/teams").assert_status(401);
    fixture
        .sign_in("bob@example.com", PASSWORD)
        .assert_status(401);
    admin
        .patch(&path, &json!({"disabled": false}))
        .assert_status(200);
    bob.get("/v1/teams").assert_status(401);
    idle.get("/v1/teams").assert_status(401);
}

#[test]
fn reset_link_replaces_the_password_and_ends_the_sessions() {
    let fixture = Fixture::new();
    let before = fixture.owner();
    let token = fixture.setup_token(&["--reset", EMAIL]);
    let short = fixture.redeem(&token, "short");
    assert_eq!(
        short.assert_status(400).error_message(),
        "`password` has 5 characters; give 12 to 256"
    );
    fixture.redeem(&token, NEW_PASSWORD).assert_status(200);
    before.get("/v1/session").assert_status(401);
    fixture.sign_in(EMAIL, PASSWORD).assert_status(401);
    fixture.sign_in(EMAIL, NEW_PASSWORD).assert_status(200);
}

#[test]
fn changed_password_ends_the_other_sessions() {
    let fixture = Fixture::new();
    let other = fixture.owner();
    let own = fixture.with_cookie(fixture.sign_in(EMAIL, PASSWORD).assert_status(200));
    let wrong = json!({"password": "not the password", "new_password": NEW_PASSWORD});
    own.post("/v1/session/password", &wrong).assert_status(403);
    let right = json!({"password": PASSWORD, "new_password": NEW_PASSWORD});
    own.post("/v1/session/password", &right).assert_status(204);
    own.get("/v1/session").assert_status(200);
    other.get("/v1/session").assert_status(401);
    fixture.sign_in(EMAIL, NEW_PASSWORD).assert_status(200);
}

#[test]
fn restore_voids_sessions_and_links_of_the_backup() {
    let mut fixture = Fixture::new();
    let before = fixture.owner();
    let link = fixture.setup_token(&["--reset", EMAIL]);
    let backup = fixture.gatekeeper.folder().join("backup");
    let backup = backup.to_str().expect("UTF-8").to_owned();
    let taken = fixture.gatekeeper.run(&["backup", &backup]);
    assert!(taken.status.success(), "{taken:?}");
    fixture.gatekeeper.stop();
    let config = fixture.gatekeeper.config.display().to_string();
    let restored = fixture
        .gatekeeper
        .run(&["restore", &backup, "--config", &config]);
    assert!(restored.status.success(), "{restored:?}");
    fixture.gatekeeper.start();
    before.get("/v1/session").assert_status(401);
    fixture.redeem(&link, NEW_PASSWORD).assert_status(401);
    fixture.sign_in(EMAIL, PASSWORD).assert_status(200);
    let events = fixture
        .gatekeeper
        .admin()
        .get("/v1/audit?action=instance.restored");
    let detail = &events.json()["data"][0]["detail"];
    assert_eq!(
        (&detail["sessions_ended"], &detail["links_ended"]),
        (&json!(1), &json!(1)),
        "{detail}"
    );
}

#[test]
fn setup_link_is_made_on_the_machine_only() {
    let fixture = Fixture::new();
    let refused = fixture.gatekeeper.admin().post("/v1/setup", &json!({}));
    assert!(
        refused
            .assert_status(403)
            .error_message()
            .contains("gatekeeper setup")
    );
    let proxied = fixture.browser().with("x-forwarded-for", "192.0.2.7");
    let body = json!({"email": EMAIL, "password": PASSWORD});
    let refused = proxied.post("/v1/sign-in", &body);
    assert!(
        refused
            .assert_status(403)
            .error_message()
            .contains("ssh -L")
    );
}

#[test]
fn secrets_of_sign_in_are_in_no_file_and_no_log() {
    let fixture = Fixture::new();
    let token = fixture.setup_token(&[]);
    let made = fixture.redeem(&token, PASSWORD);
    let cookie = made
        .assert_status(200)
        .header("set-cookie")
        .expect("a cookie");
    let session = cookie.split(['=', ';']).nth(1).expect("a value").to_owned();
    fixture
        .sign_in(EMAIL, "wrong password canary")
        .assert_status(401);
    let backup = fixture.gatekeeper.folder().join("backup");
    let arguments = ["backup", backup.to_str().expect("UTF-8")];
    assert!(fixture.gatekeeper.run(&arguments).status.success());
    let admin = fixture.gatekeeper.admin();
    let mut texts = vec![
        fixture.gatekeeper.all_output().into_bytes(),
        std::fs::read(backup).expect("a file"),
    ];
    for path in [
        "/metrics",
        "/v1/audit?limit=500",
        "/v1/sessions",
        "/v1/users",
        "/readyz",
    ] {
        texts.push(admin.get(path).body);
    }
    for name in ["gatekeeper.redb", "ledger/000001.log"] {
        texts.push(std::fs::read(fixture.gatekeeper.data.join(name)).expect("a file"));
    }
    for secret in [token.as_str(), PASSWORD, "wrong password canary", &session] {
        for text in &texts {
            let found = memchr_find(text, secret.as_bytes());
            assert!(!found, "{secret} is stored or logged");
        }
    }
}

fn memchr_find(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}
