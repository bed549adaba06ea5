//! Row of a price sheet: a vendor's prices for one model. Parsed once from JSON into complete rates
//! for each context band and tier, so that pricing a call is a lookup. Must never change
//! afterwards.

use serde::Deserialize;

use super::rates::{Rates, SheetRates, Tier};

/// Purpose of a model; only `Chat` and `Embedding` models are offered by their bare names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Chat,
    Responses,
    Completion,
    Embedding,
    #[serde(other)]
    Other,
}

/// Prices and limits that a vendor lists for one model.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "SheetRow")]
pub struct Row {
    pub vendor: String,
    pub model: String,
    pub mode: Mode,
    /// context window in tokens
    pub context: Option<u64>,
    pub max_output: Option<u64>,
    pub capabilities: Vec<String>,
    /// date from which the vendor can retire the model, `2027-04-01`
    pub deprecated_on: Option<String>,
    /// maximum tokens of an image, if above the general ceiling
    pub(super) image_tokens: Option<u64>,
    /// ascending by `above`; the first has `above` 0 and the base rates
    cards: Vec<RateCard>,
    priced: bool,
    lists_priority: bool,
}

/// Rates of one context band, for all tokens of a call whose complete prompt exceeds `above`
/// tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateCard {
    above: u64,
    tiers: [Rates; Tier::ALL.len()],
}

impl RateCard {
    fn new(above: u64, rates: impl Fn(Tier) -> SheetRates) -> RateCard {
        RateCard {
            above,
            tiers: Tier::ALL.map(|tier| Rates::from_sheet(rates(tier))),
        }
    }

    pub(super) fn at(&self, tier: Tier) -> &Rates {
        &self.tiers[tier as usize]
    }
}

impl Row {
    pub fn supports_reasoning(&self) -> bool {
        self.has_capability("reasoning")
    }

    /// True if the sheet lists this capability: `tools`, `vision`, `pdf`, `json_schema`, …
    pub fn has_capability(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|listed| listed == capability)
    }

    /// True if input and output have a rate; embeddings have no output. A listed zero is not a
    /// price: sheets use it for models billed in another unit or not yet sold, and only the
    /// operator can declare a model free.
    pub fn is_priced(&self) -> bool {
        self.priced
    }

    /// False for a tier that can cost more than the base tier and has no rates in the sheet.
    pub(super) fn has_rates_for(&self, tier: Tier) -> bool {
        tier != Tier::Priority || self.lists_priority
    }

    /// Rates for a complete prompt of `in_total` tokens.
    pub(super) fn rate_card(&self, in_total: u64) -> &RateCard {
        self.reachable(in_total).last().unwrap_or(&self.cards[0])
    }

    /// Rate cards that can apply to a prompt of at most `in_total` tokens.
    pub(super) fn reachable(&self, in_total: u64) -> impl Iterator<Item = &RateCard> {
        self.cards
            .iter()
            .take_while(move |card| card.above == 0 || card.above < in_total)
    }
}

