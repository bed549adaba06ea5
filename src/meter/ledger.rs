//! The ledger. Under one lock it checks a claim at every level and then numbers, logs and applies the hold, or denies it. It
//! never waits and starts no task: callers wait for budget or disk outside the lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::alert::Alert;
use crate::domain::budget::{Budget, Remainder};
use crate::domain::event::{
    CallResult, Charge, Flags, Hold, HoldId, LedgerEvent, Progress, Settlement, Status, Subject,
};
use crate::domain::id::{BudgetId, LimitId, RequestId};
use crate::domain::limit::{Allowance, RateLimit};
use crate::domain::money::Money;
use crate::domain::time::{Adoption, Time};
use crate::domain::zone::Zone;
use crate::meter::balance::WouldRefuse;
use crate::meter::rate_limits::{RateLimitStatus, Tokens};
use crate::meter::retries::{Retries, RunningRetry};
use crate::meter::state::{BudgetStatus, HoldDenial, LedgerState, TightestBudget, UnloggedEnding};
use crate::store::{AppendError, KnownWindows, RecoveredState, Wal};

/// Request for a hold: the hold without time and charges, and the budgets and rate limits that apply to the caller.
pub struct Claim<'a> {
    pub hold: Hold,
    pub budgets: &'a [BudgetId],
    pub limits: &'a [LimitId],
    /// zero if the caller has no rate limits
    pub tokens: Tokens,
}

/// A granted hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldGrant {
    pub id: HoldId,
    /// time of the grant
    pub at_ms: u64,
    /// WAL sequence number; with `ledger.sync = "disk"` the upstream is called once that record is on disk
    pub sequence: u64,
    /// remaining rate limits after this hold; `None` if no limit counts it
    pub allowance: Option<Allowance>,
    /// remainder of the tightest `block` budget after this hold; `None` if no such budget counts it
    pub remainder: Option<Remainder>,
}

/// Reason why no hold was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldError {
    /// a budget or rate limit denies it
    Denied(HoldDenial),
    /// the WAL did not accept the record
    NotLogged(AppendError),
}

/// Effects of a settlement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    pub sequence: u64,
    pub cost: Money,
    /// smallest remainder among the charged `block` budgets
    pub remainder: Option<Remainder>,
    /// remaining rate limits after correction by the actual tokens; `None` if no limit counts the call
    pub allowance: Option<Allowance>,
    /// charged budgets; the queue wakes the requests that wait for them
    pub freed: Vec<BudgetId>,
    /// alerts raised by this spend
    pub alerts: Vec<Alert>,
}

/// The accounting engine, shared by all requests.
pub struct Ledger {
    state: Mutex<LedgerState>,
    wal: Arc<Wal>,
    zone: Zone,
    /// read under the lock, so that no hold carries a time from before a set-back into later windows
    pub(super) time: Arc<Time>,
    /// counts budget changes and corrections, which may free budget without a settlement
    changes: watch::Sender<u64>,
    retries: Arc<Retries>,
}

impl Ledger {
    /// Restores the state of the last WAL record. Holds that were open are settled as `orphaned` at their maximum cost, because
    /// their calls may have cost that much.
    pub fn recover(
        wal: Arc<Wal>,
        zone: Zone,
        budgets: Vec<Budget>,
        recovered: RecoveredState,
        time: Arc<Time>,
    ) -> Result<Ledger, AppendError> {
        let now_ms = time.now_ms();
        let mut state = LedgerState::new(zone.clone());
        for budget in budgets {
            state.set_budget(budget, now_ms);
        }
        for (charge, settled) in recovered.balances {
            state.restore_balance(charge, settled);
        }
        for hold in &recovered.holds {
            state.apply(&LedgerEvent::Hold(hold.clone()));
        }
        let ledger = Ledger {
            state: Mutex::new(state),
            wal,
            zone,
            time,
            changes: watch::Sender::new(0),
            retries: Arc::default(),
        };
        for hold in recovered.holds {
            ledger.settle(hold.id, CallResult::orphaned(hold.cost_max(), now_ms))?;
        }
        // only stored alerts count as sent; all others are due
        ledger.lock().restore_sent(&recovered.sent_alerts);
        Ok(ledger)
    }

