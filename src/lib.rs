//! The map of the program: one gateway process, read from the outside in.
//!
//! ```text
//! 9  cli                  arguments in, exit code out
//! 8  server               the listener: HTTP in, HTTP out
//! 7  gateway  control     the journey of a request / every change of the control plane
//! 6  auth policy route meter    who / may it / where to / what it holds and costs
//! 5  config store upstream      settings / redb and the ledger's log / calls to vendors
//! 4  provider             vendors as data
//! 3  dialect price        wire formats / money arithmetic
//! 2  conversation         what is asked and answered, in no wire format
//! 1  domain               the nouns
//! ```
//! A module names only lower rows; modules on one row do not name each other (`tests/tidy.rs`).
#![deny(unsafe_code)]

pub mod auth;
pub mod cli;
pub mod config;
pub mod control;
pub mod conversation;
pub mod dialect;
pub mod domain;
pub mod gateway;
pub mod meter;
pub mod policy;
pub mod price;
pub mod provider;
pub mod route;
pub mod server;
pub mod simulator;
pub mod store;
pub mod upstream;
