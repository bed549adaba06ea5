//! Table of all keys of the TOML file, in the order of the packaged file. A new key is added here and to the resolver.

use super::audit::AUDIT;
use super::key::KeyDefault::{Absent, Derived, Toml};
use super::key::KeyKind::{Boolean, Choice, Secret, String, StringTable, Strings};
use super::key::{KeyReference, SectionReference, key, range};
use super::limit_keys::LIMITS;
use super::otlp::{LOG, OTLP};
use super::price_keys::{MODEL_PRICE, PRICE};
use super::provider_keys::PROVIDER;
use super::sign_in::OIDC;

pub(super) const SECTIONS: &[SectionReference] = &[
    SectionReference {
        name: "",
        summary: "These keys precede the first section.",
        keys: TOP,
    },
    SectionReference {
        name: "ledger",
        summary: "Write-ahead log and budgets.",
        keys: LEDGER,
    },
    SectionReference {
        name: "retention",
        summary: "Retention of rows in whole days; `0` keeps them forever. Older rows are deleted in small batches. Budgets never need \
                  deleted rows. Audit events are never deleted.",
        keys: RETENTION,
    },
    SectionReference {
        name: "limits",
        summary: "Size limits and timeouts of requests.",
        keys: LIMITS,
    },
    SectionReference {
        name: "egress",
        summary: "Outgoing connections to providers and webhooks. The gateway contacts no other host than those that this file names. A host \
                  written as an IP address, and `localhost`, permit exactly that address; a name that resolves to a private address needs \
                  `private_hosts` in its own section. Link-local addresses are never contacted. `gatekeeper check --egress` lists all \
                  destinations.",
        keys: EGRESS,
    },
    SectionReference {
        name: "fetch",
        summary: "Fetching images by URL for vendors that accept image data only. With `images = \"on\"` clients choose hosts that the \
                  gateway connects to: public addresses and `private_hosts`.",
        keys: FETCH,
    },
    SectionReference {
        name: "alerts",
        summary: "Each budget raises one alert per window at the threshold and one at its limit: in the log, in the audit log, and to the \
                  webhook if configured.",
        keys: ALERTS,
    },
    SectionReference {
        name: "audit",
        summary: "Copies of the audit log for other systems: each at least once and in order, from where its receiver stopped.",
        keys: AUDIT,
    },
    SectionReference {
        name: "otlp",
        summary: "Traces for a collector: one span per request and one per attempt, with names, counts and times, never content. Off \
                  without `endpoint`.",
        keys: OTLP,
    },
    SectionReference {
        name: "log",
        summary: "Lines on standard error.",
        keys: LOG,
    },
    SectionReference {
        name: "sign_in.oidc",
        summary: "Sign-in to the dashboard through an OpenID Connect issuer, beside local accounts. Register the redirect URI \
                  `PUBLIC_URL/sign-in/oidc/callback` there. The gateway then also connects to the hosts that the issuer's discovery document \
                  names. See `docs/sign-in.md`.",
        keys: OIDC,
    },
    SectionReference {
        name: "reasoning_memory",
        summary: "Reasoning that must be returned to the model, stored for clients whose dialect cannot carry it: sealed, by team and call, in \
                  `memory.redb`. It is part of no backup; `gatekeeper memory purge` deletes it.",
        keys: REASONING_MEMORY,
    },
    SectionReference {
        name: "cache",
        summary: "Answers kept for equal requests and, with `semantic`, for requests that ask the same in other words: sealed, in \
                  `cache.redb`, which is part of no backup. Off unless a mode is set here or for a route. See `docs/caches.md`.",
        keys: super::cache_keys::CACHE,
    },
    SectionReference {
        name: "capture",
        summary: "Bounds of prompt capture, which is off until `gatekeeper captures on` turns it on for a team or key. Captured calls are \
                  sealed, in `capture.redb`, in no backup; `gatekeeper captures purge` deletes them. See `docs/captures.md`.",
        keys: CAPTURE,
    },
    SectionReference {
        name: "providers.NAME",
        summary: "One section per provider. `NAME` (1 to 40 of `a-z`, `0-9`, `-`, `_`) prefixes models (`NAME/model`) and appears in reports. \
                  Types: {types}.",
        keys: PROVIDER,
    },
    SectionReference {
        name: "providers.NAME.price",
        summary: "Usually written inline: `price = { input = \"1.00\", output = \"5.00\" }`. `input` and `output` are required; a class without a \
                  rate costs as much as the class that contains it.",
        keys: PRICE,
    },
    SectionReference {
        name: "providers.NAME.prices.MODEL",
        summary: "Price of some models over `price`: `MODEL` is a model with its snapshots or a pattern such as `\"gpt-5*\"`; the most \
                  specific entry applies. Rates replace those of `price`, and the fees of tools stay; a factor or a place needs no rates.",
        keys: MODEL_PRICE,
    },
    SectionReference {
        name: "routes.NAME",
        summary: "One name for several deployments. `NAME` may contain one `*` (`[routes.\"openai/*\"]`); `[routes.\"*\"]` takes every name \
                  that nothing else serves. A target is a string or a table: `{ model = \"openai/gpt-5.1\", weight = 3, order = 1 }`. See \
                  `docs/routing.md`.",
        keys: super::routing_keys::ROUTE,
    },
    SectionReference {
        name: "routes.NAME.cache",
        summary: "Settings of the cache for one route, where they differ from `[cache]`. `cache = \"exact\"` is short for \
                  `cache = { mode = \"exact\" }`.",
        keys: super::cache_keys::ROUTE_CACHE,
    },
];

