//! TODO-HEADER

pub(crate) mod drain;
pub(crate) mod hold;
pub(crate) mod http;
pub(crate) mod rejection;
pub(crate) mod send;
pub(crate) mod stream;
pub(crate) mod unary;
pub(crate) mod unmetered;
