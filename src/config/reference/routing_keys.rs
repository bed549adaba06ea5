//! Keys of the `[routes.NAME]` sections, in the order of the packaged file.

use super::key::KeyDefault::{Absent, Toml};
use super::key::KeyKind::{Choice, Strings, Targets};
use super::key::KeyReference;
use super::keys::{key, range};

pub(super) const ROUTE: &[KeyReference] = &[
    key(
        "targets",
        Targets,
        Absent,
        "",
        "Deployments in turn, at most 100: `provider/model`, or a model that one provider lists. In a route with `*`, `*` stands for \
         the part of the name that it matched.",
    ),
    key(
        "strategy",
        Choice(&["weighted", "ordered"]),
        Toml("\"weighted\""),
        "",
        "Choice among the targets of the lowest `order` that are available: by weight, or in the order of the list.",
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
];
