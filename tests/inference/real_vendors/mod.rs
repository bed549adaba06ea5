//! Requests that live vendors refused, or answers of theirs that clients could not read, one test each: before strict fakes, which
//! refuse from `assets/vendor-limits.json`.

mod answers;
mod list_prices;
mod reasoning;
mod requests;
mod returned_reasoning;
mod schemas;

use serde_json::{Value, json};

use super::fixture::Fixture;
use super::matrix::{Client, Say, script};
use crate::harness::client::Response;
use crate::harness::process::Provider;
use crate::harness::upstream::Upstream;

const PROVIDERS: [(&str, &[&str]); 13] = [
    (
        "openai",
        &[
            "gpt-4.1",
            "gpt-5.4",
            "gpt-5.6",
            "gpt-5.3-codex",
            "o3-pro",
            "o4-mini",
        ],
    ),
    ("azure", &["gpt-5.4"]),
    ("anthropic", &["claude-sonnet-4-6", "claude-opus-4-7"]),
    (
        "bedrock",
        &[
            "anthropic.claude-opus-4-6-v1",
            "anthropic.claude-opus-4-7-v1",
            "amazon.nova-pro-v1:0",
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
        ],
    ),
    ("mistral", &["mistral-medium-3-5"]),
    ("groq", &["openai/gpt-oss-120b"]),
    ("deepseek", &["deepseek-reasoner"]),
    ("openrouter", &["openai/gpt-4.1"]),
    ("openai_compatible", &["local"]),
    ("gemini", &["gemini-2.5-flash"]),
    ("cohere", &["command-a-03-2025"]),
    ("ollama_native", &["qwen3:8b"]),
    ("together", &["moonshotai/Kimi-K3"]),
];

/// One gateway before one strict upstream that is all vendors.
fn fixture() -> Fixture {
    let upstream = Upstream::start();
    let url = upstream.url();
    let providers = PROVIDERS.map(|(preset, models)| {
        let provider = Provider::openai(preset, &upstream)
            .preset(preset)
            .models(models)
            .base_url(&format!("{url}/{preset}"));
        match preset {
            "bedrock" => provider.line("region = \"eu-west-1\""),
            _ => provider,
        }
    });
    Fixture::with_upstream(upstream, |setup| {
        let providers = providers.iter();
        providers.fold(setup, |setup, provider| setup.provider(provider))
    })
}

fn say(fixture: &Fixture, text: Say, streamed: bool) {
    fixture.upstream.respond_with(script(text, streamed));
}

/// Sends a request that the strict vendor takes; returns what it got, and the response.
#[track_caller]
fn taken(fixture: &Fixture, client: Client, body: &Value) -> (Value, Response) {
    let response = fixture.user().post(client.path(), body);
    response.assert_status(200);
    (fixture.upstream.last_request().json(), response)
}

fn dropped(response: &Response) -> Vec<String> {
    let names = response
        .header("x-gatekeeper-dropped-params")
        .unwrap_or_default();
    names
        .split(", ")
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn messages(model: &str, more: Value) -> Value {
    let body = json!({"model": model, "max_tokens": 2_000, "messages": [{"role": "user", "content": "go"}]});
    with(body, more)
}

fn chat(model: &str, more: Value) -> Value {
    with(
        json!({"model": model, "messages": [{"role": "user", "content": "go"}]}),
        more,
    )
}

fn with(mut body: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("members") {
        body[name] = value.clone();
    }
    body
}

fn claude_tools() -> Value {
    json!([{"name": "look", "description": "d", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}])
}

fn chat_tools() -> Value {
    json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}])
}
