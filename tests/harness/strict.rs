//! Strict fakes of vendors: each provider of a configuration tells its upstream where and what it is, and the upstream refuses what
//! breaks a sourced rule of `assets/vendor-limits.json`, with the vendor's status, before its script is played. Judges of the rules,
//! whatever the gateway makes of them, are `tests/golden/refusals.json`, `tests/limits/check.py` and `tests/sdk/written.py`; the
//! last one reads the accepted requests that `GK_WRITTEN` has kept.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex};

use gatekeeper::limits::{Table, Target};
use serde_json::{Value, json};

use super::request::ReceivedRequest;
use super::script::Script;

const TABLE: &str = include_str!("../../assets/vendor-limits.json");

/// Beginning of the message of every refusal, which no client may ever see.
pub const REFUSED: &str = "strict fake";

/// A provider in front of an upstream.
#[derive(Clone, Debug)]
struct Place {
    /// path of its base address
    base: String,
    vendor: String,
    models: Vec<String>,
}

/// The vendors that one upstream plays.
#[derive(Clone, Debug)]
pub struct Places {
    places: Arc<Mutex<Vec<Place>>>,
    /// test that the upstream belongs to
    test: String,
}

/// A request with its place in the table of limits.
struct Judged<'r> {
    vendor: String,
    endpoint: &'static str,
    model: String,
    request: &'r ReceivedRequest,
    body: &'r str,
}

impl Places {
    pub fn of_this_test() -> Places {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        Places {
            places: Arc::default(),
            test,
        }
    }

    pub fn add(&self, preset: &str, base_url: &str, models: &[String]) {
        let host_and_path = base_url
            .split_once("://")
            .map_or(base_url, |(_, rest)| rest);
        let base = host_and_path
            .find('/')
            .map_or("", |at| &host_and_path[at..]);
        let place = Place {
            base: base.trim_end_matches('/').to_owned(),
            vendor: preset.strip_suffix("_native").unwrap_or(preset).to_owned(),
            models: models.to_vec(),
        };
        self.places().push(place);
    }

    fn places(&self) -> std::sync::MutexGuard<'_, Vec<Place>> {
        self.places
            .lock()
            .expect("no panic while places are locked")
    }

    /// Refusal of a request by all vendors that it may be for; `None`: one takes it.
    pub fn refusal(&self, request: &ReceivedRequest) -> Option<Script> {
        let body = std::str::from_utf8(&request.body).ok()?;
        let (endpoint, in_path) = endpoint(request.path())?;
        let named = request.json()["model"].as_str().map(str::to_owned);
        let model = in_path.or(named)?;
        let judged = self.vendors(request.path(), &model).into_iter();
        let judged: Vec<Judged<'_>> = judged
            .map(|vendor| Judged {
                vendor,
                endpoint,
                model: model.clone(),
                request,
                body,
            })
            .collect();
        let refusals: Option<Vec<Script>> = judged.iter().map(Judged::refusal).collect();
        if let (None, [only]) = (&refusals, &judged[..]) {
            only.keep(&self.test);
        }
        refusals?.into_iter().next()
    }

    /// Vendors at a path: those that have the model, else all of them.
    fn vendors(&self, path: &str, model: &str) -> Vec<String> {
        let mut places = self.places().clone();
        places.retain(|place| path.starts_with(&place.base));
        if places
            .iter()
            .any(|place| place.models.iter().any(|known| known == model))
        {
            places.retain(|place| place.models.iter().any(|known| known == model));
        }
        places.into_iter().map(|place| place.vendor).collect()
    }
}

impl Judged<'_> {
    fn refusal(&self) -> Option<Script> {
        let target = Target {
            vendor: &self.vendor,
            endpoint: self.endpoint,
            models: &[&self.model],
        };
        let refusal = Table::embedded().refusal(target, self.body)?;
        let message = format!(
            "{REFUSED}: {}/{} {}: {} {}",
            self.vendor, self.endpoint, self.model, refusal.path, refusal.reason
        );
        let error = json!({"message": message, "type": "invalid_request_error", "code": refusal.status, "param": refusal.path});
        Some(Script::json(
            refusal.status,
            &json!({"type": "error", "message": message, "error": error}),
        ))
    }

    /// Writes the request to the folder that `GK_WRITTEN` names; equal ones once.
    fn keep(&self, test: &str) {
        let Ok(folder) = std::env::var("GK_WRITTEN") else {
            return;
        };
        // those of the harness itself do not come from a gateway, a server without a name has no SDK, and what a mutated
        // request of the client's own says is passed on: its types are the client's, not the gateway's
        let written_by_others =
            test.starts_with("harness::") || test.starts_with("hostile::fuzz::");
        if written_by_others || self.vendor == "openai_compatible" {
            return;
        }
        let mut hasher = DefaultHasher::new();
        (&self.vendor, self.request.path(), self.body).hash(&mut hasher);
        let name = format!("{:016x}.json", hasher.finish());
        let headers: Vec<&(String, String)> = self.request.head.headers.iter().collect();
        let kept = json!({"vendor": self.vendor, "endpoint": self.endpoint, "model": self.model, "path": self.request.path(),
            "headers": headers, "body": self.body, "test": test});
        let written = std::fs::write(Path::new(&folder).join(name), kept.to_string());
        written.expect("the folder of GK_WRITTEN can be written");
    }
}

/// Count of the sourced rules by which the fake of a vendor judges requests to a model at the endpoint of a path.
pub fn sourced_rules(vendor: &str, path: &str, model: &str) -> (&'static str, usize) {
    let vendor = vendor.strip_suffix("_native").unwrap_or(vendor);
    let (endpoint, _) = endpoint(path).expect("a path of a vendor");
    let table: Value = serde_json::from_str(TABLE).expect("the table is JSON");
    let names = |rule: &Value, member: &str| {
        let patterns = rule[member].as_array().into_iter().flatten();
        let mut patterns = patterns.filter_map(Value::as_str);
        patterns.any(|pattern| is_match(pattern, model))
    };
    let rules = table["rules"].as_array().expect("rules").iter();
    let rules = rules.filter(|rule| rule["vendor"] == vendor && rule["endpoint"] == endpoint);
    let rules = rules.filter(|rule| rule["source"]["kind"] != "believed");
    let rules = rules.filter(|rule| rule.get("models").is_none() || names(rule, "models"));
    (
        endpoint,
        rules.filter(|rule| !names(rule, "but_models")).count(),
    )
}

/// `*` is the only wildcard.
fn is_match(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            let mut starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            starts.any(|at| is_match(after, &rest[at..]))
        }),
    }
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
        "embeddings" | "embed" => ("embeddings", None),
        "invoke" if before.as_ref().is_some_and(|model| model.contains("embed")) => {
            ("embeddings", before)
        }
        "converse" | "converse-stream" => ("converse", before),
        "invoke" | "invoke-with-response-stream" => ("invoke", before),
        "chat" if path.ends_with("/v2/chat") => ("cohere_chat", None),
        "chat" => ("ollama_chat", None),
        last => {
            let (model, method) = last.split_once(':')?;
            let endpoint = match method {
                "generateContent" | "streamGenerateContent" => "generate_content",
                "embedContent" | "batchEmbedContents" => "embeddings",
                _ => return None,
            };
            (endpoint, Some(model.to_owned()))
        }
    })
}
