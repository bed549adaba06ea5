//! Webhook fixture of the alert tests: a receiver with a scripted response, the gateway that sends to it, and the alerts in
//! messages and audit log.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::call::Call;
use crate::harness::client::Response;
use crate::harness::in_process::InProcessGateway;
use crate::harness::process::{Gatekeeper, Instance, Key, Setup, Team};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

pub const SECRET: &str = "webhook-secret-canary";
pub const KINDS: [&str; 2] = ["budget.limit", "budget.threshold"];

/// Receiver of a webhook, and the folder with the secret of its signature.
pub struct Webhook {
    pub receiver: Upstream,
    folder: TempDir,
    timeout_s: u64,
}

impl Webhook {
    pub fn with_script(responses: Script) -> Webhook {
        let (receiver, folder) = (Upstream::start(), tempfile::tempdir().expect("a folder"));
        receiver.respond_with(responses);
        fs::write(folder.path().join("secret"), SECRET).expect("a secret can be written");
        Webhook {
            receiver,
            folder,
            timeout_s: 1,
        }
    }

    /// A receiver that responds, with time for a slow machine: a time-out would send a message again.
    pub fn accepting() -> Webhook {
        Webhook {
            timeout_s: 60,
            ..Webhook::with_script(Script::json(200, &json!({})))
        }
    }

    pub fn configure(&self, upstream: &Upstream) -> Setup {
        let secret = self.folder.path().join("secret");
        let alerts = format!(
            "[alerts]\nwebhook = \"{}/hook?token=canary-77\"\nwebhook_secret = \"file:{}\"\nwebhook_timeout_s = {}",
            self.receiver.url(),
            secret.display(),
            self.timeout_s
        );
        Gatekeeper::with_upstream(upstream)
            .ledger("segment_mb = 1")
            .setting(&alerts)
    }

    /// Messages received so far.
    pub fn messages(&self) -> Vec<Value> {
        self.receiver
            .requests()
            .iter()
            .map(|seen| seen.json())
            .collect()
    }

    /// Sorted kinds of all messages, once this many have arrived.
    pub fn kinds(&self, count: usize) -> Vec<String> {
        self.receiver.wait_for_requests(count);
        kinds_of(&self.messages())
    }
}

pub fn kinds_of(messages: &[Value]) -> Vec<String> {
    let mut kinds: Vec<String> = messages
        .iter()
        .map(|message| message["event"].as_str().expect("a kind").to_owned())
        .collect();
    kinds.sort();
    kinds
}

/// Audit events of budget alerts.
pub fn alert_events(gateway: &InProcessGateway) -> Vec<Value> {
    gateway
        .audit()
        .into_iter()
        .filter(|event| KINDS.iter().any(|kind| event["action"] == *kind))
        .collect()
}

/// A call that costs 110 micro-dollars and is held at about 195.
pub fn call() -> Value {
    Call::chat().at_most(20).body()
}

pub fn team(instance: &mut Instance, name: &str, budgets: Value) -> (Team, Key) {
    let team = instance.team(&json!({"name": name, "budgets": budgets}));
    let key = instance.key_of(&team);
    (team, key)
}

pub fn send(instance: &Instance, key: &Key) -> Response {
    instance.user(key).chat(&call())
}
