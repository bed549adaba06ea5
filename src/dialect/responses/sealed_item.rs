//! Reasoning item as a vendor wants it back: its id and its encrypted content, in one text of provider state.

use serde::{Deserialize, Serialize};

use crate::dialect::wire::json::to_json;

#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct SealedItem {
    pub(super) id: String,
    pub(super) encrypted_content: String,
}

impl SealedItem {
    pub(super) fn write(&self) -> String {
        to_json(self)
    }

    pub(super) fn read(data: &str) -> Option<SealedItem> {
        serde_json::from_str(data).ok()
    }
}
