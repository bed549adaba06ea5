//! Options with which the store is opened.

use std::sync::Arc;

use crate::domain::zone::Zone;
use crate::store::disk::Disk;

#[derive(Clone)]
pub struct Options {
    pub disk: Arc<dyn Disk>,
    pub zone: Zone,
    pub segment_bytes: u64,
    /// free space below which new holds are refused
    pub disk_reserve_mb: u64,
    /// requests wait for `fdatasync`
    pub wait_for_disk: bool,
    /// create new books; existing ones are an error
    pub create: bool,
    pub seal_key: SealKeyCheck,
}

/// Comparison of the seal key with that of the sealed credentials, before anything is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealKeyCheck {
    /// the credentials are not needed
    Skip,
    /// there is no seal key
    Absent,
    /// id of the seal key
    Id(String),
}
