//! Calls that cost nothing, such as an answer of the cache: counted by request limits and recorded, without a hold.

use std::sync::Arc;

use crate::domain::event::{CallResult, Hold, LedgerEvent, Settlement};
use crate::meter::ledger::{Claim, HoldError, HoldGrant, Ledger};
use crate::meter::rate_limits::Tokens;
use crate::meter::state::HoldDenial;

impl Ledger {
    /// Books a call that cost nothing: it is counted by the request limits of its caller and recorded, and takes no budget.
    pub fn book_free(
        &self,
        claim: Claim<'_>,
        ending: impl FnOnce(u64) -> CallResult,
    ) -> Result<HoldGrant, HoldError> {
        let mut state = self.lock();
        let (at_ms, boot_ms) = (self.time.now_ms(), self.time.boot_ms());
        if !state.contains_all(claim.budgets) || !state.rate_limits.contains_all(claim.limits) {
            return Err(HoldError::Denied(HoldDenial::Stale));
        }
        let hold = Hold {
            at_ms,
            ..claim.hold
        };
        let (id, none) = (hold.id, Tokens::default());
        let checked = (state.rate_limits).check_room(claim.limits, &hold, none, boot_ms);
        checked.map_err(|hit| HoldError::Denied(HoldDenial::RateLimited(hit)))?;
        let remainder = state.remainder_of(claim.budgets, &hold, at_ms);
        let allowance = state.rate_limits.take(claim.limits, &hold, none);
        let ending = ending(at_ms);
        let event = LedgerEvent::Settle(Settlement { hold, ending });
        let sequence = self.wal().append(Arc::new(event)).map_err(|error| {
            state.rate_limits.release(id, boot_ms);
            HoldError::NotLogged(error)
        })?;
        state.rate_limits.settle(id, Some(0), boot_ms);
        Ok(HoldGrant {
            id,
            at_ms,
            sequence,
            allowance,
            remainder,
        })
    }
}
