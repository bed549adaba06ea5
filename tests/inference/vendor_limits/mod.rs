//! Requests just inside and just outside the vendors' limits, from every client dialect to every vendor, before strict fakes: the
//! vendor takes what the gateway wrote, with every change of a number or a text named, or the gateway says 400 before the call. A
//! client that speaks the vendor's own dialect gets the vendor's own verdict on the body that it wrote.

mod rules;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use self::verdict::{is_own, outcome, own_outcome, probe_faults};
use super::fixture::Fixture;
use super::matrix::{Client, Say, script};
use crate::harness::process::Provider;
use crate::harness::upstream::Upstream;

/// Provider type and a model of it.
const TARGETS: [(&str, &str); 24] = [
    ("openai", "gpt-4.1"),
    ("openai", "gpt-5.4"),
    ("openai", "o4-mini"),
    ("azure", "gpt-5.2"),
    ("anthropic", "claude-haiku-4-5"),
    ("anthropic", "claude-opus-4-7"),
    ("anthropic", "claude-sonnet-4-6"),
    ("gemini", "gemini-2.5-flash"),
    ("gemini", "gemini-3.8-flash"),
    ("bedrock", "anthropic.claude-opus-4-6-v1"),
    ("bedrock", "anthropic.claude-opus-4-7-v1"),
    ("bedrock", "amazon.nova-2-lite-v1:0"),
    ("bedrock", "amazon.nova-pro-v1:0"),
    ("mistral", "mistral-medium-3-5"),
    ("groq", "openai/gpt-oss-120b"),
    ("groq", "qwen/qwen3-32b"),
    ("cohere", "command-a-03-2025"),
    ("ollama_native", "qwen3:8b"),
    ("together", "moonshotai/Kimi-K3"),
    ("deepseek", "deepseek-reasoner"),
    ("deepseek", "deepseek-v4-pro"),
    ("openrouter", "openai/gpt-4.1"),
    ("xai", "grok-4.5"),
    ("xai", "grok-4.6"),
];

/// A small request with one deviation.
struct Probe {
    what: String,
    body: fn(Client, &Value) -> Value,
    value: Value,
}

fn probe(what: &str, value: impl Into<Value>, body: fn(Client, &Value) -> Value) -> Probe {
    let value = value.into();
    let shown: String = value.to_string().chars().take(40).collect();
    Probe {
        what: format!("{what} {shown}"),
        body,
        value,
    }
}

fn base(client: Client) -> Value {
    let turns = json!([{"role": "user", "content": "say it"}]);
    match client {
        Client::Chat => json!({"messages": turns, "max_completion_tokens": 1_000}),
        Client::Messages => json!({"messages": turns, "max_tokens": 1_000}),
        Client::Responses => json!({"input": turns, "max_output_tokens": 1_000, "store": false}),
    }
}

fn with(client: Client, name: &str, value: Value) -> Value {
    let mut body = base(client);
    body[name] = value;
    body
}

fn user(client: Client, value: &Value) -> Value {
    match client {
        Client::Messages => with(client, "metadata", json!({"user_id": value})),
        _ => with(client, "user", value.clone()),
    }
}

fn distinct_stops(count: u64) -> Vec<String> {
    (0..count).map(|number| format!("halt-{number}")).collect()
}

fn stop(client: Client, value: &Value) -> Value {
    match client {
        Client::Chat => with(client, "stop", value.clone()),
        Client::Messages => with(client, "stop_sequences", value.clone()),
        Client::Responses => base(client),
    }
}

fn output_cap(client: Client, value: &Value) -> Value {
    let name = match client {
        Client::Chat => "max_completion_tokens",
        Client::Messages => "max_tokens",
        Client::Responses => "max_output_tokens",
    };
    with(client, name, value.clone())
}

fn tool(client: Client, name: &Value, schema: &Value, strict: bool) -> Value {
    match client {
        Client::Chat => {
            json!({"type": "function", "function": {"name": name, "parameters": schema, "strict": strict}})
        }
        Client::Messages => json!({"name": name, "input_schema": schema}),
        Client::Responses => {
            json!({"type": "function", "name": name, "parameters": schema, "strict": strict})
        }
    }
}

fn no_parameters() -> Value {
    json!({"type": "object", "properties": {}})
}

/// A conversation with one call and its result.
fn call_id(client: Client, id: &Value) -> Value {
    let tools = json!([tool(client, &json!("look"), &no_parameters(), false)]);
    let turns = match client {
        Client::Chat => json!([
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": null, "reasoning_content": "hm",
             "tool_calls": [{"id": id, "type": "function", "function": {"name": "look", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": id, "content": "seen"},
            {"role": "developer", "content": "be short"},
            {"role": "user", "content": [{"type": "text", "text": "so"}]},
        ]),
        Client::Messages => json!([
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "look", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "seen"}, {"type": "text", "text": " \n"}]},
        ]),
        Client::Responses => json!([
            {"role": "user", "content": "go"},
            {"type": "function_call", "call_id": id, "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": id, "output": "seen"},
        ]),
    };
    let mut body = base(client);
    body["tools"] = tools;
    body[if client == Client::Responses {
        "input"
    } else {
        "messages"
    }] = turns;
    body
}