    /// Takes a hold at every level (money, requests, tokens, parallel calls), or nothing.
    pub fn hold(&self, claim: Claim<'_>) -> Result<HoldGrant, HoldError> {
        let mut state = self.lock();
        let (at_ms, boot_ms) = (self.time.now_ms(), self.time.boot_ms());
        let charges = check_room(&mut state, &claim, at_ms, boot_ms).map_err(HoldError::Denied)?;
        let hold = Hold {
            at_ms,
            charges,
            ..claim.hold
        };
        let id = hold.id;
        let allowance = state.rate_limits.take(claim.limits, &hold, claim.tokens);
        let event = Arc::new(LedgerEvent::Hold(hold));
        let sequence = self.wal.append(event.clone()).map_err(|error| {
            state.rate_limits.release(id, boot_ms);
            HoldError::NotLogged(error)
        })?;
        state.apply(&event);
        let remainder = match &*event {
            LedgerEvent::Hold(hold) => state.remainder(&hold.charges, at_ms),
            _ => None,
        };
        Ok(HoldGrant {
            id,
            at_ms,
            sequence,
            allowance,
            remainder,
        })
    }

    /// Checks if a hold would be granted now; takes nothing.
    pub fn check_hold(&self, claim: &Claim<'_>) -> Result<(), HoldError> {
        let mut state = self.lock();
        let (at_ms, boot_ms) = (self.time.now_ms(), self.time.boot_ms());
        check_room(&mut state, claim, at_ms, boot_ms)
            .map(drop)
            .map_err(HoldError::Denied)
    }

    /// Checks if a budget or limit over all models is used up, so that no call can be granted now; takes nothing.
    pub fn check_used_up(
        &self,
        budgets: &[BudgetId],
        limits: &[LimitId],
    ) -> Result<(), HoldDenial> {
        let mut state = self.lock();
        let (at_ms, boot_ms) = (self.time.now_ms(), self.time.boot_ms());
        state.check_used_up(budgets, at_ms)?;
        let checked = state.rate_limits.check_used_up(limits, boot_ms);
        checked.map_err(HoldDenial::RateLimited)
    }

    /// Releases a hold that was not sent, for which the gateway did work: the request stays counted by its rate limits.
    pub fn release_counted(&self, id: HoldId) -> Result<Vec<BudgetId>, AppendError> {
        let boot_ms = self.time.boot_ms();
        self.lock().rate_limits.settle(id, Some(0), boot_ms);
        self.release(id)
    }

    /// Replaces a hold by the actual cost. On error the hold stays until `settle_unlogged` logs the ending, and the response must
    /// not be completed. A resolved hold is left unchanged. Rate limits are always resolved, because the call is over.
    pub fn settle(&self, id: HoldId, mut ending: CallResult) -> Result<Receipt, AppendError> {
        let mut state = self.lock();
        let (now_ms, boot_ms) = (self.time.now_ms(), self.time.boot_ms());
        let allowance = state.rate_limits.settle(id, ending.tokens(), boot_ms);
        // a panic between here and the record would lose the hold, which no table has now
        let Some(mut hold) = state.take_hold(id) else {
            return Ok(Receipt::default());
        };
        // the ending supersedes it; only an orphan keeps its progress
        let is_orphaned = ending.status == Status::Orphaned;
        let progress = (!is_orphaned).then(|| std::mem::take(&mut hold.progress));
        if ending.cost > hold.ceiling {
            ending.flags = ending.flags.with(Flags::OVER_CEILING);
        }
        if state.over_warning(&hold, ending.cost) {
            ending.flags = ending.flags.with(Flags::OVER_WARNING);
        }
        let cost = ending.cost;
        let event = Arc::new(LedgerEvent::Settle(Settlement { hold, ending }));
        let sequence = match self.wal.append(event.clone()) {
            Ok(sequence) => sequence,
            Err(error) => {
                if let LedgerEvent::Settle(Settlement { mut hold, ending }) =
                    Arc::unwrap_or_clone(event)
                {
                    hold.progress = progress.unwrap_or(hold.progress);
                    state.put_hold_back(hold);
                    let status = ending.status.if_undelivered();
                    state.unlogged.insert(
                        id,
                        UnloggedEnding::Ending(Box::new(CallResult { status, ..ending })),
                    );
                }
                return Err(error);
            }
        };
        let LedgerEvent::Settle(Settlement { hold, .. }) = &*event else {
            return Ok(Receipt::default());
        };
        let freed = state.resolve(hold, cost);
        let alerts = state.alerts_after_settlement(&hold.charges, now_ms);
        let remainder = state.remainder(&hold.charges, now_ms);
        Ok(Receipt {
            sequence,
            cost,
            remainder,
            allowance,
            freed,
            alerts,
        })
    }

