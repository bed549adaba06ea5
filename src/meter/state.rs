//! The ledger's state without any IO: what is settled and held in every budget window, and which holds are open. It changes
//! only by `apply`, so that a replay of the log ends in the same state; limits are told to it and never logged.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use crate::domain::alert::Alert;
use crate::domain::budget::{Action, Budget, Remainder};
use crate::domain::event::{CallResult, Charge, Hold, HoldId, LedgerEvent, Subject};
use crate::domain::id::{BudgetId, LimitId};
use crate::domain::money::Money;
use crate::domain::zone::{Window, Zone};
use crate::meter::alerts::{SentAlerts, THRESHOLD_PERCENT};
use crate::meter::rate_limits::{RateLimitHit, RateLimits};
use crate::store::KnownWindows;

/// What stands in one window of one budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    pub settled: Money,
    held: Money,
    /// open holds that charge it
    holds: u32,
    pub sent: SentAlerts,
}

/// A budget as it stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetStatus {
    pub limit: Money,
    pub settled: Money,
    pub held: Money,
    /// when the next window begins; `None` for `total`
    pub resets_at_ms: Option<u64>,
    pub blocks: bool,
}

impl BudgetStatus {
    /// Limit − settled − held, not below zero.
    pub fn remaining(&self) -> Money {
        self.limit
            .minus(self.settled)
            .minus(self.held)
            .max(Money::ZERO)
    }

    pub fn remainder(&self) -> Remainder {
        Remainder {
            left: self.remaining(),
            resets_at_ms: self.resets_at_ms,
        }
    }
}

/// Why a claim was not held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldDenial {
    /// would not fit even if every open hold were given back
    Exceeded {
        budget: Box<Budget>,
        status: BudgetStatus,
        alerts: Vec<Alert>,
    },
    /// fits once open holds settle
    Held {
        budget: Box<Budget>,
        status: BudgetStatus,
    },
    /// a rate limit is used up
    RateLimited(Box<RateLimitHit>),
    /// it names a budget or limit that is there no more: its caller is to be looked up anew
    Stale,
    /// the claim is held already: an attempt asks once
    Duplicate,
}

/// A budget with the window it is in.
pub(super) struct BudgetState {
    pub budget: Budget,
    pub window: Window,
}

pub(super) struct LedgerState {
    zone: Zone,
    pub(super) threshold_percent: u8,
    pub(super) budgets: HashMap<BudgetId, BudgetState, RandomState>,
    pub(super) balances: HashMap<Charge, Balance, RandomState>,
    holds: HashMap<HoldId, Hold, RandomState>,
    /// while time is being set back: past windows are not forgotten
    keeps_past: bool,
    /// an alert was taken back
    pub(super) has_requeued_alerts: bool,
    /// beside all that is logged: a replay knows nothing of it
    pub(super) rate_limits: RateLimits,
    /// endings of open holds that the log did not take
    pub(super) unlogged: BTreeMap<HoldId, UnloggedEnding>,
}

/// How a hold ended, when that could not be logged.
#[derive(Clone, Debug)]
pub(super) enum UnloggedEnding {
    Ending(Box<CallResult>),
    Release,
}

impl LedgerState {
    pub(super) fn new(zone: Zone) -> LedgerState {
        LedgerState {
            zone,
            threshold_percent: THRESHOLD_PERCENT,
            budgets: HashMap::default(),
            balances: HashMap::default(),
            holds: HashMap::default(),
            keeps_past: false,
            has_requeued_alerts: false,
            rate_limits: RateLimits::default(),
            unlogged: BTreeMap::new(),
        }
    }

    /// Takes what the books say of a window, once its budget is told. Past windows stay in the books alone, which keep them for
    /// years.
    pub(super) fn restore_balance(&mut self, charge: Charge, settled: Money) {
        if !self.is_past(charge) {
            self.balances.entry(charge).or_default().settled = settled;
        }
    }

    /// Whether nothing counts in a window any more: it is over, or its budget is gone. One that is still to come was charged before
    /// time was set back, and must know of that when it comes.
    pub(super) fn is_past(&self, charge: Charge) -> bool {
        self.budgets
            .get(&charge.budget)
            .is_none_or(|watched| charge.window_start_ms < watched.window.start_ms)
    }

