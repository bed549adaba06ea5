//! The ledger: one lock under which a claim is checked at every level, numbered, logged and taken, or refused. It waits for
//! nothing and starts nothing; who must wait for room, or for the disk, does so outside.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::alert::Alert;
use crate::domain::budget::{Budget, Remainder};
use crate::domain::event::{
    CallResult, Charge, Flags, Hold, HoldId, LedgerEvent, Progress, Settlement, Status, Subject,
};
use crate::domain::id::{BudgetId, LimitId};
use crate::domain::limit::{Allowance, RateLimit};
use crate::domain::money::Money;
use crate::domain::time::{Adoption, Time};
use crate::domain::zone::Zone;
use crate::meter::rate_limits::{RateLimitStatus, Tokens};
use crate::meter::state::{BudgetStatus, HoldDenial, LedgerState, TightestBudget, UnloggedEnding};
use crate::store::{AppendError, KnownWindows, RecoveredState, Wal};

/// A claim for one attempt: the hold without its instant and charges, and the budgets and rate limits above the caller.
pub struct Claim<'a> {
    pub hold: Hold,
    pub budgets: &'a [BudgetId],
    pub limits: &'a [LimitId],
    /// reckoned only where there are limits
    pub tokens: Tokens,
}

/// A claim that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldGrant {
    pub id: HoldId,
    /// when it was granted
    pub at_ms: u64,
    /// its place in the log: with `ledger.sync = "disk"` the upstream is called once that is on disk
    pub sequence: u64,
    /// what the rate limits have left with this claim; `None` where none counts it
    pub allowance: Option<Allowance>,
    /// what the tightest `block` budget has left with it; `None` where none counts it
    pub remainder: Option<Remainder>,
}

/// Why a claim was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldError {
    Denied(HoldDenial),
    NotLogged(AppendError),
}

/// What an ending did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    pub sequence: u64,
    pub cost: Money,
    /// the smallest among the `block` budgets that were charged
    pub remainder: Option<Remainder>,
    /// what the rate limits have left now that the tokens are known; `None` where none counts it
    pub allowance: Option<Allowance>,
    /// budgets in which room came free: the queue wakes who waits for them
    pub freed: Vec<BudgetId>,
    /// what budgets have to say now that this is spent
    pub alerts: Vec<Alert>,
}

pub struct Ledger {
    state: Mutex<LedgerState>,
    wal: Arc<Wal>,
    /// read under the lock, so that no claim carries an instant from before time was set back into the windows after it
    time: Arc<Time>,
    /// counts what may have made room other than the end of a call
    changes: watch::Sender<u64>,
}

