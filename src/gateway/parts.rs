//! Parts of the process that the data plane is made of.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::auth::denials::Denials;
use crate::auth::directory::DirectoryCell;
use crate::cache::CacheCell;
use crate::domain::alert::Alert;
use crate::domain::attribution::Pseudonyms;
use crate::domain::time::Time;
use crate::meter::{Ceilings, Ledger};
use crate::route::HealthChange;
use crate::store::captures::Captures;
use crate::store::reasoning_memory::ReasoningMemory;
use crate::store::seal::SealKey;
use crate::trace::Tracer;

/// Parts of the process that the gateway works with.
pub struct GatewayParts {
    pub directory: Arc<DirectoryCell>,
    pub ledger: Arc<Ledger>,
    pub pseudonyms: Pseudonyms,
    /// delivery of budget alerts
    pub alerts: mpsc::Sender<Alert>,
    /// delivery of alerts of deployments
    pub deployment_alerts: mpsc::Sender<HealthChange>,
    pub denials: Arc<Denials>,
    pub tracer: Arc<Tracer>,
    pub ceilings: Arc<Ceilings>,
    pub seal_key: SealKey,
    /// `None`: provider state that the client's dialect cannot carry is lost
    pub memory: Option<Arc<ReasoningMemory>>,
    /// `None`: no answer is kept
    pub cache: Option<CacheCell>,
    /// `None`: no call is captured
    pub captures: Option<Arc<Captures>>,
    pub time: Arc<Time>,
    /// gives the free memory of its thread back to the system
    pub return_memory: fn(),
}
