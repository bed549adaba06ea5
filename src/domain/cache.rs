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
}

/// Keys that share entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheScope {
    Key,
    #[default]
    Team,
    Organization,
}

/// Settings of the cache for one route, or for the names without a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    pub mode: CacheMode,
    pub scope: CacheScope,
    pub ttl_ms: u64,
    /// `user` and `metadata` of a request do not count
    pub ignore_user: bool,
}

impl Default for CachePolicy {
    fn default() -> CachePolicy {
        CachePolicy {
            mode: CacheMode::Off,
            scope: CacheScope::Team,
            ttl_ms: 3_600_000,
            ignore_user: false,
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
    Miss,
    /// not looked up
    Bypass,
}

impl CacheOutcome {
    /// All outcomes; stored records contain the position.
    pub const ALL: [CacheOutcome; 3] = [
        CacheOutcome::Exact,
        CacheOutcome::Miss,
        CacheOutcome::Bypass,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            CacheOutcome::Exact => "exact",
            CacheOutcome::Miss => "miss",
            CacheOutcome::Bypass => "bypass",
        }
    }

    /// The cache answered.
    pub fn is_hit(self) -> bool {
        self == CacheOutcome::Exact
    }
}

/// Note about the lookup of a request, without any of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheNote {
    pub outcome: CacheOutcome,
    /// the entry that answered
    pub entry: Option<CacheEntryId>,
    /// why the request was not looked up; empty for none
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
}