const TOP: &[KeyReference] = &[
    key(
        "listen",
        String,
        Toml("\"127.0.0.1:4000\""),
        "",
        "Listen address, `IP:PORT` or `localhost:PORT`.",
    ),
    key(
        "tls",
        Choice(&["off", "self-signed"]),
        Derived("on with `tls_cert` and `tls_key`, else off"),
        "",
        "`self-signed` makes a certificate at the first start and keeps it in the data folder; clients must be told to trust it. \
         `off` turns the two files off.",
    ),
    key(
        "tls_cert",
        String,
        Absent,
        "",
        "PEM file of the certificate chain, the server's own first. Read again when it changes and on SIGHUP; a pair that cannot be \
         used leaves the old one in force. A relative path is resolved against the folder of this file.",
    ),
    key(
        "tls_key",
        String,
        Absent,
        "",
        "PEM file of the private key; the service's user must be able to read it.",
    ),
    key(
        "admin_listen",
        String,
        Absent,
        "",
        "Second address, for the control plane, metrics and the pages; the main one then serves models and health only. It uses TLS \
         if the main one does.",
    ),
    key(
        "public_url",
        String,
        Derived("the listen address"),
        "",
        "Address by which browsers reach the gateway, e.g. behind a proxy. Links are made from it, never from a Host header.",
    ),
    key(
        "trusted_proxies",
        Strings,
        Toml("[]"),
        "",
        "Addresses and ranges of reverse proxies whose `x-forwarded-for` is believed.",
    ),
    key(
        "data",
        String,
        Derived("`./gatekeeper-data`"),
        "",
        "Data folder. A relative path is resolved against the folder of this file.",
    ),
    key(
        "seal_key",
        Secret,
        Derived("`seal.key` in the data folder"),
        "",
        "Key that seals provider state and stored reasoning, at least 32 characters.",
    ),
    key(
        "timezone",
        String,
        Toml("\"UTC\""),
        "",
        "IANA timezone of budget windows and reports. Fixed once a request has been recorded.",
    ),
    key(
        "workers",
        range(1, 256),
        Derived("one per processor"),
        "threads",
        "Threads that serve requests.",
    ),
    key(
        "picker_aliases",
        Choice(&["on", "off"]),
        Toml("\"off\""),
        "",
        "Adds an alias `anthropic/NAME` to every other listed model, because Claude Code's model picker shows only names that \
         begin with `claude` or `anthropic`.",
    ),
    key(
        "user_header",
        String,
        Absent,
        "",
        "Request header whose value names the end user in reports, such as `x-openwebui-user-email`; only a pseudonym is stored.",
    ),
    key(
        "aliases",
        StringTable,
        Toml("{}"),
        "",
        "Other names of routes and models: `{ \"gpt-4o\" = \"smart\" }`.",
    ),
];

const LEDGER: &[KeyReference] = &[
    key(
        "sync",
        Choice(&["os", "disk"]),
        Toml("\"os\""),
        "",
        "Durability before a request proceeds: `os` after the record is in the log (survives a crash of the process), `disk` after `fdatasync` \
         (survives a power cut, slower).",
    ),
    key(
        "append",
        Choice(&["mapped", "written"]),
        Toml("\"mapped\""),
        "",
        "How a record reaches the log: `mapped` stores it into memory that the kernel keeps for the file (ext4, xfs and tmpfs from \
         Linux 5.14; elsewhere, after a failed sync and on a nearly full disk it is written), `written` calls `write` for each one. \
         Both survive a crash of the process.",
    ),
    key(
        "segment_mb",
        range(1, 1024),
        Toml("64"),
        "MiB",
        "Size of one WAL segment.",
    ),
    key(
        "disk_reserve_mb",
        range(0, 1_000_000),
        Toml("256"),
        "MiB",
        "Free disk space below which model requests are refused with 503; `0` disables the check.",
    ),
    key(
        "budget_overrun",
        Choice(&["refuse", "clamp"]),
        Toml("\"refuse\""),
        "",
        "Treatment of an output cap that exceeds the remaining budget: refuse the request, or lower the cap.",
    ),
];

