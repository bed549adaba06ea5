//! Row of a price sheet: a vendor's prices for one model. Parsed once from JSON into complete cards
//! for each place. Must never change afterwards, and must never skip a member that it does not know.

use std::collections::BTreeMap;

use serde::{Deserialize, de};

use super::card::{ContextBand, PlaceCard, Quote, SheetCard, TierRates};
use super::class::TokenClass;
use super::factor::Factor;
use super::fees::{Fees, ToolFee};
use super::rates::SheetRates;
use super::tier::ServiceLevel;
use crate::domain::server_tool::ServerTool;

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

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Chat => "chat",
            Mode::Responses => "responses",
            Mode::Completion => "completion",
            Mode::Embedding => "embedding",
            Mode::Other => "other",
        }
    }
}

/// Answer of the sheet to a question about a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    Yes,
    No,
    Unknown,
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
    /// capabilities that the model is known not to have
    pub lacks: Vec<String>,
    /// date from which the vendor can retire the model, `2027-04-01`
    pub deprecated_on: Option<String>,
    /// model that the vendor names instead
    pub successor: Option<String>,
    /// model that this id is a cross-region inference profile of
    pub profile_of: Option<String>,
    /// lifetime of the shortest cache write: `5m`, `30m`
    pub cache_write_ttl: Option<String>,
    /// a shorter prefix is not cached
    pub cache_min_tokens: Option<u64>,
    /// length of an embedding
    pub vector_size: Option<u64>,
    /// reasons to verify the prices: they are held at the dearer of two public figures
    pub doubtful: Vec<String>,
    /// maximum tokens of an image, if above the general ceiling
    pub(super) image_tokens: Option<u64>,
    home: PlaceCard,
    places: BTreeMap<String, PlaceCard>,
    places_at_base: Vec<String>,
}

/// Cards that can apply at a place; more than one if the sheet does not list the place.
struct PlaceChoice<'a> {
    cards: Vec<&'a PlaceCard>,
    factor: Factor,
    is_known: bool,
}

impl Row {
    pub fn supports_reasoning(&self) -> bool {
        self.has_capability("reasoning")
    }

    /// True if the sheet lists this capability: `tools`, `vision`, `pdf`, `json_schema`, …
    pub fn has_capability(&self, capability: &str) -> bool {
        self.capability(capability) == Support::Yes
    }

    /// Support of a capability; unknown if the sheet does not mention it.
    pub fn capability(&self, capability: &str) -> Support {
        let is_in = |listed: &[String]| listed.iter().any(|listed| listed == capability);
        if is_in(&self.capabilities) {
            Support::Yes
        } else if is_in(&self.lacks) {
            Support::No
        } else {
            Support::Unknown
        }
    }

    /// True if input and output have a rate, here or at a place; embeddings have no output. A listed
    /// zero is not a price: sheets use it for models billed in another unit or not yet sold, and
    /// only the operator can declare a model free.
    pub fn is_priced(&self) -> bool {
        self.home.is_priced || self.places.values().any(|card| card.is_priced)
    }

    /// Rates for a complete prompt of `in_total` tokens at a place and service level.
    pub(super) fn quote(&self, in_total: u64, place: Option<&str>, level: &ServiceLevel) -> Quote {
        let choice = self.place_choice(place);
        let quotes = choice
            .cards
            .iter()
            .map(|card| card.quote(card.band(in_total), level));
        choice.finish(quotes)
    }

    /// Highest rates for a prompt of at most `in_total` tokens at a place and service level.
    pub(super) fn highest_quote(
        &self,
        in_total: u64,
        place: Option<&str>,
        level: &ServiceLevel,
    ) -> Quote {
        let choice = self.place_choice(place);
        let quotes = choice
            .cards
            .iter()
            .flat_map(|card| card.reachable(in_total).map(|band| card.quote(band, level)));
        choice.finish(quotes)
    }

    /// False for a level whose rates or factor the sheet lacks at a place.
    pub(super) fn has_rates_for(&self, level: &ServiceLevel, place: Option<&str>) -> bool {
        let cards = self.place_choice(place).cards;
        let mut quotes = cards.iter().map(|card| card.quote(card.band(0), level));
        quotes.all(|quote| quote.is_known)
    }

    /// Fee of a tool at a place: the highest if the place is not listed.
    pub(super) fn fee(&self, tool: ServerTool, place: Option<&str>) -> Option<ToolFee> {
        let cards = self.place_choice(place).cards;
        let fees = cards.iter().filter_map(|card| card.fees.of(tool));
        fees.max_by_key(|fee| fee.pico)
    }

    /// Search with the highest fee at a place.
    pub(super) fn dearest_search(&self, place: Option<&str>) -> Option<(ServerTool, ToolFee)> {
        let cards = self.place_choice(place).cards;
        let searches = cards.iter().filter_map(|card| card.fees.dearest_search());
        searches.max_by_key(|(_, fee)| fee.pico)
    }

    /// Adds the fee that a vendor charges with every model.
    pub(super) fn add_vendor_fee(&mut self, tool: ServerTool, fee: ToolFee) {
        self.home.fees.add(tool, fee);
        for card in self.places.values_mut() {
            card.fees.add(tool, fee);
        }
    }

