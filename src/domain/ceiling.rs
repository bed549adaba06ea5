//! Factor on the ceilings of a deployment whose bill was higher than its ceiling, and the notice of such a bill.

use std::fmt;

use crate::domain::id::RequestId;
use crate::domain::money::Money;

/// Factor on ceilings in thousandths, from 1 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CeilingFactor(u16);

impl CeilingFactor {
    pub const ONE: CeilingFactor = CeilingFactor(1_000);
    pub const MAX: CeilingFactor = CeilingFactor(8_000);

    /// The nearest factor that is allowed.
    pub fn of_thousandths(thousandths: u64) -> CeilingFactor {
        let max = u64::from(CeilingFactor::MAX.0);
        let within = thousandths.clamp(u64::from(CeilingFactor::ONE.0), max);
        CeilingFactor(u16::try_from(within).unwrap_or(CeilingFactor::MAX.0))
    }

    pub fn thousandths(self) -> u64 {
        u64::from(self.0)
    }

    /// Factor at which a ceiling would have covered the bill; the ceiling was multiplied by this one.
    pub fn covering(self, ceiling: Money, bill: Money) -> CeilingFactor {
        let scaled = bill.pico().saturating_mul(i128::from(self.0));
        let ceiling = ceiling.pico().max(1);
        let wanted = scaled / ceiling + i128::from(scaled % ceiling > 0);
        CeilingFactor::of_thousandths(u64::try_from(wanted).unwrap_or(u64::MAX))
    }

    #[must_use]
    pub fn halved(self) -> CeilingFactor {
        CeilingFactor::of_thousandths(u64::from(self.0 / 2))
    }

    /// A ceiling multiplied, rounded up.
    pub fn times(self, ceiling: Money) -> Money {
        if self == CeilingFactor::ONE {
            return ceiling;
        }
        let scaled = ceiling.pico().saturating_mul(i128::from(self.0));
        Money::from_pico(scaled / 1_000 + i128::from(scaled % 1_000 > 0))
    }

    /// Largest ceiling that, multiplied, is within the amount.
    pub fn fitting(self, amount: Money) -> Money {
        if self == CeilingFactor::ONE {
            return amount;
        }
        Money::from_pico(amount.pico().saturating_mul(1_000) / i128::from(self.0))
    }
}

impl fmt::Display for CeilingFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 1_000, self.0 % 1_000);
        let part = format!("{part:03}");
        match part.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            part => write!(f, "{whole}.{part}"),
        }
    }
}

/// Ceilings of one deployment since a bill was higher than its ceiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentCeiling {
    pub provider: String,
    pub model: String,
    pub factor: CeilingFactor,
    /// calls within their ceiling since the factor changed
    pub within: u32,
    /// members of requests that explain a bill above its ceiling: not sent where a budget blocks
    pub members: Vec<String>,
}

/// A bill that was higher than its ceiling, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CeilingNotice {
    pub provider: String,
    pub model: String,
    pub request: RequestId,
    pub at_ms: u64,
    pub ceiling: Money,
    pub bill: Money,
    pub factor: CeilingFactor,
    /// members of the request that explain it
    pub members: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceiling_factor_covers_the_bill_up_to_eight_times() {
        let pico = Money::from_pico;
        for (before, ceiling, bill, expected) in [
            (1_000, 200, 500, 2_500),
            (1_000, 3, 10, 3_334),
            (2_500, 500, 600, 3_000),
            (1_000, 1, 1_000_000, 8_000),
            (1_000, 0, 5, 5_000),
        ] {
            let before = CeilingFactor::of_thousandths(before);
            let covering = before.covering(pico(ceiling), pico(bill));
            assert_eq!(covering.thousandths(), expected, "{ceiling} {bill}");
        }
        assert_eq!(
            CeilingFactor::of_thousandths(1_500).halved(),
            CeilingFactor::ONE
        );
        assert_eq!(CeilingFactor::of_thousandths(2_500).to_string(), "2.5");
        assert_eq!(CeilingFactor::MAX.to_string(), "8");
    }

    #[test]
    fn ceiling_that_fits_an_amount_is_within_it_once_multiplied() {
        for thousandths in [1_000, 1_001, 3_333, 8_000] {
            let factor = CeilingFactor::of_thousandths(thousandths);
            for amount in [0, 1, 7, 999, 1_000_001] {
                let fitting = factor.fitting(Money::from_pico(amount));
                assert!(factor.times(fitting) <= Money::from_pico(amount));
            }
        }
    }
}