    /// Releases an unused hold. Returns the budgets that were charged. On error the hold stays until `settle_unlogged` releases
    /// it.
    pub fn release(&self, id: HoldId) -> Result<Vec<BudgetId>, AppendError> {
        let mut state = self.lock();
        state.rate_limits.release(id, self.time.boot_ms());
        if state.hold(id).is_none() {
            return Ok(Vec::new());
        }
        let event = Arc::new(LedgerEvent::Release {
            id,
            at_ms: self.time.now_ms(),
        });
        if let Err(error) = self.wal.append(event.clone()) {
            state.unlogged.insert(id, UnloggedEnding::Release);
            return Err(error);
        }
        Ok(state.apply(&event))
    }

    /// Logs pending endings until the WAL fails again. Their alerts are returned by `alerts_pending`. Returns the number of
    /// endings logged.
    pub fn settle_unlogged(&self) -> usize {
        let mut logged = 0;
        while let Some((id, unlogged)) = self.pop_unlogged() {
            let result = match unlogged {
                UnloggedEnding::Ending(ending) => {
                    self.settle(id, *ending).map(|receipt| receipt.alerts)
                }
                UnloggedEnding::Release => self.release(id).map(|_| Vec::new()),
            };
            let Ok(alerts) = result else { break };
            alerts.iter().for_each(|alert| self.requeue(alert));
            logged += 1;
        }
        if logged > 0 {
            self.notify_change();
        }
        logged
    }

    /// Removes the first pending ending; `settle` and `release` put it back if the WAL fails again.
    fn pop_unlogged(&self) -> Option<(HoldId, UnloggedEnding)> {
        self.lock().unlogged.pop_first()
    }

    /// Number of endings not logged yet; each keeps its hold.
    pub fn unlogged(&self) -> usize {
        self.lock().unlogged.len()
    }

    /// Logs the progress of a stream. A lost record only makes the estimate after a crash less exact.
    pub fn progress(&self, id: HoldId, progress: Progress) {
        let mut state = self.lock();
        if state.hold(id).is_some() {
            let event = Arc::new(LedgerEvent::Progress { id, progress });
            if self.wal.append(event.clone()).is_ok() {
                state.apply(&event);
            }
        }
    }

    /// Applies a correction to the balances after its commit. Not logged, because the books already contain it. Alerts follow
    /// with the next call.
    pub fn correct(&self, charges: &[Charge], amount: Money) {
        self.lock().correct(charges, amount);
        self.notify_change();
    }

    /// Sets what was settled elsewhere in a window of a new budget. Not logged, because the books already contain it.
    pub fn open_balance(&self, charge: Charge, settled: Money) {
        self.lock().restore_balance(charge, settled);
        self.notify_change();
    }

    /// Sets the alert threshold in percent of a budget's limit.
    pub fn set_threshold(&self, percent: u8) {
        self.lock().threshold_percent = percent;
    }

    /// Alerts due for all budgets; used after a start.
    pub fn alerts_due(&self, at_ms: u64) -> Vec<Alert> {
        self.lock().alerts_due(at_ms)
    }

    /// Alerts due because some were requeued since the last call; empty otherwise.
    pub fn alerts_pending(&self, at_ms: u64) -> Vec<Alert> {
        self.lock().alerts_pending(at_ms)
    }

    /// Marks an alert as due again because it could not be delivered.
    pub fn requeue(&self, alert: &Alert) {
        self.lock().requeue(alert);
    }

    /// Remainder of the tightest `block` budget that counts this claim; `None` if none does.
    pub fn tightest_budget(&self, claim: &Claim<'_>) -> Option<TightestBudget> {
        self.lock()
            .tightest_budget(claim.budgets, &claim.hold, self.time.now_ms())
    }

    /// Smallest remainder of a `block` budget that counts this claim; `None` if none does.
    pub fn remainder(&self, claim: &Claim<'_>) -> Option<Remainder> {
        self.lock()
            .remainder_of(claim.budgets, &claim.hold, self.time.now_ms())
    }

    /// `block` budgets that count this claim; it may have to wait in their queues.
    pub fn blocking_budgets(&self, claim: &Claim<'_>) -> Vec<BudgetId> {
        self.lock()
            .blocking_budgets(claim.budgets, &claim.hold, self.time.now_ms())
    }

    /// Adds or updates a budget after the commit of the change.
    pub fn set_budget(&self, budget: &Budget) {
        self.lock().set_budget(budget.clone(), self.time.now_ms());
        self.notify_change();
    }

    pub fn remove_budget(&self, id: BudgetId) {
        self.lock().remove_budget(id);
        self.notify_change();
    }

    pub fn budget(&self, id: BudgetId) -> Option<Budget> {
        self.lock()
            .budgets
            .get(&id)
            .map(|state| state.budget.clone())
    }

