//! Streams that fail: before the first content an honest status, after it an error in the stream, in the client's dialect,
//! and never a clean end. The books hold what was used as far as anyone can know.

use super::house::{BOTH, Chat, Dialect, House, Messages, is_error, refused};
use crate::harness::client::{BodyEnd, SseEvent};
use crate::harness::script::Script;

/// What the stream of a failed answer must look like: so many deltas, then the error, nothing more, and a whole body.
#[track_caller]
fn ends_in_error(
    dialect: Dialect,
    (events, end): &(Vec<SseEvent>, BodyEnd),
    deltas: usize,
    word: &str,
) -> String {
    assert_eq!(
        events.iter().filter_map(SseEvent::delta).count(),
        deltas,
        "{events:?}"
    );
    assert!(
        !events.iter().any(|event| dialect.is_terminal(event)),
        "{events:?}"
    );
    let last = events.last().expect("a stream that failed says so");
    is_error(dialect, &last.json(), word);
    assert_eq!(last.name, if dialect == Messages { "error" } else { "" });
    assert_eq!(*end, BodyEnd::Clean);
    last.json()["error"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// The events up to and including so many deltas.
fn begun(dialect: Dialect, deltas: usize) -> Script {
    let [before, content, _] = dialect.events(20);
    let count = before.len() + deltas;
    Script::stream([before, content].concat()).only(count)
}

#[test]
fn a_stream_that_ends_before_its_first_content_is_502() {
    let house = House::opens();
    for dialect in BOTH {
        for script in [
            Script::stream(dialect.stream(3)).only(0),
            begun(dialect, 0),
            begun(dialect, 0).then_closes(),
            begun(dialect, 0).then_resets(),
            Script::stream(dialect.stream(3)).truncated_after(20),
        ] {
            let message = refused(
                dialect,
                &house.answered(dialect, true, script),
                502,
                "upstream_error",
            );
            assert!(!message.is_empty());
            let booked = house.booked();
            assert!(
                booked.input() >= 10,
                "the upstream may have billed its input: {}",
                booked.0
            );
            booked.is_about(10, 0);
        }
    }
}

#[test]
fn a_stream_that_ends_without_its_terminal_event_is_an_error_in_the_stream() {
    let house = House::opens();
    for dialect in BOTH {
        for script in [begun(dialect, 5), begun(dialect, 5).then_closes()] {
            let events = house.events(dialect, script);
            let message = ends_in_error(dialect, &events, 5, "upstream_error");
            assert!(message.contains("broke off"), "{message}");
            house
                .booked()
                .ends("truncated", &["estimated"])
                .is_about(10, 5);
        }
    }
}

#[test]
fn a_stream_that_breaks_within_an_event_does_not_show_the_half_event() {
    let house = House::opens();
    for dialect in BOTH {
        let [before, content, after] = dialect.events(5);
        let bytes = before.concat().len() + content.concat().len() - 9;
        let script = Script::stream([before, content, after].concat()).truncated_after(bytes);
        let events = house.events(dialect, script);
        ends_in_error(dialect, &events, 4, "upstream_error");
        house
            .booked()
            .ends("truncated", &["estimated"])
            .is_about(10, 4);
    }
}

#[test]
fn a_reset_in_the_middle_of_a_stream_is_an_error_in_the_stream() {
    let house = House::opens();
    for dialect in BOTH {
        // the pauses let each event through before the reset, which overtakes what is still on its way
        let events = house.events(
            dialect,
            begun(dialect, 5).pause_ms_between(10).then_resets(),
        );
        let deltas = events.0.iter().filter_map(SseEvent::delta).count();
        assert!((1..=5).contains(&deltas), "{events:?}");
        ends_in_error(dialect, &events, deltas, "upstream_error");
        let booked = house.booked();
        booked
            .ends("broken", &["estimated"])
            .is_about(10, deltas as u64);
    }
}

#[test]
fn a_usage_that_was_told_before_the_stream_broke_is_not_estimated() {
    let house = House::opens();
    for dialect in BOTH {
        let all = dialect.stream(5);
        let without_terminal = Script::stream(&all[..all.len() - 1]);
        let (events, end) = house.events(dialect, without_terminal);
        ends_in_error(dialect, &(events, end), 5, "upstream_error");
        house.booked().ends("truncated", &[]).costs(10, 5);
    }
}

#[test]
fn e15_an_upstreams_error_before_the_first_content_becomes_the_status() {
    let house = House::opens();
    for dialect in BOTH {
        for (kind, status, word) in [
            ("server_error", 502, "upstream_error"),
            ("overloaded_error", 503, "overloaded"),
        ] {
            for before in [Vec::new(), dialect.events(1)[0].clone()] {
                let script = Script::stream(
                    [before, vec![dialect.error_event(kind, "it went dark")]].concat(),
                );
                let message = refused(
                    dialect,
                    &house.answered(dialect, true, script),
                    status,
                    word,
                );
                assert!(message.contains("it went dark"), "{message}");
                house.booked().ends("upstream_error", &[]);
            }
        }
    }
}

#[test]
fn e15_an_upstreams_error_after_content_is_told_in_the_stream_and_nothing_after_it() {
    let house = House::opens();
    for dialect in BOTH {
        let [before, content, after] = dialect.events(4);
        let error = vec![dialect.error_event("overloaded_error", "it went dark")];
        let failed = [before, content, error].concat();
        let events = house.events(dialect, Script::stream(&failed));
        let message = ends_in_error(dialect, &events, 4, "overloaded");
        assert!(message.contains("it went dark"), "{message}");
        house
            .booked()
            .ends("broken", &["estimated"])
            .is_about(10, 4);
        let events = house.events(dialect, Script::stream([failed, after].concat()));
        ends_in_error(dialect, &events, 4, "overloaded");
        house.booked().ends("broken", &[]).costs(10, 4);
    }
}

#[test]
fn x10_an_event_that_is_not_json_is_an_error_and_never_a_panic() {
    let house = House::opens();
    for dialect in BOTH {
        for broken in [
            "data: {\"choices\":[\n\n",
            "data: <html>\n\n",
            "data: \u{1}\n\n",
            "data: {\"a\":\"\\ud800\"\n\n",
        ] {
            let [before, content, after] = dialect.events(3);
            let script = Script::stream([before.clone(), vec![broken.to_owned()]].concat());
            refused(
                dialect,
                &house.answered(dialect, true, script),
                502,
                "upstream_error",
            );
            house
                .booked()
                .ends("broken", &["estimated"])
                .is_about(10, 0);
            let script = Script::stream([before, content, vec![broken.to_owned()], after].concat());
            ends_in_error(dialect, &house.events(dialect, script), 3, "upstream_error");
            house.booked().ends("broken", &[]).costs(10, 3);
        }
    }
}

#[test]
fn x08_a_stream_that_stalls_is_given_up_and_the_upstreams_socket_closed() {
    let house = House::limited("idle_timeout_s = 1\nping_s = 15");
    for dialect in BOTH {
        let left = house.upstream.disconnects().len();
        let events = house.events(dialect, begun(dialect, 3).then_hangs());
        let message = ends_in_error(dialect, &events, 3, "upstream_timeout");
        assert!(message.contains("1 s"), "{message}");
        house
            .booked()
            .ends("broken", &["estimated"])
            .is_about(10, 3);
        house.upstream.wait_for_disconnects(left + 1);
    }
}

#[test]
fn a_stream_that_stalls_before_its_first_content_is_504_and_its_input_is_booked() {
    let house = House::limited("idle_timeout_s = 1");
    for dialect in BOTH {
        for script in [
            begun(dialect, 0).then_hangs(),
            Script::stream(dialect.stream(3)).only(0).then_hangs(),
        ] {
            refused(
                dialect,
                &house.answered(dialect, true, script),
                504,
                "upstream_timeout",
            );
            house.booked().is_about(10, 0);
        }
    }
}

#[test]
fn an_event_without_end_is_given_up() {
    let house = House::limited("answer_mb = 1");
    for dialect in BOTH {
        let [before, content, _] = dialect.events(2);
        let endless = format!("data: {}", "x".repeat(3 << 20));
        let events = house.events(
            dialect,
            Script::stream([before, content, vec![endless]].concat()),
        );
        let message = ends_in_error(dialect, &events, 2, "upstream_error");
        assert!(message.contains("too large"), "{message}");
        house
            .booked()
            .ends("broken", &["estimated"])
            .is_about(10, 2);
    }
}

#[test]
fn an_upstream_that_goes_on_after_the_end_does_not_keep_the_client() {
    let house = House::opens();
    for dialect in BOTH {
        let end = dialect.stream(3);
        let more = vec![": more\n\n".to_owned(); 1_000];
        let script = Script::stream([vec![end.concat()], more].concat()).pause_ms_between(500);
        let began = std::time::Instant::now();
        let (events, end) = house.events(dialect, script);
        assert!(
            dialect.is_terminal(events.last().expect("events")),
            "{events:?}"
        );
        assert_eq!(end, BodyEnd::Clean);
        assert!(
            began.elapsed().as_secs() < 10,
            "the client was kept for {:?}",
            began.elapsed()
        );
        house.booked().ends("ok", &[]).costs(10, 3);
    }
    let (events, end) = house.events(Chat, Script::stream(Chat.stream(3)).then_hangs());
    assert!(Chat.is_terminal(events.last().expect("events")));
    assert_eq!(end, BodyEnd::Clean);
    house.booked().ends("ok", &[]).costs(10, 3);
}

#[test]
fn a_stream_that_outlasts_its_deadline_is_ended_though_it_talks() {
    let house = House::limited("call_timeout_s = 3");
    for (hang_ups, dialect) in (1..).zip(BOTH) {
        let (events, end) = house.events(
            dialect,
            Script::stream(dialect.stream(1_000)).pause_ms_between(60),
        );
        let deltas = events.iter().filter_map(SseEvent::delta).count();
        assert!(
            (5..100).contains(&deltas),
            "{deltas} deltas in three seconds"
        );
        let message = ends_in_error(dialect, &(events, end), deltas, "upstream_timeout");
        assert!(message.contains("not whole within 3 s"), "{message}");
        house.upstream.wait_for_disconnects(hang_ups);
        house
            .booked()
            .ends("broken", &["estimated"])
            .is_about(10, deltas as u64);
    }
}