    fn place_choice(&self, place: Option<&str>) -> PlaceChoice<'_> {
        let one = |card, factor| PlaceChoice {
            cards: vec![card],
            factor,
            is_known: true,
        };
        let Some(place) = place.map(str::to_ascii_lowercase) else {
            return self.home_or_any(one(&self.home, Factor::ONE));
        };
        if let Some(card) = self.places.get(&place).filter(|card| card.is_priced) {
            return one(card, Factor::ONE);
        }
        let residency = match place.as_str() {
            "gov" => self.home.factor("fedramp"),
            place => self.home.factor(&format!("region_{place}")),
        };
        if let Some(factor) = residency {
            return one(&self.home, factor);
        }
        let is_base = place == "global" || self.places_at_base.contains(&place);
        let near = self.places_like(&place);
        if is_base || (near.is_empty() && (self.places.is_empty() || !is_government(&place))) {
            return self.home_or_any(one(&self.home, Factor::ONE));
        }
        self.unlisted(near)
    }

    /// The base card; all places if only they have a price.
    fn home_or_any<'a>(&'a self, home: PlaceChoice<'a>) -> PlaceChoice<'a> {
        if self.home.is_priced {
            return home;
        }
        match self.priced_places().collect::<Vec<_>>() {
            cards if cards.is_empty() => home,
            cards => self.unlisted(cards),
        }
    }

    /// Cards of a place that the sheet does not list: the base card and those of similar places.
    fn unlisted<'a>(&'a self, near: Vec<&'a PlaceCard>) -> PlaceChoice<'a> {
        let mut cards = near;
        if cards.is_empty() {
            cards = self.priced_places().collect();
        }
        cards.extend(self.home.is_priced.then_some(&self.home));
        PlaceChoice {
            cards,
            factor: Factor::ONE,
            is_known: false,
        }
    }

    fn priced_places(&self) -> impl Iterator<Item = &PlaceCard> {
        self.places.values().filter(|card| card.is_priced)
    }

    /// Cards of places under the same jurisdiction: government clouds have prices of their own.
    fn places_like(&self, place: &str) -> Vec<&PlaceCard> {
        let alike = self.places.iter().filter(|(listed, card)| {
            card.is_priced && is_government(listed) == is_government(place)
        });
        alike.map(|(_, card)| card).collect()
    }

    /// Lowest rate above zero that any card of the row lists for the band of this prompt.
    #[cfg(test)]
    pub(super) fn lowest_rate(&self, in_total: u64, place: Option<&str>) -> u64 {
        let cards = self.place_choice(place).cards;
        let lowest = |card: &&PlaceCard| card.lowest_listed(card.band(in_total));
        cards.iter().map(lowest).min().unwrap_or(0)
    }

    /// Names of all places that the row mentions.
    #[cfg(test)]
    pub(super) fn place_names(&self) -> Vec<String> {
        let listed = self.places.keys().chain(&self.places_at_base);
        listed.cloned().collect()
    }
}

fn is_government(place: &str) -> bool {
    place.starts_with("us-gov")
}

impl PlaceChoice<'_> {
    /// Highest of the quotes, with the factor of the place.
    fn finish(&self, quotes: impl Iterator<Item = Quote>) -> Quote {
        let quote = quotes.reduce(Quote::max);
        let mut quote = quote.unwrap_or_else(|| Quote::of(Default::default()));
        quote.factor = quote.factor.and(self.factor);
        quote.is_known &= self.is_known;
        quote
    }
}

/// Row as stored in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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
    fees: Fees,
    #[serde(default)]
    factors: BTreeMap<String, Factor>,
    #[serde(default)]
    regions: BTreeMap<String, SheetCard>,
    #[serde(default)]
    regions_at_base: Vec<String>,
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    lacks: Vec<String>,
    deprecated_on: Option<String>,
    successor: Option<String>,
    profile_of: Option<String>,
    cache_write_ttl: Option<String>,
    cache_min_tokens: Option<u64>,
    vector_size: Option<u64>,
    #[serde(default)]
    doubtful: Vec<String>,
    /// prices by size of a generated image or video, which no endpoint of the gateway makes
    #[serde(default, rename = "sizes")]
    _sizes: de::IgnoredAny,
    /// cards of endpoints that the gateway does not serve
    #[serde(default, rename = "endpoints")]
    _endpoints: de::IgnoredAny,
}

impl From<SheetRow> for Row {
    fn from(row: SheetRow) -> Row {
        let has_output = row.mode != Mode::Embedding;
        let own_fees = row.fees.clone();
        let place_card = |card: SheetCard| {
            let fees = card.fees.or(&own_fees);
            let card = SheetCard { fees, ..card };
            with_lifetime(card, row.cache_write_ttl.as_deref()).complete(has_output)
        };
        let places = row.regions.into_iter();
        Row {
            places: places
                .map(|(place, card)| (place, place_card(card)))
                .collect(),
            home: place_card(SheetCard {
                rates: row.rates,
                service_tiers: row.service_tiers,
                long_context: row.long_context,
                fees: row.fees,
                factors: row.factors,
            }),
            places_at_base: row.regions_at_base,
            vendor: row.provider,
            model: row.model,
            mode: row.mode,
            context: row.context,
            max_output: row.max_output,
            capabilities: row.capabilities,
            lacks: row.lacks,
            deprecated_on: row.deprecated_on,
            successor: row.successor,
            profile_of: row.profile_of,
            cache_min_tokens: row.cache_min_tokens,
            vector_size: row.vector_size,
            doubtful: row.doubtful,
            image_tokens: row.image_tokens,
            cache_write_ttl: row.cache_write_ttl,
        }
    }
}

/// Lifetimes longer than an hour only: a write for an hour costs what the next listed lifetime does.
fn with_lifetime(card: SheetCard, shortest: Option<&str>) -> SheetCard {
    let rates = card.rates;
    let hour = rates
        .get(TokenClass::CacheWrite1h)
        .or(rates.get(TokenClass::CacheWrite12h))
        .or(rates.get(TokenClass::CacheWrite));
    match shortest {
        Some("30m") => SheetCard {
            rates: rates.with(TokenClass::CacheWrite1h, hour),
            ..card
        },
        _ => card,
    }
}

#[cfg(test)]
mod tests;
