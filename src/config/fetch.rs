//! The `[fetch]` section: limits of fetching images by URL. Off by default, because no other setting lets a client
//! choose a host that the gateway connects to.

use super::egress;
use super::file::{ConfigErrors, Section};
use super::settings::{FetchConfig, MIB};

const IMAGE_MB_DEFAULT: u64 = 10;
const TIMEOUT_S_DEFAULT: u64 = 15;

/// Returns `None` if fetching is off.
pub(super) fn resolve(mut section: Section<'_>, errors: &mut ConfigErrors) -> Option<FetchConfig> {
    let images = section.choice("images", false, &[("on", true), ("off", false)], errors);
    let bytes_max = section.integer("image_mb", IMAGE_MB_DEFAULT, 1..=100, errors) * MIB;
    let timeout_ms = section.integer("timeout_s", TIMEOUT_S_DEFAULT, 1..=120, errors) * 1_000;
    let private_hosts = egress::networks(&mut section, errors);
    section.finish(errors);
    images.then_some(FetchConfig {
        private_hosts,
        bytes_max: bytes_max as usize,
        timeout_ms,
    })
}
