//! Keys of the sections `[otlp]` and `[log]`.

use super::key::KeyDefault::{Absent, Toml};
use super::key::KeyKind::{Amount, Choice, String, StringTable, Strings};
use super::key::{KeyReference, key, range};

pub(super) const OTLP: &[KeyReference] = &[
    key(
        "endpoint",
        String,
        Absent,
        "",
        "URL of a collector that takes OTLP over HTTP with protocol buffers; `/v1/traces` is added.",
    ),
    key(
        "headers",
        StringTable,
        Toml("{}"),
        "",
        "Headers for the collector; a value may be a secret source.",
    ),
    key(
        "sample_ratio",
        Amount,
        Toml("1"),
        "",
        "Part of the requests that is traced, from `\"0\"` to `\"1\"`. A client that sends `traceparent` decides by its flag.",
    ),
    key(
        "timeout_s",
        range(1, 60),
        Toml("10"),
        "s",
        "Time per export.",
    ),
    key(
        "private_hosts",
        Strings,
        Toml("[]"),
        "",
        "Private addresses and ranges that the host name of `endpoint` may resolve to.",
    ),
];

pub(super) const LOG: &[KeyReference] = &[key(
    "format",
    Choice(&["text", "json"]),
    Toml("\"text\""),
    "",
    "`\"json\"`: one object per line with `timestamp`, `level`, `message` and the fields of the line, such as `request`.",
)];
