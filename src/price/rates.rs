//! Rates of one model at one service tier and in one context band, in pico-USD per unit. A class
//! that the sheet omits gets the higher of the plausible rates: a bill must never be below the
//! vendor's.

use serde::{Deserialize, Deserializer, de};

use crate::domain::money::Money;
use crate::domain::usage::INFERENCE_GEO_PREFIX;

/// Hosted web search at $10 per 1,000 calls (OpenAI and Anthropic, November 2026); the sheet has no
/// column for it.
const SEARCH_FEE_PICO: u64 = 10_000_000_000;

/// Service tiers with rates in a sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    Standard,
    Batch,
    Flex,
    Priority,
}

impl Tier {
    pub(super) const ALL: [Tier; 4] = [Tier::Standard, Tier::Batch, Tier::Flex, Tier::Priority];

    /// Tier of a name on the wire. `default`, `standard`, `on_demand` and unknown names are the
    /// base tier.
    pub(super) fn parse(name: &str) -> Tier {
        match name {
            "batch" => Tier::Batch,
            "flex" => Tier::Flex,
            // `fast` in requests, `priority` in responses
            "priority" | "fast" => Tier::Priority,
            name if name.starts_with(INFERENCE_GEO_PREFIX) => Tier::Priority,
            _ => Tier::Standard,
        }
    }

    /// Billed tier: the one that the response names. Without a name, the more expensive of the
    /// requested and the base tier, because no discount is confirmed.
    pub(super) fn billed(served: Option<&str>, requested: Option<&str>) -> Tier {
        match (served, requested.map(Tier::parse)) {
            (Some(name), _) => Tier::parse(name),
            (None, Some(Tier::Priority)) => Tier::Priority,
            (None, _) => Tier::Standard,
        }
    }

    /// Tiers that can serve a call. The base tier always can: a full tier falls back to it.
    pub(super) fn possible(requested: Option<&str>) -> [Tier; 2] {
        match requested {
            Some("auto") => [Tier::Standard, Tier::Priority],
            Some(name) => [Tier::Standard, Tier::parse(name)],
            None => [Tier::Standard, Tier::Standard],
        }
    }
}

/// Rates as listed in a sheet (USD per million tokens), each optional. Columns that chat does not
/// need are ignored.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct SheetRates {
    #[serde(default, deserialize_with = "pico_per_token")]
    pub(super) input: Option<u64>,
    #[serde(default, deserialize_with = "pico_per_token")]
    cache_read: Option<u64>,
    #[serde(default, deserialize_with = "pico_per_token")]
    cache_read_audio: Option<u64>,
    #[serde(default, deserialize_with = "pico_per_token")]
    cache_write: Option<u64>,
    #[serde(default, deserialize_with = "pico_per_token")]
    cache_write_1h: Option<u64>,
    #[serde(default, deserialize_with = "pico_per_token")]
    input_audio: Option<u64>,
    #[serde(default, deserialize_with = "pico_per_token")]
    pub(super) output: Option<u64>,
    #[serde(default, deserialize_with = "pico_per_token")]
    output_reasoning: Option<u64>,
    #[serde(default, deserialize_with = "pico_per_token")]
    output_audio: Option<u64>,
    #[serde(default, deserialize_with = "pico_per_token")]
    output_image: Option<u64>,
}

impl SheetRates {
    /// Own rates, completed by those of `other`.
    pub(super) fn or(self, other: SheetRates) -> SheetRates {
        self.combine(other, Option::or)
    }

    /// Higher rate of each class.
    pub(super) fn max(self, other: SheetRates) -> SheetRates {
        self.combine(other, Option::max)
    }

    fn combine(
        self,
        other: SheetRates,
        pick: fn(Option<u64>, Option<u64>) -> Option<u64>,
    ) -> SheetRates {
        SheetRates {
            input: pick(self.input, other.input),
            cache_read: pick(self.cache_read, other.cache_read),
            cache_read_audio: pick(self.cache_read_audio, other.cache_read_audio),
            cache_write: pick(self.cache_write, other.cache_write),
            cache_write_1h: pick(self.cache_write_1h, other.cache_write_1h),
            input_audio: pick(self.input_audio, other.input_audio),
            output: pick(self.output, other.output),
            output_reasoning: pick(self.output_reasoning, other.output_reasoning),
            output_audio: pick(self.output_audio, other.output_audio),
            output_image: pick(self.output_image, other.output_image),
        }
    }
}

/// `"12.5"` USD per million tokens is 12,500,000 pico-USD per token; fractions are rounded up.
fn pico_per_token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    const TOKENS_PER_UNIT: i128 = 1_000_000;
    let text = String::deserialize(deserializer)?;
    let per_million = Money::parse(&text).map_err(de::Error::custom)?.pico();
    let per_token = (per_million + TOKENS_PER_UNIT - 1) / TOKENS_PER_UNIT;
    u64::try_from(per_token)
        .map(Some)
        .map_err(|_| de::Error::custom(format!("rate `{text}` exceeds the maximum")))
}

