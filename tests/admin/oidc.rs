//! Sign-in through an OpenID Connect issuer, as a browser goes through it: redirect, answer, session; accounts and roles of claims; and
//! tokens and answers that must not be accepted.

use serde_json::{Value, json};

use crate::harness::client::{HttpClient, Response};
use crate::harness::issuer::{CLIENT_ID, CLIENT_SECRET, Issuer};
use crate::harness::process::{Gatekeeper, text};
use crate::harness::wait_until;

struct Fixture {
    issuer: Issuer,
    gatekeeper: Gatekeeper,
}

/// A browser that was sent to the issuer, with the cookie of the attempt.
struct Attempt {
    browser: HttpClient,
    location: String,
}

impl Fixture {
    fn new(settings: &str) -> Fixture {
        Fixture::with_top("", settings)
    }

    fn with_top(top: &str, settings: &str) -> Fixture {
        let issuer = Issuer::start();
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), CLIENT_SECRET).expect("written");
        let (_, path) = secret.keep().expect("kept");
        let section = format!(
            "{top}\n[sign_in.oidc]\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = \"file:{}\"\n{settings}",
            issuer.url(),
            path.display()
        );
        let gatekeeper = Gatekeeper::without_providers().setting(&section).start();
        std::fs::remove_file(path).expect("removed");
        Fixture { issuer, gatekeeper }
    }

    fn begin(&self) -> Attempt {
        let sent = self.gatekeeper.anon().get("/sign-in/oidc");
        sent.assert_status(303);
        let location = sent.header("location").expect("a location").to_owned();
        let cookie = cookie_of(&sent, "gatekeeper-oidc");
        Attempt {
            browser: self.gatekeeper.anon().with("cookie", &cookie),
            location,
        }
    }

    fn finish(&self, attempt: &Attempt) -> Response {
        let query = self.issuer.authorize(&attempt.location);
        attempt
            .browser
            .get(&format!("/sign-in/oidc/callback?{query}"))
    }

    fn sign_in(&self) -> Response {
        self.finish(&self.begin())
    }

    /// A browser with the session that the answer started.
    fn session(&self, answer: &Response) -> HttpClient {
        let cookie = cookie_of(answer, "gatekeeper-session");
        let browser = self.gatekeeper.anon().with("cookie", &cookie);
        browser.with("sec-fetch-site", "same-origin")
    }

    fn actor(&self, answer: &Response) -> Value {
        let session = self.session(answer.assert_status(200)).get("/v1/session");
        session.assert_status(200).json()
    }

    fn denials(&self) -> Vec<Value> {
        let list = || {
            let events = self
                .gatekeeper
                .admin()
                .get("/v1/audit?action=sign_in.failed");
            events.json()["data"].as_array().expect("a list").clone()
        };
        wait_until("the refusal is recorded", || !list().is_empty());
        list()
    }
}

fn cookies(response: &Response) -> Vec<&str> {
    response
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, value)| value.as_str())
        .collect()
}

/// Name and value of a cookie that the answer sets.
fn cookie_of(response: &Response, name: &str) -> String {
    let set = cookies(response);
    let found = set
        .iter()
        .find(|cookie| cookie.starts_with(&format!("{name}=")));
    let found = found.unwrap_or_else(|| panic!("no {name} in {set:?}"));
    found.split(';').next().expect("a pair").to_owned()
}

#[test]
fn person_of_the_issuer_signs_in_with_code_and_pkce() {
    let fixture = Fixture::new("role_claim = \"groups\"\nrole_map = { \"ai-admins\" = \"owner\" }");
    fixture
        .issuer
        .claim(json!({"groups": ["staff", "ai-admins"]}));
    let ways = fixture.gatekeeper.anon().get("/v1/sign-in");
    assert_eq!(
        ways.assert_status(200).json()["oidc"]["path"],
        "/sign-in/oidc"
    );
    let attempt = fixture.begin();
    assert!(
        attempt
            .location
            .contains("redirect_uri=http%3A%2F%2F127.0.0.1%3A"),
        "{}",
        attempt.location
    );
    let answer = fixture.finish(&attempt);
    answer.assert_status(200);
    for cookie in cookies(&answer) {
        assert!(cookie.contains("HttpOnly"), "{cookie}");
    }
    let session = cookies(&answer)
        .into_iter()
        .find(|cookie| cookie.starts_with("gatekeeper-session="));
    assert!(session.expect("a session").contains("SameSite=Strict"));
    assert!(answer.text().contains("url=/ui/"), "{}", answer.text());
    let actor = fixture.actor(&answer);
    assert_eq!(
        (
            &actor["email"],
            &actor["name"],
            &actor["memberships"][0]["role"]
        ),
        (&json!("ada@example.com"), &json!("Ada"), &json!("owner"))
    );
    let events = fixture
        .gatekeeper
        .admin()
        .get("/v1/audit?action=session.start");
    let event = &events.json()["data"][0];
    assert_eq!(event["detail"]["by"], "oidc");
    assert_eq!(event["address"], "127.0.0.1");
    // the same person is the same user
    let again = fixture.actor(&fixture.sign_in());
    assert_eq!(again["actor"], actor["actor"]);
    let users = fixture.gatekeeper.admin().get("/v1/users").json();
    assert_eq!(users["data"].as_array().map(Vec::len), Some(1));
}