fn tool_name(client: Client, name: &Value) -> Value {
    with(
        client,
        "tools",
        json!([tool(client, name, &no_parameters(), false)]),
    )
}

fn many_tools(client: Client, count: &Value) -> Value {
    let tool = |number: u64| {
        tool(
            client,
            &json!(format!("t{number}")),
            &no_parameters(),
            false,
        )
    };
    let tools: Vec<Value> = (0..count.as_u64().expect("a count")).map(tool).collect();
    with(client, "tools", json!(tools))
}

/// A schema with bounds, an optional property and a title, as Pydantic writes it.
fn bounded() -> Value {
    json!({"type": "object", "title": "Place", "properties": {
        "age": {"type": "integer", "minimum": 0, "maximum": 120, "exclusiveMinimum": -1},
        "name": {"type": "string", "minLength": 1, "maxLength": 40, "pattern": "^[a-z]+$"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3, "uniqueItems": true},
    }, "required": ["age"]})
}

fn strict_tool(client: Client, strict: &Value) -> Value {
    let strict = strict == true;
    with(
        client,
        "tools",
        json!([tool(client, &json!("place"), &bounded(), strict)]),
    )
}

fn format(client: Client, strict: &Value) -> Value {
    match client {
        Client::Chat => {
            let schema = json!({"name": "a place!", "schema": bounded(), "strict": strict});
            with(
                client,
                "response_format",
                json!({"type": "json_schema", "json_schema": schema}),
            )
        }
        Client::Messages => {
            let format = json!({"type": "json_schema", "schema": bounded()});
            with(client, "output_config", json!({"format": format}))
        }
        Client::Responses => {
            let format = json!({"type": "json_schema", "name": "place", "schema": bounded(), "strict": strict});
            with(client, "text", json!({"format": format}))
        }
    }
}

fn effort(client: Client, effort: &Value) -> Value {
    match client {
        Client::Chat => with(client, "reasoning_effort", effort.clone()),
        Client::Messages if effort == "none" => {
            with(client, "thinking", json!({"type": "disabled"}))
        }
        Client::Messages => {
            let mut body = with(client, "thinking", json!({"type": "adaptive"}));
            body["output_config"] = json!({"effort": effort});
            body
        }
        Client::Responses => with(client, "reasoning", json!({"effort": effort})),
    }
}

fn effort_with_tools(client: Client, value: &Value) -> Value {
    let mut body = effort(client, value);
    body["tools"] = json!([tool(client, &json!("look"), &no_parameters(), false)]);
    body["temperature"] = json!(0.5);
    body
}

fn choice(client: Client, value: &Value) -> Value {
    let mut body = effort_with_tools(client, &json!("high"));
    body["tool_choice"] = match (client, value.as_str()) {
        (Client::Messages, Some("required")) => json!({"type": "any"}),
        (Client::Messages, Some("none")) => json!({"type": "none"}),
        (Client::Messages, _) => json!({"type": "tool", "name": "look"}),
        (_, Some("named")) if client == Client::Chat => {
            json!({"type": "function", "function": {"name": "look"}})
        }
        (_, Some("named")) => json!({"type": "function", "name": "look"}),
        _ => value.clone(),
    };
    body
}

fn image(client: Client, mime: &Value) -> Value {
    let mime = mime.as_str().expect("a type");
    const JPEG: &str = "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////";
    let url = format!("data:{mime};base64,{JPEG}");
    let part = match client {
        Client::Chat => json!({"type": "image_url", "image_url": {"url": url}}),
        Client::Messages => {
            json!({"type": "image", "source": {"type": "base64", "media_type": mime, "data": JPEG}})
        }
        Client::Responses => json!({"type": "input_image", "image_url": url}),
    };
    let name = if client == Client::Responses {
        "input"
    } else {
        "messages"
    };
    with(client, name, json!([{"role": "user", "content": [part]}]))
}

fn blank(client: Client, text: &Value) -> Value {
    let kind = if client == Client::Responses {
        "input_text"
    } else {
        "text"
    };
    let name = if client == Client::Responses {
        "input"
    } else {
        "messages"
    };
    let parts = json!([{"type": kind, "text": text}, {"type": kind, "text": "so"}]);
    with(client, name, json!([{"role": "user", "content": parts}]))
}

fn unknown_member(client: Client, value: &Value) -> Value {
    let mut body = base(client);
    body["x_unknown"] = value.clone();
    let turns = if client == Client::Responses {
        "input"
    } else {
        "messages"
    };
    if client == Client::Chat {
        body[turns][0]["x_unknown"] = value.clone();
    }
    body
}

