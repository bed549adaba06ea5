//! Images and documents: encoded per vendor, refused where the vendor cannot read them.

use serde_json::{Value, json};

use super::{COHERE, GEMINI, OLLAMA, Vendor};
use crate::inference::fixture::{BOTH, Chat, Dialect, Messages, assert_refusal, assert_refusal_at};

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Request with an image, inline or by URL.
fn with_image(vendor: Vendor, dialect: Dialect, url: Option<&str>) -> Value {
    let image = match (dialect, url) {
        (Chat, url) => {
            let url = url.map_or_else(|| format!("data:image/png;base64,{PNG}"), str::to_owned);
            json!({"type": "image_url", "image_url": {"url": url}})
        }
        (Messages, Some(url)) => json!({"type": "image", "source": {"type": "url", "url": url}}),
        (Messages, None) => {
            json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}})
        }
    };
    vendor.request_body(dialect, json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, image]}]}))
}

#[test]
fn m01_inline_image_is_encoded_per_vendor() {
    for dialect in BOTH {
        let (body, _) = GEMINI.sent(
            &GEMINI.fixture(),
            dialect,
            &with_image(GEMINI, dialect, None),
        );
        let image = json!({"inlineData": {"mimeType": "image/png", "data": PNG}});
        assert_eq!(
            body["contents"],
            json!([{"role": "user", "parts": [{"text": "look"}, image]}])
        );
        let (body, _) = COHERE.sent(
            &COHERE.fixture(),
            dialect,
            &with_image(COHERE, dialect, None),
        );
        let image = json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}});
        assert_eq!(
            body["messages"],
            json!([{"role": "user", "content": [{"type": "text", "text": "look"}, image]}])
        );
        let (body, _) = OLLAMA.sent(
            &OLLAMA.fixture(),
            dialect,
            &with_image(OLLAMA, dialect, None),
        );
        assert_eq!(
            body["messages"],
            json!([{"role": "user", "content": "look", "images": [PNG]}])
        );
    }
}

#[test]
fn m03_image_url_without_fetching_is_refused() {
    for vendor in [GEMINI, OLLAMA] {
        for dialect in BOTH {
            let fixture = vendor.fixture();
            let body = with_image(vendor, dialect, Some("https://example.com/a.png"));
            let response = fixture.user().post(dialect.path(), &body);
            let message =
                assert_refusal_at(dialect, &response, 400, "invalid_request_error", "messages");
            assert!(
                message.contains(vendor.model) && message.contains("base64"),
                "{message}"
            );
            fixture.assert_no_call();
        }
    }
}

#[test]
fn m04_pdf_is_sent_to_gemini_and_refused_elsewhere() {
    let pdf = json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQK"}});
    let asks = |vendor: Vendor| {
        vendor.request_body(
            Messages,
            json!({"messages": [{"role": "user", "content": [pdf.clone()]}]}),
        )
    };
    let (body, _) = GEMINI.sent(&GEMINI.fixture(), Messages, &asks(GEMINI));
    let part = json!({"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0xLjQK"}});
    assert_eq!(body["contents"][0]["parts"], json!([part]));
    for vendor in [COHERE, OLLAMA] {
        let fixture = vendor.fixture();
        let response = fixture.user().post(Messages.path(), &asks(vendor));
        let message = assert_refusal(Messages, &response, 400, "invalid_request_error");
        assert!(message.contains("documents"), "{message}");
        fixture.assert_no_call();
    }
}
