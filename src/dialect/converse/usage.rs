//! Converts Converse's `usage` (in the `metadata` event or in a unary response) to canonical usage.
//! `inputTokens` excludes cached tokens. An invalid count must never be taken for zero.

use serde::de::MapAccess;

use crate::dialect::wire::count::Count;
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, skip};
use crate::domain::usage::{ReportedUsage, Usage};

/// Counts of `usage`; the last value of each field counts.
#[derive(Clone, Debug, Default)]
pub(super) struct ConverseUsage {
    input: Count,
    output: Count,
    cache_read: Count,
    cache_write: Count,
    cache_write_5m: Count,
    cache_write_1h: Count,
    total: Count,
    service_tier: Option<String>,
}

impl ConverseUsage {
    /// Takes the fields that `later` reports.
    pub(super) fn merge(&mut self, later: ConverseUsage) {
        self.input.then(later.input);
        self.output.then(later.output);
        self.cache_read.then(later.cache_read);
        self.cache_write.then(later.cache_write);
        self.cache_write_5m.then(later.cache_write_5m);
        self.cache_write_1h.then(later.cache_write_1h);
        self.total.then(later.total);
        self.service_tier = later.service_tier.or(self.service_tier.take());
    }

    pub(super) fn has_output(&self) -> bool {
        self.output.is_reported()
    }

    pub(super) fn report(&self) -> ReportedUsage {
        let counts = [
            self.input,
            self.output,
            self.cache_read,
            self.cache_write,
            self.cache_write_5m,
            self.cache_write_1h,
        ];
        if counts.contains(&Count::Invalid) {
            return ReportedUsage::Invalid;
        }
        let (cache_write_5m, cache_write_1h, cache_write_other) = self.cache_writes();
        let mut usage = Usage {
            uncached_in: self.input.tokens(),
            cache_read: self.cache_read.tokens(),
            cache_write_5m,
            cache_write_1h,
            cache_write_other,
            out_total: self.output.tokens(),
            service_tier: self.service_tier.clone(),
            ..Usage::default()
        };
        let details = [self.cache_write_5m.tokens(), self.cache_write_1h.tokens()];
        let written: u64 = details.into_iter().fold(0, u64::saturating_add);
        usage.is_clamped = written > usage.cache_writes();
        if self.input.is_reported() && self.output.is_reported() {
            // tokens of a total that exceeds its parts are output
            let rest = self.total.beyond(&[usage.in_total(), usage.out_total]);
            usage.out_total += rest;
        }
        ReportedUsage::of(usage, self.input.is_reported(), self.output.is_reported())
    }

    /// Cache writes for 5 minutes, for an hour and for another lifetime. Without details all count
    /// as 5 minutes, the default.
    fn cache_writes(&self) -> (u64, u64, u64) {
        let (five_minutes, hour) = (self.cache_write_5m.tokens(), self.cache_write_1h.tokens());
        match self.cache_write {
            Count::Value(total)
                if self.cache_write_5m == Count::Absent && self.cache_write_1h == Count::Absent =>
            {
                (total, 0, 0)
            }
            // impossible details are cut, the hour's share last
            Count::Value(total) => {
                let hour = hour.min(total);
                let five_minutes = five_minutes.min(total - hour);
                (five_minutes, hour, total - hour - five_minutes)
            }
            Count::Absent | Count::Invalid => (five_minutes, hour, 0),
        }
    }
}

impl FieldVisitor for ConverseUsage {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "inputTokens" => self.input = Count::required(map)?,
            "outputTokens" => self.output = Count::required(map)?,
            "totalTokens" => self.total.then(Count::optional(map)?),
            "cacheReadInputTokens" => self.cache_read.then(Count::optional(map)?),
            "cacheWriteInputTokens" => self.cache_write.then(Count::optional(map)?),
            "cacheDetails" => {
                let mut details = CacheDetailsVisitor {
                    usage: self,
                    ttl: None,
                    tokens: Count::Absent,
                };
                map.next_value_seed(ElementsSeed(&mut details))?;
            }
            _ => skip(map)?,
        }
        Ok(())
    }

    fn other(&mut self) {
        self.input = Count::Invalid;
    }
}

/// Visitor of `cacheDetails`: cache writes by lifetime.
struct CacheDetailsVisitor<'u> {
    usage: &'u mut ConverseUsage,
    ttl: Option<String>,
    tokens: Count,
}

