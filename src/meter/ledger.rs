//! The ledger: one lock under which a claim is checked at every level, numbered, logged and taken, or refused. It waits for
//! nothing and starts nothing; who must wait for room, or for the disk, does so outside.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::budget::Budget;
use crate::domain::event::{CostLine, Event, Flags, Hold, HoldId, Settlement, Status};
use crate::domain::id::BudgetId;
use crate::domain::money::Money;
use crate::domain::usage::Usage;
use crate::domain::zone::Zone;
use crate::meter::state::{NoRoom, Standing, State, Tightest};
use crate::store::{Journal, NotLogged, Recovered};

/// A claim for one attempt: the hold without its charges, and the budgets above the caller.
pub struct Claim<'a> {
    pub hold: Hold,
    pub budgets: &'a [BudgetId],
}

/// A claim that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub id: HoldId,
    /// its place in the log: with `ledger.sync = "disk"` the upstream is called once that is on disk
    pub sequence: u64,
    /// a `warn` budget is over its limit with this claim
    pub over_warning: bool,
}

/// Why a claim was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    NoRoom(NoRoom),
    Ledger(NotLogged),
}

/// How an attempt ended, as the gateway saw it.
#[derive(Clone, Debug)]
pub struct Ending {
    pub ended_ms: u64,
    pub status: Status,
    pub flags: Flags,
    pub usage: Usage,
    pub cost: Money,
    pub lines: Vec<CostLine>,
    pub output_cap: Option<u64>,
    pub upstream_status: u16,
    pub first_content_ms: Option<u64>,
}

impl Ending {
    /// Books the whole hold: nothing better is known.
    #[must_use]
    pub fn at_ceiling(mut self, ceiling: Money, flag: Flags) -> Ending {
        self.flags = self.flags.with(flag);
        self.cost = ceiling;
        self.lines = vec![CostLine { class: "ceiling", count: 1, rate_pico: u64::try_from(ceiling.pico()).unwrap_or(u64::MAX) }];
        self
    }
}

/// What an ending did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    pub sequence: u64,
    pub cost: Money,
    /// the smallest remainder among the `block` budgets that were charged
    pub remaining: Option<Money>,
    /// budgets in which room came free: the queue wakes who waits for them
    pub freed: Vec<BudgetId>,
}

pub struct Ledger {
    state: Mutex<State>,
    journal: Arc<Journal>,
}

impl Ledger {
    /// The state as of the last record of the log. Holds that were open then are booked at their ceiling, flagged
    /// `orphaned`: their calls may have cost that much, and never more.
    pub fn recover(
        journal: Arc<Journal>,
        zone: Zone,
        budgets: Vec<Budget>,
        recovered: Recovered,
        now_ms: u64,
    ) -> Result<Ledger, NotLogged> {
        let mut state = State::new(zone);
        for (charge, settled) in recovered.balances {
            state.restore_balance(charge, settled);
        }
        for budget in budgets {
            state.set_budget(budget, now_ms);
        }
        for hold in &recovered.holds {
            state.apply(&Event::Hold(hold.clone()));
        }
        let ledger = Ledger { state: Mutex::new(state), journal };
        for hold in recovered.holds {
            let ending = Ending {
                ended_ms: now_ms,
                status: Status::Orphaned,
                flags: Flags::default(),
                usage: Usage::default(),
                cost: Money::ZERO,
                lines: Vec::new(),
                output_cap: None,
                upstream_status: 0,
                first_content_ms: None,
            };
            ledger.settle(hold.id, ending.at_ceiling(hold.ceiling, Flags::ORPHANED))?;
        }
        Ok(ledger)
    }

