//! The `[fetch]` section: whether the gateway may fetch what a client only names. Off unless it is turned on: nothing else lets a
//! client choose where the process connects to.

use std::net::IpAddr;

use super::file::{ConfigErrors, Section, Spanned};
use super::{FetchConfig, MIB};

const IMAGE_MB: u64 = 10;
const TIMEOUT_S: u64 = 15;

/// `None`: nothing is fetched.
pub(super) fn resolve(mut section: Section<'_>, faults: &mut ConfigErrors) -> Option<FetchConfig> {
    let images = section.as_str("images", false, &[("on", true), ("off", false)], faults);
    let bytes_max = section.whole("image_mb", IMAGE_MB, 1..=100, faults) * MIB;
    let timeout_ms = section.whole("timeout_s", TIMEOUT_S, 1..=120, faults) * 1_000;
    let hosts = section.texts("private_hosts", faults);
    section.finish(faults);
    let private_hosts = hosts
        .into_iter()
        .filter_map(|written| address(written, faults))
        .collect();
    images.then_some(FetchConfig {
        private_hosts,
        bytes_max: bytes_max as usize,
        timeout_ms,
    })
}

fn address(written: Spanned<String>, faults: &mut ConfigErrors) -> Option<IpAddr> {
    written.checked(faults, |text| {
        text.parse()
            .map_err(|_| format!("`{text}` is no IP address; write it like 10.0.0.7 or fd00::7"))
    })
}
