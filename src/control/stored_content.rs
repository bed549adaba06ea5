//! Everything that stores content of calls, and whether it is on: the one list for the settings. A new store of content adds its entry
//! to `Control::stored_content`.

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::plane::Control;
use crate::store::{answer_cache, captures, reasoning_memory};

/// One store of content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredContent {
    pub name: &'static str,
    pub is_on: bool,
    /// content that is stored, and the decision behind it
    pub what: String,
    /// file below the data folder; sealed, and in no backup
    pub file: &'static str,
    /// `None`: not counted
    pub entries: Option<u64>,
    pub bytes: Option<u64>,
    /// command that deletes all of it
    pub purge: &'static str,
}

impl Control {
    /// Every store of content.
    pub fn stored_content(&self, _grant: &Grant<may::ReadSettings>) -> Vec<StoredContent> {
        vec![
            self.captured_content(),
            self.kept_answers(),
            self.reasoning_content(),
        ]
    }

    fn captured_content(&self) -> StoredContent {
        let on = self.captures_on();
        let what = match (self.captures.is_some(), on) {
            (false, _) => "prompt capture: disabled by [capture] in the configuration".to_owned(),
            (true, 0) => "prompt capture: on for no team and no key".to_owned(),
            (true, count) => format!(
                "prompt capture: prompts and answers of the teams and keys for which it is on ({count})"
            ),
        };
        let stats = self.capture_stats();
        StoredContent {
            name: "captures",
            is_on: on > 0,
            what,
            file: captures::FILE,
            entries: Some(stats.entries),
            bytes: Some(stats.bytes),
            purge: "gatekeeper captures purge --all",
        }
    }

    fn kept_answers(&self) -> StoredContent {
        let size = self.open_cache().map(|cache| cache.size());
        StoredContent {
            name: "cache",
            is_on: size.is_some(),
            what: "answers kept for equal or similar requests, by the `cache` of a route"
                .to_owned(),
            file: answer_cache::FILE,
            entries: size.map(|size| size.entries),
            bytes: size.map(|size| size.bytes),
            purge: "gatekeeper cache purge --all",
        }
    }

    fn reasoning_content(&self) -> StoredContent {
        StoredContent {
            name: "reasoning_memory",
            is_on: self.memory.is_some(),
            what: "reasoning of models that their vendor wants back and the client cannot carry"
                .to_owned(),
            file: reasoning_memory::FILE,
            entries: None,
            bytes: None,
            purge: "gatekeeper memory purge",
        }
    }
}
