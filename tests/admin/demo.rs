//! `gatekeeper demo`: a serving gateway with sample keys from one command; a restart keeps keys and usage.

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
        let log = folder.join("demo.log");
        let out = File::create(&log).expect("a file for the output");
        let mut command = gatekeeper_command();
        command
            .current_dir(folder)
            .arg("demo")
            .arg("--listen")
            .arg(port.address.to_string());
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

    engineer
        .messages(&hello("simulator-small"))
        .assert_status(200);
    let marketing = user(port.address, &demo.key("sk-gk-marketing-"));
    assert_eq!(
        marketing
            .chat(&hello("simulator-large"))
            .assert_status(403)
            .error_type(),
        "model_not_allowed"
    );
    let support = user(port.address, &demo.key("sk-gk-support-"));
    assert_eq!(
        support
            .chat(&hello("simulator-small"))
            .assert_status(402)
            .error_type(),
        "budget_exceeded"
    );
    let admin = user(port.address, &demo.key("sk-gk-master-"));
    let usage = |admin: &crate::harness::client::HttpClient| {
        admin.get("/v1/usage").assert_status(200).json()["total"].clone()
    };
    let before = usage(&admin);
    let own: super::CommandOutput = gatekeeper_command()
        .current_dir(folder.path())
        .args(["budgets", "list"])
        .output()
        .expect("the binary runs")
        .into();
    own.assert_exit_code(0)
        .assert_stdout(&["team support", "$0.01 total", "98%"]);
    // two of them are the demo's own, which spend the budget of support
    assert_eq!(before["requests"], 4);
    let mode = fs::metadata(folder.path().join("gatekeeper-demo/demo-secrets.json"))
        .expect("the file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let banner = demo.output.clone();
    demo.interrupt();

    let again = Demo::start(folder.path(), &port);
    assert_eq!(
        again.output.replace("gatekeeper has stopped\n", ""),
        banner.replace("gatekeeper has stopped\n", "")
    );
    assert_eq!(usage(&admin), before);
    engineer.chat(&hello("simulator-small")).assert_status(200);
    again.interrupt();
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
