//! The audit log as evidence, pure code: events as canonical JSON (`jcs`), the Merkle tree over them (`tree`), signed notes (`note`) with
//! the head of the tree (`checkpoint`), proofs that stand alone (`proof`), and the verifier (`verify`). Bytes in, bytes and findings out:
//! must never do IO or read a clock.

pub mod checkpoint;
pub mod jcs;
pub mod note;
pub mod proof;
mod report;
pub mod tree;
pub mod verify;
