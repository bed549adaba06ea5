//! Bedrock: Converse for clients of every dialect, Claude's own bodies for messages clients, AWS's event frames in any
//! chunking, and AWS's rejections.

mod claude;
mod converse;
mod failures;
mod tools;

use serde_json::{Value, json};

use crate::harness::client::{Response, SseEvent};
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::inference::fixture::{Dialect, Fixture};

const NOVA: &str = "eu.amazon.nova-2-lite-v1:0";

const CLAUDE: &str = "eu.anthropic.claude-opus-4-5-20251101-v1:0";
const FRAMES: &str = "application/vnd.amazon.eventstream";

fn fixture_with(change: impl FnOnce(Provider) -> Provider) -> Fixture {
    let upstream = Upstream::start();
    let provider = Provider::openai("v", &upstream)
        .preset("bedrock")
        .base_url(&upstream.url())
        .models(&[NOVA, CLAUDE]);
    let provider = change(provider);
    Fixture::with_upstream(upstream, |setup| setup.provider(&provider))
}

fn fixture() -> Fixture {
    fixture_with(|provider| provider.line("region = \"eu-west-1\""))
}

fn body(client: Dialect, model: &str, streamed: bool) -> Value {
    let mut body = client.body_for(streamed);
    body["model"] = json!(model);
    body
}

fn send(fixture: &Fixture, client: Dialect, model: &str, streamed: bool) -> Response {
    fixture
        .user()
        .post(client.path(), &body(client, model, streamed))
}

fn frames(recording: &[u8]) -> Script {
    Script::stream([recording]).header("content-type", FRAMES)
}

/// Scripts that deliver a recording at once, byte by byte (writes, chunks) and split inside a character.
fn deliveries(recording: &[u8]) -> Vec<Script> {
    let crab = recording
        .windows(4)
        .position(|bytes| bytes == "🦀".as_bytes())
        .map_or(recording.len() / 2, |at| at + 2);
    let (head, tail) = recording.split_at(crab);
    let pieces = [
        Script::stream(recording.iter().map(|byte| [*byte])),
        Script::stream([head, tail]).pause_ms_between(20),
    ];
    let framed = pieces.map(|script| script.header("content-type", FRAMES));
    [frames(recording), frames(recording).one_byte_per_write()]
        .into_iter()
        .chain(framed)
        .collect()
}

/// Events of a stream that was read as one body.
fn events(response: &Response) -> Vec<SseEvent> {
    response.assert_status(200);
    assert!(
        response
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"))
    );
    SseEvent::all(&response.body)
}

fn text(events: &[SseEvent]) -> String {
    events.iter().filter_map(SseEvent::delta).collect()
}
