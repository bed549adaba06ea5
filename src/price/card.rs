//! Cards of one place: rates for each context band and tier, fees and factors. Built once from the
//! sheet, so that pricing a call is a lookup. Nothing is inherited from another place.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::class::TokenClass;
use super::factor::Factor;
use super::fees::Fees;
use super::rates::{Rates, SheetRates};
use super::tier::{ServiceLevel, Tier, TierChoice};

/// Rates of one context band, for all tokens of a call whose complete prompt exceeds `above`
/// tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateCard {
    pub(super) above: u64,
    tiers: [Rates; Tier::ALL.len()],
}

impl RateCard {
    fn new(above: u64, rates: impl Fn(Tier) -> SheetRates) -> RateCard {
        RateCard {
            above,
            tiers: Tier::ALL.map(|tier| Rates::from_sheet(rates(tier))),
        }
    }

    pub(super) fn at(&self, tier: Tier) -> Rates {
        self.tiers[tier as usize]
    }

    /// Highest rate of each class over all tiers.
    fn dearest(&self) -> Rates {
        let [first, rest @ ..] = self.tiers;
        rest.into_iter().fold(first, Rates::max)
    }
}

/// Rates, factor and names that apply to a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quote {
    pub(super) rates: Rates,
    pub(super) factor: Factor,
    /// tier as priced
    pub(super) tier: &'static str,
    /// lower end of the context band
    pub(super) above: u64,
    /// false if the sheet lacks the rates or the factor and higher listed rates stand in
    pub(super) is_known: bool,
}

impl Quote {
    /// Quote of rates that the operator sets.
    pub(super) fn of(rates: Rates) -> Quote {
        Quote {
            rates,
            factor: Factor::ONE,
            tier: Tier::Standard.name(),
            above: 0,
            is_known: true,
        }
    }

    /// Higher rates of both, for a call whose place is not listed.
    pub(super) fn max(self, other: Quote) -> Quote {
        Quote {
            rates: self.rates.max(other.rates),
            factor: self.factor.max(other.factor),
            above: self.above.max(other.above),
            is_known: self.is_known && other.is_known,
            tier: self.tier,
        }
    }
}

/// Cards of a place.
#[derive(Clone, Debug)]
pub(super) struct PlaceCard {
    /// ascending by `above`; the first has `above` 0 and the base rates
    bands: Vec<RateCard>,
    listed: [bool; Tier::ALL.len()],
    pub(super) fees: Fees,
    factors: BTreeMap<String, Factor>,
    pub(super) is_priced: bool,
}

impl PlaceCard {
    pub(super) fn factor(&self, name: &str) -> Option<Factor> {
        self.factors.get(name).copied()
    }

    /// Bands that can apply to a prompt of at most `in_total` tokens.
    pub(super) fn reachable(&self, in_total: u64) -> impl Iterator<Item = &RateCard> {
        self.bands
            .iter()
            .take_while(move |band| band.above == 0 || band.above < in_total)
    }

    /// Band of a complete prompt of `in_total` tokens.
    pub(super) fn band(&self, in_total: u64) -> &RateCard {
        self.reachable(in_total).last().unwrap_or(&self.bands[0])
    }

    /// Rates of a band at a service level.
    pub(super) fn quote(&self, band: &RateCard, level: &ServiceLevel) -> Quote {
        let mut quote = self.quote_tier(band, level.choice);
        if let Some(region) = &level.inference_geo {
            let factor = self.factor(&format!("geo_{region}"));
            quote.factor = quote.factor.and(factor.unwrap_or_default());
            quote.is_known &= factor.is_some();
        }
        quote
    }