/// Row as stored in the file. Fields priced in units other than tokens are ignored.
#[derive(Deserialize)]
struct SheetRow {
    provider: String,
    model: String,
    mode: Mode,
    context: Option<u64>,
    max_output: Option<u64>,
    image_tokens: Option<u64>,
    rates: SheetRates,
    #[serde(default)]
    service_tiers: TierRates,
    #[serde(default)]
    long_context: Vec<ContextBand>,
    #[serde(default)]
    capabilities: Vec<String>,
    deprecated_on: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct TierRates {
    batch: Option<SheetRates>,
    flex: Option<SheetRates>,
    priority: Option<SheetRates>,
}

#[derive(Deserialize)]
struct ContextBand {
    above_input_tokens: u64,
    standard: SheetRates,
    #[serde(flatten)]
    tiers: TierRates,
}

impl TierRates {
    fn of(&self, tier: Tier) -> Option<SheetRates> {
        match tier {
            Tier::Standard => None,
            Tier::Batch => self.batch,
            Tier::Flex => self.flex,
            Tier::Priority => self.priority,
        }
    }
}

impl From<SheetRow> for Row {
    fn from(row: SheetRow) -> Row {
        Row {
            cards: row.cards(),
            lists_priority: row.service_tiers.priority.is_some()
                || row
                    .long_context
                    .iter()
                    .any(|band| band.tiers.priority.is_some()),
            priced: row.rates.input.is_some_and(|rate| rate > 0)
                && (row.mode == Mode::Embedding || row.rates.output.is_some_and(|rate| rate > 0)),
            vendor: row.provider,
            model: row.model,
            mode: row.mode,
            context: row.context,
            max_output: row.max_output,
            capabilities: row.capabilities,
            deprecated_on: row.deprecated_on,
            image_tokens: row.image_tokens,
        }
    }
}

impl SheetRow {
    fn cards(&self) -> Vec<RateCard> {
        let base = |tier| {
            self.service_tiers
                .of(tier)
                .unwrap_or_default()
                .or(self.rates)
        };
        let mut cards = vec![RateCard::new(0, base)];
        cards.extend(
            self.long_context
                .iter()
                .filter(|band| band.above_input_tokens > 0)
                .map(|band| {
                    let standard = band.standard.or(self.rates);
                    RateCard::new(band.above_input_tokens, |tier| {
                        match (tier, band.tiers.of(tier)) {
                            (Tier::Standard, _) => standard,
                            // rates omitted for the tier: the higher of tier and band
                            (_, listed) => listed.unwrap_or_default().or(standard.max(base(tier))),
                        }
                    })
                }),
        );
        cards.sort_by_key(|card| card.above);
        cards
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rates: &str, rest: &str) -> Row {
        let json = format!(
            r#"{{"provider":"v","model":"m","mode":"chat","context":1000,"max_output":100,"rates":{rates},
            "capabilities":["reasoning"]{rest}}}"#
        );
        serde_json::from_str(&json).expect(&json)
    }

    #[test]
    fn rate_card_follows_the_complete_prompt() {
        let row = row(
            r#"{"input":"1","output":"2"}"#,
            r#","long_context":[{"above_input_tokens":500,"standard":{"input":"3","output":"4"}},
                {"above_input_tokens":200,"standard":{"input":"2","output":"3"}}]"#,
        );
        let input = |in_total| row.rate_card(in_total).at(Tier::Standard).input;
        assert_eq!(
            [0, 200, 201, 500, 501, u64::MAX].map(input),
            [1, 1, 2, 2, 3, 3].map(|usd| usd * 1_000_000)
        );
        assert_eq!(row.reachable(300).count(), 2);
    }

    #[test]
    fn rates_omitted_for_tier_in_band_are_the_higher_of_both() {
        let row = row(
            r#"{"input":"4","output":"8"}"#,
            r#","service_tiers":{"priority":{"input":"10","output":"12"},"flex":{"input":"2","output":"4"}},
               "long_context":[{"above_input_tokens":500,"standard":{"input":"8","output":"16"},"flex":{"input":"3"}}]"#,
        );
        let long = |tier| {
            (
                row.rate_card(501).at(tier).input / 1_000_000,
                row.rate_card(501).at(tier).output / 1_000_000,
            )
        };
        assert_eq!(long(Tier::Standard), (8, 16));
        assert_eq!(long(Tier::Priority), (10, 16));
        assert_eq!(long(Tier::Flex), (3, 16));
        assert_eq!(long(Tier::Batch), (8, 16));
        assert_eq!(row.rate_card(1).at(Tier::Flex).output, 4_000_000);
    }

    #[test]
    fn row_with_zero_or_missing_rate_is_unpriced() {
        for rates in [
            r#"{}"#,
            r#"{"input":"0","output":"0"}"#,
            r#"{"output":"7.5"}"#,
            r#"{"input":"0.14","output":"0"}"#,
        ] {
            assert!(!row(rates, "").is_priced(), "{rates}");
        }
        assert!(row(r#"{"input":"1","output":"2"}"#, "").is_priced());
        for (rates, priced) in [
            (r#"{"input":"1","output":"0"}"#, true),
            (r#"{"input":"1"}"#, true),
            (r#"{"output":"1"}"#, false),
        ] {
            let json =
                format!(r#"{{"provider":"v","model":"m","mode":"embedding","rates":{rates}}}"#);
            assert_eq!(
                serde_json::from_str::<Row>(&json)
                    .expect("a row")
                    .is_priced(),
                priced,
                "{rates}"
            );
        }
        assert!(row("{}", "").supports_reasoning() && !row("{}", "").has_capability("tools"));
    }
}
