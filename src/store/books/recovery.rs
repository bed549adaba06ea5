//! Recovery of the in-memory state: holds, balances and sent alerts as of the last record of the log, computed from the books and the
//! records that they lack. It adds amounts found in records and writes nothing.

use std::collections::{HashMap, HashSet};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use crate::domain::alert::AlertKind;
use crate::domain::event::{Charge, Flags, Hold, HoldId, LedgerEvent};
use crate::domain::id::BudgetId;
use crate::domain::money::Money;
use crate::store::books::alerts;
use crate::store::books::tables::{ALERTS, BALANCES, OPEN_HOLDS, ORPHANS};
use crate::store::codec::StoredValue;
use crate::store::error::StoreError;
use crate::store::wal::recovery::Replay;

/// State that the ledger resumes from.
#[derive(Debug, Default)]
pub struct RecoveredState {
    pub holds: Vec<Hold>,
    pub balances: Vec<(Charge, Money)>,
    /// uncorrected records of calls that were booked at their ceiling after a crash
    pub orphans: u64,
    /// alerts already sent, by budget window
    pub sent_alerts: Vec<(Charge, AlertKind)>,
    /// repairs and upgrades, for the start log
    pub remarks: Vec<String>,
    /// records of the log that the books lacked
    pub replayed: u64,
}

/// Reads the books and applies the replayed records.
pub(in crate::store) fn recover(
    database: &Database,
    replay: &Replay,
) -> Result<RecoveredState, StoreError> {
    let read = database.begin_read()?;
    let mut state = ReplayState::read(&read)?;
    for (_, event) in &replay.events {
        state.apply(event);
    }
    let mut holds: Vec<Hold> = state.holds.into_values().collect();
    holds.sort_by_key(|hold| hold.id);
    Ok(RecoveredState {
        holds,
        balances: state.balances.into_iter().collect(),
        orphans: state.orphans,
        sent_alerts: alerts::sent(&read.open_table(ALERTS)?)?,
        remarks: replay.remarks.clone(),
        replayed: replay.events.len() as u64,
    })
}

struct ReplayState {
    holds: HashMap<HoldId, Hold>,
    balances: HashMap<Charge, Money>,
    /// settled or released by a replayed record that stands before the record of the hold
    closed_early: HashSet<HoldId>,
    orphans: u64,
}

impl ReplayState {
    fn read(read: &ReadTransaction) -> Result<ReplayState, StoreError> {
        let mut holds = HashMap::new();
        for row in read.open_table(OPEN_HOLDS)?.iter()? {
            let hold = Hold::decode(row?.1.value())?;
            holds.insert(hold.id, hold);
        }
        let mut balances = HashMap::new();
        for row in read.open_table(BALANCES)?.iter()? {
            let (key, bytes) = row?;
            let (budget, window_start_ms) = key.value();
            let charge = Charge {
                budget: BudgetId(budget),
                window_start_ms,
            };
            balances.insert(charge, Money::decode(bytes.value())?);
        }
        Ok(ReplayState {
            holds,
            balances,
            closed_early: HashSet::new(),
            orphans: read.open_table(ORPHANS)?.len()?,
        })
    }

    fn apply(&mut self, event: &LedgerEvent) {
        match event {
            LedgerEvent::Hold(hold) if self.closed_early.remove(&hold.id) => {}
            LedgerEvent::Hold(hold) => {
                self.holds.insert(hold.id, hold.clone());
            }
            LedgerEvent::Release { id, .. } => self.close(*id),
            LedgerEvent::Settle(settlement) => {
                self.close(settlement.hold.id);
                self.orphans += u64::from(settlement.ending.flags.has(Flags::ORPHANED));
                for charge in &settlement.hold.charges {
                    let balance = self.balances.entry(*charge).or_default();
                    *balance = balance.plus(settlement.ending.cost);
                }
            }
            LedgerEvent::Progress { id, progress } => {
                if let Some(hold) = self.holds.get_mut(id) {
                    hold.progress = progress.clone();
                }
            }
        }
    }
    /// Removes a hold at once: a log of many records must not need memory for each.
    fn close(&mut self, id: HoldId) {
        if self.holds.remove(&id).is_none() {
            self.closed_early.insert(id);
        }
    }
}