    fn quote_tier(&self, band: &RateCard, choice: TierChoice) -> Quote {
        let listed = |tier: Tier| Quote {
            tier: tier.name(),
            above: band.above,
            ..Quote::of(band.at(tier))
        };
        match choice {
            TierChoice::Listed(tier) if self.lists(tier) => listed(tier),
            // a discount that the sheet lacks is not granted
            TierChoice::Listed(Tier::Standard | Tier::Batch | Tier::Flex) => listed(Tier::Standard),
            TierChoice::Fast if self.factor("fast").is_some() => Quote {
                factor: self.factor("fast").unwrap_or_default(),
                tier: "fast",
                ..listed(Tier::Standard)
            },
            TierChoice::Fast if self.lists(Tier::Priority) => listed(Tier::Priority),
            TierChoice::Auto if self.lists(Tier::Priority) => {
                listed(Tier::Priority).max(listed(Tier::Standard))
            }
            // an unlisted priority tier costs as much as the dearest listed one
            TierChoice::Auto => Quote {
                rates: band.dearest(),
                ..listed(Tier::Standard)
            },
            TierChoice::Listed(Tier::Priority | Tier::Ultrafast)
            | TierChoice::Fast
            | TierChoice::Unknown => Quote {
                rates: band.dearest(),
                tier: "unlisted",
                is_known: false,
                ..listed(Tier::Standard)
            },
        }
    }

    fn lists(&self, tier: Tier) -> bool {
        self.listed[tier as usize]
    }

    /// Lowest rate above zero in the band of a prompt, at the tier as priced.
    #[cfg(test)]
    pub(super) fn lowest_listed(&self, band: &RateCard) -> u64 {
        let tiers = Tier::ALL.iter().map(|tier| band.at(*tier).lowest());
        tiers.filter(|rate| *rate > 0).min().unwrap_or(0)
    }
}

/// Rates of the tiers of a card.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TierRates {
    batch: Option<SheetRates>,
    flex: Option<SheetRates>,
    priority: Option<SheetRates>,
    ultrafast: Option<SheetRates>,
}

impl TierRates {
    fn of(&self, tier: Tier) -> Option<SheetRates> {
        match tier {
            Tier::Standard => None,
            Tier::Batch => self.batch,
            Tier::Flex => self.flex,
            Tier::Priority => self.priority,
            Tier::Ultrafast => self.ultrafast,
        }
    }
}

/// Rates of a context band of a card.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextBand {
    above_input_tokens: u64,
    standard: SheetRates,
    batch: Option<SheetRates>,
    flex: Option<SheetRates>,
    priority: Option<SheetRates>,
    ultrafast: Option<SheetRates>,
}

impl ContextBand {
    fn tiers(&self) -> TierRates {
        TierRates {
            batch: self.batch,
            flex: self.flex,
            priority: self.priority,
            ultrafast: self.ultrafast,
        }
    }
}

/// Card as stored in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SheetCard {
    pub(super) rates: SheetRates,
    #[serde(default)]
    pub(super) service_tiers: TierRates,
    #[serde(default)]
    pub(super) long_context: Vec<ContextBand>,
    #[serde(default)]
    pub(super) fees: Fees,
    #[serde(default)]
    pub(super) factors: BTreeMap<String, Factor>,
}

impl SheetCard {
    /// Complete cards. `has_output` is false for a model without output tokens.
    pub(super) fn complete(mut self, has_output: bool) -> PlaceCard {
        // of a model that makes images only, any output costs what images cost
        let output = self.rates.get(TokenClass::Output);
        let output = output.or(self.rates.get(TokenClass::OutputImage));
        self.rates = self.rates.with(TokenClass::Output, output);
        let mut bands = vec![RateCard::new(0, |tier| self.base(tier))];
        bands.extend(self.long_context.iter().filter_map(|band| self.band(band)));
        bands.sort_by_key(|band| band.above);
        let is_above_zero = |class| self.rates.get(class).is_some_and(|rate| rate > 0);
        PlaceCard {
            bands,
            listed: Tier::ALL.map(|tier| tier == Tier::Standard || self.lists(tier)),
            is_priced: is_above_zero(TokenClass::Input)
                && (!has_output || is_above_zero(TokenClass::Output)),
            fees: self.fees,
            factors: self.factors,
        }
    }

    fn lists(&self, tier: Tier) -> bool {
        let mut bands = self.long_context.iter();
        self.service_tiers.of(tier).is_some() || bands.any(|band| band.tiers().of(tier).is_some())
    }

    /// Rates of a tier below all bands.
    fn base(&self, tier: Tier) -> SheetRates {
        let listed = self.service_tiers.of(tier);
        listed.map_or(self.rates, |listed| listed.completed(self.rates))
    }

