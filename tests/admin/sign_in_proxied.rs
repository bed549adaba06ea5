//! Sign-in behind a proxy on the same machine that ends TLS: what it forwards is believed only if it is listed; and figures of sign-ins
//! beside model calls.

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::client::{HttpClient, Response};
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;
use crate::harness::workers::run_workers;
use crate::harness::{hello, print_figure};

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";
const TRUSTED: &str = "trusted_proxies = [\"127.0.0.1\"]";

/// An owner's account, made on the machine itself.
fn with_owner(gatekeeper: &Gatekeeper) {
    let link = gatekeeper.run(&["setup", "--json"]);
    let link: Value = serde_json::from_slice(&link.stdout).expect("a link");
    let path = link["path"].as_str().expect("a path");
    let token = path.split_once('#').expect("a secret").1;
    let body = json!({"token": token, "password": PASSWORD, "email": EMAIL, "name": "Ada"});
    let local = gatekeeper.anon().with("sec-fetch-site", "same-origin");
    local.post("/v1/sign-in/link", &body).assert_status(200);
}

/// A browser at an address of its own, through the proxy.
fn browser(gatekeeper: &Gatekeeper, address: &str) -> HttpClient {
    gatekeeper
        .anon()
        .with("x-forwarded-for", address)
        .with("x-forwarded-proto", "https")
        .with("sec-fetch-site", "same-origin")
}

fn sign_in(browser: &HttpClient, email: &str, password: &str) -> Response {
    browser.post(
        "/v1/sign-in",
        &json!({"email": email, "password": password}),
    )
}

fn set_cookie(response: &Response) -> &str {
    response.header("set-cookie").expect("a cookie")
}

#[test]
fn trusted_proxy_gives_bound_cookies_and_clients_of_their_own() {
    let gatekeeper = Gatekeeper::without_providers().setting(TRUSTED).start();
    with_owner(&gatekeeper);
    let ada = browser(&gatekeeper, "203.0.113.7");
    let signed_in = sign_in(&ada, EMAIL, PASSWORD);
    let cookie = set_cookie(signed_in.assert_status(200));
    for part in [
        "__Host-gatekeeper-session=",
        "Secure",
        "HttpOnly",
        "SameSite=Strict",
        "Path=/",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    // the plain name could be planted by another host of the domain
    let value = cookie.split(['=', ';']).nth(1).expect("a value");
    let planted = ada
        .clone()
        .with("cookie", &format!("gatekeeper-session={value}"));
    planted.get("/v1/session").assert_status(401);
    let bound = ada
        .clone()
        .with("cookie", &format!("__Host-gatekeeper-session={value}"));
    let session = bound.get("/v1/session").assert_status(200).json();
    assert_eq!(session["session"]["address"], "203.0.113.7");
    // a page over TLS asks to come back over TLS
    let page = bound.get("/ui/");
    let hsts = page.header("strict-transport-security");
    assert_eq!(hsts, Some("max-age=31536000"));
    let local = gatekeeper.anon().get("/ui/");
    assert!(local.header("strict-transport-security").is_none());
    // the throttle counts the client that the proxy names, not the proxy
    let mallory = browser(&gatekeeper, "203.0.113.66");
    let refused = (0..60).find(|number| {
        sign_in(&mallory, &format!("eve{number}@example.com"), PASSWORD).status == 429
    });
    assert_eq!(refused, Some(50));
    sign_in(&ada, EMAIL, PASSWORD).assert_status(200);
}

#[test]
fn unlisted_proxy_is_not_believed() {
    let gatekeeper = Gatekeeper::without_providers().start();
    with_owner(&gatekeeper);
    let forged = browser(&gatekeeper, "203.0.113.7");
    let refused = sign_in(&forged, EMAIL, PASSWORD);
    assert!(
        refused
            .assert_status(403)
            .error_message()
            .contains("ssh -L")
    );
    let host = gatekeeper.anon().with("host", "evil.example.com");
    let link = gatekeeper.run(&["setup"]);
    let link = String::from_utf8_lossy(&link.stdout).into_owned();
    let url = format!("http://{}/ui/link#", gatekeeper.address());
    assert!(link.contains(&url), "{link}");
    host.get("/ui/").assert_status(200);
}

#[test]
fn session_is_new_at_every_sign_in_whatever_cookie_came() {
    let gatekeeper = Gatekeeper::without_providers().start();
    with_owner(&gatekeeper);
    let local = gatekeeper.anon().with("sec-fetch-site", "same-origin");
    let fixed = "f".repeat(64);
    let prepared = local
        .clone()
        .with("cookie", &format!("gatekeeper-session={fixed}"));
    let signed_in = sign_in(&prepared, EMAIL, PASSWORD);
    let first = set_cookie(signed_in.assert_status(200)).to_owned();
    assert!(!first.contains(&fixed), "{first}");
    prepared.get("/v1/session").assert_status(401);
    let pair = first.split(';').next().expect("a pair");
    let again = sign_in(&local.clone().with("cookie", pair), EMAIL, PASSWORD);
    let second = set_cookie(again.assert_status(200)).to_owned();
    assert_ne!(second.split(';').next(), Some(pair));
}

/// Times of so many model calls, sorted, in microseconds.
fn call_times(user: &HttpClient, count: usize) -> Vec<u64> {
    let mut connection = user.connect();
    let mut times: Vec<u64> = (0..count)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(connection.chat(&hello("m-small")).status, 200);
            begun.elapsed().as_micros() as u64
        })
        .collect();
    times.sort_unstable();
    times
}

#[test]
fn model_calls_go_on_beside_fifty_sign_ins_at_once() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    with_owner(&gatekeeper);
    let team = gatekeeper.team(&json!({"name": "eng"}));
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let alone = call_times(&user, 200);
    let begun = Instant::now();
    let (beside, statuses) = std::thread::scope(|scope| {
        let sign_ins = scope.spawn(|| {
            let local = gatekeeper.anon().with("sec-fetch-site", "same-origin");
            run_workers(
                50,
                50,
                |_| (),
                |(), _| sign_in(&local, EMAIL, PASSWORD).status,
            )
        });
        (call_times(&user, 200), sign_ins.join().expect("sign-ins"))
    });
    assert!(
        statuses.iter().all(|status| [200, 503].contains(status)),
        "{statuses:?}"
    );
    let signed_in = statuses.iter().filter(|status| **status == 200).count();
    assert!(signed_in > 0);
    print_figure(
        "model calls beside 50 sign-ins at once, built for the tests",
        &format!(
            "p50 {} us, p99 {} us alone; p50 {} us, p99 {} us beside; {signed_in} of 50 signed in, in {} ms",
            alone[100],
            alone[198],
            beside[100],
            beside[198],
            begun.elapsed().as_millis()
        ),
    );
}
