//! Part of the cache in a request: the controls of its client, the plan of its lookup and the recorder of its answer.

pub(super) mod controls;
pub(super) mod plan;
pub(super) mod recorder;
