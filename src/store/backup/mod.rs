//! Backups: one file with the books as of one record of the log. `create` makes it while the store runs, `archive` is its format, and
//! `restore` puts it into a data folder as a new generation. The seal key, the log and the disposable files are never inside.

pub mod archive;
pub mod create;
pub mod restore;
#[cfg(test)]
mod tests;
