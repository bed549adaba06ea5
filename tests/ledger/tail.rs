//! `gatekeeper requests tail`: prints earlier requests, then each request as it ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::harness::hello;
use crate::harness::model;
use crate::harness::process::{Gatekeeper, gatekeeper_command};
use crate::harness::upstream::Upstream;

/// Longest wait for a line; a loaded machine needs a second.
const LINE_WAIT: Duration = Duration::from_secs(60);

struct Tail {
    child: Child,
    lines: Receiver<String>,
}

impl Tail {
    fn start(config: &str, more: &[&str]) -> Tail {
        let mut child = gatekeeper_command()
            .args(["requests", "tail", "--config", config])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Tail { child, lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(LINE_WAIT).expect("a line")
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn requests_tail_prints_earlier_requests_and_each_later_one_once() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("eng", "1");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let config = gatekeeper.config.to_str().expect("a path").to_owned();
    let call = |model: &str| {
        let answer = user.chat(&hello(model));
        answer
            .assert_status(200)
            .header("x-gatekeeper-request-id")
            .expect("an id")
            .to_owned()
    };
    let earlier = call("m-small");
    let table = Tail::start(&config, &[]);
    let json = Tail::start(&config, &["--json", "--model", "m-large"]);
    assert!(table.next().starts_with("TIME"), "a heading");
    assert!(table.next().contains(&earlier));
    let (small, large) = (call("m-small"), call("m-large"));
    for id in [&small, &large] {
        let line = table.next();
        assert!(line.contains(id) && line.contains("eng/eng-key"), "{line}");
    }
    let filtered = json.next();
    assert!(
        filtered.starts_with('{') && filtered.contains(&large),
        "{filtered}"
    );
}
