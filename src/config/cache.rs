//! The `[cache]` section, and `cache` of a route, which takes the settings that it lacks from there.

use toml::de::DeValue;

use super::file::{ConfigErrors, Section};
use crate::domain::cache::{CacheMode, CachePolicy, CacheScope};

const MIB: u64 = 1 << 20;
const TTL_S_MAX: u64 = 30 * 86_400;
const MODES: [(&str, CacheMode); 2] = [("off", CacheMode::Off), ("exact", CacheMode::Exact)];
const SCOPES: [(&str, CacheScope); 3] = [
    ("key", CacheScope::Key),
    ("team", CacheScope::Team),
    ("organization", CacheScope::Organization),
];
/// Cache of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// for names without a policy of their own
    pub policy: CachePolicy,
    /// size of the file
    pub bytes_max: u64,
}

impl Default for CacheConfig {
    fn default() -> CacheConfig {
        CacheConfig {
            policy: CachePolicy::default(),
            bytes_max: 256 * MIB,
        }
    }
}

pub(super) fn resolve(mut section: Section<'_>, errors: &mut ConfigErrors) -> CacheConfig {
    let default = CacheConfig::default();
    let cache = CacheConfig {
        policy: policy(&mut section, &default.policy, errors),
        bytes_max: section.integer("size_mb", default.bytes_max / MIB, 8..=1_000_000, errors) * MIB,
    };
    section.finish(errors);
    cache
}

/// Takes `cache` of a route: a mode, or a table.
pub(super) fn of_route(
    section: &mut Section<'_>,
    default: &CachePolicy,
    errors: &mut ConfigErrors,
) -> CachePolicy {
    let Some(written) = section.take("cache") else {
        return *default;
    };
    if let DeValue::String(word) = &written.value {
        let word = word.to_string();
        if let Some((_, mode)) = MODES.iter().find(|(known, _)| *known == word) {
            return CachePolicy {
                mode: *mode,
                ..*default
            };
        }
        let message = format!("invalid value \"{word}\"; use \"off\", \"exact\", or a table");
        written.report(errors, message);
        return *default;
    }
    let mut table = section.nested(written, errors);
    let policy = policy(&mut table, default, errors);
    table.finish(errors);
    policy
}

fn policy(
    section: &mut Section<'_>,
    default: &CachePolicy,
    errors: &mut ConfigErrors,
) -> CachePolicy {
    CachePolicy {
        mode: section.choice("mode", default.mode, &MODES, errors),
        scope: section.choice("scope", default.scope, &SCOPES, errors),
        ttl_ms: 1_000 * section.integer("ttl_s", default.ttl_ms / 1_000, 1..=TTL_S_MAX, errors),
        ignore_user: section.boolean("ignore_user", default.ignore_user, errors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    fn resolved(text: &str) -> Result<CacheConfig, String> {
        let mut errors = ConfigErrors::default();
        let top = file::parse("gatekeeper.toml", text, &mut errors);
        let cache = resolve(top, &mut errors);
        match errors.0.is_empty() {
            true => Ok(cache),
            false => Err(errors.to_string()),
        }
    }

    #[test]
    fn cache_default_is_off_for_one_team_and_hour() {
        let cache = resolved("").expect("valid");
        assert_eq!(cache, CacheConfig::default());
        assert_eq!(cache.policy.mode, CacheMode::Off);
        assert_eq!(
            (cache.policy.ttl_ms, cache.bytes_max),
            (3_600_000, 256 * MIB)
        );
    }

    #[test]
    fn cache_of_a_route_inherits_what_it_lacks() {
        let default = resolved("scope = \"key\"").expect("valid").policy;
        let of = |text: &str| {
            let mut errors = ConfigErrors::default();
            let mut top = file::parse("gatekeeper.toml", text, &mut errors);
            let policy = of_route(&mut top, &default, &mut errors);
            (policy, errors.to_string())
        };
        let (policy, _) = of("cache = \"exact\"");
        assert_eq!(
            (policy.mode, policy.scope),
            (CacheMode::Exact, CacheScope::Key)
        );
        let (policy, _) = of("cache = { mode = \"exact\", ttl_s = 5 }");
        assert_eq!((policy.mode, policy.ttl_ms), (CacheMode::Exact, 5_000));
        let (_, errors) = of("cache = \"maybe\"");
        assert!(errors.contains("or a table"), "{errors}");
    }
}
