//! Names that grant the targets of one resolution: at most the name that was asked for and the route behind it, kept without a list.

use std::ops::Deref;
use std::sync::Arc;

/// One or two names.
#[derive(Clone, Debug)]
pub enum GrantingNames {
    One([Arc<str>; 1]),
    Two([Arc<str>; 2]),
}

impl GrantingNames {
    pub(super) fn new(name: Arc<str>) -> GrantingNames {
        GrantingNames::One([name])
    }

    /// The first name with another one.
    #[must_use]
    pub(super) fn with(self, name: Arc<str>) -> GrantingNames {
        let (GrantingNames::One([first]) | GrantingNames::Two([first, _])) = self;
        GrantingNames::Two([first, name])
    }
}

impl Deref for GrantingNames {
    type Target = [Arc<str>];

    fn deref(&self) -> &[Arc<str>] {
        match self {
            GrantingNames::One(names) => names,
            GrantingNames::Two(names) => names,
        }
    }
}
