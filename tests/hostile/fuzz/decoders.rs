//! Decoders, splicer and stream readers in the process of the test, where a message takes microseconds.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use gatekeeper::dialect::{
    Dialect, Edit, Framing, Operation, ResponseStream, StreamOptions, UsageRules, effective_status,
    read, upstream_error,
};
use gatekeeper::domain::budget::Period;
use gatekeeper::domain::usage::Usage;
use gatekeeper::domain::zone::Zone;
use serde_json::Value;

use super::corpus::{self, Kind};
use super::mutator::Mutator;
use super::{decoded, seed};

const REQUESTS: [(&str, Dialect, Operation); 5] = [
    (
        "/v1/chat/completions",
        Dialect::Chat,
        Operation::Conversation,
    ),
    ("/v1/messages", Dialect::Messages, Operation::Conversation),
    ("/v1/responses", Dialect::Responses, Operation::Conversation),
    ("/v1/embeddings", Dialect::Chat, Operation::Embeddings),
    (
        "/v1/messages/count_tokens",
        Dialect::Messages,
        Operation::TokenCount,
    ),
];

/// Vendors by the dialect of their answers.
const ANSWERS: [(&str, Dialect); 6] = [
    ("openai", Dialect::Chat),
    ("anthropic", Dialect::Messages),
    ("gemini", Dialect::Gemini),
    ("bedrock", Dialect::Converse),
    ("cohere", Dialect::Cohere),
    ("ollama", Dialect::Ollama),
];

/// Runs a case; a panic names the message.
fn assert_no_panic(what: &str, message: &[u8], run: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(run)).is_err() {
        panic!("{what} panics at {:?}", String::from_utf8_lossy(message));
    }
}

#[test]
fn mutated_request_is_read_or_refused_and_an_edit_changes_one_member_only() {
    for (path, dialect, operation) in REQUESTS {
        let corpus = corpus::requests(path, "m-small", true);
        let mut mutator = Mutator::new(seed(), &corpus);
        let mut accepted = 0;
        for _ in 0..decoded() {
            let valid = mutator.pick(&corpus).clone();
            let message = mutator.json(&valid);
            assert_no_panic(path, &message, || {
                let Ok(request) = read(dialect, operation, Bytes::from(message.clone())) else {
                    return;
                };
                accepted += 1;
                assert_edited(&request.spliced(&[Edit::text("model", "other")]), &message);
            });
        }
        assert!(
            accepted * 20 > decoded(),
            "{path}: {accepted} of {} are read",
            decoded()
        );
    }
}

/// The edited body differs from the message in `model` only.
fn assert_edited(edited: &[u8], message: &[u8]) {
    let parse = |bytes| serde_json::from_slice::<Value>(bytes);
    let (Ok(mut before), Ok(after)) = (parse(message), parse(edited)) else {
        // numbers beyond those of the parser
        return;
    };
    before["model"] = Value::from("other");
    assert_eq!(after, before);
}

fn framing(kind: Kind) -> Framing {
    match kind {
        Kind::Events | Kind::Whole => Framing::Sse,
        Kind::Lines => Framing::Lines,
        Kind::Frames => Framing::AwsFrames,
    }
}

#[test]
fn mutated_stream_is_read_to_its_end() {
    let request = corpus::requests("/v1/chat/completions", "m-small", true).remove(0);
    let request =
        read(Dialect::Chat, Operation::Conversation, Bytes::from(request)).expect("valid");
    for (vendor, _) in ANSWERS {
        for kind in [Kind::Events, Kind::Lines, Kind::Frames] {
            let corpus = corpus::answers(vendor, kind);
            if corpus.is_empty() {
                continue;
            }
            let mut mutator = Mutator::new(seed(), &corpus);
            for _ in 0..decoded() {
                let valid = mutator.pick(&corpus).clone();
                let message = mutator.stream(&valid, kind);
                let pieces = mutator.pieces(&message);
                assert_no_panic(vendor, &message, || {
                    let options = StreamOptions {
                        framing: framing(kind),
                        usage_rules: UsageRules::EXACT,
                        event_bytes_max: 1 << 20,
                    };
                    let mut stream = ResponseStream::passthrough(&request, options, true);
                    for piece in pieces {
                        if stream.push(Bytes::from(piece)).is_err() {
                            return;
                        }
                        while stream.next_event().is_some() {}
                    }
                    let _ = (stream.read_trailing_usage(), stream.ended());
                    let _ = (stream.report(), stream.end(&Usage::default(), b""));
                });
            }
        }
    }
}

#[test]
fn mutated_error_of_a_vendor_is_understood_or_kept_as_text() {
    for (vendor, dialect) in ANSWERS {
        let corpus = corpus::answers(vendor, Kind::Whole);
        let mut mutator = Mutator::new(seed(), &corpus);
        for _ in 0..decoded() {
            let valid = mutator.pick(&corpus).clone();
            let message = mutator.json(&valid);
            assert_no_panic(vendor, &message, || {
                let error = upstream_error(dialect, &message);
                let _ = effective_status(dialect, 400, &error);
            });
        }
    }
}

#[test]
fn mutated_zone_and_date_give_a_window_that_contains_its_instant_or_nothing() {
    let names: [&[u8]; 5] = [
        b"UTC",
        b"Europe/Berlin",
        b"America/St_Johns",
        b"Pacific/Apia",
        b"Antarctica/Troll",
    ];
    let dates: [&[u8]; 5] = [
        b"2026-02-29",
        b"2011-12-30",
        b"9999-12-31",
        b"2026-10-25T02:30:00+02:00",
        b"-009999-01-01T00:00:00.999999999Z",
    ];
    let mut mutator = Mutator::new(seed(), &[]);
    for turn in 0..decoded() {
        let valid = names[turn % names.len()];
        let name = String::from_utf8_lossy(&mutator.bytes(valid)).into_owned();
        let known = String::from_utf8_lossy(valid).into_owned();
        let date = *mutator.pick(&dates);
        let date = String::from_utf8_lossy(&mutator.bytes(date)).into_owned();
        // instants of all sizes, the largest included
        let instant = u64::MAX >> (turn % 64);
        assert_no_panic(
            "a zone",
            format!("{name} {date} {instant}").as_bytes(),
            || {
                let zone = Zone::parse(&name)
                    .or_else(|| Zone::parse(&known))
                    .expect("a known zone");
                let read = [zone.date_start_ms(&date), Zone::parse_rfc3339(&date)];
                for at_ms in read.into_iter().flatten().chain([instant]) {
                    let _ = (
                        zone.date(at_ms),
                        zone.rfc3339(at_ms),
                        zone.time_of_day(at_ms),
                    );
                    for period in [
                        Period::Daily,
                        Period::Weekly,
                        Period::Monthly,
                        Period::Total,
                    ] {
                        let window = zone.window(period, at_ms);
                        // instants beyond the calendar have an empty window
                        let beyond = at_ms > 200_000_000_000_000;
                        assert!(
                            window.contains(at_ms) || beyond,
                            "{period:?} {window:?} {at_ms}"
                        );
                    }
                }
            },
        );
    }
}
