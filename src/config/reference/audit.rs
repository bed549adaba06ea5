//! Keys of the section `[audit]`.

use super::key::KeyDefault::{Absent, Toml};
use super::key::KeyKind::{Secret, String, Strings};
use super::key::{KeyReference, key, range};

pub(super) const AUDIT: &[KeyReference] = &[
    key(
        "forward",
        String,
        Absent,
        "",
        "URL that receives events as JSON lines; a 2xx response acknowledges them.",
    ),
    key(
        "forward_secret",
        Secret,
        Absent,
        "",
        "Key of the HMAC-SHA-256 in the header `x-gatekeeper-signature`.",
    ),
    key(
        "forward_timeout_s",
        range(1, 60),
        Toml("10"),
        "s",
        "Time per attempt.",
    ),
    key(
        "file",
        String,
        Absent,
        "",
        "Absolute path of a file to which events are appended as JSON lines.",
    ),
    key(
        "syslog",
        String,
        Absent,
        "",
        "Receiver of events as messages of RFC 5424: `udp://IP:PORT` or `unix:/dev/log`. Datagrams are not acknowledged.",
    ),
    key(
        "private_hosts",
        Strings,
        Toml("[]"),
        "",
        "Private addresses and ranges that the host name of `forward` may resolve to.",
    ),
];
