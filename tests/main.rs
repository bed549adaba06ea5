//! The one test binary: every test of the product through the door a user would use, and the rules of the house.

mod admin;
mod budget;
mod crash;
mod harness;
mod inference;
mod tidy;
mod versions;
