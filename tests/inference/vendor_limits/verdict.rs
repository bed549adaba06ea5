//! Verdicts on one request of the generators: what the vendor took, what the gateway refused, and what is a fault.

use serde_json::{Value, json};

use crate::harness::client::Response;
use crate::harness::strict;
use crate::inference::fixture::Fixture;
use crate::inference::matrix::Client;

/// The client speaks the vendor's own dialect.
pub(super) fn is_own(vendor: &str, client: Client) -> bool {
    matches!(
        (vendor, client),
        ("openai" | "azure", Client::Chat | Client::Responses) | ("anthropic", Client::Messages)
    )
}

/// Members that a translation writes in the vendor's words: another effort, another id for the same call, a name that is turned back
/// in the answer; and a hint to a cache, without which the answer is the same.
const RESTATED: [&str; 16] = [
    "model",
    "role",
    "type",
    "id",
    "call_id",
    "tool_call_id",
    "tool_use_id",
    "name",
    "effort",
    "reasoning_effort",
    "budget_tokens",
    "tool_choice",
    "arguments",
    "media_type",
    "reasoning_content",
    "prompt_cache_key",
];

/// Numbers and texts of a request, with their member.
fn leaves<'v>(value: &'v Value, member: &'v str, found: &mut Vec<(&'v str, &'v Value)>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| leaves(value, member, found)),
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !RESTATED.contains(&name.as_str()))
            .for_each(|(name, value)| leaves(value, name, found)),
        Value::Number(_) | Value::String(_) => found.push((member, value)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Returns true if the value stands somewhere in the body: a number as it is, a text within one, a data URL by its payload.
fn holds(body: &Value, leaf: &Value) -> bool {
    match (body, leaf) {
        (Value::Array(values), _) => values.iter().any(|value| holds(value, leaf)),
        (Value::Object(members), _) => members.values().any(|value| holds(value, leaf)),
        (Value::String(body), Value::String(text)) => {
            let payload = text
                .split_once(";base64,")
                .map_or(text.as_str(), |(_, data)| data);
            body.contains(payload)
        }
        _ => match (body.as_f64(), leaf.as_f64()) {
            (Some(body), Some(leaf)) => (body - leaf).abs() < 1e-9,
            _ => false,
        },
    }
}

/// The first number or text of a request that its vendor did not get. One answer is what a request without `n` gets.
fn unsaid(body: &Value, sent: &Value) -> Option<String> {
    let mut found = Vec::new();
    leaves(body, "", &mut found);
    let mut found = found.into_iter();
    let missing =
        found.find(|(name, leaf)| !(holds(sent, leaf) || *name == "n" && **leaf == json!(1)));
    missing.map(|(name, leaf)| format!("{name}: {leaf}"))
}

/// The response names a change.
fn is_named(response: &Response) -> bool {
    let names = ["x-gatekeeper-dropped-params", "x-gatekeeper-output-cap"];
    names.iter().any(|name| response.header(name).is_some())
}

/// Returns true if the vendor took the request, false if the gateway refused it; anything else is a fault.
pub(super) fn outcome(
    fixture: &Fixture,
    client: Client,
    model: &str,
    body: &Value,
) -> Result<bool, String> {
    let mut body = body.clone();
    body["model"] = json!(model);
    let before = fixture.upstream.request_count();
    let response = fixture.user().post(client.path(), &body);
    let called = fixture.upstream.request_count() > before;
    let text = response.text();
    let sent = || fixture.upstream.last_request().json();
    match response.status {
        200 => match unsaid(&body, &sent()).filter(|_| !is_named(&response)) {
            None => Ok(true),
            Some(missing) => Err(format!(
                "a change without a name: {missing} of {body} is not in {}",
                sent()
            )),
        },
        400 | 413 if !called && !response.error_message().is_empty() => Ok(false),
        status if called && text.contains(strict::REFUSED) => {
            Err(format!("{status} of the vendor: {text} for {}", sent()))
        }
        status => Err(format!("{status} {text}")),
    }
}

/// As `outcome`, for a client of the vendor's own dialect: its body goes up as it is, once, and a refusal is the vendor's own. Where
/// the gateway changes it after all (another endpoint, the label of an image), the vendor takes it and the change is named.
pub(super) fn own_outcome(
    fixture: &Fixture,
    client: Client,
    model: &str,
    body: &Value,
) -> Result<bool, String> {
    let mut asked = body.clone();
    asked["model"] = json!(model);
    let before = fixture.upstream.request_count();
    let response = fixture.user().post(client.path(), &asked);
    let calls = fixture.upstream.request_count() - before;
    if calls == 0 && response.status == 400 && !response.error_message().is_empty() {
        return Ok(false);
    }
    let request = fixture.upstream.last_request();
    let mut sent = request.json();
    sent.as_object_mut().map(|members| members.remove("model"));
    let own_path = client.path().trim_start_matches("/v1");
    let is_own_body = request.path().ends_with(own_path) && sent == *body;
    let vendors_own = response.text().contains(strict::REFUSED);
    match response.status {
        _ if calls != 1 => Err(format!("{calls} calls")),
        200 if is_own_body => Ok(true),
        200 if is_named(&response) => Ok(true),
        200 => match unsaid(body, &sent) {
            None => Ok(true),
            Some(missing) => Err(format!("{missing} of {body} is not in {sent}")),
        },
        400..=499 if is_own_body && vendors_own => Ok(false),
        status => Err(format!("{status} {} for {sent}", response.text())),
    }
}

#[track_caller]
pub(super) fn probe_faults(faults: &[String], good: usize) {
    let shown = faults.iter().map(|fault| fault.chars().take(700).collect());
    let shown: Vec<String> = shown.collect();
    assert!(
        faults.is_empty(),
        "{} of {} fail:\n{}",
        faults.len(),
        good + faults.len(),
        shown.join("\n")
    );
}
