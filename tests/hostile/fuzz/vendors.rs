//! One upstream that is vendors of every dialect, with golden or mutated answers, and what must be true of each exchange.

use std::sync::Mutex;

use serde_json::Value;

use super::corpus::{self, Kind};
use super::mutator::Mutator;
use crate::harness::process::{Gatekeeper, Provider};
use crate::harness::request::ReceivedRequest;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

/// Paths of clients, with models of vendors of every dialect.
pub const PATHS: [(&str, &[&str]); 5] = [
    ("/v1/chat/completions", &MODELS),
    ("/v1/messages", &MODELS),
    ("/v1/responses", &MODELS),
    ("/v1/embeddings", &["m-small"]),
    ("/v1/messages/count_tokens", &["c-small"]),
];
const MODELS: [&str; 8] = [
    "m-small", "o-small", "c-small", "g-small", NOVA, CLAUDE, "h-small", "l-small",
];
const NOVA: &str = "eu.amazon.nova-2-lite-v1:0";
const CLAUDE: &str = "eu.anthropic.claude-opus-4-5-20251101-v1:0";

/// One upstream that is vendors of every dialect, by the path of the request.
pub struct Vendors {
    pub upstream: Upstream,
}

impl Vendors {
    /// `mutates`: answers are changed, else they are golden.
    pub fn start(seed: u64, mutates: bool) -> Vendors {
        let upstream = Upstream::start();
        let mutator = Mutex::new(Mutator::new(seed, &corpus::answers("openai", Kind::Whole)));
        upstream.respond_with(Script::from_request(move |request| {
            let mut mutator = mutator.lock().expect("no panic in the mutator");
            answer(request, &mut mutator, mutates)
        }));
        Vendors { upstream }
    }

    pub fn gateway(&self) -> Gatekeeper {
        let upstream = &self.upstream;
        let provider = |name: &str, preset: &str, models: &[&str]| {
            let provider = Provider::openai(name, upstream)
                .preset(preset)
                .models(models);
            provider.request_ceiling("5")
        };
        let plain = |name: &str, preset: &str, models: &[&str]| {
            provider(name, preset, models).base_url(&upstream.url())
        };
        let bedrock = plain("bed", "bedrock", &[NOVA, CLAUDE]).line("region = \"eu-west-1\"");
        Gatekeeper::without_providers()
            .provider(&provider("up", "openai_compatible", &["m-small"]))
            .provider(&provider("oai", "openai", &["o-small"]))
            .provider(&provider("claude", "anthropic", &["c-small"]))
            .provider(&plain("gem", "gemini", &["g-small"]))
            .provider(&bedrock)
            .provider(&plain("co", "cohere", &["h-small"]))
            .provider(&plain("ol", "ollama_native", &["l-small"]))
            .setting("[limits]\nidle_timeout_s = 5\nanswer_mb = 4")
            .start()
    }
}

/// Vendor, and kind of its stream, by the path of a request.
fn vendor_at(path: &str) -> (&'static str, Kind) {
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        "messages" | "count_tokens" => ("anthropic", Kind::Events),
        "converse-stream" | "invoke-with-response-stream" | "converse" | "invoke" => {
            ("bedrock", Kind::Frames)
        }
        "chat" if path.ends_with("/v2/chat") => ("cohere", Kind::Events),
        "chat" => ("ollama", Kind::Lines),
        _ if last.contains("enerateContent") => ("gemini", Kind::Events),
        _ => ("openai", Kind::Events),
    }
}

fn answer(request: &ReceivedRequest, mutator: &mut Mutator, mutates: bool) -> Script {
    let (vendor, stream_kind) = vendor_at(request.path());
    let by_path = [
        "converse-stream",
        "invoke-with-response-stream",
        ":streamGenerateContent",
    ];
    let is_streamed = request.json()["stream"] == Value::Bool(true)
        || by_path.iter().any(|end| request.path().ends_with(end));
    let kind = if is_streamed && !(mutates && mutator.once_in(12)) {
        stream_kind
    } else {
        Kind::Whole
    };
    let corpus = corpus::answers(vendor, kind);
    let golden = mutator.pick(&corpus).clone();
    if !mutates {
        return Script::stream([golden]).header("content-type", kind.content_type());
    }
    let body = mutator.stream(&golden, kind);
    let pieces = mutator.pieces(&body);
    let script = Script::stream(pieces).header("content-type", kind.content_type());
    let script = match mutator.below(12) {
        0 => script.then_closes(),
        1 => script.then_resets(),
        2 => script.content_length(),
        3 => script.header("content-type", "text/plain"),
        _ => script,
    };
    let statuses = [400, 401, 403, 404, 408, 429, 500, 503, 529];
    match mutator.once_in(10) {
        true => script.status(*mutator.pick(&statuses)),
        false => script,
    }
}

/// A status that a client may get, and a body that it can read.
pub fn assert_answered(path: &str, message: &[u8], status: u16, body: &[u8]) {
    let what = || {
        format!(
            "{path}: {status} {} to {}",
            String::from_utf8_lossy(body),
            String::from_utf8_lossy(message)
        )
    };
    assert!(status == 200 || (400..600).contains(&status), "{}", what());
    if status == 200 {
        return;
    }
    let error: Value = serde_json::from_slice(body).unwrap_or_else(|_| panic!("{}", what()));
    assert!(error["error"].is_object(), "{}", what());
}

/// No answer was a defect of the gateway's own; the drop of `gatekeeper` asserts that the books agree.
pub fn assert_no_defect(gatekeeper: &Gatekeeper) {
    let metrics = gatekeeper.admin().get("/metrics").assert_status(200).text();
    let defects = metrics
        .lines()
        .find(|line| line.contains("internal") && !line.ends_with(" 0") && !line.starts_with('#'));
    assert_eq!(defects, None);
    assert!(!gatekeeper.all_output().contains("panicked at"));
}
