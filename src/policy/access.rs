//! Model access: a key may call a model only if the patterns of its team, of the key and of every ancestor key match it. Pure;
//! it does not know the configuration, so a refusal never reveals which models exist.

use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::pattern::Pattern;
use crate::domain::tenant::{Team, VirtualKey};

/// Maximum number of patterns in a refusal message.
const SHOWN_PATTERNS_MAX: usize = 8;
/// Maximum length of the model name in a refusal message, in characters.
const SHOWN_NAME_CHARS_MAX: usize = 128;

/// Refuses a model that the team or a key does not allow. `keys` contains the caller's key and its ancestors; `asked` is the
/// requested name, for the message; `granted_by` lists the names that may grant the deployment `provider/model` besides its own.
pub fn check_model_allowed<'k>(
    team: &Team,
    mut keys: impl Iterator<Item = &'k VirtualKey>,
    asked: &str,
    granted_by: &[impl AsRef<str>],
    (provider, model): (&str, &str),
) -> Result<(), ApiError> {
    let allows = |patterns: &[Pattern]| any_matches(patterns, granted_by, provider, model);
    let (restricting, name, patterns) = if !allows(&team.models) {
        ("team", &team.name, &team.models)
    } else if let Some(key) = keys.find(|key| !allows(&key.models)) {
        ("key", &key.name, &key.models)
    } else {
        return Ok(());
    };
    let asked: String = asked.chars().take(SHOWN_NAME_CHARS_MAX).collect();
    Err(ApiError::new(
        ErrorCode::ModelNotAllowed,
        format!(
            "model `{asked}` not allowed: the {restricting} `{name}` may call {}; use one of these or ask an administrator \
             to allow it",
            list(patterns)
        ),
    )
    .with_param("model"))
}

/// Returns true if `check_model_allowed` succeeds; used to filter lists of models.
pub fn is_model_allowed<'k>(
    team: &Team,
    mut keys: impl Iterator<Item = &'k VirtualKey>,
    granted_by: &[impl AsRef<str>],
    (provider, model): (&str, &str),
) -> bool {
    let allows = |patterns: &[Pattern]| any_matches(patterns, granted_by, provider, model);
    allows(&team.models) && keys.all(|key| allows(&key.models))
}

/// Returns true if a pattern matches one of the names or there are no patterns, which means no restriction.
fn any_matches(
    patterns: &[Pattern],
    granted_by: &[impl AsRef<str>],
    provider: &str,
    model: &str,
) -> bool {
    let matches = |pattern: &Pattern| {
        granted_by
            .iter()
            .any(|name| pattern.matches_deployment(name.as_ref(), provider, model))
    };
    patterns.is_empty() || patterns.iter().any(matches)
}

fn list(patterns: &[Pattern]) -> String {
    let shown: Vec<String> = patterns
        .iter()
        .take(SHOWN_PATTERNS_MAX)
        .map(|pattern| format!("`{pattern}`"))
        .collect();
    match patterns.len().saturating_sub(SHOWN_PATTERNS_MAX) {
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
    fn model_needs_permission_of_team_and_key() {
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
                is_model_allowed(&team, keys(), &["fast"], ("openai", "gpt-5-mini")),
                expected,
                "{team:?} {key:?}"
            );
            assert_eq!(
                check_model_allowed(&team, keys(), "fast", &["fast"], ("openai", "gpt-5-mini"))
                    .is_ok(),
                expected
            );
        }
    }

    #[test]
    fn child_key_needs_permission_of_every_ancestor() {
        let (team, parent) = tenants(&[], &["gpt-5-*"]);
        let (_, child) = tenants(&[], &["*"]);
        let allowed = |model| {
            check_model_allowed(
                &team,
                [&child, &parent].into_iter(),
                model,
                &[model],
                ("openai", model),
            )
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
            &["o3"],
            ("openai", "o3")
        ));
    }

    #[test]
    fn refusal_names_model_restricting_tenant_and_allowed_models() {
        let (team, key) = tenants(&["gpt-5-mini", "claude-haiku-*"], &[]);
        let error = check_model_allowed(
            &team,
            std::iter::once(&key),
            "gpt-5.1",
            &["gpt-5.1"],
            ("openai", "gpt-5.1"),
        )
        .expect_err("refused");
        assert_eq!(
            (error.code, error.param.as_deref()),
            (ErrorCode::ModelNotAllowed, Some("model"))
        );
        for part in [
            "`gpt-5.1`",
            "team `marketing`",
            "`gpt-5-mini`, `claude-haiku-*`",
        ] {
            assert!(error.message.contains(part), "{error}");
        }
    }

    #[test]
    fn refusal_message_length_is_bounded() {
        let many: Vec<String> = (0..64).map(|count| format!("model-{count}")).collect();
        let (team, key) = tenants(&[], &many.iter().map(String::as_str).collect::<Vec<_>>());
        let error = check_model_allowed(
            &team,
            std::iter::once(&key),
            &"é".repeat(100_000),
            &["é"],
            ("openai", "x"),
        )
        .expect_err("refused");
        assert!(
            error.message.contains("and 56 more") && error.message.contains("key `campaign`"),
            "{error}"
        );
        assert!(error.message.len() < 1_000);
    }
}
