//! Ledger state without I/O: settled and held amounts of every budget window, and the open holds. Events change it only
//! through `apply`, so that a replay of the WAL restores it; budgets and limits are set from outside and never logged.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use crate::domain::alert::Alert;
use crate::domain::budget::{Action, Budget, Remainder};
use crate::domain::event::{CallResult, Charge, Hold, HoldId, LedgerEvent, Subject};
use crate::domain::id::{BudgetId, LimitId};
use crate::domain::money::Money;
use crate::domain::zone::{Window, Zone};
use crate::meter::balance::Balance;
use crate::meter::rate_limits::{RateLimitHit, RateLimits};
use crate::meter::sent_alerts::THRESHOLD_PERCENT;
use crate::store::KnownWindows;

/// Current limit and amounts of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetStatus {
    pub limit: Money,
    pub settled: Money,
    pub held: Money,
    /// start of the next window; `None` for `total`
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

/// Reason why a claim was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldDenial {
    /// does not fit even if every open hold is released
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
    /// a budget or limit of the claim no longer exists; look up the caller again
    Stale,
    /// the attempt already has a hold
    Duplicate,
}

/// A budget and its current window.
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
    /// past windows are kept while time is being set back
    keeps_past: bool,
    /// an alert was requeued since the last query
    pub(super) has_requeued_alerts: bool,
    /// not logged; a replay starts with unused limits
    pub(super) rate_limits: RateLimits,
    /// endings of open holds that the WAL did not accept
    pub(super) unlogged: BTreeMap<HoldId, UnloggedEnding>,
}

