//! Part of the matrix for `POST /v1/embeddings`: every provider that has the endpoint, before its strict fake.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::demand;
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::strict;
use crate::harness::upstream::Upstream;
use crate::harness::wait_until;
use crate::inference::fixture::Fixture;
use crate::inference::native_embeddings::vendor;

const ROWS: [(&str, &str); 10] = [
    ("openai", "text-embedding-3-small"),
    ("gemini", "gemini-embedding-001"),
    ("bedrock", "amazon.titan-embed-text-v2:0"),
    ("bedrock", "cohere.embed-multilingual-v3"),
    ("azure", "text-embedding-3-small"),
    ("mistral", "mistral-embed"),
    ("cohere", "embed-v4.0"),
    ("ollama", "nomic-embed-text"),
    ("ollama_native", "nomic-embed-text"),
    ("together", "BAAI/bge-base-en-v1.5"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feature {
    Text,
    Texts,
    Base64,
    Dimensions,
    TokenIds,
}

impl Feature {
    const ALL: [Feature; 5] = [
        Feature::Text,
        Feature::Texts,
        Feature::Base64,
        Feature::Dimensions,
        Feature::TokenIds,
    ];

    fn name(self) -> &'static str {
        match self {
            Feature::Text => "one text",
            Feature::Texts => "several texts",
            Feature::Base64 => "base64",
            Feature::Dimensions => "dimensions",
            Feature::TokenIds => "token ids",
        }
    }

    fn request(self, model: &str) -> Value {
        let mut body = json!({"model": model, "input": ["t7", "t1", "t4"]});
        match self {
            Feature::Text => body["input"] = json!("t2"),
            Feature::Texts => {}
            Feature::Base64 => body["encoding_format"] = json!("base64"),
            Feature::Dimensions => body["dimensions"] = json!(256),
            Feature::TokenIds => body["input"] = json!([[7], [1], [4]]),
        }
        body
    }

    /// Vectors that the client must get.
    fn vectors(self) -> Value {
        match self {
            Feature::Text => json!([[2.0, 0.5]]),
            // 7.0, 1.0 and 4.0, each with 0.5, as floats of 32 bits
            Feature::Base64 => json!(["AADgQAAAAD8=", "AACAPwAAAD8=", "AACAQAAAAD8="]),
            _ => json!([[7.0, 0.5], [1.0, 0.5], [4.0, 0.5]]),
        }
    }
}

fn fixture() -> Fixture {
    let upstream = Upstream::start();
    upstream.respond_with(Script::from_request(vendor));
    let url = upstream.url();
    let mut presets: Vec<&str> = ROWS.iter().map(|(preset, _)| *preset).collect();
    presets.dedup();
    let providers: Vec<Provider> = presets
        .iter()
        .map(|preset| {
            let models = ROWS.iter().filter(|(of, _)| of == preset);
            let models: Vec<&str> = models.map(|(_, model)| *model).collect();
            let price = if preset.starts_with("ollama") {
                "free"
            } else {
                "sheet"
            };
            let provider = Provider::openai(preset, &upstream)
                .preset(preset)
                .models(&models)
                .priced_by(price)
                .base_url(&format!("{url}/{preset}"));
            match *preset {
                "bedrock" => provider.line("region = \"eu-west-1\""),
                _ => provider,
            }
        })
        .collect();
    Fixture::with_upstream(upstream, |setup| {
        let providers = providers.iter();
        providers.fold(setup, |setup, provider| setup.provider(provider))
    })
}

/// Text of one cell, and the path of the call.
fn cell(
    fixture: &Fixture,
    preset: &str,
    model: &str,
    feature: Feature,
) -> Result<(String, Option<String>), String> {
    let name = format!("{preset}/{model}");
    let before = fixture.upstream.request_count();
    let response = fixture
        .user()
        .post("/v1/embeddings", &feature.request(&name));
    let called = fixture.upstream.request_count() > before;
    if response.status == 400 && !called {
        let message = response.error_message();
        let first = message.split(';').next().unwrap_or_default().trim();
        return Ok((format!("refused: {first}"), None));
    }
    demand(response.status == 200, || {
        format!("{} {}", response.status, response.text())
    })?;
    let answer = response.json();
    let data = answer["data"].as_array().cloned().unwrap_or_default();
    let vectors: Vec<&Value> = data.iter().map(|entry| &entry["embedding"]).collect();
    demand(json!(vectors) == feature.vectors(), || answer.to_string())?;
    let tokens = 3 * data.len() as u64;
    demand(answer["usage"]["prompt_tokens"] == tokens, || {
        answer.to_string()
    })?;
    let recorded = || {
        let rows = fixture.gatekeeper.requests();
        let id = response.header("x-gatekeeper-request-id");
        rows.into_iter().find(|row| row["id"].as_str() == id)
    };
    wait_until("the call is recorded", || recorded().is_some());
    let record = recorded().unwrap_or_default();
    demand(record["usage"]["input_tokens"] == tokens, || {
        record.to_string()
    })?;
    let request = fixture.upstream.last_request();
    let named = response.header("x-gatekeeper-dropped-params");
    let has_size = String::from_utf8_lossy(&request.body).contains("256");
    let says = match named {
        _ if feature != Feature::Dimensions || has_size => "works".to_owned(),
        Some("dimensions") => "left out and named".to_owned(),
        _ => return Err(format!("dimensions are not in {}", request.json())),
    };
    Ok((says, Some(request.path().to_owned())))
}

fn spoken(path: &str) -> &str {
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        "embed" => "v2/embed",
        "invoke" => "InvokeModel",
        last => last.split_once(':').map_or(last, |(_, method)| method),
    }
}

/// The table, or the faults of its cells.
pub(super) fn section() -> Result<String, Vec<String>> {
    let fixture = fixture();
    let heads: Vec<&str> = Feature::ALL.iter().map(|feature| feature.name()).collect();
    let mut page =
        "\n## Clients of Embeddings\n\n| provider | model | spoken to in | strict fake |"
            .to_owned();
    let _ = writeln!(
        page,
        " {} |\n|{}",
        heads.join(" | "),
        "---|".repeat(4 + heads.len())
    );
    let mut faults = Vec::new();
    for (preset, model) in ROWS {
        let (mut cells, mut at) = (Vec::new(), String::new());
        for feature in Feature::ALL {
            match cell(&fixture, preset, model, feature) {
                Ok((says, path)) => {
                    cells.push(says);
                    at = path.unwrap_or(at);
                }
                Err(fault) => faults.push(format!("{preset}/{model}, {}: {fault}", feature.name())),
            }
        }
        let (endpoint, rules) = strict::sourced_rules(preset, &at, model);
        let spoken = spoken(&at);
        let _ = writeln!(
            page,
            "| {preset} | {model} | {spoken} | {endpoint}, {rules} | {} |",
            cells.join(" | ")
        );
    }
    if faults.is_empty() {
        Ok(page)
    } else {
        Err(faults)
    }
}