    /// Tells a limit, new or changed. What is spent stays, unless the period changed with it.
    pub(super) fn set_budget(&mut self, budget: Budget, now_ms: u64) {
        let known = self
            .budgets
            .get(&budget.id)
            .filter(|known| known.budget.period == budget.period);
        // a window never turns back, not even by the seconds that a clock may be set back unnoticed
        let window = known
            .map(|known| known.window)
            .filter(|window| now_ms < window.end_ms);
        let window = window.unwrap_or_else(|| self.zone.window(budget.period, now_ms));
        self.budgets
            .insert(budget.id, BudgetState { budget, window });
    }

    pub(super) fn remove_budget(&mut self, id: BudgetId) {
        self.budgets.remove(&id);
        self.balances
            .retain(|charge, balance| charge.budget != id || balance.holds > 0);
    }

    pub(super) fn knows(&self, ids: &[BudgetId]) -> bool {
        ids.iter().all(|id| self.budgets.contains_key(id))
    }

    /// Whether a claim fits into every budget that counts this deployment, and what it charges.
    pub(super) fn check_room(
        &mut self,
        ids: &[BudgetId],
        hold: &Hold,
        now_ms: u64,
    ) -> Result<Vec<Charge>, HoldDenial> {
        if self.holds.contains_key(&hold.id) {
            return Err(HoldDenial::Duplicate);
        }
        let mut charges = Vec::with_capacity(ids.len());
        let (mut held_up, mut exceeded) = (None, Vec::new());
        for id in ids {
            let Some(status) = self.status_if_counted(*id, hold, now_ms) else {
                continue;
            };
            let Some(watched) = self.budgets.get(id) else {
                continue;
            };
            let budget = || Box::new(watched.budget.clone());
            let with_claim = status.settled.plus(hold.ceiling);
            if with_claim > status.limit && status.blocks {
                exceeded.push((budget(), status));
            }
            if with_claim.plus(status.held) > status.limit && status.blocks {
                held_up.get_or_insert_with(|| HoldDenial::Held {
                    budget: budget(),
                    status,
                });
            }
            charges.push(Charge {
                budget: *id,
                window_start_ms: watched.window.start_ms,
            });
        }
        if exceeded.is_empty() {
            held_up.map_or(Ok(charges), Err)
        } else {
            Err(self.exceeded(exceeded, now_ms))
        }
    }

    /// Of several budgets that refuse a claim the one with the least left is named, and of these the last to begin anew: no
    /// smaller claim, and no wait, helps before that one does. Each of them has its say.
    fn exceeded(&mut self, budgets: Vec<(Box<Budget>, BudgetStatus)>, now_ms: u64) -> HoldDenial {
        let alerts = budgets
            .iter()
            .flat_map(|(budget, _)| self.alerts_after_refusal(budget.id, now_ms))
            .collect();
        let lasts =
            |status: &BudgetStatus| std::cmp::Reverse(status.resets_at_ms.unwrap_or(u64::MAX));
        let named = budgets
            .into_iter()
            .min_by_key(|(_, status)| (status.limit.minus(status.settled), lasts(status)));
        match named {
            Some((budget, status)) => HoldDenial::Exceeded {
                budget,
                status,
                alerts,
            },
            None => HoldDenial::Stale,
        }
    }

    /// Whether a cost brings what is settled in a `warn` budget over its limit.
    pub(super) fn over_warning(&self, hold: &Hold, cost: Money) -> bool {
        hold.charges.iter().any(|charge| {
            let warns = self
                .budgets
                .get(&charge.budget)
                .filter(|watched| watched.budget.action == Action::Warn);
            let settled = self
                .balances
                .get(charge)
                .map_or(Money::ZERO, |balance| balance.settled);
            warns.is_some_and(|watched| settled.plus(cost) > watched.budget.limit)
        })
    }

