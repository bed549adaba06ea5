//! `gatekeeper prices`: a sheet from a file prices the next call, survives a kill and travels in a backup; older, unreadable and damaged
//! sheets are refused.

use std::fs;

use serde_json::{Value, json};

use super::CommandOutput;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, Provider};
use crate::harness::upstream::Upstream;

const MODEL: &str = "gpt-4.1-mini";

struct Fixture {
    upstream: Upstream,
    gatekeeper: Gatekeeper,
    key: Key,
}

impl Fixture {
    /// An instance whose one provider has the prices of the sheet.
    fn new() -> Fixture {
        let upstream = Upstream::start();
        upstream.respond_with(model::with_usage(1_000, 1_000));
        let provider = Provider::openai("openai", &upstream)
            .preset("openai")
            .priced_by("sheet")
            .models(&[MODEL]);
        let mut gatekeeper = Gatekeeper::without_providers().provider(&provider).start();
        let team = gatekeeper.team_with_budget("eng", "10");
        let key = gatekeeper.key_of(&team);
        Fixture {
            upstream,
            gatekeeper,
            key,
        }
    }

    fn run(&self, arguments: &[&str]) -> CommandOutput {
        let config = self.gatekeeper.config.display().to_string();
        let arguments = [arguments, &["--config", &config]].concat();
        CommandOutput::from(self.gatekeeper.run(&arguments))
    }

    /// Cost of a call of 1,000 tokens in and out, in pico-dollars.
    fn cost(&self) -> i128 {
        let body = json!({"model": MODEL, "max_tokens": 2_000, "messages": [{"role": "user", "content": "hello"}]});
        let answer = self.gatekeeper.user(&self.key).chat(&body);
        answer.assert_status(200).cost()
    }

    /// Writes the sheet in force with other rates for the model.
    fn write_sheet(&self, name: &str, as_of: &str, rates: Value) -> String {
        let exported = self.run(&["prices", "export"]).assert_exit_code(0);
        let mut sheet: Value = serde_json::from_str(&exported.out).expect("a sheet");
        sheet["as_of"] = json!(as_of);
        let rows = sheet["models"].as_array_mut().expect("rows");
        let row = rows
            .iter_mut()
            .find(|row| row["provider"] == "openai" && row["model"] == MODEL)
            .expect("the model is listed");
        row["rates"] = rates;
        let file = self.gatekeeper.folder().join(name);
        fs::write(&file, sheet.to_string()).expect("written");
        file.display().to_string()
    }

    /// Sheet that the newest request was priced with, as its record names it.
    fn sheet_of_newest(&self) -> Value {
        let admin = self.gatekeeper.admin();
        let newest = admin.get("/v1/requests?limit=1").json()["data"][0]["id"].clone();
        let path = format!("/v1/requests/{}", newest.as_str().expect("an id"));
        admin.get(&path).json()["price_sheet"].clone()
    }

    fn events(&self, action: &str) -> Vec<Value> {
        let events = self
            .gatekeeper
            .admin()
            .get(&format!("/v1/audit?action={action}"));
        let events = events.json();
        events["data"].as_array().expect("events").clone()
    }
}

/// Two and four micro-dollars per token: 6,000 micro-dollars for 1,000 tokens in and out.
fn dear() -> Value {
    json!({ "input": "2", "output": "4" })
}

const DEAR_PICO: i128 = 6_000_000_000;

