//! Rates of one model at one service tier and in one context band, in pico-USD per unit. A class
//! that the sheet omits gets the higher of the plausible rates: a bill must never be below the
//! vendor's.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::class::TokenClass;
use super::factor::scaled;
use crate::domain::money::Money;

/// Rates per single unit, kept in the sheet and not priced: no endpoint of the gateway is billed by
/// the image, pixel, character, second, page or query.
const UNIT_RATES: [&str; 16] = [
    "per_query",
    "per_page",
    "annotation_per_page",
    "input_per_image",
    "output_per_image",
    "input_per_pixel",
    "output_per_pixel",
    "input_per_character",
    "output_per_character",
    "input_per_second",
    "output_per_second",
    "output_per_second_1080p",
    "output_per_second_4k",
    "input_audio_per_second",
    "input_video_per_second",
    "output_video_per_second",
];

/// Rates as listed in a sheet (USD per million tokens), each optional.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub(super) struct SheetRates([Option<u64>; TokenClass::COUNT]);

impl TryFrom<BTreeMap<String, String>> for SheetRates {
    type Error = String;

    fn try_from(listed: BTreeMap<String, String>) -> Result<SheetRates, String> {
        let mut rates = SheetRates::default();
        for (name, usd) in listed {
            match TokenClass::parse(&name) {
                Some(class) => rates.0[class as usize] = Some(pico_per_token(&usd)?),
                None if UNIT_RATES.contains(&name.as_str()) => {}
                None => return Err(format!("unknown rate `{name}`")),
            }
        }
        Ok(rates)
    }
}

impl SheetRates {
    pub(super) fn get(&self, class: TokenClass) -> Option<u64> {
        self.0[class as usize]
    }

    /// Rates with a different one for this class.
    #[must_use]
    pub(super) fn with(mut self, class: TokenClass, rate: Option<u64>) -> SheetRates {
        self.0[class as usize] = rate;
        self
    }

    /// Own rates, completed by those of `other`.
    pub(super) fn or(self, other: SheetRates) -> SheetRates {
        SheetRates(std::array::from_fn(|at| self.0[at].or(other.0[at])))
    }

    /// Higher rate of each class.
    pub(super) fn max(self, other: SheetRates) -> SheetRates {
        SheetRates(std::array::from_fn(|at| self.0[at].max(other.0[at])))
    }

    /// Rates of a tier or band; omitted classes keep their relation to the reference card where the
    /// tier is dearer, and cost as much as there where it is cheaper.
    pub(super) fn completed(self, reference: SheetRates) -> SheetRates {
        let omitted = |class: TokenClass| {
            let rate = reference.get(class)?;
            Some(match class {
                TokenClass::Input => rate,
                TokenClass::Output => rate.max(self.follow(rate, TokenClass::Input, reference)?),
                // output of any kind that has no rate of its own, and a lifetime of a write, follow
                // their class into a discount too
                TokenClass::OutputReasoning => self.follow(rate, TokenClass::Output, reference)?,
                TokenClass::CacheWrite1h | TokenClass::CacheWrite12h
                    if self.get(TokenClass::CacheWrite).is_some() =>
                {
                    self.follow(rate, TokenClass::CacheWrite, reference)?
                }
                class => rate.max(self.follow(rate, class.side(), reference)?),
            })
        };
        SheetRates(TokenClass::ALL.map(|class| self.get(class).or_else(|| omitted(class))))
    }

    /// Rate that changes as the rate of `leader` does between the reference card and this one.
    fn follow(self, rate: u64, leader: TokenClass, reference: SheetRates) -> Option<u64> {
        match (self.get(leader), reference.get(leader)) {
            (Some(own), Some(base)) => Some(scaled(rate, own, base)),
            _ => Some(rate),
        }
    }
}

/// `"12.5"` USD per million tokens is 12,500,000 pico-USD per token; fractions are rounded up.
fn pico_per_token(text: &str) -> Result<u64, String> {
    const TOKENS_PER_UNIT: i128 = 1_000_000;
    let per_million = Money::parse(text)
        .map_err(|error| error.to_string())?
        .pico();
    let per_token = (per_million + TOKENS_PER_UNIT - 1) / TOKENS_PER_UNIT;
    u64::try_from(per_token).map_err(|_| format!("rate `{text}` exceeds the maximum"))
}

/// Complete rates: every class has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates(SheetRates);

impl Rates {
    /// Rates set by the operator, as they are.
    pub(super) fn own_rates(rates: SheetRates) -> Rates {
        Rates(rates)
    }

    /// Rates of a sheet; omitted classes are filled.
    pub(super) fn from_sheet(listed: SheetRates) -> Rates {
        let input = listed.get(TokenClass::Input).unwrap_or(0);
        // vendors that charge for cache writes charge twice the input rate for an hour
        let hour = listed
            .get(TokenClass::CacheWrite)
            .map(|cache_write| cache_write.max(input.saturating_mul(2)));
        let hour = listed.get(TokenClass::CacheWrite1h).or(hour);
        Rates(listed.with(TokenClass::CacheWrite1h, hour))
    }

    /// Higher rate of each class.
    pub(super) fn max(self, other: Rates) -> Rates {
        let higher = |class| {
            let is_listed = self.own(class).or(other.own(class)).is_some();
            is_listed.then(|| self.rate(class).max(other.rate(class)))
        };
        Rates(SheetRates(TokenClass::ALL.map(higher)))
    }

