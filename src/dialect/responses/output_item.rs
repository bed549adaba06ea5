//! One item of a response that is being encoded, and its status.

use crate::dialect::responses::output::{Item, Kind};

/// One item of the response so far; its position is its index.
#[derive(Debug)]
pub(super) struct OutputItem {
    pub(super) block: u32,
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) sealed: Option<String>,
    pub(super) done: bool,
    /// the response ended before the item did
    pub(super) cut_off: bool,
}

pub(super) const COMPLETED: &str = "completed";
pub(super) const INCOMPLETE: &str = "incomplete";

impl OutputItem {
    pub(super) fn item(&self, status: &'static str) -> Item<'_> {
        self.kind
            .item(&self.id, status, &self.text, self.sealed.as_deref())
    }

    pub(super) fn finished(&self) -> Item<'_> {
        self.item(if self.cut_off { INCOMPLETE } else { COMPLETED })
    }
}
