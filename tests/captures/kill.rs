//! `kill -9` while a purge rewrites the file: the calls of other keys stay whole, and the purge can be repeated. `GK_CAPTURE_KILLS` sets the
//! number of kills. Every change of the disk is cut off in `src/store/captures/tests/purge_kills.rs`.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{ANSWER, Fixture, answer, request_id};
use crate::harness::client::{Connection, HttpClient};
use crate::harness::rng::SeededRng;
use crate::harness::script::Script;
use crate::harness::{print_figure, repetitions};

const CALLS: usize = 12;
/// Bytes of a prompt: several sealed pieces.
const PROMPT_BYTES: usize = 90_000;

/// Captured calls of a key, by request.
fn captured(fixture: &Fixture, key: usize) -> Vec<String> {
    let key = [&fixture.captured, &fixture.other][key];
    let prompt = "x".repeat(PROMPT_BYTES);
    let calls = (0..CALLS).map(|_| request_id(fixture.chat(key, &prompt).assert_status(200)));
    calls.collect()
}

/// Sends a purge; true if it was answered.
fn purge(connection: &mut Connection, key: &str) -> bool {
    let path = format!("/v1/captures?key={key}");
    connection.send_request("DELETE", &path, None);
    let response = connection.try_read_response("DELETE");
    response.is_ok_and(|response| response.status == 200)
}

fn is_stored(admin: &HttpClient, request: &str) -> bool {
    let response = admin.get(&format!("/v1/requests/{request}/capture"));
    match response.status {
        200 => {
            let text = response.text();
            assert!(
                text.contains(&"x".repeat(PROMPT_BYTES)),
                "{request} is not whole"
            );
            true
        }
        status => {
            assert_eq!(status, 404, "{}", response.text());
            false
        }
    }
}

#[test]
fn kill_during_a_purge_keeps_the_calls_of_other_keys_whole() {
    let kills = repetitions("GK_CAPTURE_KILLS", 2);
    let mut fixture = Fixture::new();
    let team = format!("/v1/teams/{}/capture", fixture.team);
    let on = serde_json::json!({"on": true});
    fixture.admin().patch(&team, &on).assert_status(200);
    let script = Script::json(200, &answer(ANSWER));
    fixture.upstream.respond_with(script);
    let kept = captured(&fixture, 1);
    let (mut rng, mut answered) = (SeededRng::new(17), 0);
    for _ in 0..kills {
        let purged = captured(&fixture, 0);
        // the purge waits for the captures before it
        assert!(is_stored(&fixture.admin(), &purged[0]));
        let key = fixture.captured.id.clone();
        let mut connection = fixture.admin().connect();
        let pid = Pid::from_raw(fixture.gatekeeper.pid() as i32).expect("a process");
        let wait = Duration::from_millis(rng.between(0, 60));
        let is_answered = std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(wait);
                kill_process(pid, Signal::KILL).expect("killed");
            });
            purge(&mut connection, &key)
        });
        answered += usize::from(is_answered);
        fixture.gatekeeper.kill_9();
        fixture.gatekeeper.start();
        let admin = fixture.admin();
        for request in &kept {
            assert!(
                is_stored(&admin, request),
                "{request} of another key is gone"
            );
        }
        let left = purged.iter().filter(|request| is_stored(&admin, request));
        let left = left.count();
        assert!(!is_answered || left == 0, "{left} calls came back");
        assert!(
            left == 0 || left == CALLS,
            "{left} calls of a purge are left"
        );
        assert!(purge(&mut admin.connect(), &key));
        assert!(!purged.iter().any(|request| is_stored(&admin, request)));
    }
    print_figure(
        "kills during a purge of captured calls",
        &format!("{kills} kills, {answered} purges answered before"),
    );
}
