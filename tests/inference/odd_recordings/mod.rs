//! Odd recordings (`tests/golden/ODD.md`), each played to the clients of all dialects: the client hears the content, the calls, the
//! end or the error, and the ledger has the tokens of the recording. The vendors' SDKs read the same files in
//! `tests/sdk/odd_recordings.py`.

mod client_answer;

use serde_json::{Value, json};

use self::client_answer::ClientAnswer;
use super::fixture::Fixture;
use super::matrix::Client;
use crate::harness::process::Provider;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;
use crate::harness::{golden, golden_bytes, wait_until};

/// Providers in front of the one upstream, and their models.
const PROVIDERS: [(&str, &[&str]); 13] = [
    ("openai", &["gpt-4.1", "gpt-5.3-codex"]),
    ("azure", &["gpt-4.1"]),
    ("anthropic", &["claude-sonnet-4-6"]),
    ("gemini", &["gemini-3.8-flash"]),
    (
        "bedrock",
        &["amazon.nova-2-lite-v1:0", "anthropic.claude-opus-4-6-v1"],
    ),
    ("mistral", &["mistral-medium-3-5"]),
    ("groq", &["openai/gpt-oss-120b"]),
    ("cohere", &["command-a-03-2025"]),
    ("ollama_native", &["qwen3:8b"]),
    ("together", &["moonshotai/Kimi-K3"]),
    ("deepseek", &["deepseek-v4-pro"]),
    ("openrouter", &["openai/gpt-4.1"]),
    ("xai", &["grok-4.5"]),
];