const RETENTION: &[KeyReference] = &[
    key(
        "requests_days",
        range(0, 36_500),
        Toml("400"),
        "days",
        "Usage records with their corrections, and balances of windows that ended before them.",
    ),
    key(
        "refused_days",
        range(0, 36_500),
        Toml("30"),
        "days",
        "Refused requests; at most `requests_days`.",
    ),
    key(
        "hours_days",
        range(0, 36_500),
        Toml("400"),
        "days",
        "Hourly roll-ups. Reports that need deleted hours are refused; whole days remain available.",
    ),
    key(
        "days_days",
        range(0, 36_500),
        Toml("0"),
        "days",
        "Daily roll-ups.",
    ),
];

const EGRESS: &[KeyReference] = &[
    key(
        "proxy",
        String,
        Absent,
        "",
        "HTTP proxy, `http://HOST:PORT`, through which every connection is tunnelled with CONNECT. The proxy resolves the names. Images \
         that clients name by URL are never fetched through it.",
    ),
    key(
        "proxy_user",
        String,
        Absent,
        "",
        "User for the proxy (Basic).",
    ),
    key(
        "proxy_password",
        Secret,
        Absent,
        "",
        "Password of `proxy_user`.",
    ),
    key(
        "no_proxy",
        Strings,
        Toml("[]"),
        "",
        "Destinations reached directly: addresses, ranges, hosts, or `.domain` for a domain and all hosts below it.",
    ),
    key(
        "ca_file",
        String,
        Absent,
        "",
        "PEM file of certificates to trust beside the built-in ones.",
    ),
];

const FETCH: &[KeyReference] = &[
    key(
        "images",
        Choice(&["on", "off"]),
        Toml("\"off\""),
        "",
        "Fetch images by URL, or refuse such requests.",
    ),
    key(
        "image_mb",
        range(1, 100),
        Toml("10"),
        "MiB",
        "Largest image.",
    ),
    key(
        "timeout_s",
        range(1, 120),
        Toml("15"),
        "s",
        "Time to fetch all images of a request.",
    ),
    key(
        "private_hosts",
        Strings,
        Toml("[]"),
        "",
        "Addresses and ranges outside the public Internet that may be contacted, such as `10.0.0.7` or `10.0.0.0/8`.",
    ),
];

const ALERTS: &[KeyReference] = &[
    key(
        "threshold_percent",
        range(1, 100),
        Toml("85"),
        "%",
        "Share of a budget's limit that raises the threshold alert.",
    ),
    key(
        "webhook",
        String,
        Absent,
        "",
        "URL that receives alerts as JSON, up to three attempts each until a 2xx response.",
    ),
    key(
        "webhook_secret",
        Secret,
        Absent,
        "",
        "Key of the HMAC-SHA-256 in the header `x-gatekeeper-signature`.",
    ),
    key(
        "webhook_timeout_s",
        range(1, 60),
        Toml("5"),
        "s",
        "Time per attempt.",
    ),
    key(
        "private_hosts",
        Strings,
        Toml("[]"),
        "",
        "Private addresses and ranges that the webhook's host name may resolve to.",
    ),
];

const CAPTURE: &[KeyReference] = &[
    key(
        "enabled",
        Boolean,
        Toml("true"),
        "",
        "`false`: capture cannot be turned on, and the file is removed.",
    ),
    key(
        "size_mb",
        range(8, 1_000_000),
        Toml("1024"),
        "MiB",
        "Size of the file; the oldest captured calls are deleted first.",
    ),
    key(
        "queue_mb",
        range(1, 1_024),
        Toml("32"),
        "MiB",
        "Captured calls that are running or not yet written. Further calls are not captured; they are counted.",
    ),
    key(
        "image_kb",
        range(1, 32_768),
        Toml("64"),
        "KiB",
        "Images and other media above this size are stored as their SHA-256.",
    ),
];

const REASONING_MEMORY: &[KeyReference] = &[
    key("enabled", Boolean, Toml("true"), "", "Store reasoning."),
    key("days", range(1, 90), Toml("7"), "days", "Retention."),
    key(
        "entries_max",
        range(1, 10_000_000),
        Toml("100000"),
        "entries",
        "Entries kept; the oldest are deleted first.",
    ),
    key(
        "size_mb",
        range(1, 1_000_000),
        Toml("1024"),
        "MiB",
        "Size kept; the oldest entries are deleted first.",
    ),
];