/// Complete rates. An optional rate is that of a subset, which is billed separately only if listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) input: u64,
    pub(super) cache_read: u64,
    pub(super) audio_cached: Option<u64>,
    pub(super) cache_write: u64,
    pub(super) cache_write_1h: u64,
    pub(super) audio_in: Option<u64>,
    pub(super) output: u64,
    pub(super) reasoning: Option<u64>,
    pub(super) audio_out: Option<u64>,
    pub(super) image_out: Option<u64>,
    /// per search
    pub(super) search: u64,
}

impl Rates {
    /// Rates set by the operator. They are complete: a search costs only its tokens.
    pub(super) fn fixed(input: u64, output: u64) -> Rates {
        Rates {
            input,
            cache_read: input,
            cache_write: input,
            cache_write_1h: input,
            output,
            ..Rates::default()
        }
    }

    /// Rates of a sheet; omitted classes are filled.
    pub(super) fn from_sheet(listed: SheetRates) -> Rates {
        let input = listed.input.unwrap_or(0);
        Rates {
            input,
            cache_read: listed.cache_read.unwrap_or(input),
            audio_cached: listed.cache_read_audio,
            cache_write: listed.cache_write.unwrap_or(input),
            cache_write_1h: listed.cache_write_1h.unwrap_or(match listed.cache_write {
                // vendors that charge for cache writes charge twice the input rate for an hour
                Some(cache_write) => cache_write.max(input.saturating_mul(2)),
                // unlisted cache writes are billed as input
                None => input,
            }),
            audio_in: listed.input_audio,
            output: listed.output.unwrap_or(0),
            reasoning: listed.output_reasoning,
            audio_out: listed.output_audio,
            image_out: listed.output_image,
            search: SEARCH_FEE_PICO,
        }
    }

    /// Highest rate of an input token.
    pub(super) fn highest_input(&self, has_audio: bool) -> u64 {
        let text = [
            self.input,
            self.cache_read,
            self.cache_write,
            self.cache_write_1h,
        ];
        let audio = [self.audio_in, self.audio_cached]
            .into_iter()
            .flatten()
            .filter(|_| has_audio);
        text.into_iter().chain(audio).fold(0, u64::max)
    }

    /// Highest rate of an output token: no request can exclude a kind of output that the model has.
    pub(super) fn highest_output(&self) -> u64 {
        [self.reasoning, self.audio_out, self.image_out]
            .into_iter()
            .flatten()
            .fold(self.output, u64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(json: &str) -> SheetRates {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn sheet_rate_with_fraction_of_pico_is_rounded_up() {
        let rates = listed(r#"{"input":"12.5","output":"0.0000001","cache_read":"0.000001"}"#);
        assert_eq!(
            (rates.input, rates.output, rates.cache_read),
            (Some(12_500_000), Some(1), Some(1))
        );
        assert!(serde_json::from_str::<SheetRates>(r#"{"input":"-1"}"#).is_err());
        assert!(serde_json::from_str::<SheetRates>(r#"{"input":"99999999999999"}"#).is_err());
    }

    #[test]
    fn omitted_rates_get_the_higher_plausible_rate() {
        let plain = Rates::from_sheet(listed(r#"{"input":"1","output":"5"}"#));
        assert_eq!(
            (plain.cache_read, plain.cache_write, plain.cache_write_1h),
            (1_000_000, 1_000_000, 1_000_000)
        );
        let writes = Rates::from_sheet(listed(
            r#"{"input":"1","output":"5","cache_read":"0.1","cache_write":"1.25"}"#,
        ));
        assert_eq!(
            (writes.cache_read, writes.cache_write, writes.cache_write_1h),
            (100_000, 1_250_000, 2_000_000)
        );
        let dear = Rates::from_sheet(listed(r#"{"input":"1","output":"5","cache_write":"3"}"#));
        assert_eq!(dear.cache_write_1h, 3_000_000);
    }

    #[test]
    fn highest_rates_cover_all_classes_of_a_call() {
        let rates = Rates::from_sheet(listed(
            r#"{"input":"1","input_audio":"2","cache_read_audio":"3","output":"5","output_audio":"6","output_image":"7"}"#,
        ));
        assert_eq!(
            (rates.highest_input(false), rates.highest_input(true)),
            (1_000_000, 3_000_000)
        );
        assert_eq!(rates.highest_output(), 7_000_000);
    }

    #[test]
    fn billed_tier_is_that_of_the_response_and_unknown_is_base() {
        assert_eq!(Tier::billed(Some("flex"), None), Tier::Flex);
        assert_eq!(
            Tier::billed(Some("default"), Some("priority")),
            Tier::Standard
        );
        for name in ["default", "standard", "on_demand", "scale", "FLEX", ""] {
            assert_eq!(Tier::billed(Some(name), None), Tier::Standard, "{name}");
        }
        assert_eq!(Tier::billed(None, Some("flex")), Tier::Standard);
        assert_eq!(Tier::billed(None, Some("fast")), Tier::Priority);
        assert_eq!(Tier::billed(None, Some("auto")), Tier::Standard);
    }
}
