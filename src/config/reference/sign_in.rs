//! Keys of the section `[sign_in.oidc]`.

use super::key::KeyDefault::{Absent, Toml};
use super::key::KeyKind::{Secret, String, StringTable, Strings};
use super::key::{KeyReference, key, range};

pub(super) const OIDC: &[KeyReference] = &[
    key(
        "issuer",
        String,
        Absent,
        "",
        "URL of the issuer, exactly as in its tokens; `http://` only for one on this machine.",
    ),
    key(
        "client_id",
        String,
        Absent,
        "",
        "Id of the gateway at the issuer.",
    ),
    key(
        "client_secret",
        Secret,
        Absent,
        "",
        "Secret of the gateway at the issuer; without one it is a public client (PKCE is used in any case).",
    ),
    key(
        "allowed_domains",
        Strings,
        Toml("[]"),
        "",
        "Domains of e-mail addresses that may sign in; only addresses that the issuer has verified count. Empty: all.",
    ),
    key(
        "role_claim",
        String,
        Absent,
        "",
        "Claim with the groups of a person, `groups` or `realm_access.roles`. With it, roles are those of `role_map` at each sign-in and \
         no others; without it, administrators give them.",
    ),
    key(
        "role_map",
        StringTable,
        Toml("{}"),
        "",
        "Role per group: `owner`, `auditor`, `viewer`, `organization:NAME:ROLE` or `team:NAME:ROLE`.",
    ),
    key(
        "timeout_s",
        range(1, 60),
        Toml("10"),
        "s",
        "Time per answer of the issuer.",
    ),
    key(
        "private_hosts",
        Strings,
        Toml("[]"),
        "",
        "Private addresses and ranges that host names of the issuer may resolve to.",
    ),
];
