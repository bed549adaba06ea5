//! Full disk: the real process on a tmpfs of its own. Requests are refused with a message while the log cannot be written,
//! the books stay readable, and once space is freed the process serves again without a restart, with exact books.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::budget::call::Call;
use crate::harness::client::{HttpClient, ResponseStream};
use crate::harness::gate::Gate;
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{model, pico, print_figure, print_skipped, wait_until};

/// Upper bound of the calls that fill the preallocated segment.
const CALLS_MAX: usize = 20_000;
const STREAMS: usize = 20;

/// Fills the file system to the last byte.
fn fill(file: &Path) {
    let mut file = File::create(file).expect("a file on the tmpfs");
    for size in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![0x5a; size]).is_ok() {}
    }
}

/// Pieces of a stream before the gate: more than one delta, less than all.
const PIECES: usize = 4;

/// A gateway on a small tmpfs whose streams end when the gate opens; `None`, with a line of output, if there can be no tmpfs.
fn start(upstream: &Upstream, gate: &Gate) -> Option<Gatekeeper> {
    let gate = gate.clone();
    upstream.respond_with(Script::from_request(move |seen| {
        let response = model::with_usage(10, 20);
        match seen.json()["stream"] == true {
            true => response.held_after(PIECES, &gate),
            false => response,
        }
    }));
    let gatekeeper = Gatekeeper::with_upstream(upstream)
        .provider(&Provider::anthropic("claude", upstream))
        .ledger("segment_mb = 1\ndisk_reserve_mb = 0")
        .start_on_tmpfs(24);
    match gatekeeper {
        Ok(gatekeeper) => Some(gatekeeper),
        Err(reason) => {
            print_skipped("a full tmpfs", &reason);
            None
        }
    }
}

fn open_streams(user: &HttpClient) -> Vec<ResponseStream> {
    let streamed = Call::chat().at_most(30).streamed(true).body();
    let mut streams: Vec<ResponseStream> = (0..STREAMS)
        .map(|_| user.open_stream(Call::chat().path(), &streamed))
        .collect();
    streams
        .iter_mut()
        .for_each(|stream| drop(stream.read_deltas(1)));
    streams
}

/// Calls until one is refused; returns the number of served calls.
fn call_until_refused(user: &HttpClient) -> usize {
    let mut connection = user.connect();
    let mut served = 0;
    let refused = loop {
        let response = Call::chat().at_most(30).by(&mut connection);
        if response.status != 200 {
            break response;
        }
        served += 1;
        assert!(served < CALLS_MAX, "no call is refused on a full disk");
    };
    assert_eq!(
        refused.assert_status(503).error_type(),
        "ledger_unavailable"
    );
    served
}

/// Checks that the other dialect is refused too and that the upstream receives no refused call.
fn assert_refused_before_upstream(user: &HttpClient, upstream: &Upstream) {
    let sent = upstream.request_count();
    assert_eq!(
        user.messages(&Call::messages().at_most(30).body())
            .assert_status(503)
            .error_type(),
        "overloaded_error"
    );
    assert_eq!(
        upstream.request_count(),
        sent,
        "no unlogged call is sent upstream"
    );
}

fn assert_complete(stream: ResponseStream) {
    let (events, _) = stream.read_events();
    let output: String = events
        .iter()
        .map(|event| String::from_utf8_lossy(&event.raw).into_owned())
        .collect();
    assert!(output.contains("[DONE]"), "{output}");
}

fn wait_until_healed(gatekeeper: &Gatekeeper, user: &HttpClient) {
    wait_until("calls are served again", || {
        user.chat(&Call::chat().at_most(30).body()).status == 200
    });
    wait_until("the books have caught up", || {
        let usage = gatekeeper
            .admin()
            .get("/v1/usage?start=2000-01-01&end=2100-01-01");
        usage.status == 200 && !usage.json()["as_of"].is_null()
    });
}

#[test]
fn full_disk_refuses_requests_and_heals_without_restart() {
    let upstream = Upstream::start();
    let gate = Gate::default();
    let Some(mut gatekeeper) = start(&upstream, &gate) else {
        return;
    };
    let team = gatekeeper.team_with_budget("eng", "1000");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    user.chat(&Call::chat().at_most(30).body())
        .assert_status(200);
    gatekeeper.usage();
    // streams that run while the disk fills have reserved log space for their settlements
    let streams = open_streams(&user);
    let filling = gatekeeper.data.join("filling");
    fill(&filling);
    let served = 1 + call_until_refused(&user);
    assert_eq!(
        gatekeeper.holds_open(),
        STREAMS as u64,
        "the streams still run"
    );
    assert_refused_before_upstream(&user, &upstream);
    gate.open();
    streams.into_iter().for_each(assert_complete);
    assert_eq!(gatekeeper.holds_open(), 0);
    wait_until("the books can be read", || {
        gatekeeper.admin().get("/v1/requests?limit=1").status == 200
    });
    assert_eq!(gatekeeper.anon().get("/healthz").status, 200);
    fs::remove_file(&filling).expect("the filling can be removed");
    wait_until_healed(&gatekeeper, &user);
    let billed = upstream.bill_total(1_000_000, 5_000_000);
    assert_eq!(
        gatekeeper.usage_total(),
        billed,
        "the usage equals the upstream's bill"
    );
    let budget = gatekeeper
        .admin()
        .get(&format!("/v1/teams/{}", team.id))
        .json();
    assert_eq!(
        pico(budget["budgets"][0]["spent"].as_str().expect("an amount")),
        billed
    );
    gatekeeper.restart();
    assert_eq!(gatekeeper.usage_total(), billed, "equal after a restart");
    print_figure(
        "a full tmpfs",
        &format!(
            "{STREAMS} streams ended well, {served} calls served before it was noticed, none lost"
        ),
    );
}
