//! Module map of Gatekeeper, one process, from the outside in.
//!
//! ```text
//! 11  main                      entry point
//! 10  cli                       arguments in, exit code out
//!  9  process                   composition root: open, build, listen, stop
//!  8  server  simulator         listener: HTTP in, HTTP out / upstream of the demo
//!  7  gateway  control          flow of a request / changes of the control plane
//!  6  auth policy route meter cache   identity / permission / deployment / budgets and rate limits / answers kept
//!     trace                     spans for a collector
//!  5  config store upstream     settings / WAL and books / calls to vendors
//!  4  provider                  vendors as data
//!  3  dialect limits price audit   wire formats / limits of vendors / money arithmetic / tree, notes and verifier of the audit log
//!  2  conversation compression  canonical model between wire formats / codings of bodies
//!  1  domain                    types without IO
//! ```
//! A module names only lower rows; modules in one row do not name each other (`tests/tidy.rs`).
//! `docs/architecture.md` has the folders, the journey of a request and the places where a change goes.
#![deny(unsafe_code)]

pub mod audit;
pub mod auth;
pub mod cache;
pub mod cli;
pub mod compression;
pub mod config;
pub mod control;
pub mod conversation;
pub mod dialect;
pub mod domain;
pub mod gateway;
pub mod limits;
pub mod meter;
pub mod policy;
pub mod price;
pub mod process;
pub mod provider;
pub mod route;
pub mod server;
pub mod simulator;
pub mod store;
pub mod trace;
pub mod upstream;
