//! Adopted time in the books: one anchor in `meta`, replaced as a whole. Also the balances and alerts of windows that the ledger must
//! reload when time goes back.

use redb::ReadableDatabase;

use crate::domain::alert::AlertKind;
use crate::domain::event::Charge;
use crate::domain::money::Money;
use crate::domain::time::Anchor;
use crate::store::books::alerts;
use crate::store::books::store::Store;
use crate::store::books::tables::{ALERTS, BALANCES, META};
use crate::store::books::tenants::ChangeTransaction;
use crate::store::codec::StoredValue;
use crate::store::error::StoreError;

/// Balances and sent alerts of windows, as stored.
#[derive(Debug, Default)]
pub struct KnownWindows {
    pub balances: Vec<(Charge, Money)>,
    pub sent_alerts: Vec<(Charge, AlertKind)>,
}

impl Store {
    /// Anchor stored last; `None`: this instance has never run.
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

    /// Balances of these windows and of every later one of the same budgets, and all sent alerts.
    pub fn known_windows(&self, windows: &[Charge]) -> Result<KnownWindows, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let sent_alerts = alerts::sent(&read.open_table(ALERTS)?)?;
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
        Ok(KnownWindows {
            balances,
            sent_alerts,
        })
    }
}

impl ChangeTransaction<'_> {
    /// Stores the anchor from which time continues after a restart.
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
