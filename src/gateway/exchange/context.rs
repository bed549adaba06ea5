//! Shared state of all exchanges: limits, clock, reasoning store and the slots of calls that are drained.

use std::sync::Arc;

use crate::config::Limits;
use crate::domain::id::RequestId;
use crate::domain::time::Time;
use crate::gateway::body_work::BodyWork;
use crate::gateway::exchange::drain_slots::DrainSlots;
use crate::gateway::exchange::failure_log::FailureLog;
use crate::gateway::exchange::outcome::AttemptFailure;
use crate::gateway::request::reasoning_memory::ReasoningStore;

pub(in crate::gateway) struct ExchangeContext {
    pub limits: Limits,
    pub time: Arc<Time>,
    pub reasoning: Arc<ReasoningStore>,
    pub drain_slots: DrainSlots,
    pub work: BodyWork,
    failures: FailureLog,
}

impl ExchangeContext {
    pub fn new(
        limits: Limits,
        time: Arc<Time>,
        reasoning: Arc<ReasoningStore>,
        work: BodyWork,
    ) -> ExchangeContext {
        ExchangeContext {
            limits,
            time,
            reasoning,
            drain_slots: DrainSlots::default(),
            work,
            failures: FailureLog::default(),
        }
    }

    /// Logs a failed attempt for the operator.
    pub fn log_failure(&self, failure: &AttemptFailure, request: RequestId) {
        failure.log(request);
        self.failures.warn(failure, request, self.time.boot_ms());
    }
}
