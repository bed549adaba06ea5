//! `gatekeeper demo`: a serving gateway with sample keys from one command; its six steps; a restart keeps keys and usage; an invented
//! past whose books are in order.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::client::user;
use crate::harness::process::{ReservedPort, gatekeeper_command};
use crate::harness::{print_figure, wait_until};

struct Demo {
    child: Child,
    output: String,
}

impl Demo {
    /// Starts the demo and waits for its banner.
    fn start(folder: &Path, port: &ReservedPort) -> Demo {
        Demo::start_with(folder, port, &[])
    }

    fn start_with(folder: &Path, port: &ReservedPort, flags: &[&str]) -> Demo {
        let log = folder.join("demo.log");
        let out = File::create(&log).expect("a file for the output");
        let mut command = gatekeeper_command();
        command
            .current_dir(folder)
            .arg("demo")
            .arg("--listen")
            .arg(port.address.to_string())
            .args(flags);
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary starts");
        let mut demo = Demo {
            child,
            output: String::new(),
        };
        wait_until("the demo prints its banner", || {
            demo.output = fs::read_to_string(&log).unwrap_or_default();
            demo.output.contains("Ctrl-C stops")
        });
        demo
    }

    fn key(&self, prefix: &str) -> String {
        let words = self
            .output
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        words
            .into_iter()
            .find(|word| word.starts_with(prefix))
            .unwrap_or_else(|| panic!("no {prefix} in {}", self.output))
            .to_owned()
    }

    /// Sends SIGINT and expects a clean exit.
    fn interrupt(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("a child can be signalled");
        assert_eq!(self.child.wait().expect("the demo exits").code(), Some(0));
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hello(model: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]})
}

/// Output of a command in the demo's folder, which finds the demo by itself.
fn command(folder: &Path, arguments: &[&str]) -> super::CommandOutput {
    gatekeeper_command()
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("the binary runs")
        .into()
}

#[test]
fn demo_restart_keeps_keys_and_usage() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = ReservedPort::new();
    let start = Instant::now();
    let demo = Demo::start(folder.path(), &port);
    let engineer = user(port.address, &demo.key("sk-gk-engineering-"));
    engineer.chat(&hello("simulator-large")).assert_status(200);
    let elapsed = start.elapsed();
    print_figure(
        "demo to first answer",
        &format!("{} ms, built for the tests", elapsed.as_millis()),
    );
    assert!(elapsed < Duration::from_secs(100), "{elapsed:?}");
    let master = demo.key("sk-gk-master-");
    let admin = user(port.address, &master);
    let usage = |admin: &crate::harness::client::HttpClient| {
        admin.get("/v1/usage").assert_status(200).json()["total"].clone()
    };
    let before = usage(&admin);
    assert!(before["requests"].as_u64() > Some(1), "{before}");
    let mode = fs::metadata(folder.path().join("gatekeeper-demo/demo-secrets.json"))
        .expect("the file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let banner = demo.output.clone();
    demo.interrupt();

    let again = Demo::start(folder.path(), &port);
    let kept = |output: &str| output.replace("gatekeeper has stopped\n", "");
    assert_eq!(kept(&again.output), kept(&banner));
    assert_eq!(usage(&admin), before);
    engineer.chat(&hello("simulator-small")).assert_status(200);
    again.interrupt();
}

#[test]
fn demo_steps_show_cost_reason_and_both_refusals() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = ReservedPort::new();
    let demo = Demo::start(folder.path(), &port);
    for line in demo.output.lines() {
        assert!(
            line.chars().count() <= 80 || line.contains("/debug/"),
            "{line}"
        );
    }
    let key = |team: &str| user(port.address, &demo.key(&format!("sk-gk-{team}-")));
    let mut question = hello("simulator-large");
    question["stream"] = json!(true);
    let answer = key("engineering").chat(&question).assert_status(200).text();
    assert!(answer.contains(": x-gatekeeper-cost-usd"), "{answer}");
    command(folder.path(), &["usage"])
        .assert_exit_code(0)
        .assert_stdout(&["engineering", "simulator-large"]);
    command(folder.path(), &["requests", "explain", "--last"])
        .assert_exit_code(0)
        .assert_stdout(&["engineering", "× $0.000015", "$10 monthly"]);
    command(folder.path(), &["budgets", "list"])
        .assert_exit_code(0)
        .assert_stdout(&["team support", "$0.05"]);
    command(folder.path(), &["doctor"])
        .assert_exit_code(0)
        .assert_stdout(&[
            "the demo's own",
            "gatekeeper-demo",
            "running and ready",
            "0 faults",
        ]);
    let refused = key("support").chat(&hello("simulator-small"));
    assert_eq!(refused.assert_status(402).error_type(), "budget_exceeded");
    let message = refused.error_message();
    let amounts = message.split('$').skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        rest[..end.unwrap_or(rest.len())].trim_end_matches('.')
    });
    for amount in amounts {
        assert!(amount.len() <= "0.000019".len(), "{amount} in {message}");
    }
    let refused = key("marketing").chat(&hello("simulator-large"));
    assert_eq!(refused.assert_status(403).error_type(), "model_not_allowed");
    demo.interrupt();
}

