//! Differences in the usage that a vendor reports in a borrowed dialect. Must never change a count that the vendor made.

use crate::dialect::text_counter::DeliveredText;
use crate::domain::usage::{ReportedUsage, Side, Usage};

/// Reading of one vendor's usage at one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageRules {
    /// trust a reported zero; otherwise the side was not counted
    pub zero_is_real: bool,
    /// a stream that ends with its usage but without a finish reason is complete
    pub ends_without_reason: bool,
    /// reasoning is counted beside the output where no total tells; otherwise within it
    pub reasoning_beside: bool,
}

impl UsageRules {
    /// For a vendor that counts as the author of its dialect does.
    pub const EXACT: UsageRules = UsageRules {
        zero_is_real: true,
        ends_without_reason: false,
        reasoning_beside: false,
    };

    /// For vendors of whom nothing is known: some report zeros for what they did not count, and some count reasoning beside the
    /// output (xAI, Google's chat dialect), which is the dearer reading.
    pub const UNKNOWN_VENDOR: UsageRules = UsageRules {
        zero_is_real: false,
        ends_without_reason: true,
        reasoning_beside: true,
    };

    /// For a relay of many vendors that counts reasoning within the output itself.
    pub const RELAY: UsageRules = UsageRules {
        reasoning_beside: false,
        ..UsageRules::UNKNOWN_VENDOR
    };

    /// The report of a response with this text.
    pub(super) fn apply(self, report: ReportedUsage, delivered: DeliveredText) -> ReportedUsage {
        match report {
            ReportedUsage::Complete(usage) => self.judge(self.settle(usage), None, delivered),
            ReportedUsage::Partial { usage, missing } => {
                self.judge(self.settle(usage), Some(missing), delivered)
            }
            ReportedUsage::Missing | ReportedUsage::Invalid => report,
        }
    }

    /// Decides where reasoning is counted that no total settles.
    fn settle(self, mut usage: Usage) -> Usage {
        let reasoning = std::mem::take(&mut usage.unsettled_reasoning);
        if self.reasoning_beside {
            usage.out_total = usage.out_total.saturating_add(reasoning);
        }
        usage
    }

    /// Takes a zero for a count that the vendor did not make, unless it is real.
    fn judge(self, usage: Usage, missing: Option<Side>, delivered: DeliveredText) -> ReportedUsage {
        let is_missing = |side: fn(Side) -> bool| missing.is_some_and(side);
        let is_zero = |tokens: u64| tokens == 0 && !self.zero_is_real;
        let input = is_missing(Side::has_input) || is_zero(usage.in_total());
        let output =
            is_missing(Side::has_output) || (is_zero(usage.out_total) && delivered.text_bytes > 0);
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
    fn reasoning_without_a_total_is_output_beside_the_rest_unless_the_vendor_counts_it_within() {
        let usage = Usage {
            uncached_in: 3,
            out_total: 50,
            reasoning: 20,
            unsettled_reasoning: 20,
            ..Usage::default()
        };
        for (rules, out_total) in [
            (UsageRules::EXACT, 50),
            (UsageRules::RELAY, 50),
            (UsageRules::UNKNOWN_VENDOR, 70),
        ] {
            let report = ReportedUsage::Complete(usage.clone());
            let settled = rules.apply(report, DeliveredText::default());
            let settled = settled.usage().expect("a report");
            let counts = (settled.out_total, settled.unsettled_reasoning);
            assert_eq!(counts, (out_total, 0), "{rules:?}");
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
