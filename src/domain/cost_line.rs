//! Lines of a bill as a record keeps them: count × rate, and the card that the rate comes from. The amounts of a record's lines
//! sum to its cost; the classes and units are stored by position.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::domain::money::Money;

/// Factor of one in millionths.
pub const FACTOR_ONE: u64 = 1_000_000;

/// Card that a rate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceCard {
    /// model that the card belongs to
    pub model: String,
    /// tier as priced; `unlisted` if the dearest tier stands in
    pub tier: Cow<'static, str>,
    /// place of the deployment, if the configuration names one
    pub place: Option<String>,
    /// the band holds for prompts of more tokens than this
    pub above_input_tokens: u64,
    /// factor on every token rate, in millionths
    pub factor_millionths: u64,
    /// the operator's rates, not those of the price sheet
    pub is_own: bool,
}

impl Default for PriceCard {
    fn default() -> PriceCard {
        PriceCard {
            model: String::new(),
            tier: Cow::Borrowed(""),
            place: None,
            above_input_tokens: 0,
            factor_millionths: FACTOR_ONE,
            is_own: false,
        }
    }
}

impl PriceCard {
    /// Factor as a plain decimal: `1.1`.
    pub fn factor(&self) -> String {
        let pico = i128::from(self.factor_millionths) * i128::from(FACTOR_ONE);
        Money::from_pico(pico).to_string()
    }
}

/// Unit of a line's count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineUnit {
    #[default]
    Token,
    /// call of a tool
    Call,
    /// search that the model runs
    Query,
    /// once for a request, however many searches it ran
    Prompt,
    /// session of a container
    Session,
    /// once for a request
    Request,
}

impl LineUnit {
    pub const ALL: [LineUnit; 6] = [
        LineUnit::Token,
        LineUnit::Call,
        LineUnit::Query,
        LineUnit::Prompt,
        LineUnit::Session,
        LineUnit::Request,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            LineUnit::Token => "token",
            LineUnit::Call => "call",
            LineUnit::Query => "query",
            LineUnit::Prompt => "prompt",
            LineUnit::Session => "session",
            LineUnit::Request => "request",
        }
    }
}

/// One line of a bill: count × rate = amount, stored with the rate used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CostLine {
    /// one of `CLASSES`; `ceiling` if the full hold was charged
    pub class: &'static str,
    pub count: u64,
    /// pico-USD per unit
    pub rate_pico: u64,
    pub unit: LineUnit,
    /// pico-USD per unit before the card's factor
    pub listed_pico: u64,
    /// absent for a ceiling, and in records of earlier releases
    pub card: Option<Arc<PriceCard>>,
}

impl CostLine {
    /// Classes of cost lines; stored records contain the position.
    pub const CLASSES: [&'static str; 25] = [
        "input",
        "cache_read",
        "cache_read_audio",
        "cache_write_5m",
        "cache_write_1h",
        "cache_write",
        "output",
        "audio_in",
        "audio_out",
        "image_out",
        "reasoning",
        "web_search",
        "ceiling",
        "web_search_preview",
        "google_search",
        "google_maps",
        "browser_search",
        "browser_open",
        "file_search",
        "code_interpreter",
        "image_in",
        "cache_read_image",
        "cache_write_12h",
        "request",
        "reported",
    ];

    pub fn amount(&self) -> Money {
        Money::from_pico(i128::from(self.rate_pico)).times(self.count)
    }
}

/// `standard tier of gpt-5.4 in eu above 272000 tokens`
impl fmt::Display for PriceCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_own {
            f.write_str("own price")?;
        } else {
            write!(f, "{} tier", self.tier)?;
        }
        if !self.model.is_empty() {
            write!(f, " of {}", self.model)?;
        }
        if let Some(place) = &self.place {
            write!(f, " in {place}")?;
        }
        if self.above_input_tokens > 0 {
            write!(f, " above {} tokens", self.above_input_tokens)?;
        }
        Ok(())
    }
}

/// `1000 input: $0.00000125 per token × 1.1 = $0.001375 (standard tier of gpt-5.4 in eu)`
impl fmt::Display for CostLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, class, unit) = (self.count, self.class, self.unit.as_str());
        let rate = Money::from_pico(i128::from(self.listed_pico));
        write!(f, "{count} {class}: ${rate} per {unit}")?;
        let card = self.card.as_deref();
        let factored = card.filter(|card| card.factor_millionths != FACTOR_ONE);
        if let Some(card) = factored.filter(|_| self.unit == LineUnit::Token) {
            write!(f, " × {}", card.factor())?;
        }
        write!(f, " = ${}", self.amount())?;
        card.map_or(Ok(()), |card| write!(f, " ({card})"))
    }
}
