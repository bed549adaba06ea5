//! One count of a usage report: absent, a value, or invalid. Must never guess.

use serde::de::MapAccess;
use serde::{Deserialize, Deserializer};

use crate::dialect::wire::json::Leaf;
use crate::domain::usage::TOKENS_MAX;

/// A number of tokens or searches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Count {
    #[default]
    Absent,
    Value(u64),
    /// negative, fractional, too large, not a number
    Invalid,
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Count, D::Error> {
        Leaf::deserialize(json).map(|leaf| Count::of(&leaf))
    }
}

impl Count {
    fn of(leaf: &Leaf<'_>) -> Count {
        match leaf {
            Leaf::Null => Count::Absent,
            Leaf::Whole(tokens) if *tokens <= TOKENS_MAX => Count::Value(*tokens),
            _ => Count::Invalid,
        }
    }

    /// A count that may be null.
    pub(crate) fn optional<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Count, A::Error> {
        map.next_value()
    }

    /// A count for which null is invalid.
    pub(crate) fn required<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Count, A::Error> {
        Count::optional(map).map(|count| {
            if count == Count::Absent {
                Count::Invalid
            } else {
                count
            }
        })
    }

    pub(crate) fn then(&mut self, later: Count) {
        if later != Count::Absent {
            *self = later;
        }
    }

    pub(crate) fn is_reported(self) -> bool {
        self != Count::Absent
    }

    /// Tokens of this total beyond its parts. An absent or invalid total explains nothing.
    pub(crate) fn beyond(self, parts: &[u64]) -> u64 {
        let explained = parts.iter().copied().fold(0, u64::saturating_add);
        self.tokens().saturating_sub(explained)
    }

    pub(crate) fn tokens(self) -> u64 {
        match self {
            Count::Value(tokens) => tokens,
            Count::Absent | Count::Invalid => 0,
        }
    }
}
