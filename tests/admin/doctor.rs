//! `gatekeeper doctor`: what it finds on a healthy instance, and the faults that it names with their remedies.

use std::fs;
use std::net::TcpListener;

use serde_json::Value;

use super::CommandOutput;
use crate::harness::process::{Gatekeeper, gatekeeper_command};
use crate::harness::upstream::Upstream;

const FAULT: i32 = 15;

#[test]
fn doctor_of_a_running_instance_finds_no_fault_and_books_nothing() {
    let upstream = Upstream::start();
    let gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let output = CommandOutput::from(gatekeeper.run(&["doctor"]));
    output.assert_exit_code(0).assert_stdout(&[
        "data folder",
        "free space",
        "sync time",
        "descriptors",
        "price sheet",
        "running and ready",
        "wall clock and adopted time agree",
        "gatekeeper backup FILE",
        "provider up",
        "0 faults",
    ]);
    assert!(gatekeeper.requests().is_empty(), "a request was booked");
    assert_eq!(gatekeeper.usage_total(), 0);
}

#[test]
fn doctor_of_an_unreachable_provider_is_a_fault_with_remedy_and_without_secret() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    let config = format!(
        "data = \"data\"\n[providers.lan]\ntype = \"openai_compatible\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\n\
         api_key = \"env:THE_KEY\"\nprice = {{ input = \"1\", output = \"1\" }}\nmodels = [\"m\"]\n\
         [audit]\nsyslog = \"udp://127.0.0.1:514\"\n"
    );
    fs::write(folder.path().join("gatekeeper.toml"), config).expect("written");
    let run = |arguments: &[&str]| {
        let mut command = gatekeeper_command();
        command
            .current_dir(folder.path())
            .args(arguments)
            .env("THE_KEY", "sk-canary-doctor");
        CommandOutput::from(command.output().expect("the binary runs"))
    };
    run(&["doctor", "--offline"])
        .assert_exit_code(FAULT)
        .assert_stdout(&["gatekeeper init"]);
    run(&["init"]).assert_exit_code(0);
    run(&["doctor", "--offline"])
        .assert_exit_code(0)
        .assert_stdout(&["not running on this data folder"]);
    let output = run(&["doctor"])
        .assert_exit_code(FAULT)
        .assert_stdout(&["failed to connect", "check the network", "syslog"])
        .assert_stderr(&["1 check failed"]);
    assert!(!output.out.contains("sk-canary") && !output.err.contains("sk-canary"));
    let json: Value = serde_json::from_str(&run(&["doctor", "--json"]).out).expect("JSON");
    assert_eq!(json["faults"], 1, "{json}");
}
