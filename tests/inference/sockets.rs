//! TCP sockets of the gateway process, inspected from outside: peers and options.

use std::net::SocketAddr;

use rustix::io::Errno;
use rustix::net::sockopt::{tcp_nodelay, tcp_user_timeout};
use rustix::net::{AddressFamily, getpeername};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::fixture::Fixture;

/// TCP connection of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    pub peer: SocketAddr,
    pub no_delay: bool,
    pub user_timeout_ms: u32,
}

/// All TCP connections of the process; `None` where the machine does not permit the inspection.
pub fn sockets(fixture: &Fixture) -> Option<Vec<Socket>> {
    let pid = fixture.gatekeeper.pid();
    let process = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let handle = pidfd_open(process, PidfdFlags::empty()).ok()?;
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs");
    let mut found = Vec::new();
    for number in files.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok()) {
        match pidfd_getfd(&handle, number, PidfdGetfdFlags::empty()) {
            Ok(file) => found.extend(socket(&file)),
            // closed since the listing
            Err(Errno::BADF) => {}
            Err(_) => return None,
        }
    }
    Some(found)
}

/// `None` if the file is not a TCP connection.
fn socket(file: &impl std::os::fd::AsFd) -> Option<Socket> {
    let peer = getpeername(file).ok()??;
    if peer.address_family() != AddressFamily::INET {
        return None;
    }
    let peer = SocketAddr::try_from(peer).ok()?;
    Some(Socket {
        peer,
        no_delay: tcp_nodelay(file).ok()?,
        user_timeout_ms: tcp_user_timeout(file).ok()?,
    })
}
