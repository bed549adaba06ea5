//! Matrix of `tests/MATRIX.md`: every client dialect on every provider, feature by feature; each cell is a call through one
//! gateway process with all providers. A cell works or is refused with a reason; anything else fails.

mod clients;
mod embeddings;
mod upstreams;

use std::fmt::Write as _;

use serde_json::{Value, json};

use self::clients::ClientView;
pub(super) use self::clients::{Client, PNG};
use self::upstreams::{INPUT, JSON, OUTPUT, THOUGHT, UpstreamDialect};
pub(super) use self::upstreams::{Say, TEXT, script};
use super::fixture::Fixture;
use crate::harness::assert_table;
use crate::harness::client::Response;
use crate::harness::process::Provider;
use crate::harness::strict;
use crate::harness::upstream::{ReceivedRequest, Upstream};

/// A provider: its preset, which is its name here and the beginning of its addresses, and the model that is asked, which the price
/// sheet knows to think and to answer by a schema; and one that sees, if it is another.
struct Row {
    preset: &'static str,
    model: &'static str,
    seeing: &'static str,
}

const fn row(preset: &'static str, model: &'static str) -> Row {
    Row {
        preset,
        model,
        seeing: model,
    }
}

const ROWS: [Row; 14] = [
    row("openai", "gpt-5.2"),
    row("anthropic", "claude-opus-4-6"),
    row("gemini", "gemini-3.8-flash"),
    row("bedrock", "anthropic.claude-opus-4-6-v1"),
    row("azure", "gpt-5.2"),
    row("mistral", "mistral-medium-3-5"),
    Row {
        preset: "groq",
        model: "openai/gpt-oss-120b",
        seeing: "qwen/qwen3.8-27b",
    },
    row("cohere", "command-a-plus-05-2026"),
    Row {
        preset: "ollama",
        model: "qwen3:8b",
        seeing: "qwen3-vl:8b",
    },
    Row {
        preset: "ollama_native",
        model: "qwen3:8b",
        seeing: "qwen3-vl:8b",
    },
    row("together", "moonshotai/Kimi-K3"),
    Row {
        preset: "deepseek",
        model: "deepseek-v4-pro",
        seeing: "deepseek-flash",
    },
    row("openrouter", "openai/gpt-5.2"),
    row("xai", "grok-4.5"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    Text,
    Stream,
    Tools,
    ParallelTools,
    Image,
    StructuredOutput,
    Reasoning,
}

impl Feature {
    const ALL: [Feature; 7] = [
        Feature::Text,
        Feature::Stream,
        Feature::Tools,
        Feature::ParallelTools,
        Feature::Image,
        Feature::StructuredOutput,
        Feature::Reasoning,
    ];

    fn name(self) -> &'static str {
        match self {
            Feature::Text => "text",
            Feature::Stream => "stream",
            Feature::Tools => "tools",
            Feature::ParallelTools => "parallel tools",
            Feature::Image => "image",
            Feature::StructuredOutput => "structured output",
            Feature::Reasoning => "reasoning",
        }
    }

    fn say(self) -> Say {
        match self {
            Feature::Text | Feature::Stream | Feature::Image => Say::Text,
            Feature::Tools => Say::Call,
            Feature::ParallelTools => Say::Calls,
            Feature::StructuredOutput => Say::Json,
            Feature::Reasoning => Say::Thoughts,
        }
    }
}

/// The dialect in which an upstream was called, and the fake that judged the request: endpoint and count of rules.
struct JudgedCall {
    dialect: &'static str,
    fake: String,
}

/// Result of one cell: its text in the table, or the fault.
type Cell = Result<String, String>;