#[test]
fn applied_sheet_prices_the_next_call_and_survives_kill_and_restore() {
    let mut fixture = Fixture::new();
    let listed = fixture.cost();
    let embedded = fixture.sheet_of_newest();
    assert!(embedded["as_of"].is_string(), "{embedded}");
    let file = fixture.write_sheet("sheet.json", "ours, 2100-01", dear());
    fixture
        .run(&["prices", "diff", &file])
        .assert_exit_code(0)
        .assert_stdout(&[
            "openai/gpt-4.1-mini: ",
            "rates.input",
            "-> 2",
            "nothing changed",
            "SHA-256",
        ]);
    fixture
        .run(&["prices", "apply", &file, "--dry-run"])
        .assert_exit_code(0)
        .assert_stdout(&["nothing changed"]);
    assert_eq!(fixture.cost(), listed);
    assert!(fixture.events("prices.applied").is_empty());
    let applied = fixture
        .run(&["prices", "apply", &file, "--json"])
        .assert_exit_code(0)
        .json();
    assert_eq!(fixture.cost(), DEAR_PICO, "in force at once");
    let named = fixture.sheet_of_newest();
    assert_eq!(named["as_of"], "ours, 2100-01");
    assert_eq!(named["sha256"], applied["after"]["sha256"]);
    let event = fixture.events("prices.applied").remove(0);
    assert_eq!(event["detail"]["sha256"], applied["after"]["sha256"]);
    fixture
        .run(&["prices", "show"])
        .assert_exit_code(0)
        .assert_stdout(&["ours, 2100-01", "applied at"]);
    fixture.gatekeeper.kill_9();
    fixture.gatekeeper.start();
    assert_eq!(fixture.cost(), DEAR_PICO, "in force after a kill");

    let backup = fixture
        .gatekeeper
        .folder()
        .join("backup")
        .display()
        .to_string();
    fixture.run(&["backup", &backup]).assert_exit_code(0);
    fixture
        .run(&["prices", "reset"])
        .assert_exit_code(0)
        .assert_stdout(&["price sheet of the release"]);
    assert_eq!(fixture.cost(), listed, "the embedded sheet again");
    assert_eq!(fixture.sheet_of_newest(), embedded);
    assert_eq!(fixture.events("prices.reset").len(), 1);
    fixture.run(&["prices", "reset"]).assert_exit_code(1);
    fixture.gatekeeper.stop();
    fixture.run(&["restore", &backup]).assert_exit_code(0);
    fixture.gatekeeper.start();
    assert_eq!(fixture.cost(), DEAR_PICO, "the backup carries the sheet");
    assert!(fixture.upstream.request_count() >= 5);
    // the calls after the backup are in the bill and, by the log, in the books
    fixture.gatekeeper.skip_books_check();
}

#[test]
fn commands_without_the_books_see_the_applied_sheet_of_the_running_server() {
    let fixture = Fixture::new();
    let exported = fixture.run(&["prices", "export"]).assert_exit_code(0).out;
    let mut sheet: Value = serde_json::from_str(&exported).expect("a sheet");
    sheet["as_of"] = json!("ours, 2100-01");
    let rows = sheet["models"].as_array_mut().expect("rows");
    rows.push(json!({"provider": "openai", "model": "gpt-of-tomorrow", "mode": "chat", "rates": {"input": "1", "output": "1"}}));
    let file = fixture.gatekeeper.folder().join("sheet.json");
    fs::write(&file, sheet.to_string()).expect("written");
    fixture
        .run(&["routes", "resolve", "gpt-of-tomorrow"])
        .assert_exit_code(1);
    let file = file.display().to_string();
    fixture
        .run(&["prices", "apply", &file])
        .assert_exit_code(0)
        .assert_stdout(&["1 added"]);
    fixture
        .run(&["routes", "resolve", "gpt-of-tomorrow"])
        .assert_exit_code(0)
        .assert_stdout(&["openai/gpt-of-tomorrow"]);
    let models = fixture
        .gatekeeper
        .user(&fixture.key)
        .get("/v1/models")
        .text();
    assert!(models.contains("gpt-of-tomorrow"), "{models}");
}

#[test]
fn sheet_that_is_older_or_unreadable_is_refused_with_its_reason() {
    let fixture = Fixture::new();
    let listed = fixture.cost();
    let older = fixture.write_sheet("older.json", "ours, 2020-01", dear());
    let undated = fixture.write_sheet("undated.json", "ours", dear());
    let unknown = fixture.write_sheet("unknown.json", "ours, 2100-01", json!({ "inptu": "2" }));
    for (file, reason) in [
        (older, "older than the embedded one"),
        (undated, "without a month"),
        (unknown, "inptu"),
    ] {
        fixture
            .run(&["prices", "apply", &file])
            .assert_exit_code(1)
            .assert_stderr(&[reason]);
    }
    fixture
        .run(&["prices", "apply", "absent.json"])
        .assert_exit_code(2);
    assert_eq!(fixture.cost(), listed);
}

#[test]
fn reset_without_a_server_forgets_the_sheet_and_is_audited() {
    let mut fixture = Fixture::new();
    let listed = fixture.cost();
    let file = fixture.write_sheet("sheet.json", "ours, 2100-01", dear());
    fixture.run(&["prices", "apply", &file]).assert_exit_code(0);
    fixture
        .run(&["prices", "reset", "--offline"])
        .assert_exit_code(75);
    fixture.gatekeeper.stop();
    fixture
        .run(&["prices", "reset", "--offline"])
        .assert_exit_code(0)
        .assert_stdout(&["price sheet of the release"]);
    fixture.gatekeeper.start();
    assert_eq!(fixture.cost(), listed);
    assert_eq!(fixture.events("prices.reset").len(), 1);
}
