//! Log lines as JSON: every line of standard error is an object with its fields at one level, and a line about a request has its id.

use serde_json::Value;

use crate::harness::hello;
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::upstream::Upstream;

#[test]
fn log_format_json_has_an_object_per_line_with_the_id_of_the_request() {
    let upstream = Upstream::refusing();
    let mut gatekeeper = Gatekeeper::without_providers()
        .provider(&Provider::openai("up", &upstream))
        .setting("[log]\nformat = \"json\"\n")
        .start();
    let team = gatekeeper.team_with_budget("eng", "1");
    let key = gatekeeper.key_of(&team);
    let response = gatekeeper.user(&key).chat(&hello("m-small"));
    let id = response
        .assert_status(502)
        .header("x-gatekeeper-request-id")
        .expect("an id")
        .to_owned();
    gatekeeper.stop();
    let output = gatekeeper.output();
    // lines of `serve` for a person are no log lines
    let lines = output
        .lines()
        .filter(|line| !line.starts_with("gatekeeper "));
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no object: {line}")))
        .collect();
    let line = |message: &str| {
        let found = lines.iter().find(|line| line["message"] == message);
        found.unwrap_or_else(|| panic!("no line `{message}` in {output}"))
    };
    let started = line("gatekeeper started");
    assert_eq!(
        (&started["level"], &started["providers"]),
        (&"INFO".into(), &"up".into())
    );
    let failed = line("provider failed");
    assert_eq!(
        (&failed["level"], &failed["request"]),
        (&"WARN".into(), &id.as_str().into())
    );
    assert!(
        lines
            .iter()
            .all(|line| line["timestamp"].is_string() && line["target"].is_string())
    );
    gatekeeper.start();
}
