//! Span of an attempt, from the facts that settle its hold.

use crate::domain::event::CallResult;
use crate::gateway::exchange::hold::OpenHold;
use crate::trace::AttemptFacts;

impl OpenHold {
    /// Hands over the span of the attempt, if its request is traced.
    pub(super) fn trace_attempt(&self, result: &CallResult) {
        let Some(trace) = self.facts.route.trace() else {
            return;
        };
        let deployment = &self.facts.deployment;
        trace.end_attempt(&AttemptFacts {
            attempt: self.grant.id.attempt,
            provider: &deployment.provider.name,
            vendor: deployment.provider.preset.semantic_name(),
            base_url: &deployment.provider.base_url,
            model: &deployment.model,
            began: self.began(),
            result,
        });
    }
}
