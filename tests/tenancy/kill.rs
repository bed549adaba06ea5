//! `kill -9` between and within changes of keys, and of providers and routes: afterwards every change has its audit event and every event
//! its change, and what was acknowledged is there. `GK_CONTROL_KILLS` sets the number of kills.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::client::Connection;
use crate::harness::instance::text;
use crate::harness::process::Gatekeeper;
use crate::harness::rng::SeededRng;
use crate::harness::{print_figure, repetitions};

/// Last acknowledged limit of each key; `None` once its deletion is acknowledged.
type Acknowledged = BTreeMap<String, Option<u64>>;

struct Caller {
    connection: Connection,
    acknowledged: Acknowledged,
    /// step of the last acknowledged change of the route
    route: u64,
}

impl Caller {
    /// `None`: the server died.
    fn call(&mut self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let body = body.to_string();
        self.connection
            .send_request(method, path, Some(body.as_bytes()));
        let response = self.connection.try_read_response(method).ok()?;
        assert!(response.status < 300, "{}", response.text());
        match response.status {
            204 => Some(Value::Null),
            _ => Some(response.json()),
        }
    }

    /// Creates a key, changes it twice, and deletes every second one, until the server dies.
    fn change_until_death(&mut self, round: usize) {
        for number in 0.. {
            let name = json!({"name": format!("k{round}.{number}"), "team": "eng"});
            let Some(key) = self.call("POST", "/v1/keys", &name) else {
                return;
            };
            let id = text(&key, "id");
            self.acknowledged.insert(id.clone(), Some(0));
            let path = format!("/v1/keys/{id}");
            for rpm in [7, 9] {
                if self.call("PATCH", &path, &json!({"rpm": rpm})).is_none() {
                    return;
                }
                self.acknowledged.insert(id.clone(), Some(rpm));
            }
            if number % 2 == 0 {
                if self.call("DELETE", &path, &json!({})).is_none() {
                    return;
                }
                self.acknowledged.insert(id, None);
            }
            if number % 3 == 0 && self.change_routing(round).is_none() {
                return;
            }
        }
    }

    /// Replaces the provider's keys and the targets of the route, and makes and deletes another route.
    fn change_routing(&mut self, round: usize) -> Option<()> {
        let step = self.route + 1;
        let keys = json!({"api_keys": [{"name": format!("k{step}"), "key": format!("sk-{step}")}]});
        self.call("PATCH", "/v1/providers/lan", &keys)?;
        let targets = json!({"targets": [{"model": "lan/m", "weight": step}]});
        self.call("PATCH", "/v1/routes/smart", &targets)?;
        self.route = step;
        let other = format!("r{round}-{step}");
        let route = json!({"name": other, "targets": ["lan/m"]});
        self.call("POST", "/v1/routes", &route)?;
        self.call("DELETE", &format!("/v1/routes/{other}"), &json!({}))?;
        Some(())
    }
}

/// Providers and routes with their members, as the audit log tells them.
fn told_routing(events: &[Value]) -> BTreeMap<String, Value> {
    let mut objects = BTreeMap::new();
    for event in events {
        let action = event["action"].as_str().unwrap_or_default();
        let (kind, deed) = action.split_once('.').unwrap_or_default();
        let subject = format!("{kind} {}", text(event, "subject"));
        if deed == "delete" {
            objects.remove(&subject);
            continue;
        }
        let members: &mut Value = objects.entry(subject).or_insert_with(|| json!({}));
        for (member, change) in event["detail"].as_object().expect("a detail") {
            if !["name", "credentials"].contains(&member.as_str()) {
                members[member] = change["to"].clone();
            }
        }
    }
    objects
}

fn stored_routing(gatekeeper: &Gatekeeper) -> BTreeMap<String, Value> {
    let mut objects = BTreeMap::new();
    for kind in ["provider", "route"] {
        let listed = gatekeeper.admin().get(&format!("/v1/{kind}s")).json();
        for object in listed["data"].as_array().expect("objects") {
            let name = format!("{kind} {}", text(object, "name"));
            assert_eq!(object["fault"], Value::Null, "{object}");
            objects.insert(name, object["members"].clone());
        }
    }
    objects
}

fn create_routing(gatekeeper: &Gatekeeper) {
    let provider = json!({"name": "lan", "type": "openai_compatible", "base_url": "http://127.0.0.1:9/v1", "price": "free",
        "models": ["m"], "api_keys": [{"name": "k0", "key": "sk-0"}]});
    let route = json!({"name": "smart", "targets": [{"model": "lan/m", "weight": 1}]});
    for (path, body) in [("/v1/providers", provider), ("/v1/routes", route)] {
        gatekeeper.admin().post(path, &body).assert_status(201);
    }
}

