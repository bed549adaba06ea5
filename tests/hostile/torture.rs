//! Raw exchanges over HTTP/1.1: ambiguous lengths, smuggled requests, broken heads and chunks, other protocols. Each has the
//! statuses that the client gets and the calls that arrive at the upstream; a message that two readers could take for two
//! things never reaches it.

use std::time::{Duration, Instant};

use crate::harness::client::Connection;
use crate::harness::process::Gatekeeper;
use crate::harness::upstream::Upstream;

const EXCHANGES: &str = include_str!("torture.txt");
const BODY: &str =
    r#"{"model":"m-small","max_tokens":5,"messages":[{"role":"user","content":"x"}]}"#;
const POST: &str = "POST /v1/chat/completions HTTP/1.1\\r\\nhost: a\\r\\nauthorization: Bearer {KEY}\\r\\ncontent-type: application/json\\r\\n";
/// Ends what would never come.
const PATIENCE: Duration = Duration::from_secs(60);

/// One line of the table.
struct Exchange<'t> {
    name: &'t str,
    statuses: Vec<u16>,
    calls: usize,
    closes: bool,
    bytes: Vec<u8>,
}

impl<'t> Exchange<'t> {
    fn parse(line: &'t str, key: &str) -> Exchange<'t> {
        let mut cells = line.splitn(5, " | ");
        let mut cell = || {
            cells
                .next()
                .unwrap_or_else(|| panic!("a cell is missing in {line}"))
        };
        Exchange {
            name: cell(),
            statuses: cell()
                .split(' ')
                .map(|status| status.parse().expect(line))
                .collect(),
            calls: cell().parse().expect(line),
            closes: cell() == "closes",
            bytes: bytes(cell(), key),
        }
    }

    /// Plays the exchange; returns how it differs from the table.
    fn fault(&self, mut connection: Connection, upstream: &Upstream) -> Option<String> {
        let calls_before = upstream.request_count();
        connection.set_read_timeout(PATIENCE);
        connection.send(&self.bytes);
        let mut statuses = Vec::new();
        for _ in &self.statuses {
            let answer = connection.try_read_response("POST");
            statuses.push(answer.map_or(0, |response| response.status));
        }
        if !self.closes {
            connection.set_read_timeout(Duration::from_millis(1));
        }
        let closes = connection.is_closed_by_peer();
        // a call whose connection is closed early arrives a little later
        let deadline = Instant::now() + PATIENCE;
        while upstream.request_count() - calls_before < self.calls && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let calls = upstream.request_count() - calls_before;
        let is_as_expected =
            (&statuses, calls, closes) == (&self.statuses, self.calls, self.closes);
        (!is_as_expected).then(|| {
            format!(
                "{}: statuses {statuses:?}, {calls} calls, closed {closes}; expected {:?}, {}, {}",
                self.name, self.statuses, self.calls, self.closes
            )
        })
    }
}

/// The bytes of a cell, as the head of the table explains them.
fn bytes(cell: &str, key: &str) -> Vec<u8> {
    let headers: Vec<String> = (0..200).map(|n| format!("x-{n}: 1")).collect();
    let cell = cell
        .replace("{P}", POST)
        .replace("{KEY}", key)
        .replace("{HEADERS}", &headers.join("\\r\\n"));
    let mut bytes = Vec::new();
    let mut rest = cell.as_str();
    while let Some(letter) = rest.chars().next() {
        let (part, length) = match letter {
            '\\' => escaped(rest),
            '{' => braced(rest),
            letter => (vec![letter as u8], letter.len_utf8()),
        };
        bytes.extend(part);
        rest = &rest[length..];
    }
    bytes
}

fn escaped(rest: &str) -> (Vec<u8>, usize) {
    match rest.as_bytes()[1] {
        b'r' => (vec![b'\r'], 2),
        b'n' => (vec![b'\n'], 2),
        b't' => (vec![b'\t'], 2),
        b'0' => (vec![0], 2),
        b'x' => (vec![u8::from_str_radix(&rest[2..4], 16).expect(rest)], 4),
        other => (vec![other], 2),
    }
}

fn braced(rest: &str) -> (Vec<u8>, usize) {
    let end = rest.find('}').unwrap_or(0);
    let inner = &rest[..end];
    if inner == "{BODY" {
        return (BODY.into(), end + 1);
    }
    match inner[1.min(end)..].split_once('*') {
        Some((letter, count)) if count.parse::<usize>().is_ok() => {
            let letter = bytes(letter, "")[0];
            (vec![letter; count.parse().expect(rest)], end + 1)
        }
        _ => (vec![b'{'], 1),
    }
}

#[test]
fn ambiguous_or_malformed_http_never_reaches_the_upstream() {
    let upstream = Upstream::start();
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let team = gatekeeper.team_with_budget("torture", "100");
    let key = gatekeeper.key_of(&team).secret;
    let lines = EXCHANGES.lines().filter(|line| !line.starts_with('#'));
    let exchanges: Vec<Exchange<'_>> = lines.map(|line| Exchange::parse(line, &key)).collect();
    assert!(exchanges.len() >= 100, "{} exchanges", exchanges.len());
    let faults: Vec<String> = exchanges
        .iter()
        .filter_map(|exchange| exchange.fault(gatekeeper.anon().connect(), &upstream))
        .collect();
    let (count, all) = (faults.len(), exchanges.len());
    assert!(
        faults.is_empty(),
        "{count} of {all}:\n{}",
        faults.join("\n")
    );
    for request in upstream.requests() {
        let body = request.json();
        assert_eq!(
            body["messages"][0]["content"], "x",
            "only whole bodies arrive"
        );
        assert_eq!(request.header("transfer-encoding"), None);
    }
}
