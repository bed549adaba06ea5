//! Whether a key may call a model: its team's patterns, its own and those of every key above it must mean it. Pure; knows nothing of what is
//! configured, so that a refusal never tells which models exist.

use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::pattern::Pattern;
use crate::domain::tenant::{Team, VirtualKey};

/// So many patterns, and so many letters of the name asked for, are shown in a refusal.
const PATTERNS_SHOWN: usize = 8;
const NAME_CHARS_SHOWN: usize = 128;

/// `keys` are the caller's and those above it; `asked` is the name in the request; `provider` and `model` are the deployment
/// that it resolved to.
pub fn check_model_allowed<'k>(
    team: &Team,
    mut keys: impl Iterator<Item = &'k VirtualKey>,
    asked: &str,
    provider: &str,
    model: &str,
) -> Result<(), ApiError> {
    let (restricting, name, patterns) = if !mean(&team.models, asked, provider, model) {
        ("team", &team.name, &team.models)
    } else if let Some(key) = keys.find(|key| !mean(&key.models, asked, provider, model)) {
        ("key", &key.name, &key.models)
    } else {
        return Ok(());
    };
    let asked: String = asked.chars().take(NAME_CHARS_SHOWN).collect();
    Err(ApiError::new(
        ErrorCode::ModelNotAllowed,
        format!(
            "the model `{asked}` is not allowed here: the {restricting} `{name}` may call {}; ask for one of these, or have an \
             administrator allow it",
            list(patterns)
        ),
    )
    .with_param("model"))
}

/// Whether `model_allowed` would say yes: for lists of models.
pub fn is_model_allowed<'k>(
    team: &Team,
    mut keys: impl Iterator<Item = &'k VirtualKey>,
    asked: &str,
    provider: &str,
    model: &str,
) -> bool {
    mean(&team.models, asked, provider, model)
        && keys.all(|key| mean(&key.models, asked, provider, model))
}

/// No patterns restrict nothing.
fn mean(patterns: &[Pattern], asked: &str, provider: &str, model: &str) -> bool {
    patterns.is_empty()
        || patterns
            .iter()
            .any(|pattern| pattern.matches_deployment(asked, provider, model))
}

fn list(patterns: &[Pattern]) -> String {
    let shown: Vec<String> = patterns
        .iter()
        .take(PATTERNS_SHOWN)
        .map(|pattern| format!("`{pattern}`"))
        .collect();
    match patterns.len().saturating_sub(PATTERNS_SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{KeyId, OrganizationId, TeamId};

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::new(*text)).collect()
    }

    fn tenants(team: &[&str], key: &[&str]) -> (Team, VirtualKey) {
        let organization = OrganizationId(1);
        let team = Team {
            id: TeamId(2),
            organization,
            name: "marketing".into(),
            models: patterns(team),
            created_ms: 0,
        };
        let key = VirtualKey {
            id: KeyId(3),
            team: team.id,
            organization,
            parent: None,
            name: "campaign".into(),
            secret_hash: [0; 32],
            hint: "abcd".into(),
            models: patterns(key),
            expires_ms: None,
            disabled: false,
            created_ms: 0,
        };
        (team, key)
    }

    #[test]
    fn both_the_team_and_the_key_must_allow_a_model() {
        for (team, key, expected) in [
            (&[][..], &[][..], true),
            (&["gpt-5-*"], &[], true),
            (&["gpt-5-*"], &["gpt-5-mini"], true),
            (&["gpt-5-*"], &["claude-*"], false),
            (&["claude-*"], &["gpt-5-mini"], false),
            (&[], &["openai/*"], true),
            (&["azure/*"], &[], false),
            (&["fast"], &["*"], true),
        ] {
            let (team, key) = tenants(team, key);
            let keys = || std::iter::once(&key);
            assert_eq!(
                is_model_allowed(&team, keys(), "fast", "openai", "gpt-5-mini"),
                expected,
                "{team:?} {key:?}"
            );
            assert_eq!(
                check_model_allowed(&team, keys(), "fast", "openai", "gpt-5-mini").is_ok(),
                expected
            );
        }
    }

    #[test]
    fn a_child_may_call_what_every_key_above_it_may() {
        let (team, parent) = tenants(&[], &["gpt-5-*"]);
        let (_, child) = tenants(&[], &["*"]);
        let allowed = |model| {
            check_model_allowed(&team, [&child, &parent].into_iter(), model, "openai", model)
        };
        assert!(allowed("gpt-5-mini").is_ok());
        assert!(
            allowed("o3")
                .expect_err("refused")
                .message
                .contains("`gpt-5-*`")
        );
        assert!(!is_model_allowed(
            &team,
            [&child, &parent].into_iter(),
            "o3",
            "openai",
            "o3"
        ));
    }

    #[test]
    fn a_refusal_names_the_model_who_restricts_and_what_is_allowed() {
        let (team, key) = tenants(&["gpt-5-mini", "claude-haiku-*"], &[]);
        let problem =
            check_model_allowed(&team, std::iter::once(&key), "gpt-5.1", "openai", "gpt-5.1")
                .expect_err("refused");
        assert_eq!(
            (problem.code, problem.param.as_deref()),
            (ErrorCode::ModelNotAllowed, Some("model"))
        );
        for part in [
            "`gpt-5.1`",
            "team `marketing`",
            "`gpt-5-mini`, `claude-haiku-*`",
        ] {
            assert!(problem.message.contains(part), "{problem}");
        }
    }

    #[test]
    fn a_refusal_is_bounded() {
        let many: Vec<String> = (0..64).map(|count| format!("model-{count}")).collect();
        let (team, key) = tenants(&[], &many.iter().map(String::as_str).collect::<Vec<_>>());
        let problem = check_model_allowed(
            &team,
            std::iter::once(&key),
            &"é".repeat(100_000),
            "openai",
            "x",
        )
        .expect_err("refused");
        assert!(
            problem.message.contains("and 56 more") && problem.message.contains("key `campaign`"),
            "{problem}"
        );
        assert!(problem.message.len() < 1_000);
    }
}
