//! Randomized model test of the ledger state, without I/O: claims, progress, endings, repeated endings, crashes and replays from
//! any record over several budgets, determined by a seed. Every amount is checked against an independent model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::budget::{Action, Budget, Owner, Period};
use crate::domain::event::{
    CallResult, Charge, Flags, Hold, HoldId, LedgerEvent, Progress, Settlement, Status, Subject,
};
use crate::domain::id::{BudgetId, KeyId, OrganizationId, RequestId, TeamId};
use crate::domain::money::Money;
use crate::domain::usage::Usage;
use crate::domain::zone::Zone;
use crate::meter::state::{HoldDenial, LedgerState};

/// Default number of runs; `GK_LIVES` overrides it.
const RUNS: u64 = 400;
const STEPS: usize = 150;
const HOUR_MS: u64 = 3_600_000;

/// Limit in pico-USD, period, action.
const BUDGETS: [(i128, Period, Action); 5] = [
    (100, Period::Total, Action::Block),
    (60, Period::Daily, Action::Block),
    (500, Period::Total, Action::Block),
    (40, Period::Daily, Action::Warn),
    (200, Period::Monthly, Action::Block),
];

/// Pseudo-random numbers (xorshift): a seed always yields the same run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn pick<T: Copy>(&mut self, of: impl IntoIterator<Item = T>) -> Option<T> {
        let all: Vec<T> = of.into_iter().collect();
        (!all.is_empty()).then(|| all[self.below(all.len() as u64) as usize])
    }
}

/// Independent model: the state expected from the logged events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ExpectedState {
    open: BTreeMap<HoldId, Hold>,
    ended: BTreeSet<HoldId>,
    settled: BTreeMap<Charge, Money>,
    /// cost above the ceiling of its hold
    excess: BTreeMap<Charge, Money>,
}

impl ExpectedState {
    fn of(events: &[LedgerEvent]) -> ExpectedState {
        let mut expected = ExpectedState::default();
        events.iter().for_each(|event| expected.take(event));
        expected
    }

    fn take(&mut self, event: &LedgerEvent) {
        match event {
            LedgerEvent::Hold(hold) => drop(self.open.insert(hold.id, hold.clone())),
            LedgerEvent::Progress { id, progress } => {
                self.open.get_mut(id).expect("open").progress = progress.clone()
            }
            LedgerEvent::Release { id, .. } => self.end(*id),
            LedgerEvent::Settle(Settlement { hold, ending }) => {
                self.end(hold.id);
                for charge in &hold.charges {
                    let settled = self.settled.entry(*charge).or_default();
                    *settled = settled.plus(ending.cost);
                    let excess = self.excess.entry(*charge).or_default();
                    *excess = excess.plus(ending.cost.minus(hold.ceiling).max(Money::ZERO));
                }
            }
        }
    }

    fn end(&mut self, id: HoldId) {
        assert!(self.open.remove(&id).is_some(), "{id:?} was not open");
        assert!(self.ended.insert(id), "{id:?} has ended twice");
    }

    fn held(&self, charge: Charge) -> Money {
        self.open
            .values()
            .filter(|hold| hold.charges.contains(&charge))
            .map(|hold| hold.ceiling)
            .sum()
    }
}

struct Run {
    random: Random,
    now_ms: u64,
    state: LedgerState,
    log: Vec<LedgerEvent>,
    expected: ExpectedState,
    next: u128,
}

fn budgets() -> impl Iterator<Item = Budget> {
    BUDGETS
        .iter()
        .zip(1..)
        .map(|((limit, period, action), id)| Budget {
            id: BudgetId(id),
            owner: Owner::Team(TeamId(1)),
            limit: Money::from_pico(*limit),
            period: *period,
            action: *action,
            model: None,
        })
}

fn with_budgets(mut state: LedgerState, now_ms: u64) -> LedgerState {
    budgets().for_each(|budget| state.set_budget(budget, now_ms));
    state
}

impl Run {
    fn begin(seed: u64) -> Run {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let now_ms = 1_700_000_000_000 + random.below(1_000_000_000);
        let state = with_budgets(LedgerState::new(Zone::utc()), now_ms);
        Run {
            random,
            now_ms,
            state,
            log: Vec::new(),
            expected: ExpectedState::default(),
            next: 1,
        }
    }

    fn step(&mut self) {
        self.now_ms += if self.random.below(8) == 0 {
            self.random.below(9 * HOUR_MS)
        } else {
            self.random.below(1_000)
        };
        match self.random.below(20) {
            0..=8 => self.claim(),
            9 => self.claim_again(),
            10..=14 => self.end(),
            15 => self.end_again(),
            16 => self.record_progress(),
            17 | 18 => self.replay(),
            _ => self.crash(),
        }
        self.assert_expected();
    }

