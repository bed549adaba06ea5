//! Partial usage: an abandoned stream whose `message_start` reports no usable input is estimated.

use serde_json::json;

use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::inference::fixture::{Fixture, Messages};

/// Record of a stream with this usage in `message_start` whose client disconnects after 30 deltas.
fn record_of_abandoned_stream(usage: serde_json::Value) -> crate::inference::fixture::CallRecord {
    let upstream = Upstream::start();
    let provider = Provider::anthropic("v", &upstream)
        .preset("anthropic")
        .models(&["claude"]);
    let fixture = Fixture::with_upstream(upstream, |setup| setup.provider(&provider));
    let [before, content, _] = Messages.events(40);
    let start = json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
        "model": "claude", "content": [], "usage": usage}});
    let begun = vec![
        format!("event: message_start\ndata: {start}\n\n"),
        before[1].clone(),
    ];
    fixture
        .upstream
        .respond_with(Script::stream([begun, content].concat()).then_hangs());
    let mut request_body = Messages.stream_body();
    request_body["model"] = json!("claude");
    let mut stream = fixture.user().open_stream(Messages.path(), &request_body);
    stream.read_deltas(30);
    stream.disconnect();
    fixture.assert_recorded()
}

#[test]
fn message_start_without_input_tokens_is_estimated() {
    let record = record_of_abandoned_stream(json!({"output_tokens": 1}));
    record
        .assert_ended("client_gone", &["estimated"])
        .assert_usage_about(10, 30);
}

#[test]
fn message_start_zero_input_tokens_truncated_is_estimated() {
    let record = record_of_abandoned_stream(json!({"input_tokens": 0, "output_tokens": 1}));
    record
        .assert_ended("client_gone", &["estimated"])
        .assert_usage_about(10, 30);
}
