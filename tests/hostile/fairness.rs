//! Good clients beside hostile ones: none is refused, each is answered. How much slower they are is a figure.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{count_from_env, print_figure};
use crate::harness::model;
use crate::harness::process::{Gatekeeper, Key};
use crate::harness::upstream::Upstream;

const CALLS: usize = 60;

fn body(streamed: bool) -> String {
    let body = json!({"model": "m-small", "max_tokens": 20, "stream": streamed, "messages": [{"role": "user", "content": "x"}]});
    body.to_string()
}

/// Kinds of hostile connections, with the bytes that they begin with.
fn kinds(key: &Key) -> [(&'static str, String); 6] {
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n",
        key.secret
    );
    let body = body(true);
    [
        (
            "half a head",
            "GET /healthz HTTP/1.1\r\nhost: a\r\nx: ".to_owned(),
        ),
        (
            "half a second head",
            "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\nGET /healthz HTTP/1.1\r\nx: ".to_owned(),
        ),
        (
            "early answer, body without end",
            "POST /v1/messages HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde"
                .to_owned(),
        ),
        (
            "slow body",
            format!("{head}content-length: 60000\r\n\r\n{{"),
        ),
        (
            "announced large body",
            format!("{head}content-length: 30000000\r\n\r\n"),
        ),
        (
            "stream that is not read",
            format!("{head}content-length: {}\r\n\r\n{body}", body.len()),
        ),
    ]
}

/// Opens so many connections of each kind.
fn attack(gatekeeper: &Gatekeeper, key: &Key, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for (_, bytes) in kinds(key) {
        for _ in 0..count {
            let Ok(mut stream) = TcpStream::connect(gatekeeper.address()) else {
                continue;
            };
            // the gateway may close it at any time
            let _ = stream.write_all(bytes.as_bytes());
            open.push(stream);
        }
    }
    open
}

/// Times of calls that are all served, sorted; each second one on a new connection.
fn served(gatekeeper: &Gatekeeper, key: &Key) -> Vec<Duration> {
    let user = gatekeeper.user(key);
    let mut kept = user.connect();
    let mut times: Vec<Duration> = (0..CALLS)
        .map(|number| {
            let start = Instant::now();
            if number % 2 == 0 {
                kept.call("POST", "/v1/chat/completions", Some(body(false).as_bytes()))
                    .assert_status(200);
            } else {
                user.post_bytes("/v1/chat/completions", body(false).as_bytes())
                    .assert_status(200);
            }
            start.elapsed()
        })
        .collect();
    times.sort();
    times
}

#[test]
fn good_client_beside_hostile_connections_of_every_kind_is_always_served() {
    let count = count_from_env("GK_HOSTILE_CONNECTIONS", 40);
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let mut gatekeeper = Gatekeeper::with_upstream(&upstream).start();
    let good = gatekeeper.team_with_budget("good", "100");
    let hostile = gatekeeper.team_with_budget("hostile", "100");
    let (good, hostile) = (gatekeeper.key_of(&good), gatekeeper.key_of(&hostile));
    served(&gatekeeper, &good);
    let quiet = served(&gatekeeper, &good);
    let open = attack(&gatekeeper, &hostile, count);
    let attacked = served(&gatekeeper, &good);
    let admin = gatekeeper.run(&["usage"]);
    assert!(admin.status.success(), "{admin:?}");
    let ms = |times: &[Duration], percent: usize| {
        times[(times.len() - 1) * percent / 100].as_secs_f64() * 1_000.0
    };
    print_figure(
        &format!(
            "a good call beside {count} hostile connections of each of {} kinds, ms (quiet and attacked p50, p99)",
            kinds(&hostile).len()
        ),
        &format!(
            "{:.1} {:.1}, {:.1} {:.1}",
            ms(&quiet, 50),
            ms(&attacked, 50),
            ms(&quiet, 99),
            ms(&attacked, 99)
        ),
    );
    print_figure(
        "ratio of the p99",
        &format!("{:.1}", ms(&attacked, 99) / ms(&quiet, 99)),
    );
    drop(open);
}
