//! The one test binary: every test of the product through the door a user would use, and the rules of the house.

mod admin;
mod budget;
mod conformance;
mod crash;
mod harness;
mod inference;
mod ledger;
mod tidy;
mod versions;
