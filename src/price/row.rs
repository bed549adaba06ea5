//! One row of a price sheet: what a vendor lists for one model. Read from JSON once; its rates are settled then, band by
//! band and tier by tier, so that pricing a call is a look-up.

use serde::Deserialize;

use super::rates::{Rates, SheetRates, Tier};

/// What a model is for; only `Chat` and `Embedding` models are offered by their bare names.
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

/// What a vendor lists for one model.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "SheetRow")]
pub struct Row {
    pub vendor: String,
    pub model: String,
    pub mode: Mode,
    /// tokens that a prompt may have
    pub context: Option<u64>,
    pub max_output: Option<u64>,
    pub capabilities: Vec<String>,
    /// the day from which the vendor may switch it off, `2027-04-01`
    pub deprecated_on: Option<String>,
    /// the most tokens that one image comes to, where the general ceiling is too low
    pub(super) image_tokens: Option<u64>,
    /// by rising `above`; the first has `above` 0 and holds the base rates
    cards: Vec<Card>,
    priced: bool,
    lists_priority: bool,
}

/// The rates of one context band. A band holds for all tokens of a call whose whole prompt is longer than `above`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Card {
    above: u64,
    tiers: [Rates; Tier::ALL.len()],
}

impl Card {
    fn new(above: u64, rates: impl Fn(Tier) -> SheetRates) -> Card {
        Card {
            above,
            tiers: Tier::ALL.map(|tier| Rates::listed(rates(tier))),
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

    /// Whether the sheet names this capability: `tools`, `vision`, `pdf`, `json_schema`, …
    pub fn has_capability(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| known == capability)
    }

    /// Whether input and output both have a rate; embeddings have no output. A listed rate of zero is no price: sheets write it for what is billed by
    /// another unit or not sold yet, and a model is free only when the operator says so.
    pub fn is_priced(&self) -> bool {
        self.priced
    }

    /// Whether it has rates of its own for a tier that may be dearer than the base rates.
    pub(super) fn lists(&self, tier: Tier) -> bool {
        tier != Tier::Priority || self.lists_priority
    }

    /// The card for a whole prompt of this many tokens.
    pub(super) fn card(&self, in_total: u64) -> &Card {
        self.reachable(in_total).last().unwrap_or(&self.cards[0])
    }

    /// Every card that a prompt of at most this many tokens can come under.
    pub(super) fn reachable(&self, in_total: u64) -> impl Iterator<Item = &Card> {
        self.cards
            .iter()
            .take_while(move |card| card.above == 0 || card.above < in_total)
    }
}

/// A row as the file has it. Members that are priced by another unit than the token are not read.
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
    service_tiers: Tiers,
    #[serde(default)]
    long_context: Vec<Band>,
    #[serde(default)]
    capabilities: Vec<String>,
    deprecated_on: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Tiers {
    batch: Option<SheetRates>,
    flex: Option<SheetRates>,
    priority: Option<SheetRates>,
}

#[derive(Deserialize)]
struct Band {
    above_input_tokens: u64,
    standard: SheetRates,
    #[serde(flatten)]
    tiers: Tiers,
}

impl Tiers {
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
    fn from(written: SheetRow) -> Row {
        Row {
            cards: written.cards(),
            lists_priority: written.service_tiers.priority.is_some()
                || written
                    .long_context
                    .iter()
                    .any(|band| band.tiers.priority.is_some()),
            priced: written.rates.input.is_some_and(|rate| rate > 0)
                && (written.mode == Mode::Embedding
                    || written.rates.output.is_some_and(|rate| rate > 0)),
            vendor: written.provider,
            model: written.model,
            mode: written.mode,
            context: written.context,
            max_output: written.max_output,
            capabilities: written.capabilities,
            deprecated_on: written.deprecated_on,
            image_tokens: written.image_tokens,
        }
    }
}

impl SheetRow {
    fn cards(&self) -> Vec<Card> {
        let base = |tier| {
            self.service_tiers
                .of(tier)
                .unwrap_or_default()
                .or(self.rates)
        };
        let mut cards = vec![Card::new(0, base)];
        cards.extend(
            self.long_context
                .iter()
                .filter(|band| band.above_input_tokens > 0)
                .map(|band| {
                    let standard = band.standard.or(self.rates);
                    Card::new(band.above_input_tokens, |tier| {
                        match (tier, band.tiers.of(tier)) {
                            (Tier::Standard, _) => standard,
                            // what the band does not say of a tier is the dearer of that tier and of the band
                            (_, listed) => {
                                listed.unwrap_or_default().or(standard.dearer(base(tier)))
                            }
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
    fn the_whole_prompt_chooses_the_band() {
        let row = row(
            r#"{"input":"1","output":"2"}"#,
            r#","long_context":[{"above_input_tokens":500,"standard":{"input":"3","output":"4"}},
                {"above_input_tokens":200,"standard":{"input":"2","output":"3"}}]"#,
        );
        let input = |in_total| row.card(in_total).at(Tier::Standard).input;
        assert_eq!(
            [0, 200, 201, 500, 501, u64::MAX].map(input),
            [1, 1, 2, 2, 3, 3].map(|usd| usd * 1_000_000)
        );
        assert_eq!(row.reachable(300).count(), 2);
    }

    #[test]
    fn what_a_band_does_not_say_of_a_tier_is_the_dearer_of_both() {
        let row = row(
            r#"{"input":"4","output":"8"}"#,
            r#","service_tiers":{"priority":{"input":"10","output":"12"},"flex":{"input":"2","output":"4"}},
               "long_context":[{"above_input_tokens":500,"standard":{"input":"8","output":"16"},"flex":{"input":"3"}}]"#,
        );
        let long = |tier| {
            (
                row.card(501).at(tier).input / 1_000_000,
                row.card(501).at(tier).output / 1_000_000,
            )
        };
        assert_eq!(long(Tier::Standard), (8, 16));
        assert_eq!(long(Tier::Priority), (10, 16));
        assert_eq!(long(Tier::Flex), (3, 16));
        assert_eq!(long(Tier::Batch), (8, 16));
        assert_eq!(row.card(1).at(Tier::Flex).output, 4_000_000);
    }

    #[test]
    fn a_zero_or_a_missing_rate_is_no_price() {
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
