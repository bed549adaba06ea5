//! Reasoning memory: reasoning blocks of models, kept for clients that cannot send them back, by team and call id, sealed, for some days, in
//! a file of its own (`memory.redb`) that is in no backup. Losing entries is harmless: an unreadable file is discarded, and no
//! request waits for a write.

mod file;
mod memory;
mod pending;
#[cfg(test)]
mod tests;
mod writer;

pub use file::{Bounds, FILE};
pub use memory::ReasoningMemory;
