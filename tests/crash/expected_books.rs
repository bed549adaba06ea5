//! Expected books of the crash and fault tests: recomputed from the events in the log, independently of the store, and
//! compared with a recovered or running store.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use gatekeeper::domain::clock::ManualClock;
use gatekeeper::domain::event::{
    CallResult, Charge, Hold, HoldId, LedgerEvent, Settlement, Status,
};
use gatekeeper::domain::id::RequestId;
use gatekeeper::domain::money::Money;
use gatekeeper::domain::time::Time;
use gatekeeper::domain::zone::Zone;
use gatekeeper::store::{RecordIndex, RecoveredState, RequestLogEntry, Scan, Store};

/// Wall clock of every recovery.
const RESTART_MS: u64 = 2_000_000_000_000;

/// Clock of a ledger after a restart.
pub fn restart_time() -> Arc<Time> {
    Arc::new(Time::new(Arc::new(ManualClock::at_ms(RESTART_MS))))
}

/// Longest wait for any future.
const DEADLINE: Duration = Duration::from_secs(60);

/// Expected contents of the books, computed from the events in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedBooks {
    pub holds: BTreeMap<HoldId, Hold>,
    pub balances: BTreeMap<Charge, Money>,
    pub records: BTreeMap<HoldId, Settlement>,
}

impl ExpectedBooks {
    pub fn from_events(events: &[LedgerEvent]) -> ExpectedBooks {
        let mut books = ExpectedBooks::default();
        for event in events {
            books.apply(event);
        }
        books
    }

    pub fn apply(&mut self, event: &LedgerEvent) {
        match event {
            LedgerEvent::Hold(hold) => drop(self.holds.insert(hold.id, hold.clone())),
            LedgerEvent::Progress { id, progress } => {
                self.holds
                    .get_mut(id)
                    .expect("progress belongs to an open hold")
                    .progress = progress.clone();
            }
            LedgerEvent::Release { id, .. } => drop(self.holds.remove(id)),
            LedgerEvent::Settle(settlement) => {
                self.holds.remove(&settlement.hold.id);
                for charge in &settlement.hold.charges {
                    let balance = self.balances.entry(*charge).or_default();
                    *balance = balance.plus(settlement.ending.cost);
                }
                let previous = self.records.insert(settlement.hold.id, settlement.clone());
                assert!(previous.is_none(), "a hold resolves once");
            }
        }
    }

    /// Settlements by which a restart books open holds, in its order.
    pub fn orphans(&self) -> Vec<LedgerEvent> {
        let orphan = |hold: &Hold| {
            LedgerEvent::Settle(Settlement {
                hold: hold.clone(),
                ending: CallResult::orphaned(hold.cost_max(), RESTART_MS),
            })
        };
        self.holds.values().map(orphan).collect()
    }

    /// Checks recovered holds, balances and orphans.
    pub fn assert_recovered(&self, recovered: &RecoveredState) {
        let holds: BTreeMap<HoldId, Hold> = recovered
            .holds
            .iter()
            .map(|hold| (hold.id, hold.clone()))
            .collect();
        assert_eq!(
            holds.keys().collect::<Vec<_>>(),
            self.holds.keys().collect::<Vec<_>>()
        );
        assert_eq!(holds, self.holds);
        let balances: BTreeMap<Charge, Money> = recovered.balances.iter().copied().collect();
        assert_eq!(balances, self.balances);
        let orphans = self
            .records
            .values()
            .filter(|record| record.ending.status == Status::Orphaned)
            .count();
        assert_eq!(recovered.orphans, orphans as u64);
    }

    /// Waits for the writer, then checks every record and verifies the books.
    pub fn assert_posted(&self, store: &Store) {
        assert!(
            block_on(store.applied_now(60_000)),
            "the writer did not catch up: {:?}",
            store.wal().metrics()
        );
        let records: BTreeMap<HoldId, Settlement> = records(store)
            .into_iter()
            .map(|record| (record.hold.id, record))
            .collect();
        assert_eq!(records, self.records);
        let verified = block_on(store.verification(Zone::utc(), 60_000))
            .and_then(|verification| verification.run(|| true));
        let verified = verified.expect("the books can be verified");
        assert!(verified.differences.is_empty(), "{verified:?}");
        assert_eq!(verified.records, self.records.len() as u64);
    }
}

fn records(store: &Store) -> Vec<Settlement> {
    let id = |request| HoldId {
        request: RequestId(request),
        attempt: 0,
    };
    let (from, to) = (id(0), id(u128::MAX));
    let scan = Scan {
        index: RecordIndex::Time,
        from,
        to,
        newest_first: false,
        limit: usize::MAX,
        rows_max: usize::MAX,
    };
    let page = store
        .request_log(&scan, |_| true)
        .expect("the records can be read");
    let settlement = |entry| {
        if let RequestLogEntry::Record(record) = entry {
            Some(record.settlement)
        } else {
            None
        }
    };
    page.entries.into_iter().filter_map(settlement).collect()
}

/// Runs a future to its end; panics after the deadline.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(DEADLINE, future)
            .await
            .expect("the future resolves before the deadline")
    })
}
