//! Token usage of a model call in the canonical form from which `price` computes the cost.

use crate::domain::attempt::AttemptNote;
use crate::domain::money::Money;
use crate::domain::server_tool::ServerTool;

/// Prefix of an Anthropic inference region when it is recorded as service tier; like a faster tier it costs more than the base
/// rates.
pub const INFERENCE_GEO_PREFIX: &str = "inference_geo=";

/// Second models of one call that a record names.
const SECOND_MODELS_MAX: usize = 16;

/// Tokens by price class. Every token counts in exactly one of the six input classes or in `out_total`; the fields after
/// `out_total` are subsets that may have their own price.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// input tokens not served from a cache
    pub uncached_in: u64,
    pub cache_read: u64,
    pub cache_write_5m: u64,
    pub cache_write_1h: u64,
    pub cache_write_12h: u64,
    /// cache writes without a reported lifetime
    pub cache_write_other: u64,
    /// output tokens including reasoning
    pub out_total: u64,
    /// subset of `out_total`
    pub reasoning: u64,
    /// reasoning that the vendor may have counted beside `out_total`, where no total settles it; zero once the vendor's rules decided
    pub unsettled_reasoning: u64,
    /// subset of `uncached_in`
    pub audio_in: u64,
    /// subset of `cache_read`
    pub audio_cached: u64,
    /// subset of `out_total`
    pub audio_out: u64,
    /// subset of `out_total`
    pub image_out: u64,
    /// subset of `uncached_in`
    pub image_in: u64,
    /// subset of `cache_read`
    pub image_cached: u64,
    /// hosted web searches, billed per call
    pub web_searches: u64,
    /// tool that made `web_searches`, if the response or request tells
    pub search_tool: Option<ServerTool>,
    /// uses of other tools that the vendor ran
    pub tools: Vec<(ServerTool, u64)>,
    /// service tier as reported by the upstream (`default`, `flex`, `priority`, `batch`, …)
    pub service_tier: Option<String>,
    /// models that ran inside the call; their tokens are in none of the counts above
    pub second_models: Vec<SecondModel>,
    /// impossible counts were cut
    pub is_clamped: bool,
    /// cost that the vendor reports
    pub reported_cost: Option<Money>,
}

/// Usage of a model that ran inside a call of another model, in a tool of the vendor or as its substitute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecondModel {
    pub model: String,
    pub usage: Usage,
}