impl Ledger {
    /// The state as of the last record of the log. Holds that were open then are booked at their ceiling, or at what was
    /// reported by then where that is more, flagged `orphaned`: their calls may have cost that much.
    pub fn recover(
        wal: Arc<Wal>,
        zone: Zone,
        budgets: Vec<Budget>,
        recovered: RecoveredState,
        time: Arc<Time>,
    ) -> Result<Ledger, AppendError> {
        let now_ms = time.now_ms();
        let mut state = LedgerState::new(zone);
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
            time,
            changes: watch::Sender::new(0),
        };
        for hold in recovered.holds {
            ledger.settle(hold.id, CallResult::orphaned(hold.cost_max(), now_ms))?;
        }
        // what was told is what was written down; the rest is due
        ledger.lock().restore_sent(&recovered.sent_alerts);
        Ok(ledger)
    }

    /// Takes a claim at every level, money, requests, tokens and a parallel call together, or nothing.
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
        let sequence = self.wal.append(event.clone()).map_err(|not_logged| {
            state.rate_limits.give_back(id, boot_ms);
            HoldError::NotLogged(not_logged)
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

    /// Whether a claim would be taken now. Takes nothing.
    pub fn check_hold(&self, claim: &Claim<'_>) -> Result<(), HoldError> {
        let mut state = self.lock();
        let (at_ms, boot_ms) = (self.time.now_ms(), self.time.boot_ms());
        check_room(&mut state, claim, at_ms, boot_ms)
            .map(drop)
            .map_err(HoldError::Denied)
    }

    /// Puts the actual cost in the place of a hold. On an error the hold stays until `settle_unlogged` can log the ending, and the
    /// answer must not be ended. A hold that is resolved already is left alone. Rate limits are resolved either way: the call
    /// is over.
    pub fn settle(&self, id: HoldId, mut ending: CallResult) -> Result<Receipt, AppendError> {
        let mut state = self.lock();
        let allowance = state
            .rate_limits
            .end(id, ending.tokens(), self.time.boot_ms());
        let Some(mut hold) = state.hold(id).cloned() else {
            return Ok(Receipt::default());
        };
        if ending.status != Status::Orphaned {
            // the ending says it all; of an orphan nothing else is known
            hold.progress = Progress::default();
        }
        let charged = hold.charges.clone();
        if ending.cost > hold.ceiling {
            ending.flags = ending.flags.with(Flags::OVER_CEILING);
        }
        if state.over_warning(&hold, ending.cost) {
            ending.flags = ending.flags.with(Flags::OVER_WARNING);
        }
        let (now_ms, cost) = (self.time.now_ms(), ending.cost);
        let event = Arc::new(LedgerEvent::Settle(Settlement { hold, ending }));
        let sequence = match self.wal.append(event.clone()) {
            Ok(sequence) => sequence,
            Err(not_logged) => {
                if let LedgerEvent::Settle(Settlement { ending, .. }) = Arc::unwrap_or_clone(event)
                {
                    let status = ending.status.if_undelivered();
                    state.unlogged.insert(
                        id,
                        UnloggedEnding::Ending(Box::new(CallResult { status, ..ending })),
                    );
                }
                return Err(not_logged);
            }
        };
        let freed = state.apply(&event);
        let alerts = state.alerts_after_settlement(&charged, now_ms);
        let remainder = state.remainder(&charged, now_ms);
        Ok(Receipt {
            sequence,
            cost,
            remainder,
            allowance,
            freed,
            alerts,
        })
    }

    /// Gives a hold back: nothing was used. Returns the budgets in which room came free. On an error the hold stays until
    /// `settle_unlogged` can give it back.
    pub fn release(&self, id: HoldId) -> Result<Vec<BudgetId>, AppendError> {
        let mut state = self.lock();
        state.rate_limits.give_back(id, self.time.boot_ms());
        if state.hold(id).is_none() {
            return Ok(Vec::new());
        }
        let event = Arc::new(LedgerEvent::Release {
            id,
            at_ms: self.time.now_ms(),
        });
        if let Err(not_logged) = self.wal.append(event.clone()) {
            state.unlogged.insert(id, UnloggedEnding::Release);
            return Err(not_logged);
        }
        Ok(state.apply(&event))
    }

    /// Logs the endings that could not be logged when they came, until the log fails again. What budgets have to say of them
    /// is told by `alerts_pending`. Returns how many were logged.
    pub fn settle_unlogged(&self) -> usize {
        let mut logged = 0;
        while let Some((id, unlogged)) = self.first_unlogged() {
            let done = match unlogged {
                UnloggedEnding::Ending(ending) => {
                    self.settle(id, *ending).map(|receipt| receipt.alerts)
                }
                UnloggedEnding::Release => self.release(id).map(|_| Vec::new()),
            };
            let Ok(alerts) = done else { break };
            alerts.iter().for_each(|alert| self.requeue(alert));
            logged += 1;
        }
        if logged > 0 {
            self.changed();
        }
        logged
    }

    /// Takes it out: an ending that fails again is put back.
    fn first_unlogged(&self) -> Option<(HoldId, UnloggedEnding)> {
        self.lock().unlogged.pop_first()
    }

    /// Endings that the log has not taken yet: each keeps its hold.
    pub fn unlogged(&self) -> usize {
        self.lock().unlogged.len()
    }

    /// Notes how far a stream has come. A lost note costs nothing but a worse estimate after a crash.
    pub fn progress(&self, id: HoldId, progress: Progress) {
        let mut state = self.lock();
        if state.hold(id).is_some() {
            let event = Arc::new(LedgerEvent::Progress { id, progress });
            if self.wal.append(event.clone()).is_ok() {
                state.apply(&event);
            }
        }
    }

    /// Takes a compensating entry into the balances, after it is committed. Never logged: the books have it already.
    /// What budgets have to say of it they say with the next call.
    pub fn correct(&self, charges: &[Charge], amount: Money) {
        self.lock().correct(charges, amount);
        self.changed();
    }

    /// From how many percent of a limit on a budget says so.
    pub fn set_threshold(&self, percent: u8) {
        self.lock().threshold_percent = percent;
    }

    /// What budgets have left unsaid: after a start, and nothing otherwise.
    pub fn alerts_due(&self, at_ms: u64) -> Vec<Alert> {
        self.lock().alerts_due(at_ms)
    }

    /// What is due because alerts could not be handed on when they came; nothing otherwise.
    pub fn alerts_pending(&self, at_ms: u64) -> Vec<Alert> {
        self.lock().alerts_pending(at_ms)
    }

    /// An alert that could not be handed on is due again.
    pub fn requeue(&self, alert: &Alert) {
        self.lock().requeue(alert);
    }

    /// What is left in the tightest `block` budget that counts this claim; `None` where none does.
    pub fn tightest_budget(&self, claim: &Claim<'_>) -> Option<TightestBudget> {
        self.lock()
            .tightest_budget(claim.budgets, &claim.hold, self.time.now_ms())
    }

    /// The smallest remainder of a `block` budget that counts this claim; `None` where none does.
    pub fn remainder(&self, claim: &Claim<'_>) -> Option<Remainder> {
        self.lock()
            .remainder_of(claim.budgets, &claim.hold, self.time.now_ms())
    }

    /// The `block` budgets that count this claim: those in whose lines it may have to wait.
    pub fn blocking_budgets(&self, claim: &Claim<'_>) -> Vec<BudgetId> {
        self.lock()
            .blocking_budgets(claim.budgets, &claim.hold, self.time.now_ms())
    }

    /// Tells a limit, after its change is committed.
    pub fn set_budget(&self, budget: &Budget) {
        self.lock().set_budget(budget.clone(), self.time.now_ms());
        self.changed();
    }

    pub fn remove_budget(&self, id: BudgetId) {
        self.lock().remove_budget(id);
        self.changed();
    }

    pub fn budget(&self, id: BudgetId) -> Option<Budget> {
        self.lock()
            .budgets
            .get(&id)
            .map(|watched| watched.budget.clone())
    }

    pub fn budget_status(&self, id: BudgetId) -> Option<BudgetStatus> {
        self.lock().budget_status(id, self.time.now_ms())
    }

    /// Tells a rate limit, after its change is committed. Calls that run already have their places in a new one: those whose
    /// caller it stands above.
    pub fn set_limit(&self, limit: &RateLimit, is_above: impl Fn(&Subject) -> bool) {
        let mut state = self.lock();
        let is_new = !state.rate_limits.knows(&[limit.id]);
        state.rate_limits.set(limit.clone(), self.time.boot_ms());
        if is_new {
            state.count_running(limit.id, is_above);
        }
    }

    pub fn remove_limit(&self, id: LimitId) {
        self.lock().rate_limits.remove(id);
    }

    pub fn limit_status(&self, id: LimitId) -> Option<RateLimitStatus> {
        self.lock().rate_limits.status(id, self.time.boot_ms())
    }

    /// The windows into which time is about to be set back. From now on no window is forgotten, until `set_back` or
    /// `stay`; what the ledger had forgotten before is booked once everything logged by now is.
    pub fn prepare_set_back(&self, at_ms: u64) -> Vec<Charge> {
        self.lock().prepare_set_back(at_ms)
    }

    /// Adopts an earlier time. `known`: what the books say of its windows and all later ones.
    pub fn set_back(&self, adoption: &Adoption, known: KnownWindows) {
        let mut state = self.lock();
        self.time.adopt(adoption);
        state.set_back(self.time.now_ms(), known);
        drop(state);
        self.changed();
    }

    /// Time is not set back after all.
    pub fn cancel_set_back(&self) {
        self.lock().cancel_set_back();
    }

    pub fn open_holds(&self) -> usize {
        self.lock().open_holds()
    }

    pub fn held_total(&self) -> Money {
        self.lock().held_total()
    }

    /// Changes whenever a limit was changed or a balance corrected: who waits for room may have it now.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub fn wal(&self) -> &Arc<Wal> {
        &self.wal
    }

    /// A panic under the lock leaves amounts that `apply` had not begun to change: it does nothing that can panic.
    fn lock(&self) -> MutexGuard<'_, LedgerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a claim finds room at every level, and what it charges.
fn check_room(
    state: &mut LedgerState,
    claim: &Claim<'_>,
    at_ms: u64,
    boot_ms: u64,
) -> Result<Vec<Charge>, HoldDenial> {
    if !state.knows(claim.budgets) || !state.rate_limits.knows(claim.limits) {
        return Err(HoldDenial::Stale);
    }
    let room = state.check_room(claim.budgets, &claim.hold, at_ms);
    // no retry helps where money is missing, and nobody waits for money whom a rate limit refuses
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
