//! Translation between chat and messages: chat clients on Anthropic, and messages clients on vendors that speak chat.
//! Checks what the vendor is sent and that recordings of its responses reach the client with the same content and the
//! same record for any chunking by the network.

mod failures;
mod reasoning;
mod requests;
mod responses;

use serde_json::{Value, json};

use crate::harness::client::Response;
use crate::harness::golden;
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::inference::fixture::{Chat, Fixture, Messages};

const SONNET: &str = "claude-sonnet-4-5";

const OPUS: &str = "claude-opus-5-5";
/// Signature in the recording.
const SIGNATURE: &str = "EqoBCkgIARABGAIiQL2UoU0b1OHYi+yCHpBY7U6FQW8";

/// Fixture with the provider `claude` and models of two generations.
fn fixture() -> Fixture {
    let upstream = Upstream::start();
    let claude = Provider::anthropic("claude", &upstream).models(&[SONNET, OPUS]);
    Fixture::with_upstream(upstream, |setup| setup.provider(&claude))
}

/// Scripts that deliver a recording in every chunking and with both line ends.
fn deliveries(recording: &str) -> Vec<Script> {
    let cut = |recording: &str| {
        let crab = recording.find('🦀').expect("a character of four bytes") + 2;
        let (head, tail) = recording.as_bytes().split_at(crab);
        Script::stream([head, tail]).pause_ms_between(20)
    };
    let other_ends = recording.replace('\n', "\r\n");
    vec![
        Script::stream([recording]),
        Script::stream([recording]).one_byte_per_write(),
        cut(recording),
        Script::stream([&other_ends]),
        Script::stream([&other_ends]).one_byte_per_write(),
        cut(&other_ends),
    ]
}

fn chat(model: &str, more: Value) -> Value {
    with(
        json!({"model": model, "messages": [{"role": "user", "content": "say it"}]}),
        more,
    )
}

fn messages(more: Value) -> Value {
    with(
        json!({"model": "m-small", "max_tokens": 500, "messages": [{"role": "user", "content": "say it"}]}),
        more,
    )
}

fn with(mut body: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("members") {
        body[name] = value.clone();
    }
    body
}

fn tool() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "description": "d",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}])
}

/// Sends a request, asserts success; returns the upstream's request body and the response.
#[track_caller]
fn sent(fixture: &Fixture, path: &str, body: &Value) -> (Value, Response) {
    let response = fixture.user().post(path, body);
    response.assert_status(200);
    fixture.assert_recorded().assert_ended("ok", &[]);
    (fixture.upstream.last_request().json(), response)
}

#[track_caller]
fn sent_to_anthropic(fixture: &Fixture, body: &Value) -> Value {
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("anthropic/answer.json")));
    sent(fixture, Chat.path(), body).0
}

#[track_caller]
fn sent_to_openai(fixture: &Fixture, body: &Value) -> Value {
    fixture
        .upstream
        .respond_with(Script::unary(200, golden("openai/answer.json")));
    sent(fixture, Messages.path(), body).0
}
