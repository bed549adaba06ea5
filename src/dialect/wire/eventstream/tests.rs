//! Tests of `eventstream`.

use super::*;

fn chunk(event: &str) -> Vec<u8> {
    event_frame(
        "chunk",
        &format!(r#"{{"bytes":"{}","p":"abcdefg"}}"#, BASE64.encode(event)),
    )
}

fn failed(kind: &str, payload: &str) -> Vec<u8> {
    frame(
        &[(":exception-type", kind), (":message-type", "exception")],
        payload.as_bytes(),
    )
}

/// Events of a stream that arrives in pieces, and its error.
fn read(pieces: &[&[u8]]) -> (String, Option<FrameError>) {
    let mut splitter = FrameSplitter::new(100_000);
    let flaw = pieces.iter().find_map(|piece| splitter.push(piece).err());
    let sent: Vec<Bytes> = std::iter::from_fn(|| splitter.next_event()).collect();
    (String::from_utf8(sent.concat()).expect("UTF-8"), flaw)
}

#[test]
fn p09_frames_become_events_in_any_pieces() {
    let stream = [
        event_frame("messageStart", r#"{"role":"assistant","p":"ab"}"#),
        event_frame("contentBlockDelta", "{\"delta\":\n{\"text\":\"日\"}}"),
        chunk(r#"{"type":"content_block_delta","delta":{"text":"日"}}"#),
        frame(&[(":message-type", "heartbeat")], b""),
        failed("throttlingException", r#"{"message":"slow \"down\""}"#),
        frame(
            &[
                (":message-type", "error"),
                (":error-code", "InternalError"),
                (":error-message", "oh"),
            ],
            b"",
        ),
    ]
    .concat();
    let expected = concat!(
        "event: messageStart\ndata: {\"role\":\"assistant\",\"p\":\"ab\"}\n\n",
        "event: contentBlockDelta\ndata: {\"delta\": {\"text\":\"日\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"日\"}}\n\n",
        "event: error\ndata: {\"error\":{\"message\":\"slow \\\"down\\\"\",\"status\":429,\"type\":\"throttlingException\"},\"type\":\"error\"}\n\n",
        "event: error\ndata: {\"error\":{\"message\":\"oh\",\"status\":null,\"type\":\"InternalError\"},\"type\":\"error\"}\n\n",
    );
    assert_eq!(read(&[&stream]), (expected.to_owned(), None));
    assert_eq!(
        read(&stream.chunks(1).collect::<Vec<_>>()),
        (expected.to_owned(), None)
    );
    for at in 0..stream.len() {
        assert_eq!(
            read(&[&stream[..at], &stream[at..]]).0,
            expected,
            "cut at {at}"
        );
    }
}

#[test]
fn headers_of_every_type_are_skipped() {
    let mut headers = Vec::new();
    for (kind, value) in [
        (0, vec![]),
        (1, vec![]),
        (2, vec![1]),
        (3, vec![1; 2]),
        (4, vec![1; 4]),
        (5, vec![1; 8]),
        (6, vec![0, 3, 7, 7, 7]),
        (7, vec![0, 0]),
        (8, vec![1; 8]),
        (9, vec![1; 16]),
    ] {
        headers.extend_from_slice(b"\x01x");
        headers.push(kind);
        headers.extend_from_slice(&value);
    }
    headers.extend_from_slice(b"\x0d:message-type\x07\x00\x05event\x0b:event-type\x07\x00\x01m");
    assert_eq!(
        read(&[&framed(&headers, b"{}")]),
        ("event: m\ndata: {}\n\n".to_owned(), None)
    );
    for broken in [
        &headers[..headers.len() - 1],
        b"\x01x\x0a",
        b"\x05x",
        b"\x01x\x07\xff\xff",
        b"\x0d:message-type\x00",
    ] {
        assert_eq!(
            read(&[&framed(broken, b"{}")]).1,
            Some(FrameError::Headers),
            "{broken:?}"
        );
    }
    let twice = frame(
        &[
            (":message-type", "event"),
            (":event-type", "a"),
            (":event-type", "b"),
        ],
        b"{}",
    );
    assert_eq!(read(&[&twice]).1, Some(FrameError::Headers));
}

#[test]
fn event_name_cannot_inject_a_line() {
    for name in ["", "a\ndata: {}", "a\r", "a b"] {
        assert_eq!(
            read(&[&event_frame(name, "{}")]),
            (String::new(), Some(FrameError::Headers))
        );
    }
    let (sent, _) = read(&[&chunk("{\"type\":\"x\\ny\"}")]);
    assert_eq!(sent, "event: message\ndata: {\"type\":\"x\\ny\"}\n\n");
}

#[test]
fn malformed_frame_is_an_error_after_the_frames_before_it() {
    let good = event_frame("a", "{}");
    for at in 0..good.len() {
        let mut stream = [good.clone(), good.clone()].concat();
        stream[good.len() + at] ^= 0x10;
        let (sent, flaw) = read(&[&stream]);
        assert_eq!(sent, "event: a\ndata: {}\n\n", "at {at}");
        let expected = if at < PRELUDE_BYTES {
            FrameError::PreludeSum
        } else {
            FrameError::Sum
        };
        assert_eq!(flaw, Some(expected), "at {at}");
    }
    assert_eq!(
        read(&[b"HTTP/1.1 200 OK\r\n"]).1,
        Some(FrameError::PreludeSum)
    );
}

#[test]
fn impossible_or_large_length_is_detected_at_the_start() {
    let prelude = |total: u32, headers: u32| {
        let mut prelude = total.to_be_bytes().to_vec();
        prelude.extend_from_slice(&headers.to_be_bytes());
        prelude.extend_from_slice(&crc32fast::hash(&prelude).to_be_bytes());
        prelude
    };
    for (total, headers, flaw) in [
        (15, 0, FrameError::Lengths),
        (20, 5, FrameError::Lengths),
        (u32::MAX, u32::MAX, FrameError::Lengths),
        (100_001, 0, FrameError::TooLarge(100_000)),
        (u32::MAX, 9, FrameError::TooLarge(100_000)),
    ] {
        assert_eq!(
            read(&[&prelude(total, headers)]).1,
            Some(flaw),
            "{total} {headers}"
        );
    }
    assert_eq!(
        read(&[&prelude(100_000, 0)]).1,
        None,
        "the rest may still come"
    );
}

#[test]
fn content_that_cannot_be_unwrapped_is_an_error() {
    for payload in [
        "",
        "{}",
        r#"{"bytes":"%"}"#,
        r#"{"bytes":7}"#,
        r#"{"bytes":"bm8="}"#,
    ] {
        assert_eq!(
            read(&[&event_frame("chunk", payload)]).1,
            Some(FrameError::Payload),
            "{payload}"
        );
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let stream = [
        event_frame("a", "{}"),
        chunk(r#"{"type":"b"}"#),
        failed("modelStreamErrorException", "{"),
    ]
    .concat();
    for damaged in crate::dialect::samples::damaged(&stream, 2_000) {
        read(&[&damaged]);
        // damage under valid checksums
        read(&[&framed(&damaged[PRELUDE_BYTES.min(damaged.len())..], b"{}")]);
        read(&[&event_frame("chunk", &String::from_utf8_lossy(&damaged))]);
    }
}

#[test]
fn overloaded_model_behind_the_vendor_is_overloaded_and_not_at_fault() {
    for (original, expected) in [(529, 529), (503, 503), (429, 429), (400, 424)] {
        let payload = format!(r#"{{"message":"m","originalStatusCode":{original}}}"#);
        let (events, fault) = read(&[&failed("modelStreamErrorException", &payload)]);
        assert!(fault.is_none());
        assert!(
            events.contains(&format!("\"status\":{expected}")),
            "{events:?}"
        );
    }
}

#[test]
fn x03_every_exception_has_its_status() {
    for (kind, expected) in [
        ("throttlingException", Some(429)),
        ("ThrottlingException", Some(429)),
        ("ModelNotReadyException", Some(429)),
        ("ServiceQuotaExceededException", Some(400)),
        ("validationException", Some(400)),
        ("ModelTimeoutException", Some(408)),
        ("modelStreamErrorException", Some(424)),
        ("ModelErrorException", Some(424)),
        ("internalServerException", Some(500)),
        ("serviceUnavailableException", Some(503)),
        ("AccessDeniedException", Some(403)),
        ("ResourceNotFoundException", Some(404)),
        ("UnknownOperationException", None),
    ] {
        assert_eq!(status(kind), expected, "{kind}");
    }
}
