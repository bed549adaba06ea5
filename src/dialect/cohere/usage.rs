//! What Cohere's `usage` says, in the canonical shape (WIRE.md 2.12): what was billed where it says so, else what the model saw. Its
//! counts are written as fractions that are whole.

use serde::{Deserialize, Deserializer};

use crate::conversation::Raw;
use crate::dialect::count::Count;
use crate::domain::usage::{Report, TOKENS_MAX, Usage};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CohereUsage {
    billed_units: Option<Tokens>,
    tokens: Option<Tokens>,
    cached_tokens: Whole,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Tokens {
    input_tokens: Whole,
    output_tokens: Whole,
}

/// A count like `12.0`.
#[derive(Clone, Copy, Debug, Default)]
struct Whole(Count);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Whole, D::Error> {
        let written = Raw::deserialize(json)?;
        let (whole, part) = written.as_str().split_once('.').unwrap_or((written.as_str(), "0"));
        let is_whole = !part.is_empty() && part.bytes().all(|digit| digit == b'0');
        Ok(Whole(match whole.parse() {
            _ if written.as_str() == "null" => Count::Unsaid,
            Ok(tokens) if is_whole && tokens <= TOKENS_MAX => Count::Said(tokens),
            _ => Count::Lie,
        }))
    }
}

impl CohereUsage {
    /// Billed units take no notice of what a cache served.
    pub(super) fn report(&self) -> Report {
        let said = |tokens: &&Tokens| tokens.input_tokens.0 != Count::Unsaid || tokens.output_tokens.0 != Count::Unsaid;
        let billed = self.billed_units.as_ref().filter(said);
        let Some(tokens) = billed.or(self.tokens.as_ref()).filter(said) else { return Report::Missing };
        let cached = if billed.is_some() { Count::Unsaid } else { self.cached_tokens.0 };
        let (input, output) = (tokens.input_tokens.0, tokens.output_tokens.0);
        if [input, output, cached].contains(&Count::Lie) {
            return Report::Lying;
        }
        Report::Reported(Usage {
            uncached_in: input.tokens().saturating_sub(cached.tokens()),
            cache_read: cached.tokens(),
            out_total: output.tokens(),
            ..Usage::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(json: &str) -> Report {
        let usage: CohereUsage = serde_json::from_str(json).expect("usage");
        usage.report()
    }

    fn tokens(uncached_in: u64, cache_read: u64, out_total: u64) -> Report {
        Report::Reported(Usage { uncached_in, cache_read, out_total, ..Usage::default() })
    }

    #[test]
    fn c04_what_was_billed_counts_and_not_what_the_model_saw() {
        let seen = r#""tokens":{"input_tokens":220.0,"output_tokens":30.0},"cached_tokens":20"#;
        assert_eq!(
            report(&format!(r#"{{"billed_units":{{"input_tokens":17.0,"output_tokens":12}},{seen}}}"#)),
            tokens(17, 0, 12)
        );
        assert_eq!(report(&format!("{{{seen}}}")), tokens(200, 20, 30));
        assert_eq!(report(&format!(r#"{{"billed_units":{{"search_units":1}},{seen}}}"#)), tokens(200, 20, 30));
    }

    #[test]
    fn what_is_not_said_is_missing_and_what_is_no_whole_number_is_a_lie() {
        for nothing in ["{}", r#"{"billed_units":null,"tokens":{}}"#, r#"{"tokens":{"input_tokens":null}}"#] {
            assert_eq!(report(nothing), Report::Missing);
        }
        for lie in ["1.5", "-1", "-1.0", "\"7\"", "1.", "1e3", "99999999999", "[]", "{}"] {
            let usage = serde_json::from_str::<CohereUsage>(&format!(r#"{{"tokens":{{"input_tokens":{lie}}}}}"#));
            assert!(usage.is_err() || usage.is_ok_and(|usage| usage.report() == Report::Lying), "{lie}");
        }
    }
}
