//! The books, `gatekeeper.redb`: usage records, balances, roll-ups, tenants and audit events. `database` opens the file, `tables` lists
//! its tables; the one thread of `writer` posts synced records of the log (`post`), runs control-plane changes (`tenants`) and deletes
//! old rows (`retention`); reports read in transactions of their own. Nothing but the writer's thread commits.

pub(in crate::store) mod alerts;
pub(in crate::store) mod audit;
mod capture_settings;
pub(in crate::store) mod clock;
mod concurrent_postings;
mod creations;
pub(in crate::store) mod database;
mod declarations;
pub(in crate::store) mod feed;
pub(in crate::store) mod inspection;
pub(in crate::store) mod last_backup;
pub(in crate::store) mod overlay;
pub(in crate::store) mod post;
mod prices;
pub(in crate::store) mod records;
pub(in crate::store) mod recovery;
mod retention;
pub(in crate::store) mod rollup_upgrade;
mod rollups;
mod settings;
mod sign_in;
pub(in crate::store) mod slot;
mod stated_usage;
pub(in crate::store) mod store;
pub(in crate::store) mod tables;
pub(in crate::store) mod tenants;
pub(in crate::store) mod time_zone;
pub(in crate::store) mod verify;
mod would_refuse;
pub(in crate::store) mod writer;
pub(in crate::store) mod yielding;
