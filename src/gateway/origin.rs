//! Origin of a request: a client, or the gateway itself.

use crate::domain::event::Flags;

/// Origin of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RequestOrigin {
    #[default]
    Client,
    /// copy of a client's request for another deployment
    Mirror,
    /// request of a drill
    Drill,
}

impl RequestOrigin {
    /// Flag of its records.
    pub fn flag(self) -> Flags {
        match self {
            RequestOrigin::Client => Flags::default(),
            RequestOrigin::Mirror => Flags::MIRROR,
            RequestOrigin::Drill => Flags::DRILL,
        }
    }

    /// Only a client is worth a wait for budget.
    pub fn may_wait(self) -> bool {
        self == RequestOrigin::Client
    }
}