fn demand(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// One gateway before one upstream that is all vendors, each under its own beginning of the path.
fn fixture() -> Fixture {
    let upstream = Upstream::start();
    let url = upstream.url();
    let providers: Vec<Provider> = ROWS
        .iter()
        .map(|row| {
            let mut models = vec![row.model, row.seeing];
            models.dedup();
            let provider = Provider::openai(row.preset, &upstream)
                .preset(row.preset)
                .models(&models);
            // in no price sheet
            let price = if row.preset.starts_with("ollama")
                || ["openrouter", "xai"].contains(&row.preset)
            {
                "free"
            } else {
                "sheet"
            };
            let provider = provider
                .base_url(&format!("{url}/{}", row.preset))
                .priced_by(price);
            if row.preset == "bedrock" {
                provider.line("region = \"eu-west-1\"")
            } else {
                provider
            }
        })
        .collect();
    Fixture::with_upstream(upstream, |setup| {
        providers
            .iter()
            .fold(setup, |setup, provider| setup.provider(provider))
    })
}

/// The call of one cell, and everything that must be true of it.
fn cell(
    fixture: &Fixture,
    client: Client,
    row: &Row,
    feature: Feature,
) -> Result<(String, Option<JudgedCall>), String> {
    let model = if feature == Feature::Image {
        row.seeing
    } else {
        row.model
    };
    let name = format!("{}/{model}", row.preset);
    let streamed = feature == Feature::Stream;
    fixture
        .upstream
        .respond_with(upstreams::script(feature.say(), streamed));
    let before = fixture.upstream.request_count();
    let response = fixture
        .user()
        .post(client.path(), &client.request(&name, feature));
    if (400..500).contains(&response.status) {
        demand(fixture.upstream.request_count() == before, || {
            "refused, but the upstream was called".to_owned()
        })?;
        return Ok((refusal(&response, &name)?, None));
    }
    demand(response.status == 200, || {
        format!("{} {}", response.status, response.text())
    })?;
    let request = fixture.upstream.last_request();
    let dialect = UpstreamDialect::at(request.path());
    let says = check_response(
        &client.parse(&response, streamed),
        feature,
        dialect.tells_thoughts(request.path()),
    )?;
    let dropped = response
        .header("x-gatekeeper-dropped-params")
        .unwrap_or_default()
        .to_owned();
    check_request(&request, feature)
        .map_err(|missing| format!("{missing} (dropped: {dropped}) in {}", request.json()))?;
    let record = fixture.assert_recorded();
    // Cohere has no list price for its newest model, and what a call costs is not the question here
    let flags: &[&str] = if row.preset == "cohere" {
        &["unpriced"]
    } else {
        &[]
    };
    demand(
        record.0["status"] == "ok" && record.0["flags"] == json!(flags),
        || record.0.to_string(),
    )?;
    demand((record.input(), record.output()) == (INPUT, OUTPUT), || {
        format!("recorded as {}", record.0["usage"])
    })?;
    let (endpoint, rules) = strict::sourced_rules(row.preset, request.path(), model);
    Ok((
        says,
        Some(JudgedCall {
            dialect: dialect.name(),
            fake: format!("{endpoint}, {rules}"),
        }),
    ))
}

/// The first words of an error that names the model at fault.
fn refusal(response: &Response, model: &str) -> Cell {
    let message = response.error_message();
    demand(message.contains(model), || {
        format!("a refusal that does not name {model}: {message}")
    })?;
    let first = message.split(';').next().unwrap_or_default().trim();
    Ok(format!("refused: {first}"))
}

/// Checks that the client received the upstream's content.
fn check_response(view: &ClientView, feature: Feature, tells_thoughts: bool) -> Cell {
    let say = feature.say();
    let text = match say {
        Say::Text | Say::Thoughts => TEXT,
        Say::Json => JSON,
        Say::Call | Say::Calls => "",
    };
    let thoughts = if say == Say::Thoughts && tells_thoughts {
        THOUGHT
    } else {
        ""
    };
    let expected = ClientView {
        text: text.to_owned(),
        reasoning: thoughts.to_owned(),
        calls: clients::calls(say),
    };
    demand(*view == expected, || {
        format!("view {view:?} in place of {expected:?}")
    })?;
    let hidden = say == Say::Thoughts && !tells_thoughts;
    Ok(if hidden { "works¹" } else { "works" }.to_owned())
}

/// Checks that the upstream received the feature's input.
fn check_request(request: &ReceivedRequest, feature: Feature) -> Result<(), String> {
    let body = request.json();
    let has = |schema: &Value| {
        any(&body, &|value| {
            value["properties"] == schema["properties"] && value["required"] == schema["required"]
        })
    };
    match feature {
        Feature::Text | Feature::Stream => demand(any(&body, &|value| value == "say it"), || {
            "no prompt".to_owned()
        }),
        Feature::Tools | Feature::ParallelTools => demand(
            has(&clients::tool()) && any(&body, &|value| value["name"] == "weather"),
            || "no tool".to_owned(),
        ),
        Feature::Image => {
            let ends = |value: &Value| value.as_str().is_some_and(|text| text.ends_with(PNG));
            demand(any(&body, &ends), || "no image".to_owned())
        }
        Feature::StructuredOutput => demand(has(&clients::schema()), || "no schema".to_owned()),
        Feature::Reasoning => {
            let members = [
                "reasoning_effort",
                "thinking",
                "reasoning",
                "thinkingConfig",
                "reasoningConfig",
                "think",
            ];
            let parsed = |value: &Value| {
                members
                    .iter()
                    .any(|member| value.get(member).is_some_and(|parsed| !parsed.is_null()))
            };
            demand(any(&body, &parsed), || "it is not told to think".to_owned())
        }
    }
}

/// Returns `true` if the predicate holds for any value inside, also in JSON inside a text.
fn any(value: &Value, holds: &dyn Fn(&Value) -> bool) -> bool {
    let within = match value {
        Value::Array(values) => values.iter().any(|value| any(value, holds)),
        Value::Object(members) => members.values().any(|value| any(value, holds)),
        Value::String(text) if text.starts_with('{') => {
            serde_json::from_str(text).is_ok_and(|inner: Value| any(&inner, holds))
        }
        _ => false,
    };
    within || holds(value)
}

const INTRODUCTION: &str = "\
# Every client dialect at every provider

Made by the test `every_client_dialect_works_at_every_provider` (tests/inference/matrix); made anew by
`GK_WRITE_TABLES=1 cargo test --locked every_client_dialect_works`. Do not edit: the test fails when it differs from what was observed.

Each cell is a call through the real process, in front of the strict fake of the provider (tests/harness/strict.rs): it refuses what
`assets/vendor-limits.json` says with a source that the vendor refuses, and answers in the dialect at whose path it was called. The column
*strict fake* names, for all cells of its row, the endpoint in that file and the count of sourced rules by which this model was judged there;
with 0 rules the fake takes everything. A request that the fake took is also judged by the types of the vendor's own SDK, where there is one
(tests/sdk/written.py). *works*: the client heard the very text, calls, arguments and thoughts that the upstream said; the upstream had got the
prompt, the image's bytes, the schemas of tool or answer, or the word to think; and the ledger's row has the tokens that the upstream
reported. *refused*: a clear error before anything was sent, which begins as shown. Where a provider is spoken to in the
client's own dialect, the request goes there as it came, fitted to the vendor's limits where the dialect is another vendor's.
Embeddings: the client got each text's own vector at its place, in its encoding, and the tokens that the upstream counted.
No live account was used.

¹ The vendor counts the thoughts of its models and does not tell them in this dialect.
";

fn written(observed: &[(Client, &Row, Vec<String>)]) -> String {
    let mut page = INTRODUCTION.to_owned();
    for client in Client::ALL {
        let heads: Vec<&str> = Feature::ALL.iter().map(|feature| feature.name()).collect();
        let _ = write!(
            page,
            "\n## Clients of {}\n\n| provider | model | spoken to in | strict fake | {} |\n",
            client.name(),
            heads.join(" | ")
        );
        let _ = writeln!(page, "|{}", "---|".repeat(4 + heads.len()));
        for (_, row, cells) in observed.iter().filter(|(of, ..)| *of == client) {
            let _ = writeln!(
                page,
                "| {} | {} | {} |",
                row.preset,
                models(row),
                cells.join(" | ")
            );
        }
    }
    page
}

fn models(row: &Row) -> String {
    if row.seeing == row.model {
        row.model.to_owned()
    } else {
        format!("{} (image: {})", row.model, row.seeing)
    }
}

#[test]
fn every_client_dialect_works_at_every_provider() {
    let fixture = fixture();
    let (mut observed, mut faults) = (Vec::new(), Vec::new());
    for client in Client::ALL {
        for row in &ROWS {
            let (mut cells, mut dialects, mut fakes) = (Vec::new(), Vec::new(), Vec::new());
            for feature in Feature::ALL {
                match cell(&fixture, client, row, feature) {
                    Ok((says, spoken)) => {
                        cells.push(says);
                        let spoken = spoken.into_iter();
                        let (in_dialect, before): (Vec<_>, Vec<_>) =
                            spoken.map(|spoken| (spoken.dialect, spoken.fake)).unzip();
                        dialects.extend(in_dialect);
                        fakes.extend(before);
                    }
                    Err(fault) => faults.push(format!(
                        "{client:?} at {}, {}: {fault}",
                        row.preset,
                        feature.name()
                    )),
                }
            }
            dialects.dedup();
            fakes.dedup();
            cells.insert(0, fakes.join("; "));
            cells.insert(0, dialects.join(", "));
            observed.push((client, row, cells));
        }
    }
    let embeddings = embeddings::section().unwrap_or_else(|more| {
        faults.extend(more);
        String::new()
    });
    assert!(
        faults.is_empty(),
        "{} cells do not work:\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert_table("MATRIX.md", &(written(&observed) + &embeddings));
}

#[test]
fn matrix_cell_unsupported_by_model_is_refusal_with_its_name() {
    let fixture = fixture();
    let blind = Row {
        preset: "groq",
        model: "openai/gpt-oss-120b",
        seeing: "openai/gpt-oss-120b",
    };
    for client in [Client::Messages, Client::Responses] {
        let (says, spoken) =
            cell(&fixture, client, &blind, Feature::Image).expect("an honest refusal");
        assert!(
            says.starts_with("refused: ") && says.contains("image") && spoken.is_none(),
            "{says}"
        );
    }
}
