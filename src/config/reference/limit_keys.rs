//! Keys of `[limits]`: sizes, times and numbers of requests and connections.

use super::key::KeyDefault::Toml;
use super::key::{KeyReference, key, range};

const DAY_S: u64 = 86_400;

pub(super) const LIMITS: &[KeyReference] = &[
    key(
        "body_mb",
        range(1, 1024),
        Toml("32"),
        "MiB",
        "Largest request body; a larger one is refused with 413.",
    ),
    key(
        "bodies_mb",
        range(1, 65_536),
        Toml("256"),
        "MiB",
        "Request bodies over 64 KiB in flight, together; a key may have as many bytes in flight as are free. Beyond that: 503.",
    ),
    key(
        "answer_mb",
        range(1, 1024),
        Toml("32"),
        "MiB",
        "Largest unary response body and largest event of a stream; a larger one fails the call with 502.",
    ),
    key(
        "body_timeout_s",
        range(1, 3600),
        Toml("60"),
        "s",
        "Time to receive a complete request body.",
    ),
    key(
        "connect_timeout_s",
        range(1, 300),
        Toml("10"),
        "s",
        "Time to connect to a provider.",
    ),
    key(
        "head_timeout_s",
        range(1, DAY_S),
        Toml("300"),
        "s",
        "Time from the request to the head of the provider's response.",
    ),
    key(
        "first_content_timeout_s",
        range(0, DAY_S),
        Toml("0"),
        "s",
        "From the request to the first content of a stream; `0`: no bound.",
    ),
    key(
        "idle_timeout_s",
        range(1, DAY_S),
        Toml("120"),
        "s",
        "Time between two chunks of a provider's response.",
    ),
    key(
        "call_timeout_s",
        range(1, DAY_S),
        Toml("1800"),
        "s",
        "Duration of a call to a provider, to its last byte.",
    ),
    key(
        "probe_interval_s",
        range(1, 3600),
        Toml("5"),
        "s",
        "Cooldown of a deployment that fails; then one call is its probe, and one more after each further interval.",
    ),
    key(
        "client_head_s",
        range(1, 3600),
        Toml("15"),
        "s",
        "Time in which a client must send the head of a request, from its first byte.",
    ),
    key(
        "client_idle_s",
        range(1, 3600),
        Toml("75"),
        "s",
        "Time without a request after which a client's connection is closed.",
    ),
    key(
        "connections_max",
        range(0, 100_000),
        Toml("0"),
        "",
        "Open client connections; at the bound, the connection that has waited longest for its client is closed. `0`: half of the \
         process's file descriptors after 96 are kept back for the admin socket and the books, at most 32,768.",
    ),
    key(
        "connections_per_address_max",
        range(0, 100_000),
        Toml("0"),
        "",
        "Open connections of one client address (of IPv6: of one network of 64 bits). `0`: half of all. Behind a proxy, all clients have \
         its address.",
    ),
    key(
        "client_stall_s",
        range(1, 3600),
        Toml("60"),
        "s",
        "Time without reading after which a client counts as disconnected.",
    ),
    key(
        "ping_s",
        range(1, 3600),
        Toml("15"),
        "s",
        "Idle time of a stream after which a ping is sent.",
    ),
    key(
        "queue_max",
        range(0, 100_000),
        Toml("1000"),
        "requests",
        "Requests queued for one budget while its holds settle.",
    ),
    key(
        "queue_wait_s",
        range(1, 600),
        Toml("10"),
        "s",
        "Time in the budget queue, then the request is refused with 429.",
    ),
    key(
        "drain_s",
        range(1, 3600),
        Toml("30"),
        "s",
        "Time for in-flight requests to finish after SIGTERM.",
    ),
];