    /// Rate of this class, or of the class that contains it.
    pub(super) fn rate(&self, class: TokenClass) -> u64 {
        match (self.0.get(class), class.parent()) {
            (Some(rate), _) => rate,
            (None, Some(parent)) => self.rate(parent),
            (None, None) => 0,
        }
    }

    /// Rate of a class that is billed separately.
    pub(super) fn own(&self, class: TokenClass) -> Option<u64> {
        self.0.get(class)
    }

    /// Lowest rate above zero; zero if there is none.
    #[cfg(test)]
    pub(super) fn lowest(&self) -> u64 {
        let listed = self.0.0.iter().flatten().copied();
        listed.filter(|rate| *rate > 0).min().unwrap_or(0)
    }

    /// Highest rate of an input token.
    pub(super) fn highest_input(&self, has_audio: bool, has_media: bool) -> u64 {
        let possible = |class: &TokenClass| {
            class.side() == TokenClass::Input
                && (has_audio || !class.is_audio())
                && (has_media || !class.is_media())
        };
        self.highest(possible)
    }

    /// Highest rate of an output token: no request can exclude a kind of output that the model has.
    pub(super) fn highest_output(&self) -> u64 {
        self.highest(|class| class.side() == TokenClass::Output)
    }

    fn highest(&self, possible: impl Fn(&TokenClass) -> bool) -> u64 {
        let classes = TokenClass::ALL.into_iter().filter(possible);
        classes.map(|class| self.rate(class)).fold(0, u64::max)
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
            (
                rates.get(TokenClass::Input),
                rates.get(TokenClass::Output),
                rates.get(TokenClass::CacheRead)
            ),
            (Some(12_500_000), Some(1), Some(1))
        );
        assert!(serde_json::from_str::<SheetRates>(r#"{"input":"-1"}"#).is_err());
        assert!(serde_json::from_str::<SheetRates>(r#"{"input":"99999999999999"}"#).is_err());
    }

    #[test]
    fn sheet_rate_with_unknown_name_is_an_error() {
        assert!(serde_json::from_str::<SheetRates>(r#"{"output_smell":"1"}"#).is_err());
        assert_eq!(listed(r#"{"per_page":"1"}"#), SheetRates::default());
    }

    #[test]
    fn omitted_rates_get_the_higher_plausible_rate() {
        let writes = |json: &str| {
            let rates = Rates::from_sheet(listed(json));
            [
                TokenClass::CacheRead,
                TokenClass::CacheWrite,
                TokenClass::CacheWrite1h,
            ]
            .map(|class| rates.rate(class))
        };
        assert_eq!(
            writes(r#"{"input":"1","output":"5"}"#),
            [1_000_000, 1_000_000, 1_000_000]
        );
        assert_eq!(
            writes(r#"{"input":"1","output":"5","cache_read":"0.1","cache_write":"1.25"}"#),
            [100_000, 1_250_000, 2_000_000]
        );
        let [_, _, hour] = writes(r#"{"input":"1","output":"5","cache_write":"3"}"#);
        assert_eq!(hour, 3_000_000);
    }

    #[test]
    fn class_omitted_by_dearer_tier_keeps_its_relation() {
        let base = listed(
            r#"{"input":"1","input_audio":"4","cache_read":"0.1","cache_write":"1.25","cache_write_1h":"2",
            "output":"10","output_reasoning":"10","output_image":"40"}"#,
        );
        let of = |tier: &str, class| listed(tier).completed(base).get(class);
        let dear = r#"{"input":"1.8","output":"18"}"#;
        for (class, rate) in [
            (TokenClass::InputAudio, 7_200_000),
            (TokenClass::CacheRead, 180_000),
            (TokenClass::OutputReasoning, 18_000_000),
            (TokenClass::OutputImage, 72_000_000),
        ] {
            assert_eq!(of(dear, class), Some(rate), "{class:?}");
        }
        let cheap = r#"{"input":"0.5","cache_write":"0.625","output":"5"}"#;
        for (class, rate) in [
            (TokenClass::InputAudio, 4_000_000),
            (TokenClass::CacheRead, 100_000),
            (TokenClass::CacheWrite1h, 1_000_000),
            (TokenClass::OutputReasoning, 5_000_000),
            (TokenClass::OutputImage, 40_000_000),
        ] {
            assert_eq!(of(cheap, class), Some(rate), "{class:?}");
        }
        let input_only = listed(r#"{"input":"2"}"#).completed(base);
        assert_eq!(input_only.get(TokenClass::Output), Some(20_000_000));
    }

    #[test]
    fn higher_of_two_cards_covers_both() {
        let plain = Rates::from_sheet(listed(r#"{"input":"3","output":"5"}"#));
        let cached = Rates::from_sheet(listed(r#"{"input":"2","cache_read":"0.1","output":"6"}"#));
        let both = plain.max(cached);
        for class in TokenClass::ALL {
            assert_eq!(both.rate(class), plain.rate(class).max(cached.rate(class)));
        }
    }

    #[test]
    fn highest_rates_cover_all_classes_of_a_call() {
        let rates = Rates::from_sheet(listed(
            r#"{"input":"1","input_audio":"2","cache_read_audio":"3","input_image":"4","output":"5","output_audio":"6",
            "output_image":"7"}"#,
        ));
        assert_eq!(rates.highest_input(false, false), 1_000_000);
        assert_eq!(rates.highest_input(true, false), 3_000_000);
        assert_eq!(rates.highest_input(true, true), 4_000_000);
        assert_eq!(rates.highest_output(), 7_000_000);
    }
}
