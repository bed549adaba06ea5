//! Compressed bodies: of requests, within the limits of decoded ones, and of answers although none was asked for.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use serde_json::json;

use super::fixture::{BOTH, Chat, Fixture, Messages, assert_refusal};
use crate::harness::gate::Gate;
use crate::harness::script::Script;

/// `{"model":"m-small","messages":[{"role":"user","content":"say it"}]}` by an encoder in another language
const BROTLI: &str = "1b4200202c0e6c4734333910b0bb7bf52324996d91bdbcad99d636d73a2c5d7dab25ac4044c0212702d9b79a1748c1680b46c3a1684b40e6b22db720e8f12e3f7c07";
/// 64 MiB of spaces
const BROTLI_BOMB: &str = "cbffff3ff82540e2b14020f7fe8fffff7ff04b00c4611180eefd1fffffffe0970088c30200ddfb3ffeffffc12f0110870500baf77ffcffff835f02200e0b0074effff8ffff07bf04401c1600e8defff1ffff0f7e0980382c00d0bdffe3ffff1ffc1200715800a07bff37";

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16);
    pairs.map(|pair| byte(pair).expect("hex")).collect()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).expect("a Vec");
    encoder.finish().expect("a Vec")
}

fn zstd(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(body.len()));
    zstd_safe::compress(&mut out, body, 3).expect("it compresses");
    out
}

fn each_coding(body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(body).expect("a Vec");
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::best());
    raw.write_all(body).expect("a Vec");
    vec![
        ("gzip", gzip(body)),
        ("deflate", zlib.finish().expect("a Vec")),
        ("deflate", raw.finish().expect("a Vec")),
        ("zstd", zstd(body)),
    ]
}

#[test]
fn compressed_request_of_each_coding_reaches_the_vendor_decoded() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let body = dialect.body().to_string().into_bytes();
        let mut coded = each_coding(&body);
        if dialect == Chat {
            coded.push(("br", bytes(BROTLI)));
        }
        for (coding, compressed) in coded {
            let user = fixture.user().with("content-encoding", coding);
            let response = user.post_bytes(dialect.path(), &compressed);
            response.assert_status(200);
            let sent = fixture.upstream.last_request();
            assert_eq!(
                sent.json()["messages"],
                dialect.body()["messages"],
                "{coding}"
            );
            assert_eq!(sent.header("content-encoding"), None);
        }
    }
}

#[test]
fn compressed_request_that_is_cut_damaged_or_of_an_unknown_coding_is_refused() {
    let fixture = Fixture::new();
    let body = Chat.body().to_string().into_bytes();
    for (coding, mut compressed) in each_coding(&body) {
        compressed.pop();
        let user = fixture.user().with("content-encoding", coding);
        let response = user.post_bytes(Chat.path(), &compressed);
        assert_refusal(Chat, &response, 400, "invalid_request_error");
        assert!(
            response.error_message().contains(coding),
            "{}",
            response.text()
        );
    }
    for coding in ["compress", "gzip, zstd"] {
        let user = fixture.user().with("content-encoding", coding);
        let response = user.post_bytes(Messages.path(), &body);
        assert_refusal(Messages, &response, 415, "unsupported_media_type");
        assert!(response.error_message().contains("gzip, deflate, zstd, br"));
    }
    assert_eq!(fixture.upstream.request_count(), 0);
}

/// A GiB of spaces in a body of some hundred KB.
#[test]
fn compressed_bomb_is_413_without_memory_growth() {
    let fixture = Fixture::with_limits("body_mb = 4");
    let spaces = vec![b' '; 16 << 20];
    let bombs = [
        ("gzip", gzip(&spaces).repeat(64)),
        ("zstd", zstd(&spaces).repeat(64)),
        ("br", bytes(BROTLI_BOMB)),
    ];
    fixture
        .user()
        .post(Chat.path(), &json!({}))
        .assert_status(400);
    let before = peak_kib(fixture.gatekeeper.pid());
    for (coding, bomb) in bombs {
        assert!(bomb.len() < 4 << 20, "{coding}: {} bytes", bomb.len());
        let user = fixture.user().with("content-encoding", coding);
        let response = user.post_bytes(Chat.path(), &bomb);
        assert_refusal(Chat, &response, 413, "request_too_large");
    }
    let grown = peak_kib(fixture.gatekeeper.pid()) - before;
    assert!(grown < 48 << 10, "{grown} KiB");
}

/// Largest resident memory of a process so far.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let figure = line.and_then(|line| line.split_whitespace().next());
    figure.expect("a figure").parse().expect("a number")
}

#[test]
fn compressed_stream_is_decoded_event_by_event() {
    let fixture = Fixture::new();
    for dialect in BOTH {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let mut pieces = Vec::new();
        for event in dialect.stream(3) {
            let before = encoder.get_ref().len();
            encoder.write_all(event.as_bytes()).expect("a Vec");
            encoder.flush().expect("a Vec");
            pieces.push(encoder.get_ref()[before..].to_vec());
        }
        let before = encoder.get_ref().len();
        pieces.push(encoder.finish().expect("a Vec")[before..].to_vec());
        let gate = Gate::default();
        let held = pieces.len() - 4;
        let script = Script::stream(&pieces).header("content-encoding", "gzip");
        fixture
            .upstream
            .respond_with(script.held_after(held, &gate));
        let mut stream = fixture
            .user()
            .open_stream(dialect.path(), &dialect.stream_body());
        assert_eq!(stream.header("content-encoding"), None);
        stream.read_deltas(2);
        gate.open();
        let (events, _) = stream.read_events();
        assert!(
            events.iter().any(|event| dialect.is_terminal(event)),
            "{events:?}"
        );
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(10, 3);
    }
}

#[test]
fn compressed_answer_is_decoded_for_every_client() {
    let fixture = Fixture::new();
    let answer = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m-small",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "so"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}});
    let text = answer.to_string();
    for (coding, body) in each_coding(text.as_bytes()) {
        let script = Script::unary(200, &body).header("content-encoding", coding);
        fixture.upstream.respond_with(script);
        let response = fixture.user().post(Chat.path(), &Chat.body());
        assert_eq!(response.assert_status(200).text(), text, "{coding}");
        fixture
            .assert_recorded()
            .assert_ended("ok", &[])
            .assert_usage(4, 2);
    }
    let cut = &gzip(text.as_bytes())[..40];
    let script = Script::unary(200, cut).header("content-encoding", "gzip");
    fixture.upstream.respond_with(script);
    fixture
        .user()
        .post(Chat.path(), &Chat.body())
        .assert_status(502);
    let error = json!({"error": {"message": "too odd", "type": "invalid_request_error"}});
    let script = Script::unary(400, gzip(error.to_string().as_bytes()));
    fixture
        .upstream
        .respond_with(script.header("content-encoding", "gzip"));
    let response = fixture.user().post(Chat.path(), &Chat.body());
    assert_eq!(response.assert_status(400).error_message(), "too odd");
}