fn caches(client: Client, count: &Value) -> Value {
    let cache = json!({"type": "ephemeral"});
    let part = json!({"type": "text", "text": "x", "cache_control": cache});
    let parts = vec![part; count.as_u64().expect("a count") as usize];
    match client {
        Client::Responses => base(client),
        _ => with(
            client,
            "messages",
            json!([{"role": "user", "content": parts}]),
        ),
    }
}

fn probes() -> Vec<Probe> {
    let mut probes = vec![
        probe("tool schema", false, strict_tool),
        probe("strict tool schema", true, strict_tool),
        probe("format", false, format),
        probe("strict format", true, format),
        probe("unknown member", 1, unknown_member),
        probe("caches", 4, caches),
        probe("caches", 5, caches),
    ];
    for length in [9, 36, 64, 65, 128, 129, 191, 257] {
        probes.push(probe("user", "u".repeat(length), user));
    }
    probes.push(probe("user", "ann@example.com", user));
    for count in [1, 4, 5, 6, 17] {
        probes.push(probe("stop", distinct_stops(count), stop));
    }
    probes.push(probe("stop", vec![" "], stop));
    for tokens in [1, 15, 16, 4_097, 16_385, 32_769, 64_001, 128_001, 400_000] {
        probes.push(probe("output cap", tokens, output_cap));
    }
    for value in [0.0, 1.0, 1.01, 1.5, 2.0_f64] {
        probes.push(probe("temperature", value, |client, value| {
            with(client, "temperature", value.clone())
        }));
        probes.push(probe("top_p", (value / 2.0).min(1.0), |client, value| {
            with(client, "top_p", value.clone())
        }));
    }
    for value in [-2.0, -0.5, 0.5, 2.0] {
        probes.push(probe(
            "frequency_penalty",
            value,
            |client, value| match client {
                Client::Chat => with(client, "frequency_penalty", value.clone()),
                _ => base(client),
            },
        ));
    }
    for length in [1, 9, 40, 41, 64, 65, 100] {
        probes.push(probe("call id", "c".repeat(length), call_id));
        probes.push(probe("tool name", "n".repeat(length), tool_name));
    }
    probes.push(probe("call id", "toolu_01:a.b", call_id));
    probes.push(probe("tool name", "mcp__a.b", tool_name));
    for count in [1, 128, 129] {
        probes.push(probe("tools", count, many_tools));
    }
    for word in ["none", "minimal", "low", "medium", "high", "xhigh", "max"] {
        probes.push(probe("effort", word, effort));
        probes.push(probe("effort with tools", word, effort_with_tools));
    }
    for word in ["none", "required", "named"] {
        probes.push(probe("tool choice", word, choice));
    }
    for mime in [
        "image/jpeg",
        "image/jpg",
        "image/png",
        "",
        "application/octet-stream",
    ] {
        probes.push(probe("image", mime, image));
    }
    probes.push(probe("text", " \n", blank));
    probes
}

/// One gateway before one strict upstream that is all vendors, each with its models.
fn fixture_of(models: &BTreeMap<&str, BTreeSet<String>>) -> Fixture {
    let upstream = Upstream::start();
    let url = upstream.url();
    let providers: Vec<Provider> = models
        .iter()
        .map(|(vendor, models)| {
            let models: Vec<&str> = models.iter().map(String::as_str).collect();
            // the rows of Ollama are those of its own API
            let preset = if *vendor == "ollama" {
                "ollama_native"
            } else {
                vendor
            };
            let provider = Provider::openai(vendor, &upstream)
                .preset(preset)
                .models(&models)
                .base_url(&format!("{url}/{vendor}"));
            match *vendor {
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

#[test]
fn vendor_never_refuses_what_the_gateway_wrote_inside_or_outside_each_limit() {
    let mut models: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (vendor, model) in TARGETS {
        models.entry(vendor).or_default().insert(model.to_owned());
    }
    let fixture = fixture_of(&models);
    fixture.upstream.respond_with(script(Say::Json, false));
    let (mut taken, mut refused, mut faults) = (0, 0, Vec::new());
    for (preset, model) in TARGETS {
        let model = format!("{preset}/{model}");
        for client in Client::ALL {
            let ask = match is_own(preset, client) {
                true => own_outcome,
                false => outcome,
            };
            for probe in probes() {
                let body = (probe.body)(client, &probe.value);
                match ask(&fixture, client, &model, &body) {
                    Ok(true) => taken += 1,
                    Ok(false) => refused += 1,
                    Err(fault) => {
                        faults.push(format!("{client:?} to {model}, {}: {fault}", probe.what))
                    }
                }
            }
        }
    }
    probe_faults(&faults, taken + refused);
    assert!(taken > refused * 4, "{taken} taken, {refused} refused");
}