    /// The smallest remainder among the `block` budgets that count this deployment, with that of open holds given back.
    /// `None`: nothing blocks.
    pub(super) fn tightest_budget(
        &mut self,
        ids: &[BudgetId],
        hold: &Hold,
        now_ms: u64,
    ) -> Option<TightestBudget> {
        let mut tightest: Option<TightestBudget> = None;
        for id in ids {
            let Some(status) = self
                .status_if_counted(*id, hold, now_ms)
                .filter(|status| status.blocks)
            else {
                continue;
            };
            let now = status.remaining();
            let once_settled = status.limit.minus(status.settled).max(Money::ZERO);
            let so_far = tightest.get_or_insert(TightestBudget { now, once_settled });
            so_far.now = so_far.now.min(now);
            so_far.once_settled = so_far.once_settled.min(once_settled);
        }
        tightest
    }

    /// The smallest remainder among the `block` budgets that count this deployment.
    pub(super) fn remainder_of(
        &mut self,
        ids: &[BudgetId],
        hold: &Hold,
        now_ms: u64,
    ) -> Option<Remainder> {
        let statuses = ids
            .iter()
            .filter_map(|id| self.status_if_counted(*id, hold, now_ms));
        smallest(statuses)
    }

    /// The `block` budgets that count this deployment.
    pub(super) fn blocking_budgets(
        &mut self,
        ids: &[BudgetId],
        hold: &Hold,
        now_ms: u64,
    ) -> Vec<BudgetId> {
        let mut ids = ids.to_vec();
        ids.retain(|id| {
            self.status_if_counted(*id, hold, now_ms)
                .is_some_and(|status| status.blocks)
        });
        ids
    }

    /// The standing of a budget if it counts the hold's deployment.
    fn status_if_counted(
        &mut self,
        id: BudgetId,
        hold: &Hold,
        now_ms: u64,
    ) -> Option<BudgetStatus> {
        let watched = self.budgets.get(&id)?;
        let subject = &hold.subject;
        if let Some(pattern) = &watched.budget.model
            && !pattern.matches_deployment(&subject.model_asked, &subject.provider, &subject.model)
        {
            return None;
        }
        self.budget_status(id, now_ms)
    }

    /// A budget as it stands at an instant. A window never turns back: an earlier instant counts in the latest window.
    pub(super) fn budget_status(&mut self, id: BudgetId, now_ms: u64) -> Option<BudgetStatus> {
        let watched = self.budgets.get_mut(&id)?;
        if now_ms >= watched.window.end_ms {
            let old = Charge {
                budget: id,
                window_start_ms: watched.window.start_ms,
            };
            if !self.keeps_past
                && self
                    .balances
                    .get(&old)
                    .is_some_and(|balance| balance.holds == 0)
            {
                self.balances.remove(&old);
            }
            watched.window = self.zone.window(watched.budget.period, now_ms);
        }
        let charge = Charge {
            budget: id,
            window_start_ms: watched.window.start_ms,
        };
        let balance = self.balances.get(&charge).copied().unwrap_or_default();
        Some(BudgetStatus {
            limit: watched.budget.limit,
            settled: balance.settled,
            held: balance.held,
            resets_at_ms: (watched.window.end_ms != u64::MAX).then_some(watched.window.end_ms),
            blocks: watched.budget.action == Action::Block,
        })
    }

    /// The smallest remainder among the `block` budgets that are charged.
    pub(super) fn remainder(&mut self, charges: &[Charge], now_ms: u64) -> Option<Remainder> {
        smallest(
            charges
                .iter()
                .filter_map(|charge| self.budget_status(charge.budget, now_ms)),
        )
    }

    /// The windows that an instant falls into. From now on no window is forgotten, until `set_back`.
    pub(super) fn prepare_set_back(&mut self, at_ms: u64) -> Vec<Charge> {
        self.keeps_past = true;
        let window =
            |watched: &BudgetState| self.zone.window(watched.budget.period, at_ms).start_ms;
        self.budgets
            .iter()
            .map(|(id, watched)| Charge {
                budget: *id,
                window_start_ms: window(watched),
            })
            .collect()
    }

