//! Single test binary: tests through the interfaces of a user (CLI, HTTP API, files), and the tidy rules of the source tree.

mod admin;
mod audit;
mod budget;
mod cache;
mod captures;
mod conformance;
mod crash;
mod harness;
mod hostile;
mod inference;
mod invoice;
mod ledger;
mod routing;
mod tenancy;
mod tidy;
mod versions;
