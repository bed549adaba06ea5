//! Usage of an Ollama response: `prompt_eval_count` and `eval_count`. Ollama omits counts that it
//! does not know, and an omitted count must never be taken for zero.

use crate::dialect::wire::count::Count;
use crate::domain::usage::{ReportedUsage, Usage};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OllamaUsage {
    prompt: Count,
    output: Count,
}

impl OllamaUsage {
    /// Takes the counts that a line of the response reports.
    pub(super) fn merge(&mut self, prompt: Count, output: Count) {
        self.prompt.then(prompt);
        self.output.then(output);
    }

    pub(super) fn report(self) -> ReportedUsage {
        if [self.prompt, self.output].contains(&Count::Invalid) {
            return ReportedUsage::Invalid;
        }
        let usage = Usage {
            uncached_in: self.prompt.tokens(),
            out_total: self.output.tokens(),
            ..Usage::default()
        };
        ReportedUsage::of(usage, self.prompt.is_reported(), self.output.is_reported())
    }
}
