//! Cache of answers: its modes, scopes and settings of one name, the id of an entry, and the note that a usage record keeps of a
//! lookup. Plain values; the words are part of the API and of stored records.

use std::fmt;

use crate::domain::money::Money;

/// Requests that the cache may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheMode {
    #[default]
    Off,
    /// equal requests
    Exact,
    /// equal requests, and those whose last message asks the same in other words
    Semantic,
}

/// Keys that share entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheScope {
    Key,
    #[default]
    Team,
    Organization,
}

/// Strictness of the text guards behind the vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuardMode {
    #[default]
    Strict,
    Balanced,
}

/// Settings of the cache for one route, or for the names without a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    pub mode: CacheMode,
    pub scope: CacheScope,
    pub ttl_ms: u64,
    /// `user` and `metadata` of a request do not count
    pub ignore_user: bool,
    pub guard: GuardMode,
    /// smallest cosine of a semantic answer, in thousandths
    pub threshold: Similarity,
}

/// Cosine of two texts in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Similarity(pub u16);

impl Similarity {
    /// Parses a decimal fraction from 0 to 1, of which three digits count.
    pub fn parse(text: &str) -> Option<Similarity> {
        let number: f64 = text.trim().parse().ok()?;
        let is_plain = text
            .trim()
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        let in_range = is_plain && (0.0..=1.0).contains(&number);
        in_range.then(|| Similarity((number * 1_000.0).ceil() as u16))
    }

    /// Of a cosine; a negative one counts as zero.
    pub fn of_cosine(cosine: f32) -> Similarity {
        Similarity((cosine.clamp(0.0, 1.0) * 1_000.0).floor() as u16)
    }
}

impl fmt::Display for Similarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}

impl GuardMode {
    /// Smallest threshold of the mode, which is also its default.
    pub const fn threshold(self) -> Similarity {
        match self {
            GuardMode::Strict => Similarity(800),
            GuardMode::Balanced => Similarity(850),
        }
    }
}

impl Default for CachePolicy {
    fn default() -> CachePolicy {
        CachePolicy {
            mode: CacheMode::Off,
            scope: CacheScope::Team,
            ttl_ms: 3_600_000,
            ignore_user: false,
            guard: GuardMode::Strict,
            threshold: GuardMode::Strict.threshold(),
        }
    }
}

/// Id of a cache entry, written `ce_` and 32 hexadecimal digits; it reveals nothing of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheEntryId(pub [u8; 16]);

impl CacheEntryId {
    /// Parses the text form; `None` for anything else.
    pub fn parse(text: &str) -> Option<CacheEntryId> {
        let digits = text.strip_prefix("ce_")?;
        if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(digits, 16)
            .ok()
            .map(|number| CacheEntryId(number.to_be_bytes()))
    }
}

impl fmt::Display for CacheEntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ce_{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Outcome of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheOutcome {
    /// answered by an entry of an equal request
    Exact,
    /// answered by an entry of a similar request
    Semantic,
    Miss,
    /// not looked up
    Bypass,
}

impl CacheOutcome {
    /// All outcomes; stored records contain the position.
    pub const ALL: [CacheOutcome; 4] = [
        CacheOutcome::Exact,
        CacheOutcome::Semantic,
        CacheOutcome::Miss,
        CacheOutcome::Bypass,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            CacheOutcome::Exact => "exact",
            CacheOutcome::Semantic => "semantic",
            CacheOutcome::Miss => "miss",
            CacheOutcome::Bypass => "bypass",
        }
    }

    /// The cache answered.
    pub fn is_hit(self) -> bool {
        matches!(self, CacheOutcome::Exact | CacheOutcome::Semantic)
    }
}

/// Note about the lookup of a request, without any of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheNote {
    pub outcome: CacheOutcome,
    /// the entry that answered; of a miss the nearest one
    pub entry: Option<CacheEntryId>,
    pub similarity: Option<Similarity>,
    /// under which the answer to this request is kept, if it is
    pub own: Option<CacheEntryId>,
    /// why the nearest entry was refused, or why the request was not looked up; empty for none
    pub reason: String,
    /// age of the entry that answered
    pub age_ms: u64,
    /// cost of the stored answer, which a hit does not cost again
    pub saved: Money,
}

impl CacheNote {
    pub fn of(outcome: CacheOutcome) -> CacheNote {
        CacheNote {
            outcome,
            entry: None,
            similarity: None,
            own: None,
            reason: String::new(),
            age_ms: 0,
            saved: Money::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_entry_id_round_trips_as_text() {
        let id = CacheEntryId([7; 16]);
        assert_eq!(CacheEntryId::parse(&id.to_string()), Some(id));
        for text in [
            "",
            "ce_",
            "ce_12",
            &"ce_".repeat(20),
            "ke_07070707070707070707070707070707",
        ] {
            assert_eq!(CacheEntryId::parse(text), None, "{text}");
        }
        assert_eq!(
            CacheEntryId::parse("ce_+7070707070707070707070707070707"),
            None
        );
    }

    #[test]
    fn similarity_is_written_in_thousandths() {
        let written = |cosine| Similarity::of_cosine(cosine).to_string();
        assert_eq!(
            [written(0.8129), written(1.0), written(-0.5)],
            ["0.812", "1.000", "0.000"]
        );
    }
}