    fn band(&self, band: &ContextBand) -> Option<RateCard> {
        let standard = band.standard.completed(self.rates);
        let rates = |tier| match (tier, band.tiers().of(tier)) {
            (Tier::Standard, _) => standard,
            // rates omitted for the tier: the higher of tier and band
            (_, Some(listed)) => listed.or(listed.completed(standard).max(self.base(tier))),
            (_, None) => standard.max(self.base(tier)),
        };
        (band.above_input_tokens > 0).then(|| RateCard::new(band.above_input_tokens, rates))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(json: &str) -> PlaceCard {
        let card: SheetCard = serde_json::from_str(json).expect(json);
        card.complete(true)
    }

    #[test]
    fn band_follows_the_complete_prompt() {
        let card = card(
            r#"{"rates":{"input":"1","output":"2"},
            "long_context":[{"above_input_tokens":500,"standard":{"input":"3","output":"4"}},
                {"above_input_tokens":200,"standard":{"input":"2","output":"3"}}]}"#,
        );
        let input = |in_total| {
            card.band(in_total)
                .at(Tier::Standard)
                .rate(TokenClass::Input)
        };
        assert_eq!(
            [0, 200, 201, 500, 501, u64::MAX].map(input),
            [1, 1, 2, 2, 3, 3].map(|usd| usd * 1_000_000)
        );
        assert_eq!(card.reachable(300).count(), 2);
    }

    #[test]
    fn rates_omitted_for_tier_in_band_are_the_higher_of_both() {
        let card = card(
            r#"{"rates":{"input":"4","output":"8"},
            "service_tiers":{"priority":{"input":"10","output":"12"},"flex":{"input":"2","output":"4"}},
            "long_context":[{"above_input_tokens":500,"standard":{"input":"8","output":"16"},"flex":{"input":"3"}}]}"#,
        );
        let rates = |in_total, tier| {
            let rates = card.band(in_total).at(tier);
            [TokenClass::Input, TokenClass::Output].map(|class| rates.rate(class) / 1_000_000)
        };
        assert_eq!(rates(501, Tier::Standard), [8, 16]);
        assert_eq!(rates(501, Tier::Priority), [10, 16]);
        assert_eq!(rates(501, Tier::Flex), [3, 16]);
        assert_eq!(rates(501, Tier::Batch), [8, 16]);
        assert_eq!(rates(1, Tier::Flex), [2, 4]);
    }

    #[test]
    fn unlisted_tier_costs_as_much_as_the_dearest_listed_one() {
        let card = card(
            r#"{"rates":{"input":"1","output":"2"},"service_tiers":{"priority":{"input":"3","output":"6"}},
            "factors":{"geo_us":"1.1"}}"#,
        );
        let quote = |words| {
            let quote = card.quote(card.band(1), &ServiceLevel::parse(words));
            let input = quote.factor.rate(quote.rates.rate(TokenClass::Input));
            (input, quote.is_known)
        };
        assert_eq!(quote("flex"), (1_000_000, true), "no discount");
        assert_eq!(
            quote("fast"),
            (3_000_000, true),
            "another word for priority"
        );
        assert_eq!(quote("auto"), (3_000_000, true));
        assert_eq!(quote("ultrafast"), (3_000_000, false));
        assert_eq!(quote("scale"), (3_000_000, false));
        assert_eq!(quote("inference_geo=us"), (1_100_000, true));
        assert_eq!(quote("priority+inference_geo=us"), (3_300_000, true));
        assert_eq!(quote("inference_geo=mars"), (1_000_000, false));
    }

    #[test]
    fn fast_speed_multiplies_where_the_model_lists_a_factor() {
        let card =
            card(r#"{"rates":{"input":"5","output":"25"},"factors":{"fast":"2","geo_us":"1.1"}}"#);
        let level = ServiceLevel::parse("fast+inference_geo=us");
        let quote = card.quote(card.band(1), &level);
        assert_eq!(
            (quote.factor.to_string(), quote.is_known),
            ("2.2".into(), true)
        );
    }

    #[test]
    fn unknown_member_of_a_card_is_an_error() {
        for json in [
            r#"{"rates":{},"service_tiers":{"turbo":{}}}"#,
            r#"{"rates":{},"long_context":[{"above_input_tokens":1,"standard":{},"turbo":{}}]}"#,
            r#"{"rates":{},"surcharge":"1"}"#,
        ] {
            assert!(serde_json::from_str::<SheetCard>(json).is_err(), "{json}");
        }
    }
}
