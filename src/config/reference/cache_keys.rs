//! Keys of `[cache]` and of the cache of a route, in the order of the packaged file.

use super::key::KeyDefault::{Derived, Toml};
use super::key::KeyKind::{Boolean, Choice, String};
use super::key::{KeyReference, key, range};

const MODES: &[&str] = &["off", "exact", "semantic"];
const SCOPES: &[&str] = &["key", "team", "organization"];
const GUARDS: &[&str] = &["strict", "balanced"];
const TTL_S_MAX: u64 = 30 * 86_400;

const SCOPE: &str = "Keys that share an answer: the same key, the keys of a team, or those of an organization. Never wider.";
const GUARD: &str = "Text guards of `semantic`: `strict` serves the same words only, `balanced` some rewordings too.";
const THRESHOLD: &str = "Smallest cosine of a semantic answer; not below the default of its guard.";
const THRESHOLD_DEFAULT: &str = "\"0.80\" with `strict`, \"0.85\" with `balanced`";

pub(super) const CACHE: &[KeyReference] = &[
    key(
        "mode",
        Choice(MODES),
        Toml("\"off\""),
        "",
        "Answers that are kept, for models called by their own name and for routes without `cache`.",
    ),
    key("scope", Choice(SCOPES), Toml("\"team\""), "", SCOPE),
    key(
        "ttl_s",
        range(1, TTL_S_MAX),
        Toml("3600"),
        "s",
        "Time for which an answer is served.",
    ),
    key(
        "ignore_user",
        Boolean,
        Toml("false"),
        "",
        "Requests that differ in `user` or `metadata` alone are equal.",
    ),
    key("guard", Choice(GUARDS), Toml("\"strict\""), "", GUARD),
    key(
        "threshold",
        String,
        Derived(THRESHOLD_DEFAULT),
        "",
        THRESHOLD,
    ),
    key(
        "size_mb",
        range(8, 1_000_000),
        Toml("256"),
        "MiB",
        "Size of `cache.redb`; the answers that expire first are deleted first.",
    ),
];

pub(super) const ROUTE_CACHE: &[KeyReference] = &[
    key(
        "mode",
        Choice(MODES),
        Derived("that of `[cache]`"),
        "",
        "Answers that are kept.",
    ),
    key(
        "scope",
        Choice(SCOPES),
        Derived("that of `[cache]`"),
        "",
        SCOPE,
    ),
    key(
        "ttl_s",
        range(1, TTL_S_MAX),
        Derived("that of `[cache]`"),
        "s",
        "Time for which an answer is served.",
    ),
    key(
        "ignore_user",
        Boolean,
        Derived("that of `[cache]`"),
        "",
        "Requests that differ in `user` or `metadata` alone are equal.",
    ),
    key(
        "guard",
        Choice(GUARDS),
        Derived("that of `[cache]`"),
        "",
        GUARD,
    ),
    key(
        "threshold",
        String,
        Derived("that of `[cache]`, or that of the guard"),
        "",
        THRESHOLD,
    ),
];