#[test]
fn demo_simulator_serves_embeddings_counts_thinking_tools_and_schemas() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = ReservedPort::new();
    let demo = Demo::start(folder.path(), &port);
    let engineer = user(port.address, &demo.key("sk-gk-engineering-"));
    let embedded = engineer.post(
        "/v1/embeddings",
        &json!({"model": "simulator-embedding", "input": ["one text", "another text"]}),
    );
    let data = embedded.assert_status(200).json()["data"].clone();
    assert_eq!(data[1]["embedding"].as_array().map(Vec::len), Some(256));
    let counted = engineer.post("/v1/messages/count_tokens", &hello("simulator-large"));
    assert_eq!(
        counted.assert_status(200).json(),
        json!({"input_tokens": 2})
    );

    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
        "additionalProperties": false});
    let with = |more: Value| {
        let mut body = hello("simulator-large");
        let more = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(more);
        body
    };
    let format = json!({"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": true}});
    let answer = engineer.chat(&with(json!({"response_format": format})));
    let text = answer.assert_status(200).json()["choices"][0]["message"]["content"].clone();
    assert_eq!(text, "{\"city\":\"simulator\"}");
    let tools = json!([{"name": "weather", "input_schema": schema}]);
    let called = engineer.messages(&with(
        json!({"tools": tools, "tool_choice": {"type": "any"}}),
    ));
    let block = called.assert_status(200).json()["content"][0].clone();
    assert_eq!(
        (&block["type"], &block["input"]),
        (&json!("tool_use"), &json!({"city": "simulator"}))
    );
    let thinking =
        json!({"max_tokens": 2_000, "thinking": {"type": "enabled", "budget_tokens": 1_024}});
    let thought = engineer.messages(&with(thinking)).assert_status(200).json();
    assert_eq!(thought["content"][0]["type"], "thinking");
    demo.interrupt();
}

#[test]
fn demo_history_fills_a_month_and_its_books_are_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = ReservedPort::new();
    let start = Instant::now();
    let demo = Demo::start_with(folder.path(), &port, &["--history", "30d"]);
    print_figure(
        "demo with 30 days of history",
        &format!("{} ms, built for the tests", start.elapsed().as_millis()),
    );
    let admin = user(port.address, &demo.key("sk-gk-master-"));
    let report = |group_by: &str| {
        let start = "2020-01-01";
        let path = format!("/v1/usage?start={start}&group_by={group_by}");
        let report = admin.get(&path).assert_status(200).json();
        report["data"].as_array().expect("rows").clone()
    };
    assert!(report("day").len() > 25);
    let with_requests = |rows: Vec<Value>| {
        rows.iter()
            .filter(|row| row["requests"].as_u64() > Some(0))
            .count()
    };
    assert_eq!(with_requests(report("team")), 4);
    assert_eq!(with_requests(report("model")), 8);
    let classes = report("status");
    for class in ["ok", "failed", "client_gone", "refused"] {
        assert!(
            classes.iter().any(|row| row["status"] == class),
            "{class}: {classes:?}"
        );
    }
    let support = user(port.address, &demo.key("sk-gk-support-"));
    support.chat(&hello("simulator-small")).assert_status(402);
    let engineer = user(port.address, &demo.key("sk-gk-engineering-"));
    engineer.chat(&hello("simulator-small")).assert_status(200);
    command(folder.path(), &["ledger", "verify"]).assert_exit_code(0);
    demo.interrupt();

    let again = Demo::start_with(folder.path(), &port, &["--history", "30d"]);
    again.interrupt();
    fs::remove_dir_all(folder.path().join("gatekeeper-demo")).expect("the demo's folder");
    Demo::start(folder.path(), &port).interrupt();
    let address = port.address.to_string();
    command(
        folder.path(),
        &["demo", "--listen", &address, "--history", "7d"],
    )
    .assert_exit_code(2)
    .assert_stderr(&["--history fills only a new folder"]);
}

#[test]
fn demo_foreign_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("gatekeeper-demo")).expect("a folder");
    fs::write(folder.path().join("gatekeeper-demo/mine.txt"), "mine").expect("a file");
    let port = ReservedPort::new();
    let output: super::CommandOutput = gatekeeper_command()
        .current_dir(folder.path())
        .args(["demo", "--listen", &port.address.to_string()])
        .output()
        .expect("the binary runs")
        .into();
    output
        .assert_exit_code(78)
        .assert_stderr(&["gatekeeper-demo", "not empty"]);
}