impl FieldVisitor for CacheDetailsVisitor<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "ttl" => self.ttl = map.next_value::<Leaf<'_>>()?.text().map(str::to_owned),
            "inputTokens" => self.tokens = Count::required(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn other(&mut self) {
        self.usage.cache_write = Count::Invalid;
    }

    fn end(&mut self) {
        let tokens = std::mem::take(&mut self.tokens);
        match self.ttl.take().as_deref() {
            Some("5m") => self.usage.cache_write_5m.then(tokens),
            Some("1h") => self.usage.cache_write_1h.then(tokens),
            // another lifetime: the remainder of the total
            _ => {}
        }
    }
}

/// Usage and service tier of a `metadata` event or a unary response.
#[derive(Clone, Debug, Default)]
pub(super) struct Metadata {
    pub(super) usage: ConverseUsage,
}

impl FieldVisitor for Metadata {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "usage" => map.next_value_seed(ObjectSeed(&mut self.usage)),
            "serviceTier" => {
                map.next_value_seed(ObjectSeed(&mut ServiceTierVisitor(&mut self.usage)))
            }
            _ => skip(map),
        }
    }
}

struct ServiceTierVisitor<'u>(&'u mut ConverseUsage);

impl FieldVisitor for ServiceTierVisitor<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if name != "type" {
            return skip(map);
        }
        self.0.service_tier = map
            .next_value::<Leaf<'_>>()?
            .text()
            .map(str::to_owned)
            .or(self.0.service_tier.take());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::wire::json::read;
    use crate::domain::usage::Side;

    fn report(usage: &str) -> ReportedUsage {
        let metadata = format!(
            r#"{{"usage":{{{usage}}},"metrics":{{"latencyMs":9}},"serviceTier":{{"type":"flex"}}}}"#
        );
        read(&Metadata::default(), metadata.as_bytes())
            .expect("JSON")
            .usage
            .report()
    }

    fn used(uncached_in: u64, out_total: u64) -> Usage {
        Usage {
            uncached_in,
            out_total,
            service_tier: Some("flex".into()),
            ..Usage::default()
        }
    }

    #[test]
    fn converse_usage_splits_cache_writes_by_lifetime() {
        let plain = r#""inputTokens":7,"outputTokens":3,"totalTokens":10"#;
        assert_eq!(report(plain), ReportedUsage::Complete(used(7, 3)));
        for (more, read, five, hour, other) in [
            (
                r#""cacheReadInputTokens":5,"cacheWriteInputTokens":100"#,
                5,
                100,
                0,
                0,
            ),
            (
                r#""cacheWriteInputTokens":100,"cacheDetails":[]"#,
                0,
                100,
                0,
                0,
            ),
            (
                r#""cacheWriteInputTokens":100,"cacheDetails":[{"ttl":"1h","inputTokens":60},{"inputTokens":40,"ttl":"5m"}]"#,
                0,
                40,
                60,
                0,
            ),
            (
                r#""cacheWriteInputTokens":100,"cacheDetails":[{"ttl":"1h","inputTokens":60},{"ttl":"9d","inputTokens":40}]"#,
                0,
                0,
                60,
                40,
            ),
            (
                r#""cacheWriteInputTokens":null,"cacheReadInputTokens":null"#,
                0,
                0,
                0,
                0,
            ),
        ] {
            let expected = Usage {
                cache_read: read,
                cache_write_5m: five,
                cache_write_1h: hour,
                cache_write_other: other,
                ..used(7, 3)
            };
            assert_eq!(
                report(&format!("{plain},{more}")),
                ReportedUsage::Complete(expected),
                "{more}"
            );
        }
    }

    #[test]
    fn converse_usage_absent_counts_are_missing_and_bad_counts_invalid() {
        for (usage, expected) in [
            ("", ReportedUsage::Missing),
            (r#""totalTokens":7"#, ReportedUsage::Missing),
            (
                r#""inputTokens":-1,"outputTokens":3"#,
                ReportedUsage::Invalid,
            ),
            (
                r#""inputTokens":null,"outputTokens":3"#,
                ReportedUsage::Invalid,
            ),
            (
                r#""inputTokens":7,"outputTokens":1.5"#,
                ReportedUsage::Invalid,
            ),
            (
                r#""inputTokens":7,"outputTokens":3,"cacheReadInputTokens":"x""#,
                ReportedUsage::Invalid,
            ),
            (
                r#""inputTokens":7,"outputTokens":3,"cacheDetails":[{"ttl":"1h","inputTokens":-1}]"#,
                ReportedUsage::Invalid,
            ),
            (
                r#""inputTokens":7"#,
                ReportedUsage::Partial {
                    usage: used(7, 0),
                    missing: Side::Output,
                },
            ),
            (
                r#""outputTokens":3"#,
                ReportedUsage::Partial {
                    usage: used(0, 3),
                    missing: Side::Input,
                },
            ),
        ] {
            assert_eq!(report(usage), expected, "{usage}");
        }
    }
}
