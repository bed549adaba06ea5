//! Images by their URL for a vendor that takes none: fetched where the operator lets the gateway do it, and never from a private
//! address that the operator did not name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::house::{Chat, House, refused_at};
use crate::harness::golden;
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const MODEL: &str = "gemini-3.8-flash";
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A gateway before Gemini, with these lines under `[fetch]`.
fn house(fetch: &str) -> House {
    let upstream = Upstream::start();
    upstream.respond_with(Script::unary(200, golden("gemini/text.json")));
    let gemini = Provider::openai("v", &upstream)
        .preset("gemini")
        .models(&[MODEL])
        .base_url(&upstream.url());
    House::before(upstream, |setup| {
        setup
            .provider(&gemini)
            .setting(&format!("[fetch]\n{fetch}"))
    })
}

/// A server of the operator's own network with this at every address.
fn pictures(bytes: &[u8]) -> Upstream {
    let pictures = Upstream::start();
    pictures.respond_with(Script::unary(200, bytes).header("content-type", "image/png"));
    pictures
}

fn png() -> Vec<u8> {
    STANDARD.decode(PNG).expect("base64")
}

fn asking(url: &str) -> Value {
    let parts =
        json!([{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}]);
    json!({"model": MODEL, "messages": [{"role": "user", "content": parts}]})
}

#[test]
fn m03_an_image_by_url_is_fetched_for_gemini_where_the_operator_lets_it() {
    let (house, pictures) = (
        house("images = \"on\"\nprivate_hosts = [\"127.0.0.1\"]"),
        pictures(&png()),
    );
    let answer = house
        .user()
        .post(Chat.path(), &asking(&format!("{}/cat.png", pictures.url())));
    answer.assert_status(200);
    house.booked().ends("ok", &[]);
    let image = json!({"inlineData": {"mimeType": "image/png", "data": PNG}});
    assert_eq!(
        house.upstream.last_request().json()["contents"][0]["parts"],
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
fn m03_a_private_address_that_nobody_named_is_refused_without_a_connection() {
    for fetch in [
        "images = \"on\"",
        "images = \"on\"\nprivate_hosts = [\"10.0.0.7\"]",
        "images = \"off\"",
    ] {
        let (house, pictures) = (house(fetch), pictures(&png()));
        for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"] {
            let url = pictures.url().replace("127.0.0.1", host);
            let answer = house.user().post(Chat.path(), &asking(&url));
            let message = refused_at(Chat, &answer, 400, "invalid_request_error", "messages");
            let expected = if fetch.contains("off") {
                "base64"
            } else {
                "no public address"
            };
            assert!(message.contains(expected), "{url}: {message}");
            house.nothing_happened();
        }
        assert_eq!(pictures.connection_count(), 0, "{fetch}");
    }
}

#[test]
fn m03_what_is_fetched_must_be_an_image_and_not_too_large() {
    let fetch = "images = \"on\"\nimage_mb = 1\nprivate_hosts = [\"127.0.0.1\"]";
    let large = [png(), vec![0; 1_100_000]].concat();
    for (bytes, word) in [(&b"<html>"[..], "PNG"), (&large, "fetched")] {
        let (house, pictures) = (house(fetch), pictures(bytes));
        let answer = house.user().post(Chat.path(), &asking(&pictures.url()));
        let message = refused_at(Chat, &answer, 400, "invalid_request_error", "messages");
        assert!(message.contains(word), "{message}");
        house.nothing_happened();
    }
}
