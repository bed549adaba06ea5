//! Responses clients (Codex, OpenAI's SDKs, the AI SDK): pass-through to OpenAI and Azure, translation for other vendors.
//! The requests are recordings of Codex 0.169.

mod passthrough;
mod translated;

use serde_json::{Value, json};

use crate::harness::client::Response;
use crate::harness::golden;
use crate::harness::process::Provider;
use crate::harness::upstream::Upstream;
use crate::inference::fixture::Fixture;

const PATH: &str = "/v1/responses";

/// Fixture with one vendor as provider `v`, with the model `m`.
fn fixture(vendor: &str) -> Fixture {
    let upstream = Upstream::start();
    let provider = Provider::openai("v", &upstream)
        .preset(vendor)
        .models(&["m"]);
    let provider = if vendor == "azure" {
        provider.base_url(&upstream.url())
    } else {
        provider
    };
    Fixture::with_upstream(upstream, |setup| setup.provider(&provider))
}

/// Small valid request with more fields.
fn request_body(more: &str) -> String {
    format!(r#"{{"model":"m","input":"say it"{more}}}"#)
}

/// Recorded request of Codex, with the model of these tests.
fn codex(recording: &str) -> String {
    let body = golden(&format!("codex/{recording}.json"));
    let asked = body.find(r#""model":""#).map(|at| at + 9).expect("a model");
    let end = body[asked..].find('"').expect("its end") + asked;
    format!("{}m{}", &body[..asked], &body[end..])
}

/// Events of a translated stream; asserts gapless sequence numbers and matching event names.
#[track_caller]
fn events(response: &Response) -> Vec<Value> {
    let text = response.text();
    let lines = text.lines().filter(|line| !line.starts_with(':'));
    let events: String = lines.map(|line| format!("{line}\n")).collect();
    let data = events
        .split("\n\n")
        .filter(|event| event.starts_with("event: "));
    let events: Vec<Value> = data
        .map(|event| {
            let (name, data) = event.split_once("\ndata: ").expect("data");
            let json: Value = serde_json::from_str(data).expect("JSON on one line");
            assert_eq!(json["type"], json!(name.trim_start_matches("event: ")));
            json
        })
        .collect();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], json!(number), "{event}");
    }
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["type"].as_str()?.strip_prefix("response."))
        .collect()
}

/// Fixture with `openai_compatible` (chat) and `anthropic` (messages).
fn translated() -> Fixture {
    Fixture::new()
}