#[test]
fn roles_follow_the_claims_at_every_sign_in() {
    let mut fixture = Fixture::new(
        "role_claim = \"realm_access.roles\"\n\
         role_map = { admins = \"owner\", eng = \"team:eng:member\", lost = \"team:nowhere:member\", look = \"viewer\" }",
    );
    fixture.gatekeeper.team(&json!({"name": "eng"}));
    let roles = |roles: Value| json!({"realm_access": {"roles": roles}});
    fixture
        .issuer
        .claim(roles(json!(["look", "admins", "eng", "lost"])));
    let owner = fixture.sign_in();
    let memberships = fixture.actor(&owner)["memberships"].clone();
    let shown: Vec<&Value> = memberships
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["role"])
        .collect();
    assert_eq!(shown, ["owner", "member"], "the strongest per place");
    fixture.issuer.claim(roles(json!(["eng"])));
    let member = fixture.sign_in();
    assert_eq!(
        fixture.actor(&member)["memberships"][0]["role"],
        "member",
        "a lost group takes its role"
    );
    let before = fixture.session(&owner);
    before.get("/v1/sessions").assert_status(200);
    before
        .post("/v1/teams", &json!({"name": "x"}))
        .assert_status(403);
    // without any group: no role, no session, and the earlier ones end
    fixture.issuer.claim(roles(json!(["other"])));
    let refused = fixture.sign_in();
    assert!(refused.assert_status(403).text().contains("no role"));
    before.get("/v1/session").assert_status(401);
    assert_eq!(fixture.denials()[0]["detail"]["reason"], "oidc_no_role");
}

#[test]
fn address_never_leads_to_an_account_and_domains_count_when_verified() {
    let fixture = Fixture::new("allowed_domains = [\"example.com\"]");
    for claims in [
        json!({"email": "ada@evil.example.com"}),
        json!({"email": "ada@example.com", "email_verified": false}),
        json!({"email": "ada@example.com", "email_verified": null}),
        json!({"email": null}),
    ] {
        fixture.issuer.claim(claims);
        fixture.sign_in().assert_status(403);
    }
    let owner =
        json!({"email": "ada@example.com", "name": "Ada", "memberships": [{"role": "owner"}]});
    let made = fixture.gatekeeper.admin().post("/v1/users", &owner);
    made.assert_status(201);
    fixture.issuer.claim(json!({}));
    let refused = fixture.sign_in();
    let text = refused.assert_status(409).text();
    assert!(
        text.contains("an address alone never leads to it"),
        "{text}"
    );
    // another address is an account of its own, without a role until an owner gives one
    fixture.issuer.claim(json!({"email": "ada.l@example.com"}));
    let actor = fixture.actor(&fixture.sign_in());
    assert_eq!(actor["memberships"], json!([]));
    assert_ne!(
        actor["actor"],
        json!(format!("user:{}", text_of(&made, "id")))
    );
}

fn text_of(response: &Response, name: &str) -> String {
    text(&response.json(), name)
}

#[test]
fn disabled_user_loses_sessions_and_signs_in_no_more() {
    let fixture = Fixture::new("");
    let answer = fixture.sign_in();
    let actor = fixture.actor(&answer);
    let id = actor["actor"]
        .as_str()
        .expect("an actor")
        .replace("user:", "");
    let path = format!("/v1/users/{id}");
    let admin = fixture.gatekeeper.admin();
    admin
        .patch(&path, &json!({"disabled": true}))
        .assert_status(200);
    fixture
        .session(&answer)
        .get("/v1/session")
        .assert_status(401);
    fixture.sign_in().assert_status(403);
}

