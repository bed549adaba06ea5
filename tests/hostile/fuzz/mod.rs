//! Mutated messages: a seeded mutator that knows JSON, events, lines and frames. Decoders and stream readers in the process of the test,
//! requests and answers through the real binary, configurations through `check`, and the log through a start. Nothing panics, nothing
//! is answered with a defect, and the books agree.

mod answers;
mod corpus;
mod decoders;
mod files;
mod mutator;
mod requests;
mod vendors;

use super::count_from_env;

/// Messages per target in the process of the test; one minute of each in the long run.
fn decoded() -> usize {
    count_from_env("GK_FUZZ_DECODED", 1_500)
}

/// Messages per target through the binary.
fn sent() -> usize {
    count_from_env("GK_FUZZ_SENT", 150)
}

/// First seed; another one plays other messages.
fn seed() -> u64 {
    count_from_env("GK_FUZZ_SEED", 1) as u64
}
