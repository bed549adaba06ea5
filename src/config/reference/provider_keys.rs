//! Table of the keys of a provider's section, in the order of the packaged file.

use super::key::KeyDefault::{Absent, Derived, Toml};
use super::key::KeyKind::{
    Amount, Boolean, Choice, ChoiceOrTable, Secret, Secrets, String, StringTable, Strings, Tables,
};
use super::key::{DAY_S, KeyReference, key, range};

pub(super) const PROVIDER: &[KeyReference] = &[
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
        "api_keys",
        Secrets,
        Absent,
        "",
        "Several API keys instead of `api_key`, at most 100: `[{ key = \"env:A\", weight = 2 }, \"file:/path\"]`. Each is a deployment of \
         its own for cooldowns and bounds; a key that is rejected, limited or without quota is followed by another. A table also takes \
         `name` (default: the end of the source), `rpm` and `tpm`.",
    ),
    key(
        "rpm",
        range(1, 1_000_000_000),
        Absent,
        "requests",
        "Bound of the requests per minute of each deployment, that is of each model and API key. Those of a key and of a route's target \
         count too; the smallest holds. A deployment at its bound gets no calls; if no other is left, the call is refused with 429.",
    ),
    key(
        "tpm",
        range(1, 1_000_000_000),
        Absent,
        "tokens",
        "Bound of the tokens per minute of each deployment, input and output together; a call in flight counts by its input.",
    ),
    key(
        "connect_timeout_s",
        range(1, 300),
        Derived("that of `[limits]`"),
        "s",
        "Time to connect to this provider.",
    ),
    key(
        "head_timeout_s",
        range(1, DAY_S),
        Derived("that of `[limits]`"),
        "s",
        "From the request to the head of the response; local models may need minutes to load.",
    ),
    key(
        "first_content_timeout_s",
        range(1, DAY_S),
        Derived("that of `[limits]`"),
        "s",
        "From the request to the first content of a stream.",
    ),
    key(
        "idle_timeout_s",
        range(1, DAY_S),
        Derived("that of `[limits]`"),
        "s",
        "Between two chunks of a response.",
    ),
    key(
        "call_timeout_s",
        range(1, DAY_S),
        Derived("that of `[limits]`"),
        "s",
        "Of one attempt, to its last byte.",
    ),
    key(
        "base_url",
        String,
        Derived("of the type"),
        "",
        "Scheme, host, port and path, or `env:NAME`; required by types without a fixed host. Taken with and without the version of the \
         API, such as `/v1`; for `openai_compatible` it stays as written.",
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
        ChoiceOrTable(&["sheet", "free", "reported"]),
        Derived("of the type"),
        "",
        "Embedded list prices, no cost, fixed rates, or the `usage.cost` that the vendor reports (OpenRouter). A reported price has no \
         ceiling: under a budget that blocks, a model needs rates in `prices`, or `request_ceiling`. `openai_compatible`, `openrouter` and `xai` \
         must state a price.",
    ),
    key(
        "prices",
        Tables,
        Absent,
        "",
        "Prices of some models, by name or pattern; see below.",
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
        "bare_names",
        Boolean,
        Toml("true"),
        "",
        "With `false`, clients name the models of this provider as `NAME/model` only, and a bare name means that of another provider. Of \
         two providers of the same models, such as `openai` and `azure`, one should have it: names that both offer are refused.",
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
    key(
        "private_hosts",
        Strings,
        Toml("[]"),
        "",
        "Private addresses and ranges that the host name of `base_url` may resolve to, such as `10.0.0.7` or `10.0.0.0/8`.",
    ),
    key(
        "ca_file",
        String,
        Absent,
        "",
        "PEM file of certificates to trust for this provider, beside the built-in ones and those of `[egress]`.",
    ),
    key(
        "client_cert",
        String,
        Absent,
        "",
        "PEM file of a client certificate that the gateway presents to this provider.",
    ),
    key(
        "client_key",
        String,
        Absent,
        "",
        "PEM file of the private key of `client_cert`.",
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
