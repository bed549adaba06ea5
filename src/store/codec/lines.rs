//! Cost lines as rows, with the price cards that they name by position. The positions in `CostLine::CLASSES` and `LineUnit::ALL` are
//! stored. Lines are written without a copy of them.

use std::borrow::Cow;
use std::sync::Arc;

use serde::ser::{Error, SerializeSeq, SerializeStruct};
use serde::{Deserialize, Serialize, Serializer};

use crate::domain::event::{CostLine, LineUnit, PriceCard};

/// Position in `CostLine::CLASSES`, count, rate.
pub(in crate::store) type LineRowV2 = (u8, u64, u64);

/// Cost lines, and the cards that they name by position, as they are read.
#[derive(Deserialize)]
pub(in crate::store) struct LinesRow<'a> {
    cards: Vec<CardRow<'a>>,
    lines: Vec<LineRow>,
}

/// Cost lines as they are written: the same bytes as those of a [`LinesRow`].
pub(in crate::store) struct WrittenLines<'a>(pub &'a [CostLine]);

#[derive(Serialize, Deserialize)]
struct CardRow<'a> {
    model: Cow<'a, str>,
    tier: Cow<'a, str>,
    place: Option<Cow<'a, str>>,
    above_input_tokens: u64,
    factor_millionths: u64,
    is_own: bool,
}

#[derive(Serialize, Deserialize)]
struct LineRow {
    /// position in `CostLine::CLASSES`
    class: u8,
    count: u64,
    rate_pico: u64,
    /// position in `LineUnit::ALL`
    unit: u8,
    listed_pico: u64,
    card: Option<u8>,
}

/// Version of the cost lines.
pub(in crate::store) trait LinesVersion {
    fn lines(self) -> Result<Vec<CostLine>, String>;
}

impl LinesVersion for Vec<LineRowV2> {
    fn lines(self) -> Result<Vec<CostLine>, String> {
        let line = |(class, count, rate_pico): LineRowV2| {
            Ok(CostLine {
                class: class_of_line(class)?,
                count,
                rate_pico,
                listed_pico: rate_pico,
                ..CostLine::default()
            })
        };
        self.into_iter().map(line).collect()
    }
}

impl LinesVersion for LinesRow<'_> {
    fn lines(self) -> Result<Vec<CostLine>, String> {
        let card = |row: CardRow<'_>| {
            Arc::new(PriceCard {
                model: row.model.into_owned(),
                tier: row.tier.into_owned().into(),
                place: row.place.map(Cow::into_owned),
                above_input_tokens: row.above_input_tokens,
                factor_millionths: row.factor_millionths,
                is_own: row.is_own,
            })
        };
        let cards: Vec<Arc<PriceCard>> = self.cards.into_iter().map(card).collect();
        let card_of = |number: u8| {
            let card = cards.get(usize::from(number)).cloned();
            card.ok_or_else(|| format!("unknown card {number}"))
        };
        let line = |row: LineRow| {
            let unit = LineUnit::ALL.get(usize::from(row.unit)).copied();
            Ok(CostLine {
                class: class_of_line(row.class)?,
                count: row.count,
                rate_pico: row.rate_pico,
                unit: unit.ok_or_else(|| format!("unknown unit {}", row.unit))?,
                listed_pico: row.listed_pico,
                card: row.card.map(card_of).transpose()?,
            })
        };
        self.lines.into_iter().map(line).collect()
    }
}

fn class_of_line(number: u8) -> Result<&'static str, String> {
    let class = CostLine::CLASSES.get(usize::from(number)).copied();
    class.ok_or_else(|| format!("unknown cost class {number}"))
}

impl Serialize for WrittenLines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("LinesRow", 2)?;
        row.serialize_field("cards", &CardRows(self.0))?;
        row.serialize_field("lines", &LineRows(self.0))?;
        row.end()
    }
}

/// The different cards of cost lines.
struct CardRows<'a>(&'a [CostLine]);

impl Serialize for CardRows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(cards_of(self.0).count()))?;
        for card in cards_of(self.0) {
            rows.serialize_element(&CardRow {
                model: Cow::Borrowed(card.model.as_str()),
                tier: Cow::Borrowed(&card.tier),
                place: card.place.as_deref().map(Cow::Borrowed),
                above_input_tokens: card.above_input_tokens,
                factor_millionths: card.factor_millionths,
                is_own: card.is_own,
            })?;
        }
        rows.end()
    }
}

struct LineRows<'a>(&'a [CostLine]);

impl Serialize for LineRows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.0.len()))?;
        for line in self.0 {
            let mut classes = CostLine::CLASSES.iter();
            let class = classes.position(|class| *class == line.class);
            let unknown = || S::Error::custom(format!("unknown cost class `{}`", line.class));
            let number = |card| cards_of(self.0).position(|known| known == card);
            rows.serialize_element(&LineRow {
                class: class.ok_or_else(unknown)? as u8,
                count: line.count,
                rate_pico: line.rate_pico,
                unit: line.unit as u8,
                listed_pico: line.listed_pico,
                card: line
                    .card
                    .as_ref()
                    .and_then(number)
                    .and_then(|number| u8::try_from(number).ok()),
            })?;
        }
        rows.end()
    }
}

/// The different cards, in the order of their first lines.
fn cards_of(lines: &[CostLine]) -> impl Iterator<Item = &Arc<PriceCard>> {
    let cards = lines.iter().enumerate();
    cards.filter_map(|(place, line)| {
        let card = line.card.as_ref()?;
        let is_known = |earlier: &CostLine| earlier.card.as_ref() == Some(card);
        (!lines[..place].iter().any(is_known)).then_some(card)
    })
}
