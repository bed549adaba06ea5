//! Failures: rejections, exceptions within a stream, truncated and corrupt streams.

use serde_json::json;

use super::{CLAUDE, FRAMES, NOVA, events, fixture, frames, send, text};
use crate::harness::golden_bytes;
use crate::harness::script::Script;
use crate::inference::fixture::{Chat, Messages, assert_error, assert_refusal};

/// Splits a recording into its frames.
fn split_frames(recording: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut frames) = (recording, Vec::new());
    while let Some(length) = rest.first_chunk::<4>() {
        let (frame, after) = rest.split_at(u32::from_be_bytes(*length) as usize);
        frames.push(frame);
        rest = after;
    }
    frames
}

/// Rejections of Bedrock: status, exception and message, and the status and error code that the client gets.
const REJECTIONS: [(u16, &str, &str, u16, &str); 10] = [
    (
        429,
        "ThrottlingException",
        "Too many requests",
        429,
        "rate_limit_exceeded",
    ),
    (
        429,
        "ModelNotReadyException",
        "still loading",
        429,
        "rate_limit_exceeded",
    ),
    (
        400,
        "ValidationException",
        "The model returned the following errors: too long",
        400,
        "invalid_request_error",
    ),
    (
        400,
        "ServiceQuotaExceededException",
        "quota exceeded",
        400,
        "invalid_request_error",
    ),
    (
        403,
        "AccessDeniedException",
        "no access",
        502,
        "upstream_error",
    ),
    (
        404,
        "ResourceNotFoundException",
        "no such model",
        502,
        "upstream_error",
    ),
    (
        408,
        "ModelTimeoutException",
        "took too long",
        504,
        "upstream_timeout",
    ),
    (
        424,
        "ModelErrorException",
        "the model failed",
        502,
        "upstream_error",
    ),
    (500, "InternalServerException", "oh", 502, "upstream_error"),
    (
        503,
        "ServiceUnavailableException",
        "come back",
        503,
        "overloaded",
    ),
];

#[test]
fn x03_bedrock_rejection_is_reported_in_client_dialect() {
    let fixture = fixture();
    for (status, kind, message, parsed, word) in REJECTIONS {
        let script = Script::json(status, &json!({"message": message})).header(
            "x-amzn-errortype",
            &format!("{kind}:http://internal.amazon.com/"),
        );
        fixture.upstream.respond_with(script);
        let before = fixture.upstream.request_count();
        for (client, model) in [
            (Chat, NOVA),
            (Chat, CLAUDE),
            (Messages, NOVA),
            (Messages, CLAUDE),
        ] {
            let response = send(&fixture, client, model, true);
            let said = assert_refusal(client, &response, parsed, word);
            assert!(
                matches!(status, 403 | 404) || said.contains(message),
                "{kind}: {said}"
            );
            fixture
                .assert_recorded()
                .assert_ended("upstream_error", &[])
                .assert_usage(0, 0);
        }
        assert_eq!(
            fixture.upstream.request_count(),
            before + 4,
            "{kind}: no retry"
        );
    }
}

#[test]
fn e15_bedrock_exception_is_in_band_error_or_initial_status() {
    let fixture = fixture();
    for (client, model, recording) in [
        (Chat, NOVA, "bedrock/failed.bin"),
        (Messages, NOVA, "bedrock/failed.bin"),
        (Messages, CLAUDE, "bedrock/invoke-failed.bin"),
    ] {
        let recording = golden_bytes(recording);
        fixture.upstream.respond_with(
            Script::stream(split_frames(&recording))
                .header("content-type", FRAMES)
                .pause_ms_between(100),
        );
        let events = events(&send(&fixture, client, model, true));
        assert_eq!(text(&events), "Say ");
        let word = if model == NOVA {
            "upstream_error"
        } else {
            "overloaded"
        };
        assert_error(client, &events.last().expect("an error").json(), word);
        assert!(!events.iter().any(|event| client.is_terminal(event)));
        fixture
            .assert_recorded()
            .assert_ended("broken", &["estimated"]);
    }
    fixture
        .upstream
        .respond_with(frames(&golden_bytes("bedrock/throttled.bin")));
    let said = assert_refusal(
        Chat,
        &send(&fixture, Chat, NOVA, true),
        429,
        "rate_limit_exceeded",
    );
    assert!(said.contains("Too many tokens"), "{said}");
    fixture
        .assert_recorded()
        .assert_ended("upstream_error", &[]);
}

#[test]
fn x10_bedrock_stream_truncated_or_corrupt_ends_in_error() {
    let fixture = fixture();
    for (client, model, recording) in [
        (Chat, NOVA, "bedrock/stream.bin"),
        (Messages, CLAUDE, "bedrock/invoke.bin"),
    ] {
        let recording = golden_bytes(recording);
        let frames = split_frames(&recording);
        let whole = recording.len() - frames.last().expect("a frame").len();
        let assert_ends = |script: Script, status: &str| {
            fixture
                .upstream
                .respond_with(script.header("content-type", FRAMES).pause_ms_between(30));
            let events = events(&send(&fixture, client, model, true));
            assert!(
                !events.iter().any(|event| client.is_terminal(event)),
                "{events:?}"
            );
            assert_error(
                client,
                &events.last().expect("an error").json(),
                "upstream_error",
            );
            let row = fixture.assert_recorded();
            assert_eq!(row.0["status"], json!(status), "{}", row.0);
        };
        // cleanly, between two frames and within one frame
        assert_ends(Script::stream(&frames[..frames.len() - 1]), "truncated");
        assert_ends(
            Script::stream([&recording[..whole], &recording[whole..recording.len() - 3]]),
            "truncated",
        );
        let mut damaged = recording.clone();
        damaged[whole + 20] ^= 1;
        assert_ends(
            Script::stream([&damaged[..whole], &damaged[whole..]]),
            "broken",
        );
    }
}
