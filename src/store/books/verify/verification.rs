//! A run of the verification: collects concurrent postings, recounts the books slice by slice, checks the log and reports the
//! differences. Only one may run at a time, and no correction meanwhile: the caller ensures both.

use redb::{ReadTransaction, ReadableDatabase};

use crate::domain::event::LedgerEvent;
use crate::domain::zone::Zone;
use crate::store::books::concurrent_postings::POSTINGS_MAX;
use crate::store::books::database::applied;
use crate::store::books::store::Store;
use crate::store::books::verify::recount::Recount;
use crate::store::books::verify::report::{Part, VerifyReport};
use crate::store::books::verify::wal_check::{CheckOutcome, WalCheck};
use crate::store::error::StoreError;

/// Verification that has begun to collect postings.
pub struct Verification {
    store: Store,
    zone: Zone,
}

impl Store {
    /// Begins to collect postings and waits until everything written before is posted. It starts on the writer's thread, between two slices
    /// of retention, which pauses until the end.
    pub async fn verification(&self, zone: Zone, wait_ms: u64) -> Result<Verification, StoreError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let store = self.clone();
        self.wal.submit(Box::new(move |_| {
            store.database.concurrent_postings.start();
            // dropped here, and thereby ended, if the caller has gone
            let _ = sender.send(Verification { store, zone });
        }))?;
        let verification = receiver.await.map_err(|_| StoreError::Closed)?;
        if !self.applied_now(wait_ms).await {
            return Err(StoreError::NotVerified(
                "they are behind the ledger log; try again in a moment".into(),
            ));
        }
        Ok(verification)
    }
}

impl Drop for Verification {
    fn drop(&mut self) {
        self.store.database.concurrent_postings.stop();
    }
}

impl Verification {
    /// Reads everything; `is_wanted` is asked before each slice.
    pub fn run(self, is_wanted: impl Fn() -> bool) -> Result<VerifyReport, StoreError> {
        let mut recount = Recount::new(&self.zone, &self.read()?)?;
        let mut after = None;
        while let Some(last) = recount.slice(&self.read()?, after)? {
            if !is_wanted() {
                return Err(StoreError::NotVerified("the client disconnected".into()));
            }
            after = Some(last);
        }
        recount.close_periods(&self.read()?)?;
        // while postings are collected, because retention pauses until then
        self.check_log(&mut recount)?;
        let balances = self.read()?;
        let applied = applied(&balances)?;
        let collected = self.store.database.concurrent_postings.stop();
        if collected.len() > POSTINGS_MAX {
            let message = format!(
                "more than {POSTINGS_MAX} requests were posted meanwhile; run it at a quieter hour"
            );
            return Err(StoreError::NotVerified(message));
        }
        for (sequence, event) in &collected {
            if let LedgerEvent::Settle(settlement) = &**event {
                recount.add_late(&balances, *sequence, settlement, applied)?;
            }
        }
        recount.compare_balances(&balances)?;
        recount.check_positions(&self.store.wal().metrics(), applied);
        Ok(recount.finish())
    }

    /// Reads the active segment. Damage in a segment that was retired meanwhile is ignored: all its records are posted.
    fn check_log(&self, recount: &mut Recount<'_>) -> Result<(), StoreError> {
        let wal = self.store.wal();
        let active = wal.active();
        if !self.store.disk.exists(&active.name) && wal.active().name == active.name {
            let says = "it is gone, and the server writes to a deleted file; stop the server now, it posts all records first";
            recount.report.add(Part::Log, &active.name, says);
            return Ok(());
        }
        let mut check = WalCheck {
            active: &active,
            cutoffs: recount.cutoffs,
            report: &mut recount.report,
        };
        if let CheckOutcome::Damaged(says) = check.run(|| self.read())?
            && wal.active().name == active.name
        {
            let name = &active.name;
            let remedy = "the next start will refuse it; stop the server, which posts all records, then in the data folder";
            recount.report.add(
                Part::Log,
                name,
                format!("{says}; {remedy}: mv {name} {name}.damaged"),
            );
        }
        Ok(())
    }

    fn read(&self) -> Result<ReadTransaction, StoreError> {
        Ok(self.store.database.open()?.begin_read()?)
    }
}
