//! Copy of a request that is to be sent, with its place among those in flight.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::auth::directory::Caller;
use crate::route::Candidate;

/// Copy of a request that is to be sent.
pub(super) struct MirrorPlan {
    /// key that pays
    pub payer: Arc<Caller>,
    pub candidate: Candidate,
    pub slot: OwnedSemaphorePermit,
}
