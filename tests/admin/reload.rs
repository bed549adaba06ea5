//! SIGHUP reloads providers, routes and aliases; a file with an error leaves the old ones in force and says why.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::budget::call::Call;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;

fn rewrite(gatekeeper: &Gatekeeper, change: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(&gatekeeper.config).expect("the configuration");
    fs::write(&gatekeeper.config, change(text)).expect("written");
    gatekeeper.signal(Signal::HUP);
}

fn events(gatekeeper: &Gatekeeper, action: &str) -> Vec<Value> {
    let events = gatekeeper
        .admin()
        .get(&format!("/v1/audit?action={action}"));
    let events = events.assert_status(200).json();
    events["data"].as_array().expect("events").clone()
}

#[test]
fn hangup_puts_new_providers_and_aliases_in_force_without_a_restart() {
    let (upstream, other) = (Upstream::start(), Upstream::start());
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team(&json!({"name": "eng"}));
    let key = gatekeeper.key_of(&team);
    let user = gatekeeper.user(&key);
    let mut call = Call::chat().at_most(5).body();
    call["model"] = json!("swift");
    user.chat(&call).assert_status(404);
    let loads = events(&gatekeeper, "config.load").len();
    let provider = format!(
        "\n[providers.second]\ntype = \"openai_compatible\"\nbase_url = \"{}/v1\"\nmodels = [\"n-small\"]\nprice = \"free\"\n\n[aliases]\nswift = \"n-small\"\n",
        other.url()
    );
    rewrite(&gatekeeper, |text| text + &provider);
    wait_until("the reload is audited", || {
        events(&gatekeeper, "config.load").len() > loads
    });
    wait_until("the alias resolves", || user.chat(&call).status == 200);
    assert!(other.request_count() >= 1 && upstream.request_count() == 0);
    let changed = &events(&gatekeeper, "config.load")[0]["detail"]["changed"];
    assert!(changed["aliases.swift"].is_object(), "{changed}");
    let listed = gatekeeper.admin().get("/v1/providers").json();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(2));
}

#[test]
fn file_with_an_error_leaves_the_old_one_in_force_and_says_why() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team(&json!({"name": "eng"}));
    let key = gatekeeper.key_of(&team);
    let call = Call::chat().at_most(5).body();
    let good = fs::read_to_string(&gatekeeper.config).expect("the configuration");
    rewrite(&gatekeeper, |text| text.replace("base_url", "bose_url"));
    wait_until("the refusal is audited", || {
        !events(&gatekeeper, "config.refused").is_empty()
    });
    let reason = events(&gatekeeper, "config.refused")[0]["detail"]["reason"].clone();
    assert!(
        reason
            .as_str()
            .is_some_and(|text| text.contains("bose_url")),
        "{reason}"
    );
    assert!(gatekeeper.output().contains("the old one stays in force"));
    gatekeeper.user(&key).chat(&call).assert_status(200);
    rewrite(&gatekeeper, |_| format!("workers = 3\n{good}"));
    wait_until("the pending setting is named", || {
        let output = gatekeeper.output();
        output.contains("takes effect at the next start") && output.contains("workers")
    });
    let settings = gatekeeper
        .admin()
        .get("/v1/settings")
        .assert_status(200)
        .json();
    let rows = settings["data"].as_array().expect("settings");
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).expect(name);
    assert_eq!(row("workers")["pending"], true);
    assert_eq!(row("data")["pending"], false);
    assert_eq!(row("providers.up.api_key")["secret"], true);
    assert_eq!(row("providers.up.api_key")["value"], Value::Null);
}
