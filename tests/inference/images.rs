//! Images by URL for a vendor without URL support: fetched where the operator allows it, never from a private address that
//! the operator did not name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fixture::{Chat, Fixture, assert_refusal_at};
use crate::harness::golden;
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const MODEL: &str = "gemini-3.8-flash";
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Fixture with Gemini and these lines under `[fetch]`.
fn fixture(fetch: &str) -> Fixture {
    let upstream = Upstream::start();
    upstream.respond_with(Script::unary(200, golden("gemini/text.json")));
    let gemini = Provider::openai("v", &upstream)
        .preset("gemini")
        .models(&[MODEL])
        .base_url(&upstream.url());
    Fixture::with_upstream(upstream, |setup| {
        setup
            .provider(&gemini)
            .setting(&format!("[fetch]\n{fetch}"))
    })
}

/// Server in the operator's network that returns these bytes at every path.
fn pictures(bytes: &[u8]) -> Upstream {
    let pictures = Upstream::start();
    pictures.respond_with(Script::unary(200, bytes).header("content-type", "image/png"));
    pictures
}

fn png() -> Vec<u8> {
    STANDARD.decode(PNG).expect("base64")
}

fn request_body(url: &str) -> Value {
    let parts =
        json!([{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}]);
    json!({"model": MODEL, "messages": [{"role": "user", "content": parts}]})
}

#[test]
fn m03_image_url_allowed_host_is_fetched_for_gemini() {
    let (fixture, pictures) = (
        fixture("images = \"on\"\nprivate_hosts = [\"127.0.0.1\"]"),
        pictures(&png()),
    );
    let response = fixture.user().post(
        Chat.path(),
        &request_body(&format!("{}/cat.png", pictures.url())),
    );
    response.assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    let image = json!({"inlineData": {"mimeType": "image/png", "data": PNG}});
    assert_eq!(
        fixture.upstream.last_request().json()["contents"][0]["parts"],
        json!([{"text": "look"}, image])
    );
    let fetched = pictures.last_request();
    assert_eq!(
        (
            fetched.method(),
            fetched.target(),
            fetched.header("authorization")
        ),
        ("GET", "/cat.png", None)
    );
    assert_eq!(pictures.request_count(), 1);
}

#[test]
fn m03_image_url_private_address_is_refused_without_connection() {
    for fetch in [
        "images = \"on\"",
        "images = \"on\"\nprivate_hosts = [\"10.0.0.7\"]",
        "images = \"off\"",
    ] {
        let (fixture, pictures) = (fixture(fetch), pictures(&png()));
        for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"] {
            let url = pictures.url().replace("127.0.0.1", host);
            let response = fixture.user().post(Chat.path(), &request_body(&url));
            let message =
                assert_refusal_at(Chat, &response, 400, "invalid_request_error", "messages");
            let expected = if fetch.contains("off") {
                "base64"
            } else {
                "no permitted address"
            };
            assert!(message.contains(expected), "{url}: {message}");
            fixture.assert_no_call();
        }
        assert_eq!(pictures.connection_count(), 0, "{fetch}");
    }
}

#[test]
fn m03_image_url_wrong_type_or_too_large_is_refused() {
    let fetch = "images = \"on\"\nimage_mb = 1\nprivate_hosts = [\"127.0.0.1\"]";
    let large = [png(), vec![0; 1_100_000]].concat();
    for (bytes, word) in [(&b"<html>"[..], "PNG"), (&large, "fetched")] {
        let (fixture, pictures) = (fixture(fetch), pictures(bytes));
        let response = fixture
            .user()
            .post(Chat.path(), &request_body(&pictures.url()));
        let message = assert_refusal_at(Chat, &response, 400, "invalid_request_error", "messages");
        assert!(message.contains(word), "{message}");
        fixture.assert_no_call();
    }
}
