//! Embeddings of the simulator: a deterministic vector of length 1, in which texts with common words are near each other. Takes the
//! body of a request, returns that of the response.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::simulator::request::checked_model;
use crate::simulator::text::tokens;

const DIMENSIONS: u64 = 256;
const DIMENSIONS_MAX: u64 = 4_096;
/// Components that one word adds to.
const COMPONENTS: u64 = 8;

pub(super) fn answer(body: &[u8]) -> Result<Value, String> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| format!("body is not JSON: {error}"))?;
    let model = checked_model(&body)?;
    let dimensions = match &body["dimensions"] {
        Value::Null => DIMENSIONS,
        given => given
            .as_u64()
            .filter(|dimensions| (1..=DIMENSIONS_MAX).contains(dimensions))
            .ok_or_else(|| format!("dimensions: a number from 1 to {DIMENSIONS_MAX}"))?,
    };
    let inputs = inputs(&body["input"]).ok_or("input: a text, tokens, or a list of them")?;
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let vector = vector(&input.words, dimensions);
            let embedding = if body["encoding_format"] == "base64" {
                json!(packed(&vector))
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let count: u64 = inputs.iter().map(|input| input.tokens).sum();
    let usage = json!({"prompt_tokens": count, "total_tokens": count});
    Ok(json!({"object": "list", "data": data, "model": model, "usage": usage}))
}

/// One text or list of tokens.
struct EmbeddedInput {
    words: Vec<String>,
    tokens: u64,
}

impl EmbeddedInput {
    fn of_text(text: &str) -> EmbeddedInput {
        let words = text.split(|letter: char| !letter.is_alphanumeric());
        EmbeddedInput {
            words: words
                .filter(|word| !word.is_empty())
                .map(str::to_lowercase)
                .collect(),
            tokens: tokens(text).max(1),
        }
    }

    fn of_tokens(tokens: &[Value]) -> EmbeddedInput {
        EmbeddedInput {
            words: tokens.iter().map(Value::to_string).collect(),
            tokens: tokens.len() as u64,
        }
    }
}

fn inputs(input: &Value) -> Option<Vec<EmbeddedInput>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(EmbeddedInput::of_text(text)),
        Value::Array(tokens) if tokens.iter().all(Value::is_u64) => {
            Some(EmbeddedInput::of_tokens(tokens))
        }
        _ => None,
    };
    match input {
        Value::Array(list) if !list.is_empty() && !list.iter().all(Value::is_u64) => {
            list.iter().map(one).collect()
        }
        Value::Array(list) if list.is_empty() => None,
        single => Some(vec![one(single)?]),
    }
}

/// Sum of the words' components, scaled to length 1.
fn vector(words: &[String], dimensions: u64) -> Vec<f32> {
    let mut sums = vec![0f64; dimensions as usize];
    let empty = [String::new()];
    for word in if words.is_empty() { &empty[..] } else { words } {
        for component in 0..COMPONENTS {
            let hash = hash(word, component);
            let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
            sums[(hash % dimensions) as usize] += sign;
        }
    }
    let length = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
    if length == 0.0 {
        sums[0] = 1.0;
    }
    let length = if length == 0.0 { 1.0 } else { length };
    sums.iter().map(|sum| (sum / length) as f32).collect()
}

/// FNV-1a of the word and the number, mixed once more: the same on every machine and in every release.
fn hash(word: &str, number: u64) -> u64 {
    let bytes = word.bytes().chain(number.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// 32-bit floats, little-endian, in base64: the form that OpenAI's SDKs ask for.
fn packed(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|part| part.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(body: Value) -> Value {
        answer(body.to_string().as_bytes()).expect("a good request")
    }

    fn vectors(answer: &Value) -> Vec<Vec<f64>> {
        let data = answer["data"].as_array().expect("data");
        let vector = |item: &Value| {
            let parts = item["embedding"].as_array().expect("a vector");
            parts.iter().filter_map(Value::as_f64).collect()
        };
        data.iter().map(vector).collect()
    }

    fn product(one: &[f64], other: &[f64]) -> f64 {
        one.iter().zip(other).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn equal_texts_have_equal_vectors_and_similar_texts_are_near() {
        let body = json!({"model": "simulator-small", "input": ["the invoice is late", "The invoice is very late!", "cats sleep"]});
        let answer = answered(body.clone());
        assert_eq!(answer, answered(body));
        let vectors = vectors(&answer);
        assert_eq!((vectors.len(), vectors[0].len()), (3, 256));
        assert!((product(&vectors[0], &vectors[0]) - 1.0).abs() < 1e-5);
        assert!(product(&vectors[0], &vectors[1]) > 0.7);
        assert!(product(&vectors[0], &vectors[2]) < 0.3);
        assert_eq!(
            answer["usage"],
            json!({"prompt_tokens": 15, "total_tokens": 15})
        );
    }

    #[test]
    fn base64_vector_has_the_asked_dimensions() {
        let body = json!({"model": "simulator-small", "input": [1, 2, 3], "dimensions": 8, "encoding_format": "base64"});
        let answer = answered(body);
        let text = answer["data"][0]["embedding"].as_str().expect("a text");
        assert_eq!(STANDARD.decode(text).expect("base64").len(), 32);
        assert_eq!(answer["usage"]["prompt_tokens"], 3);
    }

    #[test]
    fn invalid_embedding_request_is_rejected() {
        for body in [
            json!({"model": "gpt", "input": "x"}),
            json!({"model": "simulator-small"}),
            json!({"model": "simulator-small", "input": []}),
            json!({"model": "simulator-small", "input": "x", "dimensions": 0}),
        ] {
            assert!(answer(body.to_string().as_bytes()).is_err(), "{body}");
        }
    }
}
