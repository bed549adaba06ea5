//! Strict fake of a vendor: refuses a request that breaks a sourced rule of `assets/vendor-limits.json`, with the vendor's status.
//! `tests/golden/refusals.json` and `tests/limits/check.py` judge the rules, whatever the gateway makes of them.

use gatekeeper::limits::{Table, Target};
use serde_json::json;

use super::request::ReceivedRequest;
use super::script::Script;

/// Beginning of the message of every refusal, which no client may ever see.
pub const REFUSED: &str = "strict fake";

/// The vendor at a path, where one upstream is several: by the beginning of the path.
pub const BY_PATH: &str = "(by path)";

/// Refusal of a request by a vendor; `None`: the vendor takes it.
pub fn refusal(vendor: &str, request: &ReceivedRequest) -> Option<Script> {
    let path = request.path();
    let vendor = match vendor {
        BY_PATH => path.split('/').nth(1).unwrap_or_default(),
        vendor => vendor,
    };
    let vendor = vendor.strip_suffix("_native").unwrap_or(vendor);
    let body = std::str::from_utf8(&request.body).ok()?;
    let (endpoint, in_path) = endpoint(path)?;
    let named = request.json()["model"].as_str().map(str::to_owned);
    let model = in_path.or(named)?;
    let target = Target {
        vendor,
        endpoint,
        models: &[&model],
    };
    let refusal = Table::embedded().refusal(target, body)?;
    let message = format!(
        "{REFUSED}: {vendor}/{endpoint} {model}: {} {}",
        refusal.path, refusal.reason
    );
    let error = json!({"message": message, "type": "invalid_request_error", "code": refusal.status, "param": refusal.path});
    Some(Script::json(
        refusal.status,
        &json!({"type": "error", "message": message, "error": error}),
    ))
}

/// Endpoint in the table, and the model where the path names it.
fn endpoint(path: &str) -> Option<(&'static str, Option<String>)> {
    let parts: Vec<&str> = path.split('/').collect();
    let last = *parts.last()?;
    let before = parts
        .len()
        .checked_sub(2)
        .map(|at| parts[at].replace("%3A", ":"));
    Some(match last {
        "completions" => ("chat", None),
        "responses" => ("responses", None),
        "messages" => ("messages", None),
        "embeddings" => ("embeddings", None),
        "converse" | "converse-stream" => ("converse", before),
        "invoke" | "invoke-with-response-stream" => ("invoke", before),
        "chat" if path.ends_with("/v2/chat") => ("cohere_chat", None),
        "chat" => ("ollama_chat", None),
        last => {
            let (model, method) = last.split_once(':')?;
            (
                method
                    .ends_with("enerateContent")
                    .then_some("generate_content")?,
                Some(model.to_owned()),
            )
        }
    })
}
