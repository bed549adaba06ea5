//! Shared state that every admission works with.

use std::sync::Arc;

use crate::config::{Limits, Overrun};
use crate::domain::attribution::Pseudonyms;
use crate::gateway::access::Access;
use crate::gateway::admission::queue::Queue;
use crate::gateway::alert_outbox::AlertOutbox;
use crate::gateway::body_work::BodyWork;
use crate::gateway::inflight::Inflight;
use crate::gateway::request::reasoning_memory::ReasoningStore;
use crate::meter::estimates::Estimates;
use crate::meter::{Ceilings, Ledger};

#[derive(Clone)]
pub(in crate::gateway) struct AdmissionControl {
    pub limits: Limits,
    pub overrun: Overrun,
    pub access: Arc<Access>,
    pub ledger: Arc<Ledger>,
    pub ceilings: Arc<Ceilings>,
    pub queue: Arc<Queue>,
    pub estimates: Arc<Estimates>,
    pub alerts: AlertOutbox,
    pub pseudonyms: Pseudonyms,
    pub reasoning: Arc<ReasoningStore>,
    pub inflight: Arc<Inflight>,
    pub work: BodyWork,
}
