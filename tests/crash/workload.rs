//! Workload of the crash and fault tests: random operations on a store, repeatable by seed, and the events that the log
//! has accepted.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gatekeeper::domain::event::{
    CallResult, Charge, CostLine, Flags, Hold, HoldId, LedgerEvent, Progress, Settlement, Status,
    Subject,
};
use gatekeeper::domain::id::{BudgetId, KeyId, OrganizationId, RequestId, TeamId};
use gatekeeper::domain::money::Money;
use gatekeeper::domain::usage::Usage;
use gatekeeper::store::{AppendError, Store};

use super::expected_books::{ExpectedBooks, block_on};
use crate::harness::rng::SeededRng;
use crate::harness::simulated_disk::AckCounters;

/// Seeded operations on a store: holds, progress marks, settlements, releases, waits and control-plane changes.
pub struct Workload {
    pub rng: SeededRng,
    /// events appended to the log
    pub events: Vec<LedgerEvent>,
    pub books: ExpectedBooks,
    pub acks: Arc<AckCounters>,
    pub wait_for_disk: bool,
    /// probability of waiting for the books, in quarters
    pub books_wait_quarters: u64,
    /// longest wait for a disk that may fail; with it the log may refuse records
    pub fault_timeout: Option<Duration>,
    pub refused: usize,
}

impl Workload {
    /// One random operation.
    pub fn step(&mut self, store: &Store) {
        let open: Vec<HoldId> = self.books.holds.keys().copied().collect();
        let any = |rng: &mut SeededRng| open[rng.between(0, open.len() as u64 - 1) as usize];
        let event = match self.rng.between(0, 15) {
            0..=5 => self.hold(),
            6 if !open.is_empty() => {
                let id = any(&mut self.rng);
                self.progress(id)
            }
            7 if !open.is_empty() => LedgerEvent::Release {
                id: any(&mut self.rng),
                at_ms: self.now_ms(),
            },
            8..=11 if !open.is_empty() => {
                let id = any(&mut self.rng);
                self.settlement(id)
            }
            12 | 13 if self.rng.between(0, 3) < self.books_wait_quarters => {
                return self.wait_for_books(store);
            }
            14 => return self.change_control_plane(store),
            _ => return self.note_synced(store),
        };
        self.log(store, event);
    }

    /// Appends this many holds.
    pub fn hold_many(&mut self, store: &Store, count: usize) {
        for _ in 0..count {
            let event = self.hold();
            self.log(store, event);
        }
    }

    fn log(&mut self, store: &Store, event: LedgerEvent) {
        let sequence = match store.wal().append(Arc::new(event.clone())) {
            Ok(sequence) => sequence,
            Err(AppendError::Failed(_)) if self.fault_timeout.is_some() => {
                self.refused += 1;
                return;
            }
            Err(error) => panic!("the log cannot be written: {error}"),
        };
        self.books.apply(&event);
        self.events.push(event);
        assert_eq!(
            sequence,
            self.events.len() as u64,
            "records are numbered without a gap"
        );
        self.acks.written.store(sequence, Ordering::SeqCst);
        if self.wait_for_disk && self.rng.between(0, 3) == 0 {
            let acknowledged = self.wait_for(store.wal().wait_committed(sequence));
            if acknowledged {
                self.acks.synced.store(sequence, Ordering::SeqCst);
            }
        }
        self.note_synced(store);
    }

    /// Notes the synced mark: the store must keep everything up to it.
    pub fn note_synced(&self, store: &Store) {
        self.acks
            .synced
            .fetch_max(store.wal().metrics().synced, Ordering::SeqCst);
    }

    fn wait_for_books(&self, store: &Store) {
        self.wait_for(store.wal().wait_posted());
        self.note_synced(store);
    }

    /// False if the future did not resolve within the fault timeout.
    fn wait_for(&self, future: impl Future<Output = ()>) -> bool {
        match self.fault_timeout {
            Some(timeout) => {
                block_on(async { tokio::time::timeout(timeout, future).await.is_ok() })
            }
            None => {
                block_on(future);
                true
            }
        }
    }

    fn change_control_plane(&self, store: &Store) {
        match block_on(store.write(|change| change.next_id())) {
            Ok(number) => self.acks.number.store(number, Ordering::SeqCst),
            Err(_) if self.fault_timeout.is_some() => {}
            Err(error) => panic!("the control plane cannot write: {error}"),
        }
    }

    fn now_ms(&self) -> u64 {
        1_800_000_000_000 + self.events.len() as u64 * 700_000
    }

    fn hold(&mut self) -> LedgerEvent {
        let at_ms = self.now_ms();
        let id = HoldId {
            request: RequestId::new(at_ms, u128::from(self.rng.next())),
            attempt: 1,
        };
        let charges = (1..=self.rng.between(0, 3)).map(|budget| Charge {
            budget: BudgetId(budget),
            window_start_ms: if budget == 3 {
                at_ms / 86_400_000 * 86_400_000
            } else {
                0
            },
        });
        let charges = charges.collect();
        let ceiling = Money::from_pico(i128::from(self.rng.between(1_000, 9_000)));
        let subject = Arc::new(Subject {
            organization: OrganizationId(1),
            team: TeamId(2),
            key: KeyId(self.rng.between(3, 5)),
            model_asked: "m".repeat(self.rng.between(1, 300) as usize).into(),
            provider: "up".into(),
            model: "m-small".into(),
            dialect: "chat".into(),
            streamed: true,
            attribution: Default::default(),
            second_models: Vec::new(),
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

    fn progress(&mut self, id: HoldId) -> LedgerEvent {
        let (after_ms, output_bytes) = (self.rng.between(1, 9_000), self.rng.between(1, 9_000));
        let cost = Money::from_pico(i128::from(self.rng.between(0, 999)));
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

    fn settlement(&mut self, id: HoldId) -> LedgerEvent {
        let mut hold = self.books.holds[&id].clone();
        hold.progress = Progress::default();
        let (count, rate_pico) = (self.rng.between(0, 100), self.rng.between(1, 10));
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
                out_total: self.rng.between(0, 50),
                ..Usage::default()
            },
            cost: Money::from_pico(i128::from(count * rate_pico)),
            lines: vec![CostLine {
                class: "input",
                count,
                rate_pico,
                ..CostLine::default()
            }],
            output_cap: None,
            upstream_status: 200,
            first_content_ms: Some(3),
            note: None,
            cache: None,
        };
        LedgerEvent::Settle(Settlement { hold, ending })
    }
}
