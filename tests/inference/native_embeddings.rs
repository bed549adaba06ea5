//! `POST /v1/embeddings` to vendors with formats of their own: bodies, batches, order, usage, encodings, and what is refused before
//! the call.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fixture::{Chat, Fixture, assert_refusal_at};
use crate::harness::process::Provider;
use crate::harness::request::ReceivedRequest;
use crate::harness::script::Script;
use crate::harness::upstream::Upstream;

const PATH: &str = "/v1/embeddings";

const GEMINI: &str = "gemini/gemini-embedding-001";
const COHERE: &str = "cohere/embed-v4.0";
const TITAN: &str = "bedrock/amazon.titan-embed-text-v2:0";
const BEDROCK_COHERE: &str = "bedrock/cohere.embed-multilingual-v3";

/// Three vendors at their list prices, each of whose texts `tN` gets the vector `[N, 0.5]` and costs three tokens.
fn fixture() -> Fixture {
    let upstream = Upstream::start();
    upstream.respond_with(Script::from_request(vendor));
    let url = upstream.url();
    let providers = ["gemini", "cohere", "bedrock"].map(|preset| {
        let provider = Provider::openai(preset, &upstream)
            .preset(preset)
            .models(&[])
            .priced_by("sheet")
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

fn vector(text: &Value) -> Value {
    let text = text.as_str().expect("a text");
    let number: f64 = text.trim_start_matches('t').parse().expect("tN");
    json!([number, 0.5])
}

/// Answers at the path of any vendor.
pub(super) fn vendor(request: &ReceivedRequest) -> Script {
    let body = request.json();
    let texts = |member: &str| body[member].as_array().cloned().unwrap_or_default();
    let cohere: Vec<Value> = texts("texts").iter().map(vector).collect();
    let answer = match request.path().rsplit('/').next().unwrap_or_default() {
        "embeddings" => list(&body),
        "embed" => {
            let tokens = 3 * cohere.len();
            json!({"id": "e", "embeddings": {"float": cohere}, "texts": body["texts"],
                "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}}})
        }
        "invoke" if cohere.is_empty() => {
            json!({"embedding": vector(&body["inputText"]), "inputTextTokenCount": 3})
        }
        "invoke" => {
            let tokens = (3 * cohere.len()).to_string();
            let answer =
                json!({"id": "e", "embeddings": cohere, "response_type": "embeddings_floats"});
            return Script::json(200, &answer).header("x-amzn-bedrock-input-token-count", &tokens);
        }
        _ => {
            let of = |request: &Value| json!({"values": vector(&request["content"]["parts"][0]["text"])});
            let vectors: Vec<Value> = texts("requests").iter().map(of).collect();
            let tokens = 3 * vectors.len();
            json!({"embeddings": vectors, "usageMetadata": {"promptTokenCount": tokens}})
        }
    };
    Script::json(200, &answer)
}

/// OpenAI's list, in the encoding that is asked for; a token id counts as the number of a text.
fn list(body: &Value) -> Value {
    let inputs = match &body["input"] {
        Value::Array(inputs) => inputs.clone(),
        one => vec![one.clone()],
    };
    let entry = |(index, input): (usize, &Value)| {
        let vector = match input {
            Value::Array(ids) => json!([ids[0].as_f64(), 0.5]),
            text => vector(text),
        };
        let embedding = match body["encoding_format"].as_str() {
            Some("base64") => json!(base64(&vector)),
            _ => vector,
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    };
    let data: Vec<Value> = inputs.iter().enumerate().map(entry).collect();
    let tokens = 3 * data.len();
    json!({"object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
}

/// Floats of 32 bits, little-endian.
fn base64(vector: &Value) -> String {
    let numbers = vector.as_array().expect("numbers").iter();
    let bytes =
        numbers.flat_map(|number| (number.as_f64().expect("a number") as f32).to_le_bytes());
    STANDARD.encode(bytes.collect::<Vec<u8>>())
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("t{number}")).collect()
}

#[test]
fn embeddings_of_each_native_vendor_are_one_list_in_the_clients_format() {
    let fixture = fixture();
    for (model, path, sent) in [
        (
            GEMINI,
            "/gemini/models/gemini-embedding-001:batchEmbedContents",
            json!({"requests": [
                {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "t7"}]}, "outputDimensionality": 2},
                {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "t1"}]}, "outputDimensionality": 2}]}),
        ),
        (
            COHERE,
            "/cohere/v2/embed",
            json!({"model": "embed-v4.0", "texts": ["t7", "t1"], "input_type": "search_document", "embedding_types": ["float"],
                "output_dimension": 2}),
        ),
    ] {
        let body = json!({"model": model, "input": ["t7", "t1"], "dimensions": 2, "user": "ann"});
        let response = fixture.user().post(PATH, &body);
        let answer = response.assert_status(200).json();
        assert_eq!(
            answer["data"],
            json!([{"object": "embedding", "index": 0, "embedding": [7.0, 0.5]},
                {"object": "embedding", "index": 1, "embedding": [1.0, 0.5]}])
        );
        assert_eq!(
            answer["usage"],
            json!({"prompt_tokens": 6, "total_tokens": 6})
        );
        assert_eq!(response.header("x-gatekeeper-dropped-params"), Some("user"));
        let request = fixture.upstream.last_request();
        assert_eq!((request.path(), request.json()), (path, sent));
        let record = fixture.assert_recorded();
        assert_eq!(record.assert_ended("ok", &[]).input(), 6);
        assert!(record.cost() > 0, "{}", record.0);
    }
}

#[test]
fn embeddings_are_split_at_the_vendors_maximum_with_order_and_usage_kept() {
    let fixture = fixture();
    for (model, count, calls) in [
        (GEMINI, 205, 3),
        (COHERE, 97, 2),
        (TITAN, 11, 11),
        (BEDROCK_COHERE, 200, 3),
    ] {
        let before = fixture.upstream.request_count();
        let body = json!({"model": model, "input": texts(count)});
        let answer = fixture.user().post(PATH, &body).assert_status(200).json();
        assert_eq!(fixture.upstream.request_count() - before, calls, "{model}");
        let data = answer["data"].as_array().expect("a list");
        assert_eq!(data.len(), count);
        for (number, entry) in data.iter().enumerate() {
            assert_eq!(entry["index"], number);
            assert_eq!(entry["embedding"][0], json!(number as f64), "{model}");
        }
        let record = fixture.assert_recorded();
        assert_eq!(record.assert_ended("ok", &[]).input(), 3 * count as u64);
    }
}

/// One vector in a list without a type, as the third generation of Cohere's models answers in InvokeModel.
#[test]
fn embedding_of_one_text_is_one_vector_at_each_native_vendor() {
    let fixture = fixture();
    for model in [GEMINI, COHERE, TITAN, BEDROCK_COHERE] {
        let body = json!({"model": model, "input": "t3"});
        let answer = fixture.user().post(PATH, &body).assert_status(200).json();
        let vectors = answer["data"].as_array().expect("a list");
        assert_eq!(vectors.len(), 1, "{model}");
        assert_eq!(vectors[0]["embedding"], json!([3.0, 0.5]), "{model}");
    }
}

#[test]
fn embeddings_in_base64_are_floats_of_32_bits() {
    let fixture = fixture();
    let body =
        json!({"model": TITAN, "input": "t2", "encoding_format": "base64", "dimensions": 256});
    let answer = fixture.user().post(PATH, &body).assert_status(200).json();
    // 2.0 and 0.5
    assert_eq!(answer["data"][0]["embedding"], "AAAAQAAAAD8=");
    assert_eq!(
        fixture.upstream.last_request().json(),
        json!({"inputText": "t2", "dimensions": 256})
    );
}

#[test]
fn embeddings_of_token_ids_are_refused_where_the_vendor_reads_texts() {
    let fixture = fixture();
    for model in [GEMINI, COHERE, TITAN, BEDROCK_COHERE] {
        for input in [json!([1, 2]), json!([[1], [2]])] {
            let body = json!({"model": model, "input": input});
            let response = fixture.user().post(PATH, &body);
            let code = "invalid_request_error";
            let message = assert_refusal_at(Chat, &response, 400, code, "input");
            assert!(message.contains("token ids"), "{message}");
        }
    }
    let body = json!({"model": BEDROCK_COHERE, "input": "t1", "dimensions": 2});
    let response = fixture.user().post(PATH, &body);
    assert_refusal_at(Chat, &response, 400, "invalid_request_error", "dimensions");
    assert_eq!(fixture.upstream.request_count(), 0);
    for vendor in ["mistral", "together", "ollama"] {
        let upstream = Upstream::start();
        let provider = Provider::openai("v", &upstream)
            .preset(vendor)
            .models(&["e-small"]);
        let fixture = Fixture::with_upstream(upstream, |setup| setup.provider(&provider));
        let body = json!({"model": "v/e-small", "input": [[1], [2]]});
        let response = fixture.user().post(PATH, &body);
        response.assert_status(400);
        assert_eq!(fixture.upstream.request_count(), 0, "{vendor}");
    }
}

#[test]
fn embeddings_batch_that_fails_is_the_failure_of_the_call_and_answered_ones_are_charged() {
    let fixture = fixture();
    let rejection = json!({"message": "too long"});
    fixture
        .upstream
        .respond_with(Script::from_request(move |request| {
            match request.json()["texts"][0].as_str() {
                Some("t0") => vendor(request),
                _ => Script::json(400, &rejection),
            }
        }));
    let body = json!({"model": COHERE, "input": texts(150)});
    let response = fixture.user().post(PATH, &body);
    assert!(
        response
            .assert_status(400)
            .error_message()
            .contains("too long")
    );
    let record = fixture.assert_recorded();
    assert_eq!(record.assert_ended("upstream_error", &[]).input(), 3 * 96);
    let short = json!({"embeddings": {"float": [[1.0]]}, "meta": {}});
    fixture.upstream.respond_with(Script::json(200, &short));
    let body = json!({"model": COHERE, "input": ["t1", "t2"]});
    let response = fixture.user().post(PATH, &body);
    assert!(
        response
            .assert_status(502)
            .error_message()
            .contains("1 vectors for 2 texts")
    );
    fixture
        .assert_recorded()
        .assert_ended("broken", &["estimated"]);
}
