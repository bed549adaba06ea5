//! A generator over `assets/vendor-limits.json`: for each row that a client can reach, requests of each dialect just inside and just
//! outside its limit. The vendor takes them, with every change named, or the gateway says 400 before the call; clients of the vendor's
//! own dialect get its own verdict.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::verdict::{is_own, outcome, own_outcome, probe_faults};
use super::{
    base, blank, caches, call_id, choice, distinct_stops, effort, effort_with_tools, fixture_of,
    format, image, many_tools, output_cap, stop, strict_tool, tool_name, unknown_member, user,
    with,
};
use crate::inference::matrix::{Client, Say, script};

const TABLE: &str = include_str!("../../../assets/vendor-limits.json");

/// Requests of one client at the limit of a row; none where the client cannot say it.
fn cases(client: Client, row: &Value) -> Vec<Value> {
    let field = row["field"].as_str().expect("a path");
    let leaf = field.rsplit('.').next().unwrap_or_default();
    let leaf = leaf.trim_end_matches("[]");
    let (limit, bar) = (row["limit"].as_str().expect("a limit"), &row["value"]);
    let values = around(limit, bar);
    let plain = |write: fn(Client, &Value) -> Value| {
        let case = |value: &Value| write(client, value);
        values.iter().map(case).collect::<Vec<Value>>()
    };
    match (leaf, limit) {
        ("temperature" | "top_p" | "topP" | "p", "one_of" | "not_with") => ["low", "high"]
            .map(|word| effort_with_tools(client, &json!(word)))
            .into(),
        (_, "min" | "max") => numbers(client, leaf, &values),
        (_, "max_items" | "not_blank" | "min_chars") if leaf.starts_with("stop") => plain(stops),
        ("tools" | "functionDeclarations" | "functions", "max_items") => plain(many_tools),
        ("name", "pattern" | "max_chars" | "min_chars") if field.contains("ool") => {
            plain(tool_name)
        }
        ("id" | "call_id" | "tool_call_id" | "toolUseId" | "tool_use_id", _) => plain(call_id),
        ("user" | "user_id" | "safety_identifier", _) => plain(user),
        ("description", "max_chars") => plain(described),
        ("reasoning_effort" | "effort" | "think", "one_of") => efforts(client),
        ("tool_choice" | "toolChoice", _) => ["required", "none", "named"]
            .map(|word| choice(client, &json!(word)))
            .into(),
        (_, "media_types") => plain(image),
        ("text", "not_blank" | "min_chars") => plain(blank),
        ("cache_control" | "cachePoint", "max_count") => plain(caches),
        (_, "schema_keywords" | "all_required" | "additional_properties_false") => [
            strict_tool(client, &json!(true)),
            format(client, &json!(true)),
        ]
        .into(),
        (_, "max_depth" | "max_properties") => plain(large_schema),
        ("messages" | "contents", "last_one_of" | "first_one_of" | "not_after") => turns(client),
        (_, "known_fields") => plain(unknown_member),
        (_, "refused_fields") => refused(client, bar),
        ("metadata" | "requestMetadata", _) => plain(metadata),
        ("prompt_cache_key" | "session_id", "max_chars") => plain(cache_key),
        _ => Vec::new(),
    }
}

/// Values just inside and just outside a limit.
fn around(limit: &str, bar: &Value) -> Vec<Value> {
    let count = bar.as_u64().unwrap_or_default();
    let chars = |count: u64| json!("c".repeat(count as usize));
    match limit {
        "max" if bar.is_u64() => vec![bar.clone(), json!(count + 1)],
        "max" => vec![bar.clone(), json!(bar.as_f64().unwrap_or_default() + 0.5)],
        "min" if bar.is_u64() => vec![bar.clone(), json!(bar.as_i64().unwrap_or_default() - 1)],
        "min" => vec![bar.clone(), json!(bar.as_f64().unwrap_or_default() - 0.5)],
        "max_chars" | "max_key_chars" if count < 5_000 => vec![chars(count), chars(count + 1)],
        "max_items" | "max_count" | "max_depth" | "max_properties" if count <= 1_024 => {
            vec![json!(count), json!(count + 1)]
        }
        "min_chars" => vec![chars(count), json!("")],
        "not_blank" => vec![json!("so"), json!(" \n"), json!("")],
        "pattern" => vec![json!("abcdefgh1"), json!("a@ b"), json!("ann@example.com")],
        "media_types" => vec![json!("image/png"), json!("image/jpg"), json!("image/x-odd")],
        "known_fields" => vec![json!(1)],
        _ => Vec::new(),
    }
}

