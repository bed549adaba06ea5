//! Organizations, teams, users, roles and keys, as several administrators use them at once.

mod canaries;
mod declarations;
mod declared_state;
mod idempotency;
mod key_life;
mod kill;
mod lists;
mod matrix;
mod provider_keys;
mod random_steps;
mod roles;
mod rows_read;
mod workers;

use serde_json::{Value, json};

use crate::harness::client::{self, HttpClient};
use crate::harness::in_process::InProcessGateway;
use crate::harness::instance::text;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;

/// A gateway with the organization `default` and a second one, `acme`, with a team each.
pub struct Tenancy {
    pub gateway: InProcessGateway,
    pub upstream: Upstream,
    pub acme: String,
    /// team of `acme`
    pub rockets: String,
    /// team of `default`
    pub support: String,
}

impl Tenancy {
    pub fn start() -> Tenancy {
        let upstream = Upstream::start();
        let mut gateway = Gatekeeper::with_upstream(&upstream).start_in_process();
        let acme = create(&gateway.admin(), "organizations", &json!({"name": "acme"}));
        let rockets = gateway.team(&json!({"name": "rockets", "organization": "acme"}));
        let support = gateway.team(&json!({"name": "support", "organization": "default"}));
        Tenancy {
            acme: text(&acme, "id"),
            rockets: rockets.id,
            support: support.id,
            gateway,
            upstream,
        }
    }

    /// Client with an administrative key of a role.
    pub fn with_role(&self, role: &Value) -> HttpClient {
        let mut body = json!({"admin": true, "name": format!("key {role}").replace('"', "'")});
        body.as_object_mut()
            .expect("an object")
            .extend(role.as_object().expect("a role").clone());
        let key = create(&self.gateway.admin(), "keys", &body);
        client::admin(self.gateway.address(), &text(&key, "key"))
    }

    /// Client with a key that has the roles of a new user.
    pub fn as_user(&self, email: &str, memberships: &Value) -> HttpClient {
        let user = json!({"email": email, "memberships": memberships});
        let user = create(&self.gateway.admin(), "users", &user);
        let key = json!({"admin": true, "name": email, "user": user["id"]});
        let key = create(&self.gateway.admin(), "keys", &key);
        client::admin(self.gateway.address(), &text(&key, "key"))
    }
}

/// Creates an object; asserts status 201.
#[track_caller]
pub fn create(client: &HttpClient, resource: &str, body: &Value) -> Value {
    let created = client.post(&format!("/v1/{resource}"), body);
    created.assert_status(201).json()
}

/// Member of each object of a list.
#[track_caller]
pub fn listed(client: &HttpClient, path: &str, member: &str) -> Vec<String> {
    let list = client.get(path).assert_status(200).json();
    let rows = list["data"].as_array().expect("`data`");
    rows.iter().map(|row| text(row, member)).collect()
}
