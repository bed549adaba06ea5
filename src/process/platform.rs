//! Clock, disk, listening socket and binary that the process is given by its caller.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use crate::domain::clock::{Clock, SystemClock};
use crate::store::disk::Disk;

/// Clock and disk of the machine; tests replace them.
pub struct Platform {
    pub clock: Arc<dyn Clock>,
    /// `None`: the data folder itself
    pub disk: Option<Arc<dyn Disk>>,
    /// listening socket passed by the service manager, instead of the configured address
    pub listener: Option<TcpListener>,
    /// file of this process, to be hashed for the audit log
    pub binary: Option<PathBuf>,
}

impl Platform {
    pub fn system() -> Platform {
        Platform {
            clock: Arc::new(SystemClock { boot: boot_id() }),
            disk: None,
            listener: None,
            binary: Some(PathBuf::from("/proc/self/exe")),
        }
    }
}

/// The kernel's id of this boot; `None` where `/proc` is not mounted.
fn boot_id() -> Option<u128> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    u128::from_str_radix(&text.trim().replace('-', ""), 16).ok()
}
