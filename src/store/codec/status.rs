//! Statuses and status classes as numbers: positions in `Status::ALL` and `StatusClass::ALL`, whose order is stored.

use crate::domain::event::{Status, StatusClass};

/// Number of a status.
pub(super) fn status_number(status: Status) -> u8 {
    Status::ALL
        .iter()
        .position(|known| *known == status)
        .unwrap_or_default() as u8
}

/// Status of a number.
pub(super) fn status_of(number: u8) -> Result<Status, String> {
    Status::ALL
        .get(usize::from(number))
        .copied()
        .ok_or_else(|| format!("unknown status {number}"))
}

/// Status class of a number.
pub(in crate::store) fn class_of(number: u8) -> Result<StatusClass, String> {
    StatusClass::ALL
        .get(usize::from(number))
        .copied()
        .ok_or_else(|| format!("unknown status class {number}"))
}

/// Number of a status class.
pub(in crate::store) fn class_number(class: StatusClass) -> u8 {
    StatusClass::ALL
        .iter()
        .position(|known| *known == class)
        .unwrap_or_default() as u8
}
