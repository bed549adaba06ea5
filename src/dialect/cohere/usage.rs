//! What Cohere's `usage` says, in the canonical shape (WIRE.md 2.12): what was billed where it says so, else what the model saw. Its
//! counts are written as fractions that are whole.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess};

use crate::conversation::RawJson;
use crate::dialect::wire::count::Count;
use crate::dialect::wire::json::{FieldVisitor, ObjectSeed, skip};
use crate::domain::usage::{ReportedUsage, TOKENS_MAX, Usage};

#[derive(Clone, Debug, Default)]
pub(super) struct CohereUsage {
    billed: Tokens,
    seen: Tokens,
    cached: Count,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tokens {
    input: Count,
    output: Count,
}

impl Tokens {
    fn are_said(self) -> bool {
        self.input.is_said() || self.output.is_said()
    }
}

impl FieldVisitor for CohereUsage {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "billed_units" => map.next_value_seed(ObjectSeed(&mut self.billed)),
            "tokens" => map.next_value_seed(ObjectSeed(&mut self.seen)),
            "cached_tokens" => whole(map, &mut self.cached),
            _ => skip(map),
        }
    }

    fn other(&mut self) {
        self.billed.other();
    }
}

impl FieldVisitor for Tokens {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "input_tokens" => whole(map, &mut self.input),
            "output_tokens" => whole(map, &mut self.output),
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

fn whole<'de, A: MapAccess<'de>>(map: &mut A, count: &mut Count) -> Result<(), A::Error> {
    *count = map.next_value::<Whole>()?.0;
    Ok(())
}

/// A count like `12.0`.
#[derive(Clone, Copy, Debug, Default)]
struct Whole(Count);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Whole, D::Error> {
        let written = RawJson::deserialize(json)?;
        let (whole, part) = written
            .as_str()
            .split_once('.')
            .unwrap_or((written.as_str(), "0"));
        let is_whole = !part.is_empty() && part.bytes().all(|digit| digit == b'0');
        Ok(Whole(match whole.parse() {
            _ if written.as_str() == "null" => Count::Absent,
            Ok(tokens) if is_whole && tokens <= TOKENS_MAX => Count::Value(tokens),
            _ => Count::Invalid,
        }))
    }
}

impl CohereUsage {
    /// Billed units take no notice of what a cache served.
    pub(super) fn report(&self) -> ReportedUsage {
        let is_billed = self.billed.are_said();
        let Tokens { input, output } = if is_billed { self.billed } else { self.seen };
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
        ReportedUsage::of(usage, input.is_said(), output.is_said())
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
    fn c04_what_was_billed_counts_and_not_what_the_model_saw() {
        let seen = r#""tokens":{"input_tokens":220.0,"output_tokens":30.0},"cached_tokens":20"#;
        assert_eq!(
            report(&format!(
                r#"{{"billed_units":{{"input_tokens":17.0,"output_tokens":12}},{seen}}}"#
            )),
            tokens(17, 0, 12)
        );
        assert_eq!(report(&format!("{{{seen}}}")), tokens(200, 20, 30));
        assert_eq!(
            report(&format!(
                r#"{{"billed_units":{{"search_units":1}},{seen}}}"#
            )),
            tokens(200, 20, 30)
        );
    }

    #[test]
    fn what_is_not_said_is_missing_and_what_is_no_whole_number_is_a_lie() {
        for nothing in [
            "{}",
            r#"{"billed_units":null,"tokens":{}}"#,
            r#"{"tokens":{"input_tokens":null}}"#,
        ] {
            assert_eq!(report(nothing), ReportedUsage::Missing);
        }
        let half = ReportedUsage::Partial {
            usage: Usage {
                uncached_in: 10,
                ..Usage::default()
            },
            unsaid: Side::Output,
        };
        assert_eq!(report(r#"{"billed_units":{"input_tokens":10}}"#), half);
        for lie in [
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
                report(&format!(r#"{{"tokens":{{"input_tokens":{lie}}}}}"#)),
                ReportedUsage::Invalid,
                "{lie}"
            );
        }
        for lie in ["5", "\"x\"", "[]", "-3", "true"] {
            for odd in [
                lie.to_owned(),
                format!(r#"{{"billed_units":{lie}}}"#),
                format!(r#"{{"tokens":{lie}}}"#),
            ] {
                assert_eq!(report(&odd), ReportedUsage::Invalid, "{odd}");
            }
        }
    }
}