    pub fn budget_status(&self, id: BudgetId) -> Option<BudgetStatus> {
        self.lock().budget_status(id, self.time.now_ms())
    }

    /// Status of a budget, and what it would have refused if it warns.
    pub fn budget_report(&self, id: BudgetId) -> Option<(BudgetStatus, Option<WouldRefuse>)> {
        let mut state = self.lock();
        let status = state.budget_status(id, self.time.now_ms())?;
        let would_refuse = (!status.blocks).then(|| state.would_refuse(id));
        Some((status, would_refuse))
    }

    /// Requests that budgets which warn would have refused, by window.
    pub fn would_refuse(&self) -> Vec<(Charge, WouldRefuse)> {
        let state = self.lock();
        let counted = state.balances.iter();
        counted
            .filter(|(_, balance)| balance.would_refuse.requests > 0)
            .map(|(charge, balance)| (*charge, balance.would_refuse))
            .collect()
    }

    /// Adds what was counted before the start.
    pub fn restore_would_refuse(&self, counted: Vec<(Charge, WouldRefuse)>) {
        let mut state = self.lock();
        for (charge, refused) in counted {
            state.restore_would_refuse(charge, refused);
        }
    }

    /// Adds or updates a rate limit after the commit of the change. A new limit also counts the calls in flight to which it
    /// applies.
    pub fn set_limit(&self, limit: &RateLimit, applies: impl Fn(&Subject) -> bool) {
        let mut state = self.lock();
        let is_new = !state.rate_limits.contains_all(&[limit.id]);
        state.rate_limits.set(limit.clone(), self.time.boot_ms());
        if is_new {
            state.count_running(limit.id, applies);
        }
    }

    pub fn remove_limit(&self, id: LimitId) {
        self.lock().rate_limits.remove(id);
    }

    pub fn limit_status(&self, id: LimitId) -> Option<RateLimitStatus> {
        self.lock().rate_limits.status(id, self.time.boot_ms())
    }

    /// Returns the windows into which time is about to be set back. Until `set_back` or `cancel_set_back` no window is dropped;
    /// windows dropped before are in the books once everything logged so far is posted.
    pub fn prepare_set_back(&self, at_ms: u64) -> Vec<Charge> {
        self.lock().prepare_set_back(at_ms)
    }

    /// Adopts an earlier time. `known` contains these windows and all later ones as of the books.
    pub fn set_back(&self, adoption: &Adoption, known: KnownWindows) {
        let mut state = self.lock();
        self.time.adopt(adoption);
        state.set_back(self.time.now_ms(), known);
        drop(state);
        self.notify_change();
    }

    /// Ends a prepared set-back without a change of time.
    pub fn cancel_set_back(&self) {
        self.lock().cancel_set_back();
    }

    pub fn open_holds(&self) -> usize {
        self.lock().open_holds()
    }

    /// The oldest request that has an open hold or is between two attempts.
    pub fn oldest_running(&self) -> Option<RequestId> {
        // in this order: a request is among the retries before its hold is settled
        let held = self.lock().oldest_hold().map(|hold| hold.request);
        held.into_iter().chain(self.retries.oldest()).min()
    }

    /// Keeps a request among those that have not ended while it has no hold.
    pub fn begin_retry(&self, request: RequestId) -> RunningRetry {
        self.retries.begin(request)
    }

    pub fn held_total(&self) -> Money {
        self.lock().held_total()
    }

    /// Changes with every budget change or correction, so that waiting requests check again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn notify_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Zone of the budgets' windows.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    pub fn wal(&self) -> &Arc<Wal> {
        &self.wal
    }

    /// A poisoned lock is safe to use: `apply` cannot panic, so a panic leaves the amounts consistent.
    pub(super) fn lock(&self) -> MutexGuard<'_, LedgerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks a claim at every level; returns the charges of its hold.
fn check_room(
    state: &mut LedgerState,
    claim: &Claim<'_>,
    at_ms: u64,
    boot_ms: u64,
) -> Result<Vec<Charge>, HoldDenial> {
    if !state.contains_all(claim.budgets) || !state.rate_limits.contains_all(claim.limits) {
        return Err(HoldDenial::Stale);
    }
    let room = state.check_room(claim.budgets, &claim.hold, at_ms);
    // an exceeded budget outranks a rate limit, since no retry helps; a rate limit outranks waiting for budget
    if !matches!(
        room,
        Err(HoldDenial::Exceeded { .. } | HoldDenial::Duplicate)
    ) {
        state
            .rate_limits
            .check_room(claim.limits, &claim.hold, claim.tokens, boot_ms)
            .map_err(HoldDenial::RateLimited)?;
    }
    room
}
