//! Complete responses: status, headers, body and the fields of the gateway's errors.

use serde_json::Value;

use crate::harness::http::Head;

/// Complete response.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub(super) fn new(head: &Head, body: Vec<u8>) -> Response {
        Response {
            status: head.status(),
            headers: head.headers.clone(),
            body,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        crate::harness::http::header(&self.headers, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics with the body if it is invalid.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {} {:?}", self.status, self.text()))
    }

    /// Asserts the status; the message shows the body.
    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Response {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// `error.type` in either dialect (equal to `error.code` in OpenAI's).
    pub fn error_type(&self) -> String {
        self.json()["error"]["type"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub fn error_message(&self) -> String {
        self.json()["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// `x-gatekeeper-cost-usd` in pico-dollars.
    #[track_caller]
    pub fn cost(&self) -> i128 {
        crate::harness::pico(
            self.header("x-gatekeeper-cost-usd")
                .expect("a response has x-gatekeeper-cost-usd"),
        )
    }
}
