//! Targets that a drill lets fail.

/// Targets that fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrillReach {
    /// the one that is asked first
    First,
    All,
}

impl DrillReach {
    pub fn as_str(self) -> &'static str {
        match self {
            DrillReach::First => "first",
            DrillReach::All => "all",
        }
    }
}
