//! Cache of answers, through the real HTTP path: what is answered from it, what never is, and what a hit leaves in the books.

mod controls;
mod exact;
mod fixture;
mod isolation;
#[cfg(feature = "embedded-embedder")]
mod pairs;
mod purge;
#[cfg(feature = "embedded-embedder")]
mod semantic;
mod switched_on;
mod writes;
