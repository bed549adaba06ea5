//! Routes as clients and administrators see them: names, allow-lists, failures, retries and fallbacks, through the gateway in front of
//! scripted upstreams. Each gateway's `Drop` asserts that no hold is open and that the books agree.

mod attempts;
mod drill;
mod fixture;
mod health;
mod import;
mod imported_keys;
mod mirror;
mod names;
mod settings;
