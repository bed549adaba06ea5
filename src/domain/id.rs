//! Typed ids and their text form. The store numbers tenants, budgets and limits; a request id contains its admission time, so
//! ids sort by time.

use std::fmt;

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl $name {
            /// Parses the text form; `None` for anything else.
            pub fn parse(text: &str) -> Option<$name> {
                text.strip_prefix($prefix)?.parse().ok().map($name)
            }
        }
    };
}

numbered!(
    /// An organization, written `org_1`.
    OrganizationId, "org_"
);
numbered!(
    /// A team of one organization, written `team_1`.
    TeamId, "team_"
);
numbered!(
    /// A virtual key of one team, written `key_1`; not its secret.
    KeyId, "key_"
);
numbered!(
    /// An administrative key, written `adm_1`.
    AdminKeyId, "adm_"
);
numbered!(
    /// A user, written `usr_1`.
    UserId, "usr_"
);
numbered!(
    /// A budget, written `bud_1`.
    BudgetId, "bud_"
);
numbered!(
    /// A rate limit, written `limit_1`.
    LimitId, "limit_"
);

/// A request, written `req_` and 26 Crockford base-32 letters: 48 bits of milliseconds since 1970, then 80 unique bits (64 of
/// them random at start, then incremented). Ids sort by admission time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl RequestId {
    pub fn new(now_ms: u64, unique: u128) -> RequestId {
        RequestId((u128::from(now_ms) << 80) | (unique & ((1 << 80) - 1)))
    }

    /// The smallest id of an instant: the start of a range scan.
    pub fn first_at(now_ms: u64) -> RequestId {
        RequestId(u128::from(now_ms) << 80)
    }

    pub fn at_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }

    pub fn parse(text: &str) -> Option<RequestId> {
        let letters = text.strip_prefix("req_")?;
        if letters.len() != 26 {
            return None;
        }
        letters
            .bytes()
            .try_fold(0u128, |value, letter| {
                let digit = CROCKFORD.iter().position(|known| *known == letter)?;
                value.checked_mul(32).map(|value| value | digit as u128)
            })
            .map(RequestId)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = [0u8; 26];
        for (index, letter) in letters.iter_mut().rev().enumerate() {
            *letter = CROCKFORD[((self.0 >> (index * 5)) & 31) as usize];
        }
        f.write_str("req_")?;
        f.write_str(std::str::from_utf8(&letters).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_id_round_trips_and_sorts_by_time() {
        let early = RequestId::new(1_000, u128::MAX);
        let late = RequestId::new(1_001, 0);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(RequestId::parse(&early.to_string()), Some(early));
        assert_eq!(late.at_ms(), 1_001);
        assert_eq!(RequestId::parse("req_u"), None);
    }

    #[test]
    fn numbered_id_round_trips_and_rejects_other_prefix() {
        assert_eq!(KeyId::parse(&KeyId(7).to_string()), Some(KeyId(7)));
        assert_eq!(TeamId::parse("org_7"), None);
    }
}
