//! Shared state of all exchanges: limits, clock, reasoning store and the slots of calls that are drained.

use std::sync::Arc;

use crate::config::Limits;
use crate::domain::time::Time;
use crate::gateway::exchange::drain_slots::DrainSlots;
use crate::gateway::request::reasoning_memory::ReasoningStore;

pub(in crate::gateway) struct ExchangeContext {
    pub limits: Limits,
    pub time: Arc<Time>,
    pub reasoning: Arc<ReasoningStore>,
    pub drain_slots: DrainSlots,
}

impl ExchangeContext {
    pub fn new(limits: Limits, time: Arc<Time>, reasoning: Arc<ReasoningStore>) -> ExchangeContext {
        ExchangeContext {
            limits,
            time,
            reasoning,
            drain_slots: DrainSlots::default(),
        }
    }
}
