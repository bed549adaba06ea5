//! Values in place of those that a vendor refuses: call ids and names of end users. Equal values stay equal, so that a result still
//! finds its call, and the replacement tells nothing of the original.

use regex_lite::Regex;
use sha2::{Digest, Sha256};

/// Members that name an end user, a session or a cache key.
const USERS: [&str; 7] = [
    "user",
    "user_id",
    "safety_identifier",
    "prompt_cache_key",
    "end_user_id",
    "client_id",
    "session_id",
];
/// Members that hold the id of a call or of an item.
const IDS: [&str; 5] = ["id", "tool_call_id", "tool_use_id", "toolUseId", "call_id"];
/// Lengths of a replacement, in the order of preference.
const LENGTHS: [usize; 5] = [24, 32, 16, 9, 40];

pub(super) fn is_user(leaf: &str) -> bool {
    USERS.contains(&leaf)
}

pub(super) fn is_id(leaf: &str) -> bool {
    IDS.contains(&leaf)
}

/// Fingerprint of a text that fits a length and a pattern; `None` if no length fits.
pub(super) fn fingerprint(text: &str, max: usize, pattern: Option<&Regex>) -> Option<String> {
    let hash = Sha256::digest(text.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let fits = |length: &&usize| {
        **length <= max && pattern.is_none_or(|pattern| pattern.is_match(&hex[..**length]))
    };
    let length = LENGTHS.iter().find(fits)?;
    Some(hex[..*length].to_owned())
}

/// A name within letters, digits, `_` and `-`.
pub(super) fn plain(name: &str, max: usize) -> String {
    let plain = name.chars().map(|letter| {
        if letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-') {
            letter
        } else {
            '-'
        }
    });
    let plain: String = plain.take(max).collect();
    if plain.is_empty() {
        "name".to_owned()
    } else {
        plain
    }
}
