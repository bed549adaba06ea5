//! `gatekeeper requests export`: exports together hold every ended request once, whatever runs meanwhile.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::gate::Gate;
use crate::harness::in_process::InProcessGateway;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key, gatekeeper_command};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{hello, wait_until};

const CALLS: usize = 12;

struct Fixture {
    upstream: Upstream,
    gateway: InProcessGateway,
    key: Key,
}

fn fixture() -> Fixture {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gateway = Gatekeeper::with_upstream(&upstream).start_in_process();
    let team = gateway.team(&json!({"name": "eng"}));
    let key = gateway.key_of(&team);
    Fixture {
        upstream,
        gateway,
        key,
    }
}

impl Fixture {
    fn call(&self) {
        let user = self.gateway.user(&self.key);
        user.chat(&hello("m-small")).assert_status(200);
    }

    fn export(&self, arguments: &[&str]) -> Export {
        let key = self.gateway.data().with_extension("admin-key");
        fs::write(&key, &self.gateway.admin_key).expect("written");
        let mut command: Command = gatekeeper_command();
        command
            .args(["requests", "export"])
            .args(arguments)
            .args(["--url", &self.gateway.url(), "--admin-key-file"])
            .arg(&key);
        Export::of(command.output().expect("the binary runs"))
    }
}

struct Export {
    text: String,
    /// of the next export
    cursor: String,
}

impl Export {
    fn of(output: Output) -> Export {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let cursor = said.trim_end().rsplit(' ').next().unwrap_or_default();
        Export {
            cursor: cursor.to_owned(),
            text: String::from_utf8(output.stdout).expect("UTF-8"),
        }
    }

    fn rows(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).expect("JSON");
        self.text.lines().map(parse).collect()
    }

    fn ids(&self) -> Vec<String> {
        let id = |row: &Value| row["id"].as_str().expect("an id").to_owned();
        self.rows().iter().map(id).collect()
    }
}

#[test]
fn export_leaves_requests_after_a_running_one_to_the_next_export() {
    let mut fixture = fixture();
    (0..CALLS).for_each(|_| fixture.call());
    let gate = Gate::default();
    let held = model::with_usage(10, 20).held_by(&gate);
    fixture.upstream.respond_with(held);
    let caller = fixture.gateway.user(&fixture.key);
    let running = std::thread::spawn(move || caller.chat(&hello("m-small")));
    wait_until("the call runs", || fixture.gateway.holds_open() == 1);
    fixture.upstream.respond_with(model::with_usage(10, 20));
    (0..CALLS).for_each(|_| fixture.call());
    fixture.gateway.advance_to("2026-11-23T11:00:00Z");

    let first = fixture.export(&[]);
    assert_eq!(first.ids().len(), CALLS, "{}", first.text);
    let again = fixture.export(&["--after", &first.cursor]);
    assert_eq!((again.text.as_str(), &again.cursor), ("", &first.cursor));

    gate.open();
    running.join().expect("the caller ends");
    wait_until("the call has ended", || fixture.gateway.holds_open() == 0);
    let second = fixture.export(&["--after", &first.cursor]);
    let mut ids = [first.ids(), second.ids()].concat();
    assert_eq!(ids.len(), 2 * CALLS + 1);
    assert!(ids.is_sorted(), "the oldest first");
    ids.dedup();
    assert_eq!(ids.len(), 2 * CALLS + 1, "every request once");
    fixture.gateway.stop();
}

#[test]
fn export_leaves_a_request_between_two_attempts_to_the_next_export() {
    let upstream = Upstream::start();
    let route = "[routes.smart]\ntargets = [\"up/m-small\"]\nmax_retries = 1\n";
    let mut gateway = Gatekeeper::with_upstream(&upstream)
        .setting(route)
        .start_in_process();
    let team = gateway.team(&json!({"name": "eng"}));
    let key = gateway.key_of(&team);
    let mut fixture = Fixture {
        upstream,
        gateway,
        key,
    };
    // the gateway waits as long as the vendor asks before the second attempt
    let error = json!({"error": {"message": "m", "type": "rate_limit", "param": null, "code": "rate_limit_exceeded"}});
    let limited = Script::json(429, &error).header("retry-after", "3");
    fixture
        .upstream
        .respond_with(Script::in_turn([limited, model::with_usage(10, 20)]));
    let caller = fixture.gateway.user(&fixture.key);
    let running = std::thread::spawn(move || caller.chat(&hello("smart")));
    wait_until("the first attempt has ended", || {
        fixture.upstream.request_count() == 1 && fixture.gateway.requests().len() == 1
    });
    assert_eq!(
        fixture.gateway.holds_open(),
        0,
        "the request is between its attempts"
    );
    fixture.gateway.advance_to("2026-11-23T11:00:00Z");
    let first = fixture.export(&[]);
    running.join().expect("the caller ends").assert_status(200);
    fixture.gateway.advance_to("2026-11-23T12:00:00Z");
    let second = fixture.export(&["--after", &first.cursor]);
    let attempts = |export: &Export| {
        let attempt = |row: &Value| row["attempt"].as_u64();
        export.rows().iter().map(attempt).collect::<Vec<_>>()
    };
    assert_eq!(
        (attempts(&first), attempts(&second)),
        (vec![], vec![Some(1), Some(2)])
    );
    fixture.gateway.stop();
}

#[test]
fn export_sums_equal_the_usage_report_in_both_formats() {
    let mut fixture = fixture();
    (0..CALLS).for_each(|_| fixture.call());
    fixture.gateway.advance_to("2026-11-23T11:00:00Z");
    let usage = fixture.gateway.usage();
    let total = &usage["total"];
    let rows = fixture.export(&[]).rows();
    let tokens = |row: &Value| row["usage"]["output_tokens"].as_u64().unwrap_or_default();
    let output: u64 = rows.iter().map(tokens).sum();
    assert_eq!(Some(output), total["output_tokens"].as_u64(), "{usage}");

    let file = fixture.gateway.data().with_extension("csv");
    let path = file.to_string_lossy();
    fixture.export(&["--format", "csv", "--out", &path]);
    let table = fs::read_to_string(&file).expect("the export");
    let mut lines = table
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>());
    let heading = lines.next().expect("a heading");
    let column = heading.iter().position(|name| *name == "output_tokens");
    let column = column.expect("the column");
    let cells = lines.map(|cells| cells[column].parse::<u64>().expect("a number"));
    let cells: Vec<u64> = cells.collect();
    assert_eq!(cells.len(), CALLS);
    assert_eq!(cells.iter().sum::<u64>(), output);
    fixture.gateway.stop();
}