#[test]
fn answer_of_another_browser_or_a_used_one_is_refused() {
    let fixture = Fixture::new("");
    let attempt = fixture.begin();
    let query = fixture.issuer.authorize(&attempt.location);
    let path = format!("/sign-in/oidc/callback?{query}");
    let anon = fixture.gatekeeper.anon().get(&path);
    assert!(anon.assert_status(403).text().contains("another browser"));
    let other = fixture.begin();
    other.browser.get(&path).assert_status(403);
    let forged = path.replace("state=", "state=x");
    attempt.browser.get(&forged).assert_status(403);
    let denied = attempt.browser.get(&format!(
        "/sign-in/oidc/callback?error=%3Cb%3Edenied&{}",
        query.split_once('&').expect("a state").1
    ));
    let text = denied.assert_status(403).text();
    assert!(text.contains("&lt;b&gt;denied"), "{text}");
    assert_eq!(fixture.issuer.redeemed(), 0);
    attempt.browser.get(&path).assert_status(200);
}

#[test]
fn token_that_is_not_for_this_sign_in_is_refused() {
    let fixture = Fixture::new("");
    let now_s = std::time::UNIX_EPOCH.elapsed().expect("a time").as_secs();
    for (claims, says) in [
        (json!({"nonce": "another"}), "nonce"),
        (json!({"aud": "another"}), "another client"),
        (json!({"iss": "https://evil.example.com"}), "another issuer"),
        (json!({"exp": now_s - 120}), "clocks"),
        (json!({"iat": now_s + 600}), "clocks"),
    ] {
        fixture.issuer.claim(claims);
        let refused = fixture.sign_in();
        let text = refused.assert_status(403).text();
        assert!(text.contains(says), "{text}");
        let sessions = cookies(&refused);
        assert!(
            !sessions
                .iter()
                .any(|cookie| cookie.starts_with("gatekeeper-session=")),
            "{sessions:?}"
        );
    }
    fixture.issuer.claim(json!({}));
    fixture.issuer.header(json!({"alg": "none"}));
    fixture.sign_in().assert_status(403);
    fixture.issuer.sign_with_public_key();
    fixture.sign_in().assert_status(403);
    assert_eq!(fixture.denials()[0]["detail"]["reason"], "oidc_token");
    assert!(fixture.gatekeeper.admin().get("/v1/users").json()["data"] == json!([]));
}

#[test]
fn rotated_key_is_found_and_unknown_ones_are_asked_for_seldom() {
    let fixture = Fixture::new("");
    fixture.sign_in().assert_status(200);
    fixture.issuer.rotate("k-2");
    // the first unknown key is looked up at once
    fixture.sign_in().assert_status(200);
    fixture.sign_in().assert_status(200);
    fixture.issuer.rotate("k-3");
    // and another one not within the minute
    let refused = fixture.sign_in();
    assert!(refused.assert_status(403).text().contains("unknown key"));
    let asked = |path: &str| {
        let requests = fixture.issuer.requests();
        requests
            .iter()
            .filter(|request| request.path() == path)
            .count()
    };
    assert_eq!(asked("/jwks"), 2);
    // one may have been asked for at the start
    assert!(asked("/.well-known/openid-configuration") <= 2);
}

#[test]
fn public_url_makes_links_redirect_and_origin_whatever_the_host_says() {
    let fixture = Fixture::with_top("public_url = \"https://gate.example.com\"", "");
    let forged = fixture.gatekeeper.anon().with("host", "evil.example.com");
    let sent = forged.get("/sign-in/oidc");
    let location = sent
        .assert_status(303)
        .header("location")
        .expect("a location");
    let redirect = "redirect_uri=https%3A%2F%2Fgate.example.com%2Fsign-in%2Foidc%2Fcallback";
    assert!(location.contains(redirect), "{location}");
    let printed = fixture.gatekeeper.run(&["setup"]);
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(
        printed.contains("https://gate.example.com/ui/link#"),
        "{printed}"
    );
    assert!(!printed.contains("ssh -L"), "{printed}");
    let body = json!({"email": "a@example.com", "password": "not the password"});
    for (origin, status) in [
        ("https://gate.example.com", 401),
        ("http://evil.example.com", 403),
    ] {
        let browser = forged.clone().with("sec-fetch-site", "same-origin");
        let answer = browser.with("origin", origin).post("/v1/sign-in", &body);
        answer.assert_status(status);
    }
}

#[test]
fn secrets_of_the_issuer_are_in_no_file_and_no_log() {
    let fixture = Fixture::new("");
    let attempt = fixture.begin();
    let answer = fixture.finish(&attempt);
    let session = cookie_of(answer.assert_status(200), "gatekeeper-session");
    let (_, session) = session.split_once('=').expect("a pair");
    let mut texts = vec![fixture.gatekeeper.all_output().into_bytes()];
    for name in ["gatekeeper.redb", "ledger/000001.log"] {
        texts.push(std::fs::read(fixture.gatekeeper.data.join(name)).expect("a file"));
    }
    for secret in [CLIENT_SECRET, session, "the-code"] {
        for text in &texts {
            let found = text
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is stored or logged");
        }
    }
}