/// Ending of a hold that is not logged yet.
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

    /// Restores a balance from the books; its budget must be set before. Past windows, kept in the books for years, are skipped.
    pub(super) fn restore_balance(&mut self, charge: Charge, settled: Money) {
        if !self.is_past(charge) {
            self.balances.entry(charge).or_default().settled = settled;
        }
    }

    /// Returns true if the window is over or its budget is gone. A future window was charged before time was set back; its
    /// balance must be kept until it begins.
    pub(super) fn is_past(&self, charge: Charge) -> bool {
        self.budgets
            .get(&charge.budget)
            .is_none_or(|state| charge.window_start_ms < state.window.start_ms)
    }

    /// Adds or updates a budget. Its balance is kept unless the period changes.
    pub(super) fn set_budget(&mut self, budget: Budget, now_ms: u64) {
        let known = self
            .budgets
            .get(&budget.id)
            .filter(|known| known.budget.period == budget.period);
        // a window never moves back, not even by the few seconds that a time step may set the clock back
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

    pub(super) fn contains_all(&self, ids: &[BudgetId]) -> bool {
        ids.iter().all(|id| self.budgets.contains_key(id))
    }

    /// Checks a claim against every budget that counts its deployment; returns the charges of its hold.
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
        let (mut held, mut exceeded) = (None, Vec::new());
        for id in ids {
            let Some(status) = self.status_if_counted(*id, hold, now_ms) else {
                continue;
            };
            let Some(state) = self.budgets.get(id) else {
                continue;
            };
            let budget = || Box::new(state.budget.clone());
            let with_claim = status.settled.plus(hold.ceiling);
            if with_claim > status.limit && status.blocks {
                exceeded.push((budget(), status));
            }
            if with_claim.plus(status.held) > status.limit && status.blocks {
                held.get_or_insert_with(|| HoldDenial::Held {
                    budget: budget(),
                    status,
                });
            }
            charges.push(Charge {
                budget: *id,
                window_start_ms: state.window.start_ms,
            });
        }
        if exceeded.is_empty() {
            held.map_or(Ok(charges), Err)
        } else {
            Err(self.exceeded(exceeded, now_ms))
        }
    }

    /// Denial by exceeded budgets: names the one with the smallest remainder and, among equals, the latest reset, because no
    /// smaller call and no earlier retry succeeds. Raises the alerts of all of them.
    fn exceeded(&mut self, budgets: Vec<(Box<Budget>, BudgetStatus)>, now_ms: u64) -> HoldDenial {
        let alerts = budgets
            .iter()
            .flat_map(|(budget, _)| self.alerts_after_refusal(budget.id, now_ms))
            .collect();
        let latest_reset =
            |status: &BudgetStatus| std::cmp::Reverse(status.resets_at_ms.unwrap_or(u64::MAX));
        let named = budgets
            .into_iter()
            .min_by_key(|(_, status)| (status.limit.minus(status.settled), latest_reset(status)));
        match named {
            Some((budget, status)) => HoldDenial::Exceeded {
                budget,
                status,
                alerts,
            },
            None => HoldDenial::Stale,
        }
    }

    /// Returns true if the cost brings the settled amount of a charged `warn` budget over its limit.
    pub(super) fn over_warning(&self, hold: &Hold, cost: Money) -> bool {
        hold.charges.iter().any(|charge| {
            let warning = self
                .budgets
                .get(&charge.budget)
                .filter(|state| state.budget.action == Action::Warn);
            let settled = self
                .balances
                .get(charge)
                .map_or(Money::ZERO, |balance| balance.settled);
            warning.is_some_and(|state| settled.plus(cost) > state.budget.limit)
        })
    }

    /// Smallest remainders among the `block` budgets that count this deployment: now, and with all holds released. `None` if no
    /// budget blocks.
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
            let without_holds = status.limit.minus(status.settled).max(Money::ZERO);
            let so_far = tightest.get_or_insert(TightestBudget { now, without_holds });
            so_far.now = so_far.now.min(now);
            so_far.without_holds = so_far.without_holds.min(without_holds);
        }
        tightest
    }

    /// Smallest remainder among the `block` budgets that count this deployment.
    pub(super) fn remainder_of(
        &mut self,
        ids: &[BudgetId],
        hold: &Hold,
        now_ms: u64,
    ) -> Option<Remainder> {
        let statuses = ids
            .iter()
            .filter_map(|id| self.status_if_counted(*id, hold, now_ms));
        smallest_remainder(statuses)
    }

    /// `block` budgets that count this deployment.
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

    /// Status of a budget if it counts the hold's deployment.
    fn status_if_counted(
        &mut self,
        id: BudgetId,
        hold: &Hold,
        now_ms: u64,
    ) -> Option<BudgetStatus> {
        let state = self.budgets.get(&id)?;
        let subject = &hold.subject;
        if let Some(pattern) = &state.budget.model
            && !subject.is_counted_by(pattern)
        {
            return None;
        }
        self.budget_status(id, now_ms)
    }

    /// Status of a budget; advances its window if that is over. A window never moves back: an earlier time counts in the latest
    /// window.
    pub(super) fn budget_status(&mut self, id: BudgetId, now_ms: u64) -> Option<BudgetStatus> {
        let state = self.budgets.get_mut(&id)?;
        if now_ms >= state.window.end_ms {
            let old = Charge {
                budget: id,
                window_start_ms: state.window.start_ms,
            };
            if !self.keeps_past
                && self
                    .balances
                    .get(&old)
                    .is_some_and(|balance| balance.holds == 0)
            {
                self.balances.remove(&old);
            }
            state.window = self.zone.window(state.budget.period, now_ms);
        }
        let charge = Charge {
            budget: id,
            window_start_ms: state.window.start_ms,
        };
        let balance = self.balances.get(&charge).copied().unwrap_or_default();
        Some(BudgetStatus {
            limit: state.budget.limit,
            settled: balance.settled,
            held: balance.held,
            resets_at_ms: (state.window.end_ms != u64::MAX).then_some(state.window.end_ms),
            blocks: state.budget.action == Action::Block,
        })
    }

    /// Smallest remainder among the charged `block` budgets.
    pub(super) fn remainder(&mut self, charges: &[Charge], now_ms: u64) -> Option<Remainder> {
        smallest_remainder(
            charges
                .iter()
                .filter_map(|charge| self.budget_status(charge.budget, now_ms)),
        )
    }

    /// Windows of all budgets at an instant. Until `set_back` or `cancel_set_back` no window is dropped.
    pub(super) fn prepare_set_back(&mut self, at_ms: u64) -> Vec<Charge> {
        self.keeps_past = true;
        let window = |state: &BudgetState| self.zone.window(state.budget.period, at_ms).start_ms;
        self.budgets
            .iter()
            .map(|(id, state)| Charge {
                budget: *id,
                window_start_ms: window(state),
            })
            .collect()
    }

    /// Returns to the windows of an earlier time. `known` contains the balances of these and all later windows from the books;
    /// balances in memory are newer and win. So a window grants its limit once, however often time passes through it.
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
        for state in self.budgets.values_mut() {
            state.window = self.zone.window(state.budget.period, now_ms);
        }
    }

    pub(super) fn cancel_set_back(&mut self) {
        self.keeps_past = false;
    }

    /// Counts calls in flight as parallel calls of a new limit; their requests and tokens are not counted.
    pub(super) fn count_running(&mut self, limit: LimitId, applies: impl Fn(&Subject) -> bool) {
        for hold in self
            .holds
            .values()
            .filter(|hold| applies(&hold.subject) && !self.unlogged.contains_key(&hold.id))
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

    /// The open hold of the oldest request.
    pub(super) fn oldest_hold(&self) -> Option<HoldId> {
        self.holds.keys().min().copied()
    }

    /// Sum of the ceilings of all open holds.
    pub(super) fn held_total(&self) -> Money {
        self.holds.values().map(|hold| hold.ceiling).sum()
    }

    /// Applies an event; returns the budgets of a resolved hold. A hold resolves at most once; a second ending has no effect.
    pub(super) fn apply(&mut self, event: &LedgerEvent) -> Vec<BudgetId> {
        match event {
            LedgerEvent::Hold(hold) => {
                for charge in &hold.charges {
                    let balance = self.balances.entry(*charge).or_default();
                    balance.hold(hold.ceiling);
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
            LedgerEvent::Release { id, .. } => self.close(*id, Money::ZERO),
            LedgerEvent::Settle(settled) => self.close(settled.hold.id, settled.ending.cost),
        }
    }

    /// Takes an open hold out; `resolve` or `put_hold_back` must follow.
    pub(super) fn take_hold(&mut self, id: HoldId) -> Option<Hold> {
        self.holds.remove(&id)
    }

    /// Puts a hold back that was not resolved.
    pub(super) fn put_hold_back(&mut self, hold: Hold) {
        self.holds.insert(hold.id, hold);
    }

    /// Adds a correction to the settled amounts. Windows no longer in memory are corrected in the books alone.
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

    fn close(&mut self, id: HoldId, cost: Money) -> Vec<BudgetId> {
        let hold = self.holds.remove(&id);
        hold.map_or(Vec::new(), |hold| self.resolve(&hold, cost))
    }

    /// Moves the amounts of a hold that was taken out to the settled ones; returns its budgets.
    pub(super) fn resolve(&mut self, hold: &Hold, cost: Money) -> Vec<BudgetId> {
        self.unlogged.remove(&hold.id);
        let mut freed = Vec::with_capacity(hold.charges.len());
        for charge in &hold.charges {
            let budget = self.budgets.get(&charge.budget).map(|state| &state.budget);
            let balance = self.balances.entry(*charge).or_default();
            balance.resolve(hold.ceiling, cost, budget);
            let is_droppable = balance.holds == 0 && !self.keeps_past;
            if is_droppable && self.is_past(*charge) {
                self.balances.remove(charge);
            }
            freed.push(charge.budget);
        }
        freed
    }
}

/// Smallest remainder among blocking budgets and, among equals, the latest reset.
fn smallest_remainder(statuses: impl Iterator<Item = BudgetStatus>) -> Option<Remainder> {
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

/// Remainders of the tightest `block` budgets: now, and with every open hold released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TightestBudget {
    pub now: Money,
    pub without_holds: Money,
}

#[cfg(test)]
mod tests;
