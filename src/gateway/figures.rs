//! Figures of the data plane for metrics and health: counters, requests in flight and waiting, routes in force.

use std::sync::Arc;

use crate::gateway::Gateway;
use crate::gateway::inflight::Inflight;
use crate::gateway::metrics::Metrics;
use crate::gateway::mirror_stats::MirrorStats;
use crate::route::RouteTable;

impl Gateway {
    pub fn metrics(&self) -> &Metrics {
        &self.settler.metrics
    }

    /// Figures of mirrored requests.
    pub fn mirrors(&self) -> &MirrorStats {
        &self.settler.mirrors
    }

    pub fn inflight(&self) -> &Inflight {
        &self.inflight
    }

    /// Routes in force.
    pub fn routes(&self) -> Arc<RouteTable> {
        self.access.routes.load_full()
    }

    /// Number of requests that wait for room in a budget.
    pub fn waiting(&self) -> usize {
        self.settler.queue.waiting()
    }

    /// Number of upstream calls that are read to their end without a client.
    pub fn draining(&self) -> usize {
        self.exchange.drain_slots.running()
    }
}
