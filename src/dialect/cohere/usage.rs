//! Converts Cohere's `usage` to canonical usage: the billed units if reported, else the tokens that
//! the model processed. Cohere writes counts as decimals (`12.0`). An invalid count must never be
//! taken for zero.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess};

use crate::conversation::RawJson;
use crate::dialect::wire::count::Count;
use crate::dialect::wire::json::{FieldVisitor, ObjectSeed, skip};
use crate::domain::usage::{ReportedUsage, TOKENS_MAX, Usage};

#[derive(Clone, Debug, Default)]
pub(super) struct CohereUsage {
    billed: TokenCounts,
    processed: TokenCounts,
    cached: Count,
}

#[derive(Clone, Copy, Debug, Default)]
struct TokenCounts {
    input: Count,
    output: Count,
}

impl TokenCounts {
    fn any_reported(self) -> bool {
        self.input.is_reported() || self.output.is_reported()
    }
}

impl FieldVisitor for CohereUsage {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "billed_units" => map.next_value_seed(ObjectSeed(&mut self.billed)),
            "tokens" => map.next_value_seed(ObjectSeed(&mut self.processed)),
            "cached_tokens" => read_count(map, &mut self.cached),
            _ => skip(map),
        }
    }

    fn other(&mut self) {
        self.billed.other();
    }
}

impl FieldVisitor for TokenCounts {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "input_tokens" => read_count(map, &mut self.input),
            "output_tokens" => read_count(map, &mut self.output),
            _ => skip(map),
        }
    }

    fn other(&mut self) {
        self.input = Count::Invalid;
    }
}

impl<'de> Deserialize<'de> for CohereUsage {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<CohereUsage, D::Error> {
        let mut usage = CohereUsage::default();
        ObjectSeed(&mut usage).deserialize(json)?;
        Ok(usage)
    }
}

fn read_count<'de, A: MapAccess<'de>>(map: &mut A, count: &mut Count) -> Result<(), A::Error> {
    *count = map.next_value::<DecimalCount>()?.0;
    Ok(())
}

/// Count written as an integer or as a decimal such as `12.0`.
#[derive(Clone, Copy, Debug, Default)]
struct DecimalCount(Count);

impl<'de> Deserialize<'de> for DecimalCount {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<DecimalCount, D::Error> {
        let number = RawJson::deserialize(json)?;
        let (integer, fraction) = number
            .as_str()
            .split_once('.')
            .unwrap_or((number.as_str(), "0"));
        let is_integral = !fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0');
        Ok(DecimalCount(match integer.parse() {
            _ if number.as_str() == "null" => Count::Absent,
            Ok(tokens) if is_integral && tokens <= TOKENS_MAX => Count::Value(tokens),
            _ => Count::Invalid,
        }))
    }
}

impl CohereUsage {
    /// Billed units do not distinguish cached input.
    pub(super) fn report(&self) -> ReportedUsage {
        let is_billed = self.billed.any_reported();
        let TokenCounts { input, output } = if is_billed {
            self.billed
        } else {
            self.processed
        };
        let cached = if is_billed {
            Count::Absent
        } else {
            self.cached
        };
        if [input, output, cached].contains(&Count::Invalid) {
            return ReportedUsage::Invalid;
        }
        let usage = Usage {
            uncached_in: input.tokens().saturating_sub(cached.tokens()),
            cache_read: cached.tokens(),
            out_total: output.tokens(),
            ..Usage::default()
        };
        ReportedUsage::of(usage, input.is_reported(), output.is_reported())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::usage::Side;

    fn report(json: &str) -> ReportedUsage {
        let usage: CohereUsage = serde_json::from_str(json).expect("usage");
        usage.report()
    }

    fn tokens(uncached_in: u64, cache_read: u64, out_total: u64) -> ReportedUsage {
        ReportedUsage::Complete(Usage {
            uncached_in,
            cache_read,
            out_total,
            ..Usage::default()
        })
    }

    #[test]
    fn c04_cohere_usage_prefers_billed_units_to_processed_tokens() {
        let processed =
            r#""tokens":{"input_tokens":220.0,"output_tokens":30.0},"cached_tokens":20"#;
        assert_eq!(
            report(&format!(
                r#"{{"billed_units":{{"input_tokens":17.0,"output_tokens":12}},{processed}}}"#
            )),
            tokens(17, 0, 12)
        );
        assert_eq!(report(&format!("{{{processed}}}")), tokens(200, 20, 30));
        assert_eq!(
            report(&format!(
                r#"{{"billed_units":{{"search_units":1}},{processed}}}"#
            )),
            tokens(200, 20, 30)
        );
    }

    #[test]
    fn cohere_usage_absent_counts_are_missing_and_bad_counts_invalid() {
        for nothing in [
            "{}",
            r#"{"billed_units":null,"tokens":{}}"#,
            r#"{"tokens":{"input_tokens":null}}"#,
        ] {
            assert_eq!(report(nothing), ReportedUsage::Missing);
        }
        let partial = ReportedUsage::Partial {
            usage: Usage {
                uncached_in: 10,
                ..Usage::default()
            },
            missing: Side::Output,
        };
        assert_eq!(report(r#"{"billed_units":{"input_tokens":10}}"#), partial);
        for invalid in [
            "1.5",
            "-1",
            "-1.0",
            "\"7\"",
            "1e3",
            "99999999999",
            "[]",
            "{}",
        ] {
            assert_eq!(
                report(&format!(r#"{{"tokens":{{"input_tokens":{invalid}}}}}"#)),
                ReportedUsage::Invalid,
                "{invalid}"
            );
        }
        for invalid in ["5", "\"x\"", "[]", "-3", "true"] {
            for usage in [
                invalid.to_owned(),
                format!(r#"{{"billed_units":{invalid}}}"#),
                format!(r#"{{"tokens":{invalid}}}"#),
            ] {
                assert_eq!(report(&usage), ReportedUsage::Invalid, "{usage}");
            }
        }
    }
}