impl Usage {
    /// Tokens written to a cache, of any lifetime.
    pub fn cache_writes(&self) -> u64 {
        [
            self.cache_write_5m,
            self.cache_write_1h,
            self.cache_write_12h,
            self.cache_write_other,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// Adds the tokens and searches of another report.
    pub fn add(&mut self, more: &Usage) {
        for (class, count) in [
            (&mut self.uncached_in, more.uncached_in),
            (&mut self.cache_read, more.cache_read),
            (&mut self.cache_write_5m, more.cache_write_5m),
            (&mut self.cache_write_1h, more.cache_write_1h),
            (&mut self.cache_write_12h, more.cache_write_12h),
            (&mut self.cache_write_other, more.cache_write_other),
            (&mut self.out_total, more.out_total),
            (&mut self.reasoning, more.reasoning),
            (&mut self.web_searches, more.web_searches),
        ] {
            *class = class.saturating_add(count);
        }
    }

    /// Adds the usage of a model that ran inside the call, by model.
    pub fn add_second_model(&mut self, model: &str, usage: &Usage) {
        let known = |second: &&mut SecondModel| second.model == model;
        match self.second_models.iter_mut().find(known) {
            Some(second) => second.usage.add(usage),
            None => self.second_models.push(SecondModel {
                model: model.to_owned(),
                usage: usage.clone(),
            }),
        }
    }

    /// Cuts what a vendor can make as long as it likes, the tier and the second models, to what a ledger record has room for. The
    /// usage of models beyond the last is added to the last.
    pub fn bound_texts(&mut self) {
        if let Some(tier) = self.service_tier.take() {
            self.service_tier = Some(AttemptNote::cut(tier));
        }
        let beyond = self.second_models.len().min(SECOND_MODELS_MAX);
        for second in self.second_models.split_off(beyond) {
            if let Some(last) = self.second_models.last_mut() {
                last.usage.add(&second.usage);
            }
        }
        for second in &mut self.second_models {
            second.model = AttemptNote::cut(std::mem::take(&mut second.model));
            second.usage.bound_texts();
        }
    }

    /// Cuts cached and written tokens to the complete prompt of which they are a part, reads first,
    /// because writes cost more; the rest of the prompt is not cached. Returns true if a count was impossible.
    pub fn clamp_to_prompt(&mut self, prompt: u64) -> bool {
        let mut left = prompt;
        let mut is_clamped = false;
        for count in [
            &mut self.cache_write_12h,
            &mut self.cache_write_1h,
            &mut self.cache_write_other,
            &mut self.cache_write_5m,
            &mut self.cache_read,
        ] {
            is_clamped |= *count > left;
            *count = left.min(*count);
            left -= *count;
        }
        is_clamped |= self.audio_cached > self.cache_read;
        self.audio_cached = self.audio_cached.min(self.cache_read);
        self.uncached_in = left;
        self.is_clamped |= is_clamped;
        is_clamped
    }

    /// Tokens of images, read, cached and made.
    pub fn image_tokens(&self) -> u64 {
        let counts = [self.image_in, self.image_cached, self.image_out];
        counts.into_iter().fold(0, u64::saturating_add)
    }

    /// Tokens of sound, heard, cached and made.
    pub fn audio_tokens(&self) -> u64 {
        let counts = [self.audio_in, self.audio_cached, self.audio_out];
        counts.into_iter().fold(0, u64::saturating_add)
    }

    /// Searches of the web by any tool.
    pub fn searches(&self) -> u64 {
        let others = self.tools.iter().filter(|(tool, _)| tool.is_search());
        let others = others.map(|(_, uses)| *uses);
        others.fold(self.web_searches, u64::saturating_add)
    }

    /// All input tokens; selects the long-context band.
    pub fn in_total(&self) -> u64 {
        [
            self.uncached_in,
            self.cache_read,
            self.cache_write_5m,
            self.cache_write_1h,
            self.cache_write_12h,
            self.cache_write_other,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}

/// Lifetime of cache writes that a response reports without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheLifetime {
    /// shortest lifetime that the vendor sells
    #[default]
    Shortest,
    Hour,
    HalfDay,
}

/// Largest plausible token count in one field; a larger or negative count makes the report invalid.
pub const TOKENS_MAX: u64 = 1_000_000_000;

/// Direction of a token count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Input,
    Output,
    Both,
}

impl Side {
    pub fn has_input(self) -> bool {
        self != Side::Output
    }

    pub fn has_output(self) -> bool {
        self != Side::Input
    }
}

/// Usage as reported by the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportedUsage {
    /// no usage reported (yet)
    Missing,
    Complete(Usage),
    /// `missing` was not counted; it is zero in `usage`, but unknown
    Partial {
        usage: Usage,
        missing: Side,
    },
    /// a negative, huge or non-numeric count: the call is flagged and charged at its ceiling
    Invalid,
}

impl ReportedUsage {
    /// Classifies a valid report by the sides that it counted.
    pub fn of(usage: Usage, input_counted: bool, output_counted: bool) -> ReportedUsage {
        match (input_counted, output_counted) {
            (true, true) => ReportedUsage::Complete(usage),
            (true, false) => ReportedUsage::Partial {
                usage,
                missing: Side::Output,
            },
            (false, true) => ReportedUsage::Partial {
                usage,
                missing: Side::Input,
            },
            (false, false) => ReportedUsage::Missing,
        }
    }

    /// The reported usage, if any and valid.
    pub fn usage(&self) -> Option<&Usage> {
        match self {
            ReportedUsage::Complete(usage) | ReportedUsage::Partial { usage, .. } => Some(usage),
            ReportedUsage::Missing | ReportedUsage::Invalid => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_cache_counts_are_clamped_to_the_prompt() {
        let mut usage = Usage {
            cache_read: 90,
            cache_write_5m: 30,
            cache_write_1h: 40,
            audio_cached: 80,
            ..Usage::default()
        };
        assert!(usage.clamp_to_prompt(100));
        assert_eq!(
            (usage.cache_write_1h, usage.cache_write_5m, usage.cache_read),
            (40, 30, 30)
        );
        assert_eq!((usage.audio_cached, usage.in_total()), (30, 100));
        let possible = Usage {
            uncached_in: 10,
            cache_read: 60,
            cache_write_other: 30,
            ..Usage::default()
        };
        let mut unchanged = possible.clone();
        assert!(!unchanged.clamp_to_prompt(100));
        assert_eq!(unchanged, possible);
    }

    #[test]
    fn texts_of_a_report_are_cut_and_no_token_is_lost() {
        let mut usage = Usage {
            service_tier: Some("t".repeat(100_000)),
            ..Usage::default()
        };
        let one = Usage {
            out_total: 1,
            ..Usage::default()
        };
        for number in 0..100 {
            usage.add_second_model(&format!("{number}{}", "m".repeat(1_000)), &one);
        }
        usage.bound_texts();
        let texts = usage.second_models.iter().map(|second| second.model.len());
        let bytes: usize = texts.chain(usage.service_tier.map(|tier| tier.len())).sum();
        assert!(bytes < 5_000, "{bytes}");
        let tokens = usage
            .second_models
            .iter()
            .map(|second| second.usage.out_total);
        assert_eq!((usage.second_models.len(), tokens.sum::<u64>()), (16, 100));
    }
}
