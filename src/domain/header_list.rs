//! Headers of a response between upstream and client.

use std::borrow::Cow;

/// Names in lower case, most of them constants, and values.
pub type HeaderList = Vec<(Cow<'static, str>, String)>;