/// Numbers by their usual names; a client without the member has no case.
fn numbers(client: Client, leaf: &str, values: &[Value]) -> Vec<Value> {
    let write = |name: &'static str| {
        let case = |value: &Value| with(client, name, value.clone());
        values.iter().map(case).collect()
    };
    match (leaf, client) {
        ("max_tokens" | "max_completion_tokens" | "max_output_tokens", _)
        | ("maxTokens" | "maxOutputTokens" | "num_predict", _) => values
            .iter()
            .map(|value| output_cap(client, value))
            .collect(),
        ("temperature", _) => write("temperature"),
        ("top_p" | "topP" | "p", _) => write("top_p"),
        ("top_k" | "topK" | "k", Client::Messages) => write("top_k"),
        ("frequency_penalty" | "frequencyPenalty", Client::Chat) => write("frequency_penalty"),
        ("presence_penalty" | "presencePenalty", Client::Chat) => write("presence_penalty"),
        ("n" | "candidateCount", Client::Chat) => write("n"),
        ("top_logprobs" | "logprobs", Client::Chat) => {
            let mut cases: Vec<Value> = write("top_logprobs");
            for case in &mut cases {
                case["logprobs"] = json!(true);
            }
            cases
        }
        ("budget_tokens" | "thinkingBudget" | "token_budget", Client::Messages) => {
            let case = |value: &Value| {
                let mut body = base(client);
                body["max_tokens"] = json!(60_000);
                body["thinking"] = json!({"type": "enabled", "budget_tokens": value});
                body
            };
            values.iter().map(case).collect()
        }
        _ => Vec::new(),
    }
}

fn efforts(client: Client) -> Vec<Value> {
    let words = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    let words = words.iter().map(|word| json!(word));
    let bodies = words.flat_map(|word| [effort(client, &word), effort_with_tools(client, &word)]);
    bodies.collect()
}

fn described(client: Client, text: &Value) -> Value {
    let mut body = tool_name(client, &json!("look"));
    match client {
        Client::Chat => body["tools"][0]["function"]["description"] = text.clone(),
        _ => body["tools"][0]["description"] = text.clone(),
    }
    body
}

/// So many stop sequences, or the one.
fn stops(client: Client, value: &Value) -> Value {
    let sequences = match value.as_u64() {
        Some(count) => json!(distinct_stops(count)),
        None => json!([value]),
    };
    stop(client, &sequences)
}

/// A strict schema of so many levels, each with so many properties at most.
fn large_schema(client: Client, count: &Value) -> Value {
    let count = count.as_u64().expect("a count");
    let leaf = json!({"type": "string"});
    let object = |properties: Value| {
        let names: Vec<&String> = properties.as_object().expect("an object").keys().collect();
        json!({"type": "object", "required": names, "additionalProperties": false, "properties": properties})
    };
    let schema = if count > 100 {
        let flat = (0..count).map(|number| (format!("p{number}"), leaf.clone()));
        object(Value::Object(flat.collect()))
    } else {
        (1..count).fold(object(json!({"p": leaf})), |inner, _| {
            object(json!({"p": inner}))
        })
    };
    let mut body = strict_tool(client, &json!(true));
    match client {
        Client::Chat => body["tools"][0]["function"]["parameters"] = schema,
        Client::Messages => body["tools"][0]["input_schema"] = schema,
        Client::Responses => body["tools"][0]["parameters"] = schema,
    }
    body
}