/// Limit of each live key as the audit log tells it.
fn told(events: &[Value]) -> BTreeMap<String, u64> {
    let mut keys = BTreeMap::new();
    for event in events {
        let subject = event["subject"].as_str().unwrap_or_default().to_owned();
        match event["action"].as_str() {
            Some("key.create") => {
                keys.insert(subject, 0);
            }
            Some("key.change") => {
                let to = &event["detail"]["limits"]["to"][0]["rpm"];
                keys.insert(subject, to.as_u64().unwrap_or(0));
            }
            Some("key.delete") => {
                keys.remove(&subject);
            }
            _ => {}
        }
    }
    keys
}

/// All rows of a list.
fn all(gatekeeper: &Gatekeeper, path: &str, cursor: &str) -> Vec<Value> {
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let page = gatekeeper.admin().get(&format!("{path}{after}"));
        let page = page.assert_status(200).json();
        rows.extend(page["data"].as_array().expect("rows").iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&{cursor}={next}"),
            None => return rows,
        }
    }
}

/// `route`: step that was acknowledged last.
fn assert_routing(gatekeeper: &Gatekeeper, route: u64) {
    let mut events = Vec::new();
    for action in ["provider.*", "route.*"] {
        let path = format!("/v1/audit?action={action}&limit=500");
        let newest_first = all(gatekeeper, &path, "before");
        events.extend(newest_first.into_iter().rev());
    }
    let stored = stored_routing(gatekeeper);
    assert_eq!(told_routing(&events), stored, "events and changes differ");
    let weight = stored["route smart"]["targets"][0]["weight"].as_u64();
    assert!(weight >= Some(route), "{weight:?} after step {route}");
    // the secret of the key that the members name is the one that is sealed
    let provider = gatekeeper.admin().get("/v1/providers/lan").json();
    let named = format!(
        "api_keys.{}",
        text(&provider["members"]["api_keys"][0], "name")
    );
    assert_eq!(provider["credentials"][0]["members"], json!([named]));
}

#[test]
fn kill_between_changes_leaves_books_and_audit_log_equal() {
    let kills = repetitions("GK_CONTROL_KILLS", 3);
    let mut gatekeeper = Gatekeeper::without_providers().start();
    gatekeeper.team(&json!({"name": "eng"}));
    create_routing(&gatekeeper);
    let mut route = 1;
    let mut rng = SeededRng::new(61);
    let mut acknowledged = Acknowledged::new();
    for round in 0..kills {
        let mut caller = Caller {
            connection: gatekeeper.admin().connect(),
            acknowledged: std::mem::take(&mut acknowledged),
            route,
        };
        let pid = rustix::process::Pid::from_raw(gatekeeper.pid() as i32).expect("a process");
        let wait = Duration::from_millis(rng.between(10, 300));
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(wait);
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
            });
            caller.change_until_death(round);
        });
        (acknowledged, route) = (caller.acknowledged, caller.route);
        gatekeeper.kill_9();
        gatekeeper.start();
    }
    let mut events = all(&gatekeeper, "/v1/audit?action=key.*&limit=500", "before");
    events.reverse();
    let told = told(&events);
    let stored: BTreeMap<String, u64> = all(&gatekeeper, "/v1/keys?limit=1000", "after")
        .iter()
        .map(|key| (text(key, "id"), key["rpm"].as_u64().unwrap_or(0)))
        .collect();
    assert_eq!(told, stored, "events and changes differ");
    for (id, rpm) in &acknowledged {
        match rpm {
            None => assert!(!stored.contains_key(id), "{id} was deleted"),
            // the next change may have been made without an answer
            Some(rpm) => assert!(stored.get(id).is_none_or(|found| found >= rpm), "{id}"),
        }
    }
    let lost = acknowledged
        .iter()
        .filter(|(id, rpm)| rpm.is_some_and(|rpm| rpm < 9) && !stored.contains_key(*id));
    assert_eq!(lost.count(), 0, "an acknowledged key is gone");
    assert_routing(&gatekeeper, route);
    print_figure(
        "kills within changes",
        &format!(
            "{kills} kills, {} keys, {} events",
            acknowledged.len(),
            events.len()
        ),
    );
}
