//! TODO-HEADER

pub(crate) mod alerts;
pub(crate) mod clock;
pub(crate) mod feed;
pub(crate) mod post;
pub(crate) mod records;
pub(crate) mod refusals;
pub(crate) mod retention;
pub(crate) mod rollups;
pub(crate) mod tables;
pub(crate) mod tenants;
pub(crate) mod verify;
pub(crate) mod writer;
pub(crate) mod yielding;
