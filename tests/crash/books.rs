//! What is asked of a store in the tests of crashes and faults, and the books as they must come out: reckoned from the events
//! that the log has taken, beside the store.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gatekeeper::domain::clock::ManualClock;
use gatekeeper::domain::event::{
    CallResult, Charge, CostLine, Flags, Hold, HoldId, LedgerEvent, Progress, Settlement, Status,
    Subject,
};
use gatekeeper::domain::id::{BudgetId, KeyId, OrganizationId, RequestId, TeamId};
use gatekeeper::domain::money::Money;
use gatekeeper::domain::time::Time;
use gatekeeper::domain::usage::Usage;
use gatekeeper::domain::zone::Zone;
use gatekeeper::store::{AppendError, RecordIndex, RecoveredState, RequestLogEntry, Scan, Store};

use crate::harness::rng::SeededRng;
use crate::harness::simulated_disk::AckCounters;

/// When every recovery takes place.
const RESTART_MS: u64 = 2_000_000_000_000;

/// The time that a ledger goes by when it starts again.
pub fn restarted() -> Arc<Time> {
    Arc::new(Time::new(Arc::new(ManualClock::at_ms(RESTART_MS))))
}
/// A future that takes so long has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// The books as they must be, computed from the events of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    pub holds: BTreeMap<HoldId, Hold>,
    pub balances: BTreeMap<Charge, Money>,
    pub records: BTreeMap<HoldId, Settlement>,
}

impl Books {
    pub fn of(events: &[LedgerEvent]) -> Books {
        let mut books = Books::default();
        for event in events {
            books.take(event);
        }
        books
    }

    fn take(&mut self, event: &LedgerEvent) {
        match event {
            LedgerEvent::Hold(hold) => drop(self.holds.insert(hold.id, hold.clone())),
            LedgerEvent::Progress { id, progress } => {
                self.holds
                    .get_mut(id)
                    .expect("progress is of an open hold")
                    .progress = progress.clone();
            }
            LedgerEvent::Release { id, .. } => drop(self.holds.remove(id)),
            LedgerEvent::Settle(settlement) => {
                self.holds.remove(&settlement.hold.id);
                for charge in &settlement.hold.charges {
                    let balance = self.balances.entry(*charge).or_default();
                    *balance = balance.plus(settlement.ending.cost);
                }
                let twice = self.records.insert(settlement.hold.id, settlement.clone());
                assert!(twice.is_none(), "a hold resolves once");
            }
        }
    }

    /// What a restart makes of open holds, in its order.
    pub fn orphans(&self) -> Vec<LedgerEvent> {
        let orphan = |hold: &Hold| {
            LedgerEvent::Settle(Settlement {
                hold: hold.clone(),
                ending: CallResult::orphaned(hold.cost_max(), RESTART_MS),
            })
        };
        self.holds.values().map(orphan).collect()
    }

    pub fn is_what_was_recovered(&self, recovered: &RecoveredState) {
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

    /// Everything is booked: the records one by one, and the books agree with themselves.
    pub fn is_in(&self, store: &Store) {
        assert!(
            waits(store.applied_now(60_000)),
            "the writer did not catch up: {:?}",
            store.wal().metrics()
        );
        let records: BTreeMap<HoldId, Settlement> = records(store)
            .into_iter()
            .map(|record| (record.hold.id, record))
            .collect();
        assert_eq!(records, self.records);
        let verified =
            waits(store.verification(Zone::utc(), 60_000)).and_then(|begun| begun.run(|| true));
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
    let found = store
        .request_log(&scan, |_| true)
        .expect("the records can be read");
    let booked = |entry| {
        if let RequestLogEntry::Record(record) = entry {
            Some(record.settlement)
        } else {
            None
        }
    };
    found.entries.into_iter().filter_map(booked).collect()
}

pub fn waits<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(DEADLINE, future)
            .await
            .expect("it happens before the deadline")
    })
}

/// What is asked of a store: holds, marks, endings, waits and changes of the control plane, as the seed has them.
pub struct Work {
    pub seeded: SeededRng,
    /// what the log has taken
    pub events: Vec<LedgerEvent>,
    pub books: Books,
    pub promises: Arc<AckCounters>,
    pub wait_for_disk: bool,
    /// how often it waits for the books, of four times that it might
    pub patience: u64,
    /// how long it waits for a disk that may fail, and that the log may refuse what it is asked to take
    pub bears_faults: Option<Duration>,
    pub refused: usize,
}

