//! Prompt capture: off stores nothing, on stores the calls of one key whole, and purges, roles and faults.

mod faults;
mod kill;
mod roles;
mod whole_calls;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::client::{HttpClient, Response};
use crate::harness::instance::text;
use crate::harness::process::{Gatekeeper, Key};
use crate::harness::upstream::Upstream;

pub const PROMPT: &str = "canary of a captured prompt 61c0ffee";
pub const ANSWER: &str = "canary of a captured answer 7e1ec0de";

pub struct Fixture {
    pub upstream: Upstream,
    pub gatekeeper: Gatekeeper,
    pub captured: Key,
    pub other: Key,
    pub team: String,
}

impl Fixture {
    pub fn new() -> Fixture {
        Fixture::with_setting("")
    }

    pub fn with_setting(setting: &str) -> Fixture {
        let upstream = Upstream::start();
        let setup = Gatekeeper::with_upstream(&upstream).setting(setting);
        let mut gatekeeper = setup.start();
        let team = gatekeeper.team(&json!({"name": "eng"})).id;
        let key = |name: &str| json!({"name": name, "team": "eng", "models": ["*"]});
        Fixture {
            captured: gatekeeper.key(&key("captured")),
            other: gatekeeper.key(&key("other")),
            upstream,
            gatekeeper,
            team,
        }
    }

    pub fn admin(&self) -> HttpClient {
        self.gatekeeper.admin()
    }

    /// Turns capture of the first key on.
    pub fn turn_on(&self) {
        let path = format!("/v1/keys/{}/capture", self.captured.id);
        let on = json!({"on": true, "keep_days": 7});
        self.admin().patch(&path, &on).assert_status(200);
    }

    pub fn chat(&self, key: &Key, prompt: &str) -> Response {
        self.gatekeeper.user(key).chat(&chat(prompt))
    }

    pub fn capture(&self, request: &str) -> Response {
        self.admin().get(&format!("/v1/requests/{request}/capture"))
    }

    pub fn stored(&self, request: &str) -> Value {
        self.capture(request).assert_status(200).json()
    }

    pub fn file(&self) -> PathBuf {
        self.gatekeeper.data.join("capture.redb")
    }
}

pub fn chat(prompt: &str) -> Value {
    json!({"model": "m-small", "max_tokens": 5, "messages": [{"role": "user", "content": prompt}]})
}

pub fn request_id(response: &Response) -> String {
    let id = response.header("x-gatekeeper-request-id");
    id.expect("an id").to_owned()
}

/// Unary answer of the upstream with a text.
pub fn answer(content: &str) -> Value {
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m-small",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
}

/// Files of a folder that contain a text.
pub fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if let Ok(bytes) = fs::read(&path)
            && memchr::memmem::find(&bytes, text.as_bytes()).is_some()
        {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Events of the audit log with an action, newest first.
pub fn events(admin: &HttpClient, action: &str) -> Vec<Value> {
    let page = admin.get(&format!("/v1/audit?limit=500&action={action}"));
    let page = page.assert_status(200).json();
    page["data"].as_array().expect("events").clone()
}

/// Flags of a request in the list.
pub fn flags(fixture: &Fixture, request: &str) -> Vec<String> {
    fixture.gatekeeper.usage();
    let rows = fixture.gatekeeper.requests();
    let row = rows.iter().find(|row| text(row, "id") == request);
    let row = row.unwrap_or_else(|| panic!("{request} is in the list"));
    let flags = row["flags"].as_array().expect("flags").iter();
    flags
        .map(|flag| flag.as_str().expect("a word").to_owned())
        .collect()
}
