//! Prompt capture: the setting of a team or key by which the content of its calls is stored. Off unless a setting says otherwise.

use crate::domain::budget::Owner;
use crate::domain::role::Role;

const DAY_MS: u64 = 86_400_000;

/// Retention of captured calls, in whole days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepDays(u16);

impl KeepDays {
    pub const DEFAULT: KeepDays = KeepDays(30);
    pub const MAX: u16 = 365;

    /// `None` unless from 1 to `MAX`.
    pub fn new(days: u16) -> Option<KeepDays> {
        (1..=KeepDays::MAX)
            .contains(&days)
            .then_some(KeepDays(days))
    }

    pub fn days(self) -> u16 {
        self.0
    }

    pub fn ms(self) -> u64 {
        u64::from(self.0) * DAY_MS
    }
}

/// Setting of a team or key. A setting that says nothing is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureSetting {
    /// a team or a key, never an organization
    pub owner: Owner,
    /// `None`: off
    pub keep: Option<KeepDays>,
    /// roles that may read the captured calls of the team beside owners and administrators of the organization
    pub readers: CaptureReaders,
    /// instant since which capture is on
    pub since_ms: u64,
}

impl CaptureSetting {
    pub fn off(owner: Owner) -> CaptureSetting {
        CaptureSetting {
            owner,
            keep: None,
            readers: CaptureReaders::default(),
            since_ms: 0,
        }
    }

    /// Returns `true` for a setting that says nothing.
    pub fn is_empty(&self) -> bool {
        self.keep.is_none() && self.readers == CaptureReaders::default()
    }
}

/// Set of roles; bits are positions in `Role::ALL` and are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureReaders(pub u16);

impl CaptureReaders {
    #[must_use]
    pub fn with(self, role: Role) -> CaptureReaders {
        CaptureReaders(self.0 | bit(role))
    }

    pub fn has(self, role: Role) -> bool {
        self.0 & bit(role) != 0
    }

    pub fn roles(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }
}

fn bit(role: Role) -> u16 {
    Role::ALL
        .iter()
        .position(|known| *known == role)
        .map_or(0, |position| 1 << position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::TeamId;

    #[test]
    fn readers_are_the_roles_that_were_added() {
        let readers = CaptureReaders::default()
            .with(Role::TeamAdmin)
            .with(Role::Auditor);
        assert!(readers.has(Role::TeamAdmin) && !readers.has(Role::TeamViewer));
        let roles: Vec<Role> = readers.roles().collect();
        assert_eq!(roles, [Role::Auditor, Role::TeamAdmin]);
    }

    #[test]
    fn setting_without_retention_and_readers_is_empty() {
        let mut setting = CaptureSetting::off(Owner::Team(TeamId(1)));
        assert!(setting.is_empty());
        setting.readers = setting.readers.with(Role::TeamViewer);
        assert!(!setting.is_empty());
    }

    #[test]
    fn keep_days_out_of_range_are_refused() {
        assert_eq!(KeepDays::new(0), None);
        assert_eq!(KeepDays::new(366), None);
        assert_eq!(KeepDays::new(2).map(KeepDays::ms), Some(2 * 86_400_000));
    }
}