impl Work {
    pub fn step(&mut self, store: &Store) {
        let open: Vec<HoldId> = self.books.holds.keys().copied().collect();
        let any = |seeded: &mut SeededRng| open[seeded.between(0, open.len() as u64 - 1) as usize];
        let event = match self.seeded.between(0, 15) {
            0..=5 => self.hold(),
            6 if !open.is_empty() => {
                let id = any(&mut self.seeded);
                let (after_ms, output_bytes) =
                    (self.seeded.between(1, 9_000), self.seeded.between(1, 9_000));
                let cost = Money::from_pico(i128::from(self.seeded.between(0, 999)));
                LedgerEvent::Progress {
                    id,
                    progress: Progress {
                        after_ms,
                        output_bytes,
                        usage: None,
                        cost,
                    },
                }
            }
            7 if !open.is_empty() => LedgerEvent::Release {
                id: any(&mut self.seeded),
                at_ms: self.now_ms(),
            },
            8..=11 if !open.is_empty() => {
                let id = any(&mut self.seeded);
                self.settlement(id)
            }
            12 | 13 if self.seeded.between(0, 3) < self.patience => {
                return self.waits_for_books(store);
            }
            14 => {
                return self.changes(store);
            }
            _ => return self.looks(store),
        };
        self.logs(store, event);
    }

    /// Begins so many calls, one right after the other.
    pub fn holds(&mut self, store: &Store, count: usize) {
        for _ in 0..count {
            let event = self.hold();
            self.logs(store, event);
        }
    }

    fn logs(&mut self, store: &Store, event: LedgerEvent) {
        let sequence = match store.wal().append(Arc::new(event.clone())) {
            Ok(sequence) => sequence,
            Err(AppendError::Failed(_)) if self.bears_faults.is_some() => {
                self.refused += 1;
                return;
            }
            Err(error) => panic!("the log cannot be written: {error}"),
        };
        self.books.take(&event);
        self.events.push(event);
        assert_eq!(
            sequence,
            self.events.len() as u64,
            "records are numbered without a gap"
        );
        self.promises.written.store(sequence, Ordering::SeqCst);
        if self.wait_for_disk && self.seeded.between(0, 3) == 0 {
            let acknowledged = self.waits_for(store.wal().wait_committed(sequence));
            if acknowledged {
                self.promises.synced.store(sequence, Ordering::SeqCst);
            }
        }
        self.looks(store);
    }

    /// What is reported to be on disk is a promise.
    pub fn looks(&self, store: &Store) {
        self.promises
            .synced
            .fetch_max(store.wal().metrics().synced, Ordering::SeqCst);
    }

    fn waits_for_books(&self, store: &Store) {
        self.waits_for(store.wal().wait_posted());
        self.looks(store);
    }

    /// Whether it has happened: on a disk that may fail it need not.
    fn waits_for(&self, future: impl Future<Output = ()>) -> bool {
        match self.bears_faults {
            Some(patience) => waits(async { tokio::time::timeout(patience, future).await.is_ok() }),
            None => {
                waits(future);
                true
            }
        }
    }

    fn changes(&self, store: &Store) {
        match waits(store.write(|change| change.next_id())) {
            Ok(number) => self.promises.number.store(number, Ordering::SeqCst),
            Err(_) if self.bears_faults.is_some() => {}
            Err(error) => panic!("the control plane cannot write: {error}"),
        }
    }

    fn now_ms(&self) -> u64 {
        1_800_000_000_000 + self.events.len() as u64 * 700_000
    }

    fn hold(&mut self) -> LedgerEvent {
        let at_ms = self.now_ms();
        let id = HoldId {
            request: RequestId::new(at_ms, u128::from(self.seeded.next())),
            attempt: 1,
        };
        let charges = (1..=self.seeded.between(0, 3)).map(|budget| Charge {
            budget: BudgetId(budget),
            window_start_ms: if budget == 3 {
                at_ms / 86_400_000 * 86_400_000
            } else {
                0
            },
        });
        let charges = charges.collect();
        let ceiling = Money::from_pico(i128::from(self.seeded.between(1_000, 9_000)));
        let subject = Arc::new(Subject {
            organization: OrganizationId(1),
            team: TeamId(2),
            key: KeyId(self.seeded.between(3, 5)),
            model_asked: "m".repeat(self.seeded.between(1, 300) as usize),
            provider: "up".into(),
            model: "m-small".into(),
            dialect: "chat".into(),
            streamed: true,
            attribution: Default::default(),
        });
        LedgerEvent::Hold(Hold {
            id,
            at_ms,
            subject,
            ceiling,
            charges,
            progress: Progress::default(),
        })
    }

    fn settlement(&mut self, id: HoldId) -> LedgerEvent {
        let mut hold = self.books.holds[&id].clone();
        hold.progress = Progress::default();
        let (count, rate_pico) = (self.seeded.between(0, 100), self.seeded.between(1, 10));
        let ending = CallResult {
            ended_ms: self.now_ms(),
            status: if count > 90 {
                Status::Broken
            } else {
                Status::Ok
            },
            flags: Flags::default(),
            usage: Usage {
                uncached_in: count,
                out_total: self.seeded.between(0, 50),
                ..Usage::default()
            },
            cost: Money::from_pico(i128::from(count * rate_pico)),
            lines: vec![CostLine {
                class: "input",
                count,
                rate_pico,
            }],
            output_cap: None,
            upstream_status: 200,
            first_content_ms: Some(3),
        };
        LedgerEvent::Settle(Settlement { hold, ending })
    }
}
