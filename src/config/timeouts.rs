//! Timeouts of calls to a provider, in the words of `[limits]`: those of a provider, a route or one of its targets.

use super::file::{ConfigErrors, Section};

const CONNECT_S_MAX: u64 = 300;
const DAY_S: u64 = 86_400;

/// Timeouts that replace those of `[limits]`; `None` leaves them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTimeouts {
    pub connect_ms: Option<u64>,
    pub head_ms: Option<u64>,
    pub first_content_ms: Option<u64>,
    pub idle_ms: Option<u64>,
    pub call_ms: Option<u64>,
}

impl CallTimeouts {
    /// Takes the five keys of a section.
    pub(super) fn take(section: &mut Section<'_>, errors: &mut ConfigErrors) -> CallTimeouts {
        let mut ms = |key, most| Some(1_000 * section.optional_integer(key, 1..=most, errors)?);
        CallTimeouts {
            connect_ms: ms("connect_timeout_s", CONNECT_S_MAX),
            head_ms: ms("head_timeout_s", DAY_S),
            first_content_ms: ms("first_content_timeout_s", DAY_S),
            idle_ms: ms("idle_timeout_s", DAY_S),
            call_ms: ms("call_timeout_s", DAY_S),
        }
    }

    /// These timeouts, and those of a wider scope where one is absent.
    #[must_use]
    pub fn or(self, wider: CallTimeouts) -> CallTimeouts {
        CallTimeouts {
            connect_ms: self.connect_ms.or(wider.connect_ms),
            head_ms: self.head_ms.or(wider.head_ms),
            first_content_ms: self.first_content_ms.or(wider.first_content_ms),
            idle_ms: self.idle_ms.or(wider.idle_ms),
            call_ms: self.call_ms.or(wider.call_ms),
        }
    }
}
