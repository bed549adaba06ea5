//! Reads for reports: roll-ups by range, balances, and counters of the reads. A read transaction never outlives its call.

use std::sync::atomic::Ordering;
use std::time::Duration;

use redb::{ReadableDatabase, ReadableTable};

use crate::domain::event::Charge;
use crate::domain::id::{BudgetId, KeyId};
use crate::domain::money::Money;
use crate::store::books::slot::RowsRead;
use crate::store::books::store::Store;
use crate::store::books::tables::{BALANCES, DAYS, HOURS};
use crate::store::codec::StoredValue;
use crate::store::codec::status::class_of;
use crate::store::error::StoreError;
use crate::store::rollup::{RollupKey, RollupPeriod, RollupSums};

impl Store {
    /// Visits the roll-ups whose period begins in `from_ms..to_ms`, in order of time, at most `rows_max`; returns the number of rows read.
    pub fn rollups(
        &self,
        period: RollupPeriod,
        from_ms: u64,
        to_ms: u64,
        rows_max: u64,
        mut visit: impl FnMut(&RollupKey, &RollupSums),
    ) -> Result<u64, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let table = read.open_table(match period {
            RollupPeriod::Hour => HOURS,
            RollupPeriod::Day => DAYS,
        })?;
        let mut rows = 0;
        for row in
            table.range((from_ms, 0, "", "", "", 0)..(to_ms.max(from_ms), 0, "", "", "", 0))?
        {
            if rows == rows_max {
                break;
            }
            let (key, sums) = row?;
            let (start_ms, id, model_asked, provider, model, class) = key.value();
            let key = RollupKey {
                start_ms,
                key: KeyId(id),
                model_asked: model_asked.into(),
                provider: provider.into(),
                model: model.into(),
                class: class_of(class).map_err(|reason| StoreError::Record {
                    kind: RollupSums::KIND,
                    reason,
                })?,
            };
            visit(&key, &RollupSums::decode(sums.value())?);
            rows += 1;
        }
        self.database
            .rows_read
            .rollups
            .fetch_add(rows, Ordering::Relaxed);
        Ok(rows)
    }

    /// Settled amount of every budget window.
    pub fn balances(&self) -> Result<Vec<(Charge, Money)>, StoreError> {
        let read = self.database.open()?.begin_read()?;
        let table = read.open_table(BALANCES)?;
        table
            .iter()?
            .map(|row| {
                let (key, bytes) = row?;
                let (budget, window_start_ms) = key.value();
                Ok((
                    Charge {
                        budget: BudgetId(budget),
                        window_start_ms,
                    },
                    Money::decode(bytes.value())?,
                ))
            })
            .collect()
    }

    /// Rows read by reports since the start: roll-ups, and entries of the request log.
    pub fn rows_read(&self) -> (u64, u64) {
        let RowsRead {
            rollups, requests, ..
        } = &self.database.rows_read;
        (
            rollups.load(Ordering::Relaxed),
            requests.load(Ordering::Relaxed),
        )
    }

    /// Wakes the waiters for postings and audit events, so that they check their deadline and the shutdown.
    pub fn wake_followers(&self) {
        self.wal.notify_followers();
        self.audit_end.send_modify(|_| {});
    }

    /// Pages of the books read from the disk since the start.
    pub fn pages_read(&self) -> u64 {
        self.database.io_state.pages_read.load(Ordering::Relaxed)
    }

    /// Waits until every record written by now is posted; `false` after `wait_ms`.
    pub async fn applied_now(&self, wait_ms: u64) -> bool {
        tokio::time::timeout(Duration::from_millis(wait_ms), self.wal.wait_posted())
            .await
            .is_ok()
    }
}
