//! Where adopted time is kept: one anchor among the books' numbers, replaced as a whole. And what a ledger has to read when
//! time goes back: the balances of windows that it has forgotten.

use redb::ReadableDatabase;

use crate::domain::alert::AlertKind;
use crate::domain::event::Charge;
use crate::domain::money::Money;
use crate::domain::time::Anchor;
use crate::store::books::alerts;
use crate::store::books::tables::{ALERTS, BALANCES, META};
use crate::store::codec::Stored;
use crate::store::{ChangeTransaction, Store, StoreError};

/// Windows as the books know them.
#[derive(Debug, Default)]
pub struct KnownWindows {
    pub balances: Vec<(Charge, Money)>,
    pub told: Vec<(Charge, AlertKind)>,
}

impl Store {
    /// The anchor that was noted last; `None`: this instance has never run.
    pub fn anchor(&self) -> Result<Option<Anchor>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let meta = read.open_table(META)?;
        let number = |name: &str| Ok::<_, StoreError>(meta.get(name)?.map(|value| value.value()));
        let (Some(now_ms), Some(boot_ms)) = (number("clock_now_ms")?, number("clock_boot_ms")?)
        else {
            return Ok(None);
        };
        let boot = match (number("clock_boot_high")?, number("clock_boot_low")?) {
            (Some(high), Some(low)) => Some(u128::from(high) << 64 | u128::from(low)),
            _ => None,
        };
        let jumped_ms = number("clock_jumped_ms")?.unwrap_or(0);
        Ok(Some(Anchor {
            now_ms,
            boot_ms,
            boot,
            jumped_ms,
        }))
    }

    /// What is booked in these windows and in every later one of the same budgets, and what was told of windows.
    pub fn known_of(&self, windows: &[Charge]) -> Result<KnownWindows, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let told = alerts::told(&read.open_table(ALERTS)?)?;
        let table = read.open_table(BALANCES)?;
        let mut balances = Vec::new();
        for window in windows {
            for row in table
                .range((window.budget.0, window.window_start_ms)..=(window.budget.0, u64::MAX))?
            {
                let (key, settled) = row?;
                let (_, window_start_ms) = key.value();
                balances.push((
                    Charge {
                        window_start_ms,
                        ..*window
                    },
                    Money::decode(settled.value())?,
                ));
            }
        }
        Ok(KnownWindows { balances, told })
    }
}

impl ChangeTransaction<'_> {
    /// Notes where time goes on from after a restart.
    pub fn put_anchor(&mut self, anchor: &Anchor) -> Result<(), StoreError> {
        let mut meta = self.meta()?;
        meta.insert("clock_now_ms", anchor.now_ms)?;
        meta.insert("clock_boot_ms", anchor.boot_ms)?;
        meta.insert("clock_jumped_ms", anchor.jumped_ms)?;
        for (name, half) in [("clock_boot_high", 64), ("clock_boot_low", 0)] {
            match anchor.boot {
                Some(boot) => meta.insert(name, (boot >> half) as u64)?,
                None => meta.remove(name)?,
            };
        }
        Ok(())
    }
}
