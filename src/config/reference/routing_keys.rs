//! Keys of the `[routes.NAME]` sections, in the order of the packaged file.

use super::key::KeyDefault::{Absent, Derived, Toml};
use super::key::KeyKind::{Choice, ChoiceOrTable, Strings, Table, Targets};
use super::key::{DAY_S, KeyReference, key, range};

pub(super) const ROUTE: &[KeyReference] = &[
    key(
        "targets",
        Targets,
        Absent,
        "",
        "Deployments in turn, at most 100: `provider/model`, or a model that one provider lists. In a route with `*`, `*` stands for \
         the part of the name that it matched. A table with `model` also takes `weight` (default 1), `order` (default 0), `rpm` and \
         `tpm` of each deployment behind the target, and the five timeouts below for this target alone.",
    ),
    key(
        "strategy",
        Choice(&["weighted", "ordered", "least_busy", "fastest", "cheapest"]),
        Toml("\"weighted\""),
        "",
        "Choice among the targets of the lowest `order` that are available: by weight, in the order of the list, by calls in flight per \
         weight, by the expected time to first content, or by the ceiling of the request.",
    ),
    key(
        "affinity",
        Choice(&["off", "cache_key"]),
        Toml("\"off\""),
        "",
        "With `cache_key` a conversation keeps its target while that is available, so that the vendor's prompt cache stays warm. The \
         conversation is told by `prompt_cache_key`, `metadata.user_id`, or its first message of the user.",
    ),
    key(
        "retry_on",
        Strings,
        Toml(
            "[\"rate_limited\", \"overloaded\", \"timed_out\", \"connect_failed\", \"bad_credential\", \"quota_exhausted\", \
             \"model_not_found\", \"broken\"]",
        ),
        "",
        "Failures after which another target, then a repetition, then a fallback is tried.",
    ),
    key(
        "max_retries",
        range(0, 10),
        Toml("2"),
        "attempts",
        "Repetitions at targets that failed before, once every target was tried.",
    ),
    key(
        "max_attempts",
        range(1, 20),
        Toml("5"),
        "attempts",
        "Attempts of one request, fallbacks included.",
    ),
    key(
        "connect_timeout_s",
        range(1, 300),
        Derived("that of the provider or of `[limits]`"),
        "s",
        "Time to connect to a target of this route.",
    ),
    key(
        "head_timeout_s",
        range(1, DAY_S),
        Derived("that of the provider or of `[limits]`"),
        "s",
        "From the request to the head of the response, for the targets of this route.",
    ),
    key(
        "first_content_timeout_s",
        range(1, DAY_S),
        Derived("that of the provider or of `[limits]`"),
        "s",
        "From the request to the first content of a stream.",
    ),
    key(
        "idle_timeout_s",
        range(1, DAY_S),
        Derived("that of the provider or of `[limits]`"),
        "s",
        "Between two chunks of a response.",
    ),
    key(
        "call_timeout_s",
        range(1, DAY_S),
        Derived("that of the provider or of `[limits]`"),
        "s",
        "Of one attempt, to its last byte.",
    ),
    key(
        "defaults",
        Table,
        Toml("{}"),
        "",
        "Request parameters for clients that leave them out: `{ temperature = 0.2 }`. They are named in `x-gatekeeper-route-params`.",
    ),
    key(
        "override",
        Table,
        Toml("{}"),
        "",
        "Request parameters that replace the client's.",
    ),
    key(
        "cache",
        ChoiceOrTable(&["off", "exact", "semantic"]),
        Derived("that of `[cache]`"),
        "",
        "Answers that are kept: those of equal requests, and with `semantic` those of similar ones.",
    ),
    key(
        "fallbacks",
        Strings,
        Toml("[]"),
        "",
        "Routes or models tried in turn once the targets are used up.",
    ),
    key(
        "context_fallbacks",
        Strings,
        Toml("[]"),
        "",
        "Routes or models tried in turn if the prompt is too long for a target.",
    ),
    key(
        "content_fallbacks",
        Strings,
        Toml("[]"),
        "",
        "Routes or models tried in turn if a target's content filter rejects the request.",
    ),
    key(
        "mirror",
        Table,
        Absent,
        "",
        "Copies of a share of the requests to another deployment: `{ target = \"openai/gpt-5.1\", share = 0.01, budget = \"bud_7\" }`. \
         `budget` is the id of a budget of a key, which pays for the copies.",
    ),
];