    /// Takes a claim at every level, or nothing.
    pub fn hold(&self, claim: Claim<'_>) -> Result<Held, Refused> {
        let mut state = self.lock();
        let now_ms = claim.hold.at_ms;
        let room = state.room(claim.budgets, &claim.hold, now_ms).map_err(Refused::NoRoom)?;
        let hold = Hold { charges: room.charges, ..claim.hold };
        let id = hold.id;
        let event = Arc::new(Event::Hold(hold));
        let sequence = self.journal.append(event.clone()).map_err(Refused::Ledger)?;
        state.apply(&event);
        Ok(Held { id, sequence, over_warning: room.over_warning })
    }

    /// Puts the actual cost in the place of a hold. On an error the hold stays, and the answer must not be ended.
    /// A hold that is resolved already is left alone.
    pub fn settle(&self, id: HoldId, ending: Ending) -> Result<Receipt, NotLogged> {
        let mut state = self.lock();
        let Some(hold) = state.hold(id).cloned() else { return Ok(Receipt::default()) };
        let charged: Vec<BudgetId> = hold.charges.iter().map(|charge| charge.budget).collect();
        let over = ending.cost > hold.ceiling;
        let flags = if over { ending.flags.with(Flags::OVER_CEILING) } else { ending.flags };
        let now_ms = ending.ended_ms;
        let cost = ending.cost;
        let event = Arc::new(Event::Settle(Settlement {
            hold,
            ended_ms: ending.ended_ms,
            status: ending.status,
            flags,
            usage: ending.usage,
            cost,
            lines: ending.lines,
            output_cap: ending.output_cap,
            upstream_status: ending.upstream_status,
            first_content_ms: ending.first_content_ms,
        }));
        let sequence = self.journal.append(event.clone())?;
        let freed = state.apply(&event);
        let remaining = charged
            .iter()
            .filter_map(|budget| state.standing(*budget, now_ms))
            .filter(|standing| standing.blocks)
            .map(|standing| standing.remaining())
            .min();
        Ok(Receipt { sequence, cost, remaining, freed })
    }

    /// Gives a hold back: nothing was used. Returns the budgets in which room came free.
    pub fn release(&self, id: HoldId, at_ms: u64) -> Result<Vec<BudgetId>, NotLogged> {
        let mut state = self.lock();
        if state.hold(id).is_none() {
            return Ok(Vec::new());
        }
        let event = Arc::new(Event::Release { id, at_ms });
        self.journal.append(event.clone())?;
        Ok(state.apply(&event))
    }

    /// Notes how far a stream has come. A lost note costs nothing but a worse estimate after a crash.
    pub fn progress(&self, id: HoldId, at_ms: u64, output_bytes: u64, usage: Option<Usage>) {
        let state = self.lock();
        if state.hold(id).is_some() {
            let _ = self.journal.append(Arc::new(Event::Progress { id, at_ms, output_bytes, usage }));
        }
    }

    /// What is left in the tightest `block` budget that counts this claim; `None` where none does.
    pub fn tightest(&self, claim: &Claim<'_>) -> Option<Tightest> {
        self.lock().tightest(claim.budgets, &claim.hold, claim.hold.at_ms)
    }

    /// The `block` budgets that count this claim: those in whose lines it may have to wait.
    pub fn blocking(&self, claim: &Claim<'_>) -> Vec<BudgetId> {
        self.lock().blocking(claim.budgets, &claim.hold, claim.hold.at_ms)
    }

    /// Tells a limit, after its change is committed.
    pub fn set_budget(&self, budget: &Budget, now_ms: u64) {
        self.lock().set_budget(budget.clone(), now_ms);
    }

    pub fn forget_budget(&self, id: BudgetId) {
        self.lock().forget_budget(id);
    }

    pub fn standing(&self, id: BudgetId, now_ms: u64) -> Option<Standing> {
        self.lock().standing(id, now_ms)
    }

    pub fn open_holds(&self) -> usize {
        self.lock().open_holds()
    }

    pub fn held_total(&self) -> Money {
        self.lock().held_total()
    }

    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// A panic under the lock leaves amounts that `apply` had not begun to change: it does nothing that can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
