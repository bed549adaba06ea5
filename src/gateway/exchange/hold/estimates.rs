//! Estimates of what the upstream did not report, from the bytes of the texts, and what a complete response teaches them.

use crate::domain::event::Status;
use crate::domain::usage::{ReportedUsage, Side, Usage};
use crate::gateway::exchange::hold::OpenHold;
use crate::meter::estimates::TextSize;

impl OpenHold {
    /// Sides of the usage that have to be estimated.
    pub(super) fn missing_sides(&self, usage: &Usage) -> Vec<Side> {
        let mut missing = Vec::new();
        let (input, output) = match self.report {
            ReportedUsage::Invalid => return missing,
            ReportedUsage::Missing => (false, false),
            ReportedUsage::Partial { missing, .. } => (
                !missing.has_input(),
                !missing.has_output() && self.output_is_final,
            ),
            // an unfinished response may have reported an empty beginning
            ReportedUsage::Complete(_) => (
                self.output_is_final || usage.in_total() > 0,
                self.output_is_final,
            ),
        };
        missing.extend((!input).then_some(Side::Input));
        missing.extend((!output).then_some(Side::Output));
        missing
    }

    pub(super) fn estimate(&self, side: Side, usage: &mut Usage) {
        if side == Side::Input {
            let input = self.tokens(TextSize {
                bytes: self.facts.input_bytes,
                cjk_chars: 0,
            });
            usage.uncached_in = usage.uncached_in.max(input);
            return;
        }
        let delivered = self.tokens(self.delivered_size());
        usage.out_total = match self.report {
            // reported output was counted beside the text, as Gemini counts thoughts
            ReportedUsage::Partial {
                missing: Side::Output,
                ..
            } => usage.out_total.saturating_add(delivered),
            _ => usage.out_total.max(delivered),
        };
    }

    fn delivered_size(&self) -> TextSize {
        TextSize {
            bytes: self.delivered.text_bytes,
            cjk_chars: self.delivered.cjk_chars,
        }
    }

    /// Estimate of the input by its text.
    pub fn input_estimate(&self) -> u64 {
        self.tokens(TextSize {
            bytes: self.facts.input_bytes,
            cjk_chars: 0,
        })
    }

    pub(super) fn tokens(&self, text: TextSize) -> u64 {
        let deployment = &self.facts.deployment;
        let estimates = &self.settler.estimates;
        estimates.tokens(&deployment.provider.name, &deployment.model, text)
    }

    /// Teaches the estimates the bytes per token of a complete response.
    pub(super) fn learn(&self, status: Status) {
        if let (Status::Ok, ReportedUsage::Complete(usage), true) =
            (status, &self.report, self.output_is_final)
        {
            let deployment = &self.facts.deployment;
            let visible = usage.out_total.saturating_sub(usage.reasoning);
            let size = self.delivered_size();
            let estimates = &self.settler.estimates;
            estimates.learn(&deployment.provider.name, &deployment.model, size, visible);
        }
    }
}
