//! What a model call used, in the one canonical shape that money is computed from (shared/WIRE.md section 2.12).

/// Before the place where Anthropic was asked to run a model, or ran it, in the place of the service tier: like a faster tier it
/// costs more than the base rates.
pub const INFERENCE_GEO_PREFIX: &str = "inference_geo=";

/// Tokens by price class. Every token is in exactly one of the five input classes or in `out_total`; the fields after
/// `out_total` name subsets that may have a price of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// input tokens that no cache served
    pub uncached_in: u64,
    pub cache_read: u64,
    pub cache_write_5m: u64,
    pub cache_write_1h: u64,
    /// cache writes whose lifetime the upstream did not say
    pub cache_write_other: u64,
    /// output tokens, reasoning included
    pub out_total: u64,
    /// subset of `out_total`
    pub reasoning: u64,
    /// subset of `uncached_in`
    pub audio_in: u64,
    /// subset of `cache_read`
    pub audio_cached: u64,
    /// subset of `out_total`
    pub audio_out: u64,
    /// subset of `out_total`
    pub image_out: u64,
    /// searches that the vendor ran, billed per call
    pub web_searches: u64,
    /// the tier that served, as the upstream named it (`default`, `flex`, `priority`, `batch`, …)
    pub service_tier: Option<String>,
}

impl Usage {
    /// Tokens that went into a cache, of whatever lifetime.
    pub fn cache_writes(&self) -> u64 {
        [
            self.cache_write_5m,
            self.cache_write_1h,
            self.cache_write_other,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// All input tokens: this chooses the long-context band.
    pub fn in_total(&self) -> u64 {
        [
            self.uncached_in,
            self.cache_read,
            self.cache_write_5m,
            self.cache_write_1h,
            self.cache_write_other,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}

/// No honest call reports more tokens than this in one field; above it, or below zero, the report is a lie.
pub const TOKENS_MAX: u64 = 1_000_000_000;

/// What a count is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Input,
    Output,
}

/// What was read of an answer's usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportedUsage {
    /// the upstream said nothing (or nothing yet)
    Missing,
    Complete(Usage),
    /// one side was not counted: it adds nothing to the usage, and is not zero
    Partial {
        usage: Usage,
        missing: Side,
    },
    /// a negative, huge or non-numeric count: flagged, and booked at the hold
    Invalid,
}

impl ReportedUsage {
    /// An honest report, by which sides were counted.
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

    /// As far as it can be believed.
    pub fn usage(&self) -> Option<&Usage> {
        match self {
            ReportedUsage::Complete(usage) | ReportedUsage::Partial { usage, .. } => Some(usage),
            ReportedUsage::Missing | ReportedUsage::Invalid => None,
        }
    }
}
