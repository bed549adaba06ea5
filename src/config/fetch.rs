//! The `[fetch]` section: limits of fetching images by URL. Off by default, because no other setting lets a client
//! choose a host that the gateway connects to.

use std::net::IpAddr;

use super::file::{ConfigErrors, Section, Spanned};
use super::settings::{FetchConfig, MIB};

const IMAGE_MB_DEFAULT: u64 = 10;
const TIMEOUT_S_DEFAULT: u64 = 15;

/// Returns `None` if fetching is off.
pub(super) fn resolve(mut section: Section<'_>, errors: &mut ConfigErrors) -> Option<FetchConfig> {
    let images = section.choice("images", false, &[("on", true), ("off", false)], errors);
    let bytes_max = section.integer("image_mb", IMAGE_MB_DEFAULT, 1..=100, errors) * MIB;
    let timeout_ms = section.integer("timeout_s", TIMEOUT_S_DEFAULT, 1..=120, errors) * 1_000;
    let hosts = section.strings("private_hosts", errors);
    section.finish(errors);
    let private_hosts = hosts
        .into_iter()
        .filter_map(|written| parse_ip(written, errors))
        .collect();
    images.then_some(FetchConfig {
        private_hosts,
        bytes_max: bytes_max as usize,
        timeout_ms,
    })
}

fn parse_ip(written: Spanned<String>, errors: &mut ConfigErrors) -> Option<IpAddr> {
    written.parse(errors, |text| {
        text.parse()
            .map_err(|_| format!("invalid IP address `{text}`; use e.g. 10.0.0.7 or fd00::7"))
    })
}
