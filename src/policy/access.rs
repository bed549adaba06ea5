//! Model access: a key may call a model only if the lists of its organization, its team, the key and every ancestor key allow it. Pure;
//! it does not know the configuration, so a refusal never reveals which models exist.

use crate::domain::allow_list::AllowList;
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::tenant::{Endpoint, Organization, Team, VirtualKey};

/// Maximum number of patterns in a refusal message.
const SHOWN_PATTERNS_MAX: usize = 8;
/// Maximum length of the model name in a refusal message, in characters.
const SHOWN_NAME_CHARS_MAX: usize = 128;

/// Refuses a model that the organization, the team or a key does not allow. `keys` contains the caller's key and its ancestors; `asked` is the
/// requested name, for the message; `granted_by` lists the names that may grant the deployment `provider/model` besides its own.
pub fn check_model_allowed<'k>(
    (organization, team): (&Organization, &Team),
    mut keys: impl Iterator<Item = &'k VirtualKey>,
    asked: &str,
    granted_by: &[impl AsRef<str>],
    deployment: (&str, &str),
) -> Result<(), ApiError> {
    let allows = |models: &AllowList| is_allowed(models, granted_by, deployment);
    let (restricting, name, patterns) = if !allows(&organization.models) {
        ("organization", &organization.name, &organization.models)
    } else if !allows(&team.models) {
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
    (organization, team): (&Organization, &Team),
    mut keys: impl Iterator<Item = &'k VirtualKey>,
    granted_by: &[impl AsRef<str>],
    deployment: (&str, &str),
) -> bool {
    let allows = |models: &AllowList| is_allowed(models, granted_by, deployment);
    allows(&organization.models) && allows(&team.models) && keys.all(|key| allows(&key.models))
}

/// Returns true if the list allows the deployment by one of the names.
fn is_allowed(
    models: &AllowList,
    granted_by: &[impl AsRef<str>],
    (provider, model): (&str, &str),
) -> bool {
    granted_by
        .iter()
        .any(|name| models.allows(name.as_ref(), provider, model))
}

/// Refuses an endpoint that the team, the key or an ancestor key does not allow.
pub fn check_endpoint_allowed<'k>(
    team: &Team,
    mut keys: impl Iterator<Item = &'k VirtualKey>,
    endpoint: Endpoint,
) -> Result<(), ApiError> {
    let allows = |endpoints: &Option<Vec<Endpoint>>| {
        endpoints
            .as_ref()
            .is_none_or(|endpoints| endpoints.contains(&endpoint))
    };
    let (restricting, name) = if !allows(&team.endpoints) {
        ("team", &team.name)
    } else if let Some(key) = keys.find(|key| !allows(&key.endpoints)) {
        ("key", &key.name)
    } else {
        return Ok(());
    };
    let message = format!(
        "endpoint {} not allowed for the {restricting} `{name}`; ask an administrator to add it to `allowed_endpoints`",
        endpoint.as_str()
    );
    Err(ApiError::new(ErrorCode::PermissionDenied, message))
}