fn fixture() -> Fixture {
    let upstream = Upstream::start();
    let url = upstream.url();
    let other = ("openai_compatible", &["m"][..]);
    let providers: Vec<Provider> = PROVIDERS
        .into_iter()
        .chain([other])
        .map(|(preset, models)| {
            let provider = Provider::openai(preset, &upstream)
                .preset(preset)
                .models(models)
                .base_url(&format!("{url}/{preset}"));
            match preset {
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

/// Model whose vendor answers this client in the recording's API; `None` where no client of the dialect gets there.
fn model(vendor: &str, entry: &Value, client: Client) -> Option<&'static str> {
    let operation = entry["operation"].as_str().unwrap_or_default();
    // a vendor that has this client's dialect is called in it; its chat comes from a server without a name
    Some(match (vendor, client) {
        ("openai", _) if entry["api"] == "responses" => "openai/gpt-5.3-codex",
        ("openai" | "azure" | "deepseek", Client::Responses) | ("deepseek", Client::Messages) => {
            "openai_compatible/m"
        }
        ("openai", _) => "openai/gpt-4.1",
        ("azure", _) => "azure/gpt-4.1",
        ("anthropic", _) => "anthropic/claude-sonnet-4-6",
        ("gemini", _) => "gemini/gemini-3.8-flash",
        ("bedrock", Client::Messages) if operation.starts_with("invoke") => {
            "bedrock/anthropic.claude-opus-4-6-v1"
        }
        ("bedrock", _) if operation.starts_with("invoke") => return None,
        ("bedrock", _) => "bedrock/amazon.nova-2-lite-v1:0",
        ("mistral", _) => "mistral/mistral-medium-3-5",
        ("groq", _) => "groq/openai/gpt-oss-120b",
        ("cohere", _) => "cohere/command-a-03-2025",
        ("ollama", _) => "ollama_native/qwen3:8b",
        ("together", _) => "together/moonshotai/Kimi-K3",
        ("deepseek", _) => "deepseek/deepseek-v4-pro",
        ("openrouter", _) => "openrouter/openai/gpt-4.1",
        ("xai", _) => "xai/grok-4.5",
        (other, _) => panic!("{other} has no model here"),
    })
}

fn script(vendor: &str, entry: &Value) -> (Script, bool) {
    let file = entry["packed"].as_str().or(entry["file"].as_str());
    let file = file.expect("a file");
    let bytes = golden_bytes(&format!("{vendor}/odd/{file}"));
    let ending = file.rsplit('.').next().unwrap_or_default();
    let kind = match ending {
        "json" => return (Script::unary(200, bytes), false),
        "ndjson" => "application/x-ndjson",
        "bin" => "application/vnd.amazon.eventstream",
        _ => "text/event-stream",
    };
    let script = Script::stream([bytes]).in_writes_of(971);
    (script.header("content-type", kind), true)
}

fn request(client: Client, model: &str, streamed: bool) -> Value {
    let turns = json!([{"role": "user", "content": "say it"}]);
    match client {
        Client::Chat => json!({"model": model, "messages": turns, "stream": streamed}),
        Client::Messages => {
            json!({"model": model, "messages": turns, "max_tokens": 4_000, "stream": streamed})
        }
        Client::Responses => {
            json!({"model": model, "input": turns, "store": false, "stream": streamed})
        }
    }
}

/// Record of the newest call.
fn newest(fixture: &Fixture, id: &str) -> Value {
    let admin = fixture.gatekeeper.admin();
    let row = || admin.get("/v1/requests?limit=1").json()["data"][0].clone();
    wait_until("the call is recorded", || {
        fixture.gatekeeper.holds_open() == 0 && row()["id"] == id
    });
    row()
}

/// Faults of one recording at one client.
fn faults(fixture: &Fixture, vendor: &str, entry: &Value, client: Client) -> Vec<String> {
    let Some(model) = model(vendor, entry, client) else {
        return Vec::new();
    };
    let (script, streamed) = script(vendor, entry);
    fixture.upstream.respond_with(script);
    let response = fixture
        .user()
        .post(client.path(), &request(client, model, streamed));
    let id = response.header("x-gatekeeper-request-id").expect("an id");
    let heard = ClientAnswer::of(client, &response, streamed);
    let row = newest(fixture, id);
    let expect = &entry["expect"];
    let finish = expect["finish"].as_str().expect("a text");
    let found = match finish {
        // without a finish reason, but with an end mark: an end at servers other than the ten vendors
        "cut" if is_end_marked(vendor, entry) && ends_without_reason(model) => Vec::new(),
        "error" | "cut" => failure_faults(&heard, &row, expect),
        _ => [content_faults(&heard, expect), booking_faults(&row, expect)].concat(),
    };
    let shown = || format!("{} {}", response.status, row["status"]);
    let found = found.into_iter().filter(|(holds, _)| !holds);
    found
        .map(|(_, what)| format!("{what} ({})", shown()))
        .collect()
}

/// The model's provider is not one of the ten vendors.
fn ends_without_reason(model: &str) -> bool {
    let others = ["openai_compatible/", "openrouter/", "xai/"];
    others.iter().any(|provider| model.starts_with(provider))
}

/// The recording ends with an end mark.
fn is_end_marked(vendor: &str, entry: &Value) -> bool {
    let file = entry["file"].as_str().expect("a file");
    golden(&format!("{vendor}/odd/{file}")).contains("data: [DONE]")
}

/// Demands, each with the words of its fault.
type Demands = Vec<(bool, String)>;

/// An answer that failed: the client is told, gets no text that was not sent, and the books do not say ok.
fn failure_faults(heard: &ClientAnswer, row: &Value, expect: &Value) -> Demands {
    let text = expect["text"].as_str().expect("a text");
    vec![
        (
            heard.ending() == "error",
            format!("ends as {}", heard.ending()),
        ),
        (
            text.starts_with(&heard.text),
            format!("text {:?}", heard.text),
        ),
        (row["status"] != "ok", "recorded as ok".to_owned()),
    ]
}

fn content_faults(heard: &ClientAnswer, expect: &Value) -> Demands {
    let call = |call: &Value| {
        let arguments = call["arguments"].as_str().expect("a text");
        let read = serde_json::from_str(arguments).unwrap_or_else(|_| json!(arguments));
        json!([call["name"], read])
    };
    let calls: Value = expect["calls"]
        .as_array()
        .expect("calls")
        .iter()
        .map(call)
        .collect();
    // blank lines between summaries are the gateway's, and a whole message of Cohere has plan and thoughts in no order
    let plain = |text: &str| text.replace('\n', "");
    let is_said = ["reasoning", "plan_first"].iter().any(|name| {
        let text = expect[*name].as_str();
        text.is_some_and(|text| plain(text) == plain(&heard.reasoning))
    });
    vec![
        (
            expect["finish"] == heard.ending(),
            format!("ends as {}", heard.ending()),
        ),
        (
            expect["text"] == heard.text,
            format!("text {:?}", heard.text),
        ),
        (is_said, format!("reasoning {:?}", heard.reasoning)),
        (heard.calls() == calls, format!("calls {}", heard.calls())),
    ]
}

fn booking_faults(row: &Value, expect: &Value) -> Demands {
    let sum = |names: &[&str]| {
        let counts = names.iter().map(|name| expect["usage"][*name].as_u64());
        counts.sum::<Option<u64>>()
    };
    let input = sum(&["input", "cached_read", "cached_write"]);
    let mut demands = vec![(
        row["status"] == "ok",
        format!("recorded as {}", row["status"]),
    )];
    for (name, expected) in [("input_tokens", input), ("output_tokens", sum(&["output"]))] {
        let booked = &row["usage"][name];
        let holds = expected.is_none_or(|expected| *booked == expected);
        demands.push((holds, format!("{name} {booked}")));
    }
    demands
}

fn assert_played(vendor: &str) {
    let fixture = fixture();
    let index: Value =
        serde_json::from_str(&golden(&format!("{vendor}/odd/index.json"))).expect("JSON");
    let entries = index.as_array().expect("a list");
    assert!(entries.len() >= 10, "{}", entries.len());
    let mut found = Vec::new();
    for entry in entries {
        for client in Client::ALL {
            let faults = faults(&fixture, vendor, entry, client);
            if !faults.is_empty() {
                found.push(format!(
                    "{} to {client:?}: {}\n    expected {}",
                    entry["file"],
                    faults.join("; "),
                    entry["expect"]
                ));
            }
        }
    }
    assert!(
        found.is_empty(),
        "{} of {vendor}:\n{}",
        found.len(),
        found.join("\n")
    );
}

macro_rules! played {
    ($($name:ident: $vendor:literal,)*) => {
        $(#[test]
        fn $name() {
            assert_played($vendor);
        })*
    };
}

played! {
    odd_recordings_of_openai_reach_clients_of_all_dialects: "openai",
    odd_recordings_of_azure_reach_clients_of_all_dialects: "azure",
    odd_recordings_of_anthropic_reach_clients_of_all_dialects: "anthropic",
    odd_recordings_of_gemini_reach_clients_of_all_dialects: "gemini",
    odd_recordings_of_bedrock_reach_clients_of_all_dialects: "bedrock",
    odd_recordings_of_mistral_reach_clients_of_all_dialects: "mistral",
    odd_recordings_of_groq_reach_clients_of_all_dialects: "groq",
    odd_recordings_of_cohere_reach_clients_of_all_dialects: "cohere",
    odd_recordings_of_ollama_reach_clients_of_all_dialects: "ollama",
    odd_recordings_of_together_reach_clients_of_all_dialects: "together",
    odd_recordings_of_deepseek_reach_clients_of_all_dialects: "deepseek",
    odd_recordings_of_xai_reach_clients_of_all_dialects: "xai",
    odd_recordings_of_openrouter_reach_clients_of_all_dialects: "openrouter",
}
