//! The embedder against its reference: hash of the data file, token ids, vectors of the model in f32. `GK_VECTORS` is the number of
//! vectors that are compared; without optimization, one takes some tenths of a second.

use sha2::{Digest as _, Sha256};

use super::*;

const PROVENANCE: &str = include_str!("../../../assets/embedder/PROVENANCE.md");
const TOKENS: &str = include_str!("../../../tests/cache/data/tokens.jsonl");
const VECTORS: &str = include_str!("../../../tests/cache/data/vectors.jsonl");

fn embedder() -> Embedder {
    Embedder::load().expect("the feature is on")
}

/// Rows of a fixture: text and numbers.
fn rows(fixture: &str) -> impl Iterator<Item = (String, Vec<i32>)> {
    let rows = fixture.lines();
    rows.map(|row| serde_json::from_str(row).expect("a row is a text and numbers"))
}

fn cosine(left: &[f64], right: &[f64]) -> f64 {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    product(left, right) / (product(left, left) * product(right, right)).sqrt()
}

#[test]
fn data_file_hash_equals_that_of_its_provenance() {
    let hash = Sha256::digest(FILE.expect("the feature is on"));
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let row = format!("| SHA-256 of `minilm-l6.bin` | `{hash}` |");
    assert!(PROVENANCE.contains(&row), "PROVENANCE.md lacks: {row}");
}

#[test]
fn token_ids_equal_those_of_reference_tokenizer() {
    let embedder = embedder();
    let mut count = 0;
    for (text, reference) in rows(TOKENS) {
        let ids = tokenizer::tokenize(&text, &embedder.vocabulary, model::POSITIONS);
        let ids: Option<Vec<i32>> = ids.map(|ids| ids.into_iter().map(i32::from).collect());
        assert_eq!(ids.as_ref(), Some(&reference), "{text:?}");
        count += 1;
    }
    assert!(count >= 1_000, "{count} texts");
}

#[test]
fn vectors_are_near_those_of_model_in_f32() {
    let count = std::env::var("GK_VECTORS").map_or(16, |text| text.parse().expect("a count"));
    let embedder = embedder();
    let mut least = (2.0, String::new());
    let rows: Vec<_> = rows(VECTORS).collect();
    // spread over all kinds of texts
    for (text, reference) in rows.iter().step_by(rows.len().div_ceil(count)) {
        let vector = embedder.embed(text).expect("the text has tokens");
        let values: Vec<f64> = vector.values().into_iter().map(f64::from).collect();
        let reference: Vec<f64> = reference.iter().copied().map(f64::from).collect();
        let cosine = cosine(&values, &reference);
        if cosine < least.0 {
            least = (cosine, text.clone());
        }
    }
    println!(
        "FIGURE embedder, least cosine to the model in f32: {:.4}",
        least.0
    );
    assert!(least.0 >= 0.99, "{least:?}");
}

#[test]
fn text_without_tokens_has_no_vector() {
    let embedder = embedder();
    assert_eq!(embedder.embed(""), None);
    assert_eq!(embedder.embed(" \u{200b}\n"), None);
}

#[test]
fn text_over_token_limit_has_no_vector() {
    let embedder = embedder();
    let ids = |words: usize| {
        tokenizer::tokenize(
            &"word ".repeat(words),
            &embedder.vocabulary,
            model::POSITIONS,
        )
    };
    assert_eq!(ids(TOKENS_MAX).map(|ids| ids.len()), Some(model::POSITIONS));
    assert_eq!(ids(TOKENS_MAX + 1), None);
    assert_eq!(embedder.embed(&"word ".repeat(1 << 20)), None);
}

#[test]
fn word_of_dictionary_differs_from_misspelled_word() {
    let embedder = embedder();
    assert!(embedder.is_word("capital") && embedder.is_word("berlin"));
    assert!(!embedder.is_word("captial") && !embedder.is_word("##ing s"));
}