    /// Goes back to the windows of an earlier instant. `known` is what the books say of these windows and all later ones;
    /// what is known here is newer. So every window has its limit once, however often time passes through it.
    pub(super) fn set_back(&mut self, now_ms: u64, known: KnownWindows) {
        self.keeps_past = false;
        for (charge, settled) in known.balances {
            self.balances.entry(charge).or_insert(Balance {
                settled,
                ..Balance::default()
            });
        }
        for (charge, kind) in known.sent_alerts {
            if let Some(balance) = self.balances.get_mut(&charge) {
                balance.sent.mark_sent(kind);
            }
        }
        for watched in self.budgets.values_mut() {
            watched.window = self.zone.window(watched.budget.period, now_ms);
        }
    }

    pub(super) fn cancel_set_back(&mut self) {
        self.keeps_past = false;
    }

    /// Gives calls that run a place in a limit that is new; what they took of other measures is past.
    pub(super) fn count_running(&mut self, limit: LimitId, is_above: impl Fn(&Subject) -> bool) {
        for hold in self
            .holds
            .values()
            .filter(|hold| is_above(&hold.subject) && !self.unlogged.contains_key(&hold.id))
        {
            self.rate_limits.count_running(limit, hold);
        }
    }

    pub(super) fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.get(&id)
    }

    pub(super) fn open_holds(&self) -> usize {
        self.holds.len()
    }

    /// Settled and held in every window that is known: for tests of the invariant.
    pub(super) fn held_total(&self) -> Money {
        self.holds.values().map(|hold| hold.ceiling).sum()
    }

    /// Takes an event into the state; returns the budgets in which room came free. A hold resolves at most once: a second
    /// ending is nothing.
    pub(super) fn apply(&mut self, event: &LedgerEvent) -> Vec<BudgetId> {
        match event {
            LedgerEvent::Hold(hold) => {
                for charge in &hold.charges {
                    let balance = self.balances.entry(*charge).or_default();
                    balance.held = balance.held.plus(hold.ceiling);
                    balance.holds += 1;
                }
                self.holds.insert(hold.id, hold.clone());
                Vec::new()
            }
            LedgerEvent::Progress { id, progress } => {
                if let Some(hold) = self.holds.get_mut(id) {
                    hold.progress = progress.clone();
                }
                Vec::new()
            }
            LedgerEvent::Release { id, .. } => self.resolve(*id, Money::ZERO),
            LedgerEvent::Settle(settlement) => {
                self.resolve(settlement.hold.id, settlement.ending.cost)
            }
        }
    }

    /// Adds a compensating entry to what is settled. A window that is not watched any more stands in the books only.
    pub(super) fn correct(&mut self, charges: &[Charge], amount: Money) {
        for charge in charges {
            if let Some(balance) = self.balances.get_mut(charge) {
                balance.settled = balance.settled.plus(amount);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn known_windows(&self) -> usize {
        self.balances.len()
    }

    fn resolve(&mut self, id: HoldId, cost: Money) -> Vec<BudgetId> {
        let Some(hold) = self.holds.remove(&id) else {
            return Vec::new();
        };
        self.unlogged.remove(&id);
        let mut freed = Vec::with_capacity(hold.charges.len());
        for charge in &hold.charges {
            let balance = self.balances.entry(*charge).or_default();
            balance.held = balance.held.minus(hold.ceiling);
            balance.settled = balance.settled.plus(cost);
            balance.holds = balance.holds.saturating_sub(1);
            let unused = balance.holds == 0 && !self.keeps_past;
            if unused && self.is_past(*charge) {
                self.balances.remove(charge);
            }
            freed.push(charge.budget);
        }
        freed
    }
}

/// Of those that block; where two have as little left, the one that begins anew later.
fn smallest(statuses: impl Iterator<Item = BudgetStatus>) -> Option<Remainder> {
    let remainders = statuses
        .filter(|status| status.blocks)
        .map(|status| status.remainder());
    remainders.min_by_key(|remainder| {
        (
            remainder.left,
            std::cmp::Reverse(remainder.resets_at_ms.unwrap_or(u64::MAX)),
        )
    })
}

/// What is left in the tightest `block` budget: now, and once every open hold is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TightestBudget {
    pub now: Money,
    pub once_settled: Money,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::{Owner, Period};
    use crate::domain::event::{Flags, Progress, Settlement, Status};
    use crate::domain::id::{KeyId, OrganizationId, RequestId, TeamId};
    use crate::domain::pattern::Pattern;
    use crate::domain::usage::Usage;

    fn budget(id: u64, limit: i128, period: Period, action: Action, model: Option<&str>) -> Budget {
        Budget {
            id: BudgetId(id),
            owner: Owner::Team(TeamId(1)),
            limit: Money::from_pico(limit),
            period,
            action,
            model: model.map(Pattern::new),
        }
    }

    fn hold(number: u128, ceiling: i128) -> Hold {
        Hold {
            id: HoldId {
                request: RequestId(number),
                attempt: 1,
            },
            at_ms: 0,
            subject: std::sync::Arc::new(Subject {
                organization: OrganizationId(1),
                team: TeamId(1),
                key: KeyId(1),
                model_asked: "m".into(),
                provider: "p".into(),
                model: "m-1".into(),
                dialect: "chat".into(),
                streamed: false,
                attribution: Default::default(),
            }),
            ceiling: Money::from_pico(ceiling),
            charges: Vec::new(),
            progress: Progress::default(),
        }
    }

    fn take(
        state: &mut LedgerState,
        ids: &[u64],
        number: u128,
        ceiling: i128,
    ) -> Result<(), HoldDenial> {
        let ids: Vec<BudgetId> = ids.iter().map(|id| BudgetId(*id)).collect();
        let mut hold = hold(number, ceiling);
        let room = state.check_room(&ids, &hold, 1)?;
        hold.charges = room;
        state.apply(&LedgerEvent::Hold(hold));
        Ok(())
    }

    fn settle(state: &mut LedgerState, number: u128, cost: i128) -> Vec<BudgetId> {
        let hold = state
            .hold(HoldId {
                request: RequestId(number),
                attempt: 1,
            })
            .cloned()
            .unwrap_or_else(|| hold(number, 0));
        let ending = CallResult {
            ended_ms: 2,
            status: Status::Ok,
            flags: Flags::default(),
            usage: Usage::default(),
            cost: Money::from_pico(cost),
            lines: Vec::new(),
            output_cap: None,
            upstream_status: 200,
            first_content_ms: None,
        };
        state.apply(&LedgerEvent::Settle(Settlement { hold, ending }))
    }

    #[test]
    fn every_level_is_taken_or_none() {
        let mut state = LedgerState::new(Zone::utc());
        state.set_budget(budget(1, 100, Period::Total, Action::Block, None), 0);
        state.set_budget(budget(2, 10, Period::Total, Action::Block, None), 0);
        assert!(
            matches!(take(&mut state, &[1, 2], 1, 11), Err(HoldDenial::Exceeded { budget, .. }) if budget.id == BudgetId(2))
        );
        assert_eq!(state.held_total(), Money::ZERO);
        take(&mut state, &[1, 2], 1, 10).expect("fits exactly");
        assert!(matches!(
            take(&mut state, &[1, 2], 2, 1),
            Err(HoldDenial::Held { .. })
        ));
        assert_eq!(settle(&mut state, 1, 4), [BudgetId(1), BudgetId(2)]);
        take(&mut state, &[1, 2], 2, 6).expect("what was not used is free again");
    }

    #[test]
    fn a_hold_resolves_once() {
        let mut state = LedgerState::new(Zone::utc());
        state.set_budget(budget(1, 100, Period::Total, Action::Block, None), 0);
        take(&mut state, &[1], 1, 50).expect("fits");
        settle(&mut state, 1, 30);
        assert!(settle(&mut state, 1, 30).is_empty());
        let status = state.budget_status(BudgetId(1), 1).expect("known");
        assert_eq!((status.settled.pico(), status.held.pico()), (30, 0));
    }

    #[test]
    fn a_correction_makes_room_in_the_window_that_was_charged() {
        let mut state = LedgerState::new(Zone::utc());
        state.set_budget(budget(1, 100, Period::Total, Action::Block, None), 0);
        take(&mut state, &[1], 1, 100).expect("fits");
        settle(&mut state, 1, 100);
        let charged = [
            Charge {
                budget: BudgetId(1),
                window_start_ms: 0,
            },
            Charge {
                budget: BudgetId(2),
                window_start_ms: 0,
            },
        ];
        state.correct(&charged, Money::from_pico(-70));
        assert_eq!(
            state
                .budget_status(BudgetId(1), 1)
                .expect("known")
                .remaining(),
            Money::from_pico(70)
        );
        assert!(
            !state.balances.contains_key(&charged[1]),
            "no window is made up"
        );
    }

    #[test]
    fn warn_counts_alike_and_admits() {
        let mut state = LedgerState::new(Zone::utc());
        state.set_budget(budget(1, 5, Period::Total, Action::Warn, None), 0);
        let hold = hold(1, 10);
        let room = state
            .check_room(&[BudgetId(1)], &hold, 0)
            .expect("a warning admits");
        assert_eq!(room.len(), 1);
        let hold = Hold {
            charges: room,
            ..hold
        };
        assert!(
            state.over_warning(&hold, Money::from_pico(6))
                && !state.over_warning(&hold, Money::from_pico(5))
        );
    }

    #[test]
    fn a_budget_for_other_models_is_not_charged() {
        let mut state = LedgerState::new(Zone::utc());
        state.set_budget(budget(1, 5, Period::Total, Action::Block, Some("gpt-*")), 0);
        state.set_budget(budget(2, 50, Period::Total, Action::Block, Some("m-*")), 0);
        let room = state
            .check_room(&[BudgetId(1), BudgetId(2)], &hold(1, 10), 0)
            .expect("only the second counts it");
        assert_eq!(
            room,
            [Charge {
                budget: BudgetId(2),
                window_start_ms: 0
            }]
        );
    }

    #[test]
    fn a_new_window_starts_at_zero_and_a_clock_set_back_mints_nothing() {
        const DAY: u64 = 86_400_000;
        let mut state = LedgerState::new(Zone::utc());
        state.set_budget(budget(1, 10, Period::Daily, Action::Block, None), DAY);
        take(&mut state, &[1], 1, 10).expect("fits");
        settle(&mut state, 1, 10);
        assert_eq!(
            state
                .budget_status(BudgetId(1), DAY + 5)
                .expect("known")
                .remaining(),
            Money::ZERO
        );
        assert_eq!(
            state
                .budget_status(BudgetId(1), DAY - 5)
                .expect("known")
                .remaining(),
            Money::ZERO
        );
        assert_eq!(
            state
                .budget_status(BudgetId(1), 2 * DAY)
                .expect("known")
                .remaining(),
            Money::from_pico(10)
        );
        assert_eq!(
            state
                .budget_status(BudgetId(1), DAY + 5)
                .expect("known")
                .remaining(),
            Money::from_pico(10)
        );
    }

    #[test]
    fn a_limit_that_is_changed_while_the_clock_is_set_back_over_midnight_opens_no_past_window() {
        const DAY: u64 = 86_400_000;
        let mut state = LedgerState::new(Zone::utc());
        state.set_budget(budget(1, 10, Period::Daily, Action::Block, None), DAY - 1);
        assert_eq!(
            state
                .budget_status(BudgetId(1), DAY)
                .expect("known")
                .remaining(),
            Money::from_pico(10)
        );
        take(&mut state, &[1], 1, 10).expect("fits");
        settle(&mut state, 1, 10);
        state.set_budget(
            budget(1, 11, Period::Daily, Action::Block, None),
            DAY - 3_000,
        );
        assert_eq!(
            state
                .budget_status(BudgetId(1), DAY - 2_999)
                .expect("known")
                .remaining(),
            Money::from_pico(1)
        );
        state.set_budget(budget(1, 11, Period::Daily, Action::Block, None), 2 * DAY);
        assert_eq!(
            state
                .budget_status(BudgetId(1), 2 * DAY)
                .expect("known")
                .remaining(),
            Money::from_pico(11)
        );
    }

    #[test]
    fn a_bill_above_the_ceiling_is_booked_whole_and_blocks() {
        let mut state = LedgerState::new(Zone::utc());
        state.set_budget(budget(1, 10, Period::Total, Action::Block, None), 0);
        take(&mut state, &[1], 1, 5).expect("fits");
        settle(&mut state, 1, 20);
        assert!(matches!(
            take(&mut state, &[1], 2, 0),
            Err(HoldDenial::Exceeded { .. })
        ));
    }
}