fn list(models: &AllowList) -> String {
    let patterns = models.patterns().unwrap_or_default();
    if patterns.is_empty() {
        return "no model".to_owned();
    }
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
    use crate::domain::pattern::Pattern;
    use crate::domain::tenant::{Labels, MemberKeyRules};

    /// The texts as patterns; `None` allows all models.
    fn allow_list(texts: Option<&[&str]>) -> AllowList {
        let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::new(*text)).collect();
        texts.map_or(AllowList::All, |texts| AllowList::Only(patterns(texts)))
    }

    fn organization(models: Option<&[&str]>) -> Organization {
        Organization {
            id: OrganizationId(1),
            name: "acme".into(),
            models: allow_list(models),
            created_ms: 0,
            deleted_ms: None,
        }
    }

    fn tenants(team: Option<&[&str]>, key: Option<&[&str]>) -> (Team, VirtualKey) {
        let organization = OrganizationId(1);
        let team = Team {
            id: TeamId(2),
            organization,
            name: "marketing".into(),
            models: allow_list(team),
            labels: Labels::default(),
            endpoints: None,
            max_cost: None,
            member_keys: MemberKeyRules::default(),
            created_ms: 0,
            deleted_ms: None,
        };
        let key = VirtualKey {
            id: KeyId(3),
            team: team.id,
            organization,
            parent: None,
            user: None,
            name: "campaign".into(),
            secret_hash: [0; 32],
            imported: false,
            hint: "abcd".into(),
            previous: None,
            models: allow_list(key),
            labels: Labels::default(),
            endpoints: None,
            max_cost: None,
            expires_ms: None,
            disabled: false,
            created_ms: 0,
            deleted_ms: None,
        };
        (team, key)
    }

    #[test]
    fn model_needs_permission_of_team_and_key() {
        for (team, key, expected) in [
            (None, None, true),
            (Some(&["gpt-5-*"][..]), None, true),
            (Some(&["gpt-5-*"]), Some(&["gpt-5-mini"][..]), true),
            (Some(&["gpt-5-*"]), Some(&["claude-*"]), false),
            (Some(&["claude-*"]), Some(&["gpt-5-mini"]), false),
            (None, Some(&["openai/*"]), true),
            (Some(&["azure/*"]), None, false),
            (Some(&["fast"]), Some(&["*"]), true),
            (None, Some(&[]), false),
            (Some(&[]), Some(&["*"]), false),
        ] {
            let (team, key) = tenants(team, key);
            let keys = || std::iter::once(&key);
            assert_eq!(
                is_model_allowed(
                    (&organization(None), &team),
                    keys(),
                    &["fast"],
                    ("openai", "gpt-5-mini")
                ),
                expected,
                "{team:?} {key:?}"
            );
            assert_eq!(
                check_model_allowed(
                    (&organization(None), &team),
                    keys(),
                    "fast",
                    &["fast"],
                    ("openai", "gpt-5-mini")
                )
                .is_ok(),
                expected
            );
        }
    }

    #[test]
    fn model_needs_permission_of_the_organization() {
        let (team, key) = tenants(Some(&["*"]), Some(&["*"]));
        let organization = organization(Some(&["gpt-5-*"]));
        let check = |model| {
            let tenants = (&organization, &team);
            check_model_allowed(
                tenants,
                std::iter::once(&key),
                model,
                &[model],
                ("openai", model),
            )
        };
        assert!(check("gpt-5-mini").is_ok());
        let error = check("o3").expect_err("refused");
        assert!(error.message.contains("organization `acme`"), "{error}");
    }

    #[test]
    fn endpoint_needs_permission_of_team_and_keys() {
        let (mut team, mut key) = tenants(None, None);
        let allowed = |team: &Team, key: &VirtualKey, endpoint| {
            check_endpoint_allowed(team, std::iter::once(key), endpoint).map_err(|error| error.code)
        };
        assert_eq!(allowed(&team, &key, Endpoint::Embeddings), Ok(()));
        team.endpoints = Some(vec![Endpoint::Messages, Endpoint::Embeddings]);
        key.endpoints = Some(vec![Endpoint::Messages]);
        assert_eq!(allowed(&team, &key, Endpoint::Messages), Ok(()));
        for endpoint in [Endpoint::Embeddings, Endpoint::Responses] {
            let refused = Err(ErrorCode::PermissionDenied);
            assert_eq!(allowed(&team, &key, endpoint), refused, "{endpoint:?}");
        }
    }

    #[test]
    fn child_key_needs_permission_of_every_ancestor() {
        let (team, parent) = tenants(None, Some(&["gpt-5-*"]));
        let (_, child) = tenants(None, Some(&["*"]));
        let allowed = |model| {
            check_model_allowed(
                (&organization(None), &team),
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
            (&organization(None), &team),
            [&child, &parent].into_iter(),
            &["o3"],
            ("openai", "o3")
        ));
    }

    #[test]
    fn refusal_names_model_restricting_tenant_and_allowed_models() {
        let (team, key) = tenants(Some(&["gpt-5-mini", "claude-haiku-*"]), None);
        let error = check_model_allowed(
            (&organization(None), &team),
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
        let (team, key) = tenants(
            None,
            Some(&many.iter().map(String::as_str).collect::<Vec<_>>()),
        );
        let error = check_model_allowed(
            (&organization(None), &team),
            std::iter::once(&key),
            &"é".repeat(100_000),
            &[&"é".repeat(100_000)],
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
