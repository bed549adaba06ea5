//! Request as the scripted upstream received it.

use std::time::Instant;

use serde_json::Value;

use super::http::Head;

/// Received request.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    /// from 0, in the order of arrival
    pub number: usize,
    pub at: Instant,
    pub connection: usize,
    pub head: Head,
    pub body: Vec<u8>,
}

impl ReceivedRequest {
    /// `POST`
    pub fn method(&self) -> &str {
        self.head.first_line.split(' ').next().unwrap_or_default()
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        self.head.first_line.split(' ').nth(1).unwrap_or_default()
    }

    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body, or null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}
