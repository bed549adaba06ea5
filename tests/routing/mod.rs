//! Routes as clients and administrators see them: names, allow-lists, failures, retries and fallbacks, through the gateway in front of
//! scripted upstreams. Each gateway's `Drop` asserts that no hold is open and that the books agree.

mod api_keys;
mod attempts;
mod bounds;
mod cheapest;
mod commands;
mod deployments;
mod drill;
mod faults;
mod fixture;
mod health;
mod import;
mod imported_keys;
mod mirror;
mod names;
mod recovery;
mod scripts;
mod settings;
mod streams;