    /// Applies and logs an event like `Ledger`.
    fn record(&mut self, event: LedgerEvent) -> Vec<BudgetId> {
        let freed = self.state.apply(&event);
        self.expected.take(&event);
        self.log.push(event);
        freed
    }

    fn claim(&mut self) {
        let id = HoldId {
            request: RequestId(self.next),
            attempt: 1,
        };
        self.next += 1;
        let ids: Vec<BudgetId> = budgets()
            .map(|budget| budget.id)
            .filter(|_| self.random.below(2) == 0)
            .collect();
        let ceiling = Money::from_pico(i128::from(self.random.below(30)));
        let hold = self.hold(id, ceiling);
        match self.state.check_room(&ids, &hold, self.now_ms) {
            Ok(charges) => {
                assert_eq!(
                    charges
                        .iter()
                        .map(|charge| charge.budget)
                        .collect::<Vec<_>>(),
                    ids
                );
                drop(self.record(LedgerEvent::Hold(Hold { charges, ..hold })));
            }
            Err(HoldDenial::Exceeded { status, .. }) => {
                assert!(status.settled.plus(ceiling) > status.limit)
            }
            Err(HoldDenial::Held { status, .. }) => {
                assert!(status.settled.plus(ceiling) <= status.limit);
                assert!(status.settled.plus(status.held).plus(ceiling) > status.limit);
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    fn hold(&self, id: HoldId, ceiling: Money) -> Hold {
        let subject = Arc::new(Subject {
            organization: OrganizationId(1),
            team: TeamId(1),
            key: KeyId(1),
            model_asked: "m".into(),
            provider: "p".into(),
            model: "m".into(),
            dialect: "chat".into(),
            streamed: false,
            attribution: Default::default(),
            second_models: Vec::new(),
        });
        Hold {
            id,
            at_ms: self.now_ms,
            subject,
            ceiling,
            charges: Vec::new(),
            progress: Progress::default(),
        }
    }

    fn claim_again(&mut self) {
        let Some(id) = self.random.pick(self.expected.open.keys().copied()) else {
            return;
        };
        let again = self.hold(id, Money::from_pico(1));
        assert_eq!(
            self.state.check_room(&[], &again, self.now_ms),
            Err(HoldDenial::Duplicate)
        );
    }

    /// A cost up to the ceiling, a cost above it, or a release.
    fn ending(&mut self, hold: Hold) -> LedgerEvent {
        let ceiling = u64::try_from(hold.ceiling.pico()).expect("a small ceiling");
        let cost = match self.random.below(8) {
            0 => {
                return LedgerEvent::Release {
                    id: hold.id,
                    at_ms: self.now_ms,
                };
            }
            1 => ceiling + self.random.below(9),
            _ => self.random.below(ceiling + 1),
        };
        let mut ending = CallResult::orphaned(Money::from_pico(i128::from(cost)), self.now_ms);
        (ending.status, ending.usage) = (Status::Ok, Usage::default());
        ending.flags = if cost > ceiling {
            Flags::OVER_CEILING
        } else {
            Flags::default()
        };
        LedgerEvent::Settle(Settlement { hold, ending })
    }

    fn end(&mut self) {
        let Some(id) = self.random.pick(self.expected.open.keys().copied()) else {
            return;
        };
        let hold = self.state.hold(id).cloned().expect("open");
        let charged: Vec<BudgetId> = hold.charges.iter().map(|charge| charge.budget).collect();
        let event = self.ending(hold);
        assert_eq!(
            self.record(event),
            charged,
            "the budgets of the hold are returned"
        );
    }

    /// A second ending of any kind has no effect.
    fn end_again(&mut self) {
        let Some(id) = self.random.pick(self.expected.ended.iter().copied()) else {
            return;
        };
        assert!(
            self.state.hold(id).is_none(),
            "the ledger logs no second ending"
        );
        let hold = self.hold(id, Money::from_pico(20));
        let again = self.ending(hold);
        assert!(self.state.apply(&again).is_empty());
    }

    fn record_progress(&mut self) {
        let Some(id) = self.random.pick(self.expected.open.keys().copied()) else {
            return;
        };
        let progress = Progress {
            after_ms: self.random.below(9_000),
            ..Progress::default()
        };
        drop(self.record(LedgerEvent::Progress { id, progress }));
    }

    /// The books as of any record plus the rest of the log restore the same state.
    fn replay(&mut self) {
        let booked = self.random.below(self.log.len() as u64 + 1) as usize;
        let mut again = recovered(&self.log, booked, self.now_ms);
        assert_same(&mut again, &mut self.state, &self.expected, self.now_ms);
    }

    /// A power failure truncates the log; open holds are settled at their ceiling, once.
    fn crash(&mut self) {
        let lost = self.random.below(4).min(self.log.len() as u64) as usize;
        self.log.truncate(self.log.len() - lost);
        let booked = self.random.below(self.log.len() as u64 + 1) as usize;
        self.state = recovered(&self.log, booked, self.now_ms);
        self.expected = ExpectedState::of(&self.log);
        for hold in self.expected.open.clone().into_values() {
            let ending = CallResult::orphaned(hold.ceiling, self.now_ms);
            drop(self.record(LedgerEvent::Settle(Settlement { hold, ending })));
        }
        assert_eq!(
            (self.state.open_holds(), self.state.held_total()),
            (0, Money::ZERO)
        );
    }

    fn assert_expected(&mut self) {
        assert_eq!(self.state.open_holds(), self.expected.open.len());
        for budget in budgets() {
            let status = self
                .state
                .budget_status(budget.id, self.now_ms)
                .expect("known");
            let window_start_ms = Zone::utc().window(budget.period, self.now_ms).start_ms;
            let charge = Charge {
                budget: budget.id,
                window_start_ms,
            };
            let settled = self
                .expected
                .settled
                .get(&charge)
                .copied()
                .unwrap_or_default();
            assert_eq!(
                (status.settled, status.held),
                (settled, self.expected.held(charge))
            );
            let excess = self
                .expected
                .excess
                .get(&charge)
                .copied()
                .unwrap_or_default();
            let within = status.settled.plus(status.held) <= status.limit.plus(excess);
            assert!(
                within || budget.action == Action::Warn,
                "{status:?} with {excess} of cost above ceilings"
            );
        }
    }
}

/// State after a restart: balances and open holds from the books as of one record, then a replay of the rest of the log.
fn recovered(log: &[LedgerEvent], booked: usize, now_ms: u64) -> LedgerState {
    let books = ExpectedState::of(&log[..booked]);
    let mut state = with_budgets(LedgerState::new(Zone::utc()), now_ms);
    books
        .settled
        .iter()
        .for_each(|(charge, settled)| state.restore_balance(*charge, *settled));
    books
        .open
        .values()
        .for_each(|hold| drop(state.apply(&LedgerEvent::Hold(hold.clone()))));
    log[booked..]
        .iter()
        .for_each(|event| drop(state.apply(event)));
    state
}

fn assert_same(
    one: &mut LedgerState,
    other: &mut LedgerState,
    expected: &ExpectedState,
    now_ms: u64,
) {
    for budget in budgets() {
        assert_eq!(
            one.budget_status(budget.id, now_ms),
            other.budget_status(budget.id, now_ms)
        );
    }
    assert_eq!(
        (one.open_holds(), one.held_total()),
        (other.open_holds(), other.held_total())
    );
    for (id, hold) in &expected.open {
        assert_eq!((one.hold(*id), other.hold(*id)), (Some(hold), Some(hold)));
    }
}

#[test]
fn random_runs_resolve_each_hold_at_most_once_and_overspend_no_budget() {
    let (mut holds, mut ended) = (0, 0);
    let runs =
        std::env::var("GK_LIVES").map_or(RUNS, |runs| runs.parse().expect("GK_LIVES is a count"));
    for seed in 1..=runs {
        let mut run = Run::begin(seed);
        for _ in 0..STEPS {
            run.step();
        }
        holds += run
            .log
            .iter()
            .filter(|event| matches!(event, LedgerEvent::Hold(_)))
            .count();
        ended += run.expected.ended.len();
    }
    let (holds, ended) = (holds as u64 / runs, ended as u64 / runs);
    assert!(
        holds > 25 && ended > 20,
        "{holds} holds, {ended} endings per run: too few"
    );
}

/// The books contain years of daily windows; a restart loads only the current ones.
#[test]
fn restart_loads_no_past_window() {
    let day_ms = 86_400_000;
    let now_ms = 20_000 * day_ms + 5;
    let mut state = with_budgets(LedgerState::new(Zone::utc()), now_ms);
    for budget in budgets() {
        for ago in 0..400 {
            let start_ms = Zone::utc()
                .window(budget.period, now_ms - ago * day_ms)
                .start_ms;
            state.restore_balance(
                Charge {
                    budget: budget.id,
                    window_start_ms: start_ms,
                },
                Money::from_pico(7),
            );
        }
    }
    assert_eq!(state.known_windows(), budgets().count());
    for budget in budgets() {
        assert_eq!(
            state
                .budget_status(budget.id, now_ms)
                .map(|status| status.settled),
            Some(Money::from_pico(7))
        );
    }
}