/// Conversations whose first, last or neighboring roles are unusual.
fn turns(client: Client) -> Vec<Value> {
    let name = if client == Client::Responses {
        "input"
    } else {
        "messages"
    };
    let orders: [&[&str]; 5] = [
        &["user", "assistant"],
        &["assistant", "user"],
        &["user", "user"],
        &["user", "assistant", "assistant", "user"],
        &["user", "system"],
    ];
    let turn = |role: &&str| json!({"role": role, "content": format!("as {role}")});
    let case = |order: &[&str]| with(client, name, order.iter().map(turn).collect());
    orders.into_iter().map(case).collect()
}

/// Members of the chat dialect that a vendor refuses.
fn refused(client: Client, names: &Value) -> Vec<Value> {
    let sample = |name: &str| {
        Some(match name {
            "logit_bias" => json!({}),
            "logprobs" | "parallel_tool_calls" | "store" => json!(true),
            "user" | "safety_identifier" | "prompt_cache_key" => json!("u"),
            "seed" | "n" | "top_logprobs" => json!(1),
            "temperature" | "top_p" | "frequency_penalty" | "presence_penalty" => json!(0.5),
            "stop" => json!(["x"]),
            "metadata" => json!({"a": "b"}),
            "reasoning_effort" => json!("low"),
            "service_tier" => json!("auto"),
            "max_tokens" | "max_completion_tokens" => json!(900),
            _ => return None,
        })
    };
    let names = names
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let names = names.filter(|_| client == Client::Chat);
    let case = |name: &str| {
        let mut body = with(client, name, sample(name)?);
        if name == "top_logprobs" {
            body["logprobs"] = json!(true);
        }
        Some(body)
    };
    names.filter_map(case).collect()
}

fn metadata(client: Client, value: &Value) -> Value {
    let metadata = match value.as_str() {
        Some(name) => json!({name: "v"}),
        None => (0..value.as_u64().expect("a count"))
            .map(|number| (format!("k{number}"), json!("v")))
            .collect(),
    };
    match client {
        Client::Messages => base(client),
        _ => with(client, "metadata", metadata),
    }
}

fn cache_key(client: Client, value: &Value) -> Value {
    match client {
        Client::Messages => base(client),
        _ => with(client, "prompt_cache_key", value.clone()),
    }
}

/// A model of a row, without wildcards.
fn model_of(row: &Value) -> String {
    let first = row["models"][0].as_str();
    first
        .unwrap_or("m")
        .trim_start_matches('*')
        .replace('*', "")
}

#[test]
fn each_limit_of_a_vendor_is_kept_or_said_to_clients_of_all_dialects() {
    let file: Value = serde_json::from_str(TABLE).expect("the table");
    let rows = file["rules"].as_array().expect("rows");
    let mut models: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let vendor = row["vendor"].as_str().expect("a vendor");
        models.entry(vendor).or_default().insert(model_of(row));
    }
    let fixture = fixture_of(&models);
    fixture.upstream.respond_with(script(Say::Json, false));
    let (mut reached, mut taken, mut refused) = (0, 0, 0);
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    for row in rows {
        let vendor = row["vendor"].as_str().expect("a vendor");
        let model = format!("{vendor}/{}", model_of(row));
        let mut is_reached = false;
        for client in Client::ALL {
            let ask = match is_own(vendor, client) {
                true => own_outcome,
                false => outcome,
            };
            for body in cases(client, row) {
                is_reached = true;
                if !seen.insert((model.clone(), format!("{client:?} {body}"))) {
                    continue;
                }
                match ask(&fixture, client, &model, &body) {
                    Ok(true) => taken += 1,
                    Ok(false) => refused += 1,
                    Err(fault) => faults.push(format!(
                        "{client:?} to {model}, {}/{}: {fault}",
                        row["field"], row["limit"]
                    )),
                }
            }
        }
        reached += usize::from(is_reached);
    }
    probe_faults(&faults, taken + refused);
    assert!(
        reached > 350 && taken > refused * 3,
        "{reached} rows, {taken} taken, {refused} refused"
    );
}
