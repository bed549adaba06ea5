//! Differences in the usage that a vendor reports in a borrowed dialect. Must never change a count that the vendor made.

use crate::dialect::text_counter::DeliveredText;
use crate::domain::usage::{ReportedUsage, Side};

/// Reading of one vendor's usage at one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageRules {
    /// trust a reported zero; otherwise the side was not counted
    pub zero_is_real: bool,
    /// a stream that ends with its usage but without a finish reason is complete
    pub ends_without_reason: bool,
}

impl UsageRules {
    /// For a vendor that counts as the author of its dialect does.
    pub const EXACT: UsageRules = UsageRules {
        zero_is_real: true,
        ends_without_reason: false,
    };

    /// For vendors of whom nothing is known: some report zeros for what they did not count.
    pub const UNKNOWN_VENDOR: UsageRules = UsageRules {
        zero_is_real: false,
        ends_without_reason: true,
    };

    /// The report of a response with this text.
    pub(super) fn apply(self, report: ReportedUsage, delivered: DeliveredText) -> ReportedUsage {
        if self.zero_is_real {
            return report;
        }
        let (usage, missing) = match report {
            ReportedUsage::Complete(usage) => (usage, None),
            ReportedUsage::Partial { usage, missing } => (usage, Some(missing)),
            ReportedUsage::Missing | ReportedUsage::Invalid => return report,
        };
        let is_missing = |side: fn(Side) -> bool| missing.is_some_and(side);
        let input = is_missing(Side::has_input) || usage.in_total() == 0;
        let output =
            is_missing(Side::has_output) || (usage.out_total == 0 && delivered.text_bytes > 0);
        match (input, output) {
            (false, false) => ReportedUsage::Complete(usage),
            (true, false) => ReportedUsage::Partial {
                usage,
                missing: Side::Input,
            },
            (false, true) => ReportedUsage::Partial {
                usage,
                missing: Side::Output,
            },
            (true, true) => ReportedUsage::Partial {
                usage,
                missing: Side::Both,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::usage::Usage;

    fn applied(rules: UsageRules, input: u64, output: u64, text_bytes: u64) -> Option<Side> {
        let usage = Usage {
            uncached_in: input,
            out_total: output,
            service_tier: Some("flex".into()),
            ..Usage::default()
        };
        let delivered = DeliveredText {
            text_bytes,
            cjk_chars: 0,
        };
        let report = rules.apply(ReportedUsage::Complete(usage.clone()), delivered);
        assert_eq!(report.usage(), Some(&usage), "counts and tier stay");
        match report {
            ReportedUsage::Partial { missing, .. } => Some(missing),
            _ => None,
        }
    }

    #[test]
    fn zero_is_a_count_only_of_a_vendor_that_counts() {
        for (input, output, text_bytes, missing) in [
            (3, 5, 20, None),
            (0, 5, 20, Some(Side::Input)),
            (3, 0, 20, Some(Side::Output)),
            (0, 0, 20, Some(Side::Both)),
            // a response without text has no output tokens
            (3, 0, 0, None),
        ] {
            let counts = (input, output, text_bytes);
            let read = |rules| applied(rules, input, output, text_bytes);
            assert_eq!(read(UsageRules::UNKNOWN_VENDOR), missing, "{counts:?}");
            assert_eq!(read(UsageRules::EXACT), None, "{counts:?}");
        }
    }

    #[test]
    fn missing_and_invalid_usage_stays_so() {
        for report in [ReportedUsage::Missing, ReportedUsage::Invalid] {
            let delivered = DeliveredText::default();
            let applied = UsageRules::UNKNOWN_VENDOR.apply(report.clone(), delivered);
            assert_eq!(applied, report);
        }
    }
}
