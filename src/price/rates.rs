//! The rates of one model at one service tier and one context band, every gap filled, in pico-USD per unit. Where a sheet
//! leaves a class out, the gap is filled from the dearer side: a bill may never come out under the vendor's.

use serde::{Deserialize, Deserializer, de};

use crate::domain::money::Money;
use crate::domain::usage::INFERENCE_GEO_PREFIX;

/// Vendors list hosted web search at $10 per 1,000 calls (OpenAI and Anthropic, November 2026); the sheet has no column for it.
const SEARCH_FEE_PICO: u64 = 10_000_000_000;

/// The service tiers that sheets list rates for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    Standard,
    Batch,
    Flex,
    Priority,
}

impl Tier {
    pub(super) const ALL: [Tier; 4] = [Tier::Standard, Tier::Batch, Tier::Flex, Tier::Priority];

    /// The tier that a word on the wire means. `default`, `standard`, `on_demand` and words nobody knows are the base rates.
    pub(super) fn named(word: &str) -> Tier {
        match word {
            "batch" => Tier::Batch,
            "flex" => Tier::Flex,
            // asked for as `fast`, answered as `priority`
            "priority" | "fast" => Tier::Priority,
            word if word.starts_with(INFERENCE_GEO_PREFIX) => Tier::Priority,
            _ => Tier::Standard,
        }
    }

    /// The tier that is billed: the one that the answer names. An answer that names none is billed at the dearer of what was
    /// asked and the base rates, because nothing shows that a discount was granted.
    pub(super) fn billed(served: Option<&str>, asked: Option<&str>) -> Tier {
        match (served, asked.map(Tier::named)) {
            (Some(word), _) => Tier::named(word),
            (None, Some(Tier::Priority)) => Tier::Priority,
            (None, _) => Tier::Standard,
        }
    }

    /// The tiers that could serve a call. The base tier always can: a call that finds its tier full falls back to it.
    pub(super) fn possible(asked: Option<&str>) -> [Tier; 2] {
        match asked {
            Some("auto") => [Tier::Standard, Tier::Priority],
            Some(word) => [Tier::Standard, Tier::named(word)],
            None => [Tier::Standard, Tier::Standard],
        }
    }
}

/// Rates as a sheet writes them: USD per million tokens, any of them absent. Columns that chat does not need are not read.
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
    /// Its own rates, and `other`'s where it has none.
    pub(super) fn or(self, other: SheetRates) -> SheetRates {
        self.combine(other, Option::or)
    }

    /// The dearer rate of each class.
    pub(super) fn dearer(self, other: SheetRates) -> SheetRates {
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

/// `"12.5"` USD per million tokens is 12,500,000 pico-USD per token; what is not a whole pico is rounded up.
fn pico_per_token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    const TOKENS_PER_UNIT: i128 = 1_000_000;
    let text = String::deserialize(deserializer)?;
    let per_million = Money::parse(&text).map_err(de::Error::custom)?.pico();
    let per_token = (per_million + TOKENS_PER_UNIT - 1) / TOKENS_PER_UNIT;
    u64::try_from(per_token)
        .map(Some)
        .map_err(|_| de::Error::custom(format!("the rate {text} is too large")))
}

/// Rates with every gap filled. The options are subsets that are billed apart only where the sheet lists them.
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
    /// The operator's own rates. They say all there is to pay, so a search costs only its tokens.
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

    pub(super) fn listed(listed: SheetRates) -> Rates {
        let input = listed.input.unwrap_or(0);
        Rates {
            input,
            cache_read: listed.cache_read.unwrap_or(input),
            audio_cached: listed.cache_read_audio,
            cache_write: listed.cache_write.unwrap_or(input),
            cache_write_1h: listed.cache_write_1h.unwrap_or(match listed.cache_write {
                // who charges for writes charges twice the input for an hour, wherever a list price is known
                Some(cache_write) => cache_write.max(input.saturating_mul(2)),
                // who does not list writes bills them as input
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

    /// The dearest that an input token can be.
    pub(super) fn dearest_input(&self, audio: bool) -> u64 {
        let text = [
            self.input,
            self.cache_read,
            self.cache_write,
            self.cache_write_1h,
        ];
        let sound = [self.audio_in, self.audio_cached]
            .into_iter()
            .flatten()
            .filter(|_| audio);
        text.into_iter().chain(sound).fold(0, u64::max)
    }

    /// The dearest that an output token can be. No request forbids a model to answer with what it has a rate for.
    pub(super) fn dearest_output(&self) -> u64 {
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
    fn a_rate_that_is_no_whole_pico_is_rounded_up() {
        let rates = listed(r#"{"input":"12.5","output":"0.0000001","cache_read":"0.000001"}"#);
        assert_eq!(
            (rates.input, rates.output, rates.cache_read),
            (Some(12_500_000), Some(1), Some(1))
        );
        assert!(serde_json::from_str::<SheetRates>(r#"{"input":"-1"}"#).is_err());
        assert!(serde_json::from_str::<SheetRates>(r#"{"input":"99999999999999"}"#).is_err());
    }

    #[test]
    fn gaps_are_filled_from_the_dearer_side() {
        let plain = Rates::listed(listed(r#"{"input":"1","output":"5"}"#));
        assert_eq!(
            (plain.cache_read, plain.cache_write, plain.cache_write_1h),
            (1_000_000, 1_000_000, 1_000_000)
        );
        let writes = Rates::listed(listed(
            r#"{"input":"1","output":"5","cache_read":"0.1","cache_write":"1.25"}"#,
        ));
        assert_eq!(
            (writes.cache_read, writes.cache_write, writes.cache_write_1h),
            (100_000, 1_250_000, 2_000_000)
        );
        let dear = Rates::listed(listed(r#"{"input":"1","output":"5","cache_write":"3"}"#));
        assert_eq!(dear.cache_write_1h, 3_000_000);
    }

    #[test]
    fn the_dearest_rates_are_of_all_that_a_call_may_hold() {
        let rates = Rates::listed(listed(
            r#"{"input":"1","input_audio":"2","cache_read_audio":"3","output":"5","output_audio":"6","output_image":"7"}"#,
        ));
        assert_eq!(
            (rates.dearest_input(false), rates.dearest_input(true)),
            (1_000_000, 3_000_000)
        );
        assert_eq!(rates.dearest_output(), 7_000_000);
    }

    #[test]
    fn the_answer_says_the_tier_and_an_unknown_word_is_never_a_discount() {
        assert_eq!(Tier::billed(Some("flex"), None), Tier::Flex);
        assert_eq!(
            Tier::billed(Some("default"), Some("priority")),
            Tier::Standard
        );
        for word in ["default", "standard", "on_demand", "scale", "FLEX", ""] {
            assert_eq!(Tier::billed(Some(word), None), Tier::Standard, "{word}");
        }
        assert_eq!(Tier::billed(None, Some("flex")), Tier::Standard);
        assert_eq!(Tier::billed(None, Some("fast")), Tier::Priority);
        assert_eq!(Tier::billed(None, Some("auto")), Tier::Standard);
    }
}
