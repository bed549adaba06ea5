//! Answer cache: sealed answers by the id of their request, with a time of expiry and tags by which they are purged, in a file of its own
//! (`cache.redb`) that is in no backup. Losing entries is harmless: an unreadable file is discarded, and no request waits for a write.

mod entry;
mod file;
mod handle;
mod pending;
mod writer;

pub use entry::{EntryHead, EntryTags, NewEntry, Selection, StoredEntry};
pub use file::FILE;
pub use handle::{AnswerCache, CacheBounds, CacheSize};
