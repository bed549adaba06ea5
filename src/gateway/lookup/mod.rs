//! The cache in the journey of a request: between the plan and the first hold it looks for a kept answer; a hit is recorded at no cost and
//! answers the client in its dialect, a miss is answered upstream and the complete answer kept. Must never answer beyond the scope, nor
//! without a record.

mod hit;
mod step;

pub(super) use crate::gateway::lookup::step::CacheStep;
