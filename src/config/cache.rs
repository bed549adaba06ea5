//! The `[cache]` section, and `cache` of a route, which takes the settings that it lacks from there.

use toml::de::DeValue;

use super::file::{ConfigErrors, Section};
use crate::domain::cache::{CacheMode, CachePolicy, CacheScope, GuardMode, Similarity};

const MIB: u64 = 1 << 20;
/// True if the executable has the embedder, without which no question is compared.
const HAS_EMBEDDER: bool = cfg!(feature = "embedded-embedder");
const TTL_S_MAX: u64 = 30 * 86_400;
const MODES: [(&str, CacheMode); 3] = [
    ("off", CacheMode::Off),
    ("exact", CacheMode::Exact),
    ("semantic", CacheMode::Semantic),
];
const SCOPES: [(&str, CacheScope); 3] = [
    ("key", CacheScope::Key),
    ("team", CacheScope::Team),
    ("organization", CacheScope::Organization),
];
const GUARDS: [(&str, GuardMode); 2] = [
    ("strict", GuardMode::Strict),
    ("balanced", GuardMode::Balanced),
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
        let choices = "\"off\", \"exact\", \"semantic\" or a table";
        let mode = mode_of(word, choices, HAS_EMBEDDER);
        let mode = mode.map_err(|message| written.report(errors, message));
        return CachePolicy {
            mode: mode.unwrap_or(default.mode),
            ..*default
        };
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
    let guard = section.choice("guard", default.guard, &GUARDS, errors);
    let inherited = default.threshold.max(guard.threshold());
    // the default threshold of another guard is not inherited
    let inherited = match default.threshold == default.guard.threshold() {
        true => guard.threshold(),
        false => inherited,
    };
    CachePolicy {
        mode: mode(section, default.mode, errors),
        scope: section.choice("scope", default.scope, &SCOPES, errors),
        ttl_ms: 1_000 * section.integer("ttl_s", default.ttl_ms / 1_000, 1..=TTL_S_MAX, errors),
        ignore_user: section.boolean("ignore_user", default.ignore_user, errors),
        guard,
        threshold: threshold(section, guard, inherited, errors),
    }
}

fn mode(section: &mut Section<'_>, default: CacheMode, errors: &mut ConfigErrors) -> CacheMode {
    let Some(written) = section.string("mode", errors) else {
        return default;
    };
    let choices = "\"off\" or \"exact\" or \"semantic\"";
    let parse = |word: &String| mode_of(word, choices, HAS_EMBEDDER);
    written.parse(errors, parse).unwrap_or(default)
}

fn mode_of(word: &str, choices: &str, has_embedder: bool) -> Result<CacheMode, String> {
    let known = MODES.iter().find(|(known, _)| *known == word);
    match known.map(|(_, mode)| *mode) {
        Some(CacheMode::Semantic) if !has_embedder => Err(
            "no embedder in this executable for mode \"semantic\"; use \"exact\", or a build with the feature embedded-embedder"
                .to_owned(),
        ),
        Some(mode) => Ok(mode),
        None => Err(format!("invalid value \"{word}\"; use {choices}")),
    }
}

fn threshold(
    section: &mut Section<'_>,
    guard: GuardMode,
    inherited: Similarity,
    errors: &mut ConfigErrors,
) -> Similarity {
    let Some(written) = section.string("threshold", errors) else {
        return inherited;
    };
    let min = guard.threshold();
    let parse = |text: &String| {
        Similarity::parse(text)
            .filter(|threshold| *threshold >= min)
            .ok_or_else(|| {
                format!("invalid value \"{text}\"; use a number from \"{min}\" to \"1\"")
            })
    };
    written.parse(errors, parse).unwrap_or(inherited)
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
    fn cache_threshold_follows_its_guard_and_is_never_lower() {
        let policy = resolved("guard = \"balanced\"").expect("valid").policy;
        assert_eq!(policy.threshold, Similarity(850));
        let policy = resolved("threshold = \"0.9\"").expect("valid").policy;
        assert_eq!(policy.threshold, Similarity(900));
        let error = resolved("guard = \"balanced\"\nthreshold = \"0.8\"").expect_err("invalid");
        assert!(
            error.contains("use a number from \"0.850\" to \"1\""),
            "{error}"
        );
    }

    #[test]
    fn semantic_cache_without_embedder_in_the_executable_is_refused() {
        let of = |word, has_embedder| mode_of(word, "a mode", has_embedder);
        let refused = of("semantic", false).expect_err("no embedder");
        assert!(refused.contains("embedded-embedder"), "{refused}");
        assert_eq!(of("semantic", true), Ok(CacheMode::Semantic));
        assert_eq!(of("exact", false), Ok(CacheMode::Exact));
        let loaded = resolved("mode = \"semantic\"");
        assert_eq!(loaded.is_ok(), HAS_EMBEDDER, "{loaded:?}");
    }

    #[test]
    fn cache_of_a_route_inherits_what_it_lacks() {
        let default = resolved("scope = \"key\"\nthreshold = \"0.95\"")
            .expect("valid")
            .policy;
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
        let (policy, _) = of("cache = { mode = \"semantic\", ttl_s = 5 }");
        assert_eq!((policy.mode, policy.ttl_ms), (CacheMode::Semantic, 5_000));
        assert_eq!(policy.threshold, Similarity(950));
        let (_, errors) = of("cache = \"maybe\"");
        assert!(
            errors.contains("use \"off\", \"exact\", \"semantic\" or a table"),
            "{errors}"
        );
    }
}
