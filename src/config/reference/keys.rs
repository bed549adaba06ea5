//! Table of all keys of the TOML file, in the order of the packaged file. A new key is added here and to the resolver.

use super::key::KeyDefault::{Absent, Derived, Toml};
use super::key::KeyKind::{
    Amount, Boolean, Choice, ChoiceOrTable, Secret, String, StringTable, Strings,
};
use super::key::{DAY_S, KeyReference, SectionReference, key, range};

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
        name: "reasoning_memory",
        summary: "Reasoning that must be returned to the model, stored for clients whose dialect cannot carry it: sealed, by team and call, in \
                  `memory.redb`. It is part of no backup; `gatekeeper memory purge` deletes it.",
        keys: REASONING_MEMORY,
    },
    SectionReference {
        name: "providers.NAME",
        summary: "One section per provider. `NAME` (1 to 40 of `a-z`, `0-9`, `-`, `_`) prefixes models (`NAME/model`) and appears in reports. \
                  Types: {types}.",
        keys: PROVIDER,
    },
    SectionReference {
        name: "providers.NAME.price",
        summary: "Usually written inline: `price = { input = \"1.00\", output = \"5.00\" }`. Both rates are required.",
        keys: PRICE,
    },
    SectionReference {
        name: "routes.NAME",
        summary: "One name for several deployments. `NAME` may contain one `*` (`[routes.\"openai/*\"]`); `[routes.\"*\"]` takes every name \
                  that nothing else serves. A target is a string or a table: `{ model = \"openai/gpt-5.1\", weight = 3, order = 1 }`. See \
                  `docs/routing.md`.",
        keys: super::routing_keys::ROUTE,
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
        "Durability before a request proceeds: `os` after `write` (survives a crash of the process), `disk` after `fdatasync` \
         (survives a power cut, slower).",
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

const LIMITS: &[KeyReference] = &[
    key(
        "body_mb",
        range(1, 1024),
        Toml("32"),
        "MiB",
        "Largest request body; a larger one is refused with 413.",
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
        "Time to fetch one image.",
    ),
    key(
        "private_hosts",
        Strings,
        Toml("[]"),
        "",
        "IP addresses outside the public Internet that may be contacted.",
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

const PROVIDER: &[KeyReference] = &[
    key(
        "type",
        String,
        Derived("`NAME`"),
        "",
        "Provider type; optional if `NAME` is a type.",
    ),
    key(
        "api_key",
        Secret,
        Absent,
        "",
        "API key; required by most types unless `base_url` is set.",
    ),
    key(
        "base_url",
        String,
        Derived("of the type"),
        "",
        "Scheme, host, port and path, or `env:NAME`; required by types without a fixed host.",
    ),
    key(
        "headers",
        StringTable,
        Toml("{}"),
        "",
        "Headers sent with every request: `{ \"x-org\" = \"env:ORG\" }`. A value is a text or a secret source.",
    ),
    key(
        "price",
        ChoiceOrTable(&["sheet", "free"]),
        Derived("of the type"),
        "",
        "Embedded list prices, no cost, or fixed rates. `openai_compatible` and `openrouter` must state it.",
    ),
    key(
        "models",
        Strings,
        Toml("[]"),
        "",
        "Model names that this provider serves, in addition to those on its price sheet; at most 1000. A fixed `price` of the section \
         applies to these models alone: others have no known price and are refused where a budget blocks. `[\"*\"]` applies it to all.",
    ),
    key(
        "takes",
        Strings,
        Toml("[]"),
        "",
        "Request members that a vendor of a borrowed dialect is sent although they are not in the gateway's table; at most 100. Without a \
         budget that blocks, every member is sent.",
    ),
    key(
        "request_ceiling",
        Amount,
        Absent,
        "USD",
        "Cost ceiling of a request whose cost is otherwise unbounded.",
    ),
    key(
        "priced_as",
        StringTable,
        Toml("{}"),
        "",
        "Custom model names, each with the model of the price sheet whose rates apply: `{ ours = \"gpt-4.1\" }`.",
    ),
    key(
        "unsupported",
        Choice(&["drop", "error"]),
        Toml("\"drop\""),
        "",
        "Request field that a vendor with a borrowed dialect does not support: removed and named in \
         `x-gatekeeper-dropped-params`, or refused with 400.",
    ),
    key(
        "on_disconnect",
        Choice(&["abort", "drain"]),
        Derived("`\"drain\"` for bedrock, else `\"abort\"`"),
        "",
        "Call whose client disconnects: closed within a second and billed by estimate, or read to its end for the reported \
         usage (at most 60 s, 64 calls at once).",
    ),
    key("region", String, Absent, "", "AWS region (`bedrock` only)."),
    key(
        "access_key_id",
        Secret,
        Absent,
        "",
        "AWS access key that signs requests instead of `api_key` (`bedrock` only).",
    ),
    key(
        "secret_access_key",
        Secret,
        Absent,
        "",
        "Secret of the AWS access key (`bedrock` only).",
    ),
    key(
        "session_token",
        Secret,
        Absent,
        "",
        "Session token of temporary AWS keys (`bedrock` only).",
    ),
    key(
        "api_version",
        String,
        Absent,
        "",
        "Uses the versioned URLs `/openai/deployments/NAME/...?api-version=` (`azure` only).",
    ),
];

const PRICE: &[KeyReference] = &[
    key(
        "input",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of input tokens.",
    ),
    key(
        "output",
        Amount,
        Absent,
        "USD per million tokens",
        "Rate of output tokens.",
    ),
];
