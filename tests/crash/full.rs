//! A disk that is really full: the real process on a tmpfs of its own. It refuses in words while nothing can be written,
//! its books can be read, and once there is room again it serves without a restart, with not a cent missing.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::budget::call::Call;
use crate::harness::client::ResponseStream;
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{model, pico, print_figure, print_skipped, wait_until};

/// Calls within which the log's segment must be used up.
const CALLS_MAX: usize = 20_000;
const STREAMS: usize = 20;

/// Writes until there is no room for another byte.
fn fill(file: &Path) {
    let mut file = File::create(file).expect("a file on the tmpfs");
    for size in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![0x5a; size]).is_ok() {}
    }
}

#[test]
fn a_full_disk_refuses_in_words_and_heals_without_a_restart() {
    let upstream = Upstream::start();
    upstream.respond_with(model::with_usage(10, 20));
    let house = Gatekeeper::with_upstream(&upstream)
        .provider(&Provider::anthropic("claude", &upstream))
        .ledger("segment_mb = 1\ndisk_reserve_mb = 0")
        .start_on_tmpfs(24);
    let mut gatekeeper = match house {
        Ok(gatekeeper) => gatekeeper,
        Err(why) => return print_skipped("a full tmpfs", &why),
    };
    let team = gatekeeper.team_with_budget("eng", "1000");
    let user = gatekeeper.user(&gatekeeper.key_of(&team));
    let mut connection = user.connect();
    Call::chat()
        .at_most(30)
        .by(&mut connection)
        .assert_status(200);
    gatekeeper.usage();
    // calls that run while the disk fills have set room aside for their ends
    upstream.respond_with(Script::from_request(|seen| {
        let streamed = seen.json()["stream"] == true;
        if streamed {
            model::with_usage(10, 20).pause_ms_between(2_000)
        } else {
            model::with_usage(10, 20)
        }
    }));
    let streamed = Call::chat().at_most(30).streamed(true).body();
    let mut streams: Vec<ResponseStream> = (0..STREAMS)
        .map(|_| user.open_stream(Call::chat().path(), &streamed))
        .collect();
    streams
        .iter_mut()
        .for_each(|stream| drop(stream.read_deltas(1)));
    let filling = gatekeeper.data.join("filling");
    fill(&filling);
    let mut served = 1;
    let refused = loop {
        let answer = Call::chat().at_most(30).by(&mut connection);
        if answer.status != 200 {
            break answer;
        }
        served += 1;
        assert!(
            served < CALLS_MAX,
            "the disk is full and everybody is served"
        );
    };
    assert_eq!(
        refused.assert_status(503).error_type(),
        "ledger_unavailable"
    );
    assert_eq!(gatekeeper.holds_open(), STREAMS as u64, "they run still");
    let asked = upstream.request_count();
    assert_eq!(
        user.messages(&Call::messages().at_most(30).body())
            .assert_status(503)
            .error_type(),
        "overloaded_error"
    );
    assert_eq!(
        upstream.request_count(),
        asked,
        "nothing is sent upstream that is not in the log"
    );
    for stream in streams {
        let (events, _) = stream.read_events();
        let said: String = events
            .iter()
            .map(|event| String::from_utf8_lossy(&event.raw).into_owned())
            .collect();
        assert!(said.contains("[DONE]"), "{said}");
    }
    assert_eq!(gatekeeper.holds_open(), 0);
    wait_until("the books can be read", || {
        gatekeeper.admin().get("/v1/requests?limit=1").status == 200
    });
    assert_eq!(gatekeeper.anon().get("/healthz").status, 200);
    fs::remove_file(&filling).expect("the filling can be removed");
    wait_until("there is room again", || {
        user.chat(&Call::chat().at_most(30).body()).status == 200
    });
    wait_until("the books have caught up", || {
        let usage = gatekeeper
            .admin()
            .get("/v1/usage?start=2000-01-01&end=2100-01-01");
        usage.status == 200 && !usage.json()["as_of"].is_null()
    });
    let billed = upstream.bill_total(1_000_000, 5_000_000);
    assert_eq!(
        gatekeeper.usage_total(),
        billed,
        "the books and the upstream's bill"
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
    assert_eq!(gatekeeper.usage_total(), billed, "and after a restart");
    print_figure(
        "a full tmpfs",
        &format!(
            "{STREAMS} streams ended well, {served} calls served before it was noticed, none lost"
        ),
    );
}
