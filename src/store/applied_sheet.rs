//! Price sheet that an operator applied, as a text with its hash. The store does not read prices.

use sha2::{Digest, Sha256};

/// Price sheet that an operator applied in place of the embedded one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedSheet {
    pub text: String,
    /// of the text, in hexadecimal
    pub sha256: String,
    pub at_ms: u64,
}

impl AppliedSheet {
    pub fn new(text: String, at_ms: u64) -> AppliedSheet {
        AppliedSheet {
            sha256: sha256(&text),
            text,
            at_ms,
        }
    }
}

/// Name of a sheet: its source with the month, and the hash of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SheetName {
    pub as_of: String,
    pub sha256: String,
}

/// Lower-case hexadecimal SHA-256 of a sheet.
pub fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
