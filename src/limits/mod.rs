//! Limits that vendors enforce on requests, as data: `assets/vendor-limits.json`. A written request is fitted to the rules of its
//! vendor, endpoint and model before it is sent: values are lowered, shortened or left out, each change is named, and what cannot be
//! mended is refused here and not by the vendor. `docs/vendor-limits.md` has the kinds of rules. Must never decide by a vendor's name.

mod fit;
mod judge;
mod media;
mod names;
mod path;
mod remedy;
mod rule;
mod schema;
mod table;
mod tree;

pub use fit::{Fit, Violation};
pub use media::relabel;
pub use table::{Table, Target};

#[cfg(test)]
mod tests;
