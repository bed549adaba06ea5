//! The section `[sign_in.oidc]`: sign-in to the dashboard through an OpenID Connect issuer. Takes the keys as written, returns valid
//! settings or reports errors.

use super::alerts::read_secret;
use super::base_url::parse_base_url;
use super::egress;
use super::file::{ConfigErrors, Section, Spanned};
use super::secret::Environment;
use super::settings::{OidcConfig, RoleMapping};
use crate::domain::network::is_loopback_host;
use crate::domain::role::{Level, Role};

const TIMEOUT_S_DEFAULT: u64 = 10;

/// `None` without an issuer, or without an environment: for commands that sign nobody in.
pub(super) fn resolve(
    mut section: Section<'_>,
    environment: Option<Environment<'_>>,
    errors: &mut ConfigErrors,
) -> Option<OidcConfig> {
    let mut oidc = section.section("oidc", errors);
    section.finish(errors);
    let issuer = oidc.string("issuer", errors);
    let client_id = oidc.string("client_id", errors);
    let client_secret = oidc.string("client_secret", errors);
    let domains = oidc.strings("allowed_domains", errors);
    let role_claim = oidc.string("role_claim", errors);
    let mut map = oidc.section("role_map", errors);
    let role_map = map.named_strings(errors);
    let timeout_ms = oidc.integer("timeout_s", TIMEOUT_S_DEFAULT, 1..=60, errors) * 1_000;
    let private_hosts = egress::networks(&mut oidc, errors);
    oidc.finish(errors);
    let (Some(issuer), environment) = (issuer, environment?) else {
        if let Some(written) = client_id.or(client_secret).or(role_claim) {
            written.report(
                errors,
                "no effect without an issuer; write issuer = \"https://…\"",
            );
        }
        return None;
    };
    let Some(client_id) = client_id else {
        issuer.report(errors, "no client_id; write the id that the issuer gave");
        return None;
    };
    if role_claim.is_none() && !role_map.is_empty() {
        issuer.report(
            errors,
            "role_map has no effect without role_claim; name the claim with the groups",
        );
    }
    let client_secret = client_secret.map(|written| read_secret(written, environment, errors));
    Some(OidcConfig {
        issuer: issuer.parse(errors, |url| parse_issuer(url))?,
        client_id: client_id.value,
        client_secret: client_secret.flatten(),
        allowed_domains: domains
            .into_iter()
            .map(|domain| domain.value.trim_start_matches('@').to_lowercase())
            .collect(),
        role_claim: role_claim.map(|claim| claim.value),
        role_map: role_mappings(role_map, errors),
        private_hosts,
        timeout_ms,
    })
}

/// An issuer is compared as text, so it stays as it is written.
fn parse_issuer(url: &str) -> Result<String, String> {
    parse_base_url(url)?;
    let authority = url.strip_prefix("http://");
    match authority {
        Some(rest) if !is_loopback_host(rest.split('/').next().unwrap_or_default()) => Err(
            "issuer without TLS; use https:// (http:// only for an issuer on this machine)"
                .to_owned(),
        ),
        _ => Ok(url.to_owned()),
    }
}

fn role_mappings(
    written: Vec<(String, Spanned<String>)>,
    errors: &mut ConfigErrors,
) -> Vec<RoleMapping> {
    let mapping = |(claim, target): (String, Spanned<String>)| {
        let parsed = target.parse(errors, |text| parse_role(text))?;
        Some(RoleMapping { claim, ..parsed })
    };
    written.into_iter().filter_map(mapping).collect()
}

/// `owner`, `organization:NAME:admin`, `team:NAME:member`.
fn parse_role(text: &str) -> Result<RoleMapping, String> {
    let (level, place, role) = match text.split_once(':') {
        None => (Level::Instance, None, text),
        Some((level, rest)) => {
            let (place, role) = rest.rsplit_once(':').unwrap_or((rest, ""));
            let level = match level {
                "organization" => Level::Organization,
                "team" => Level::Team,
                _ => return Err(invalid_role()),
            };
            (level, Some(place.to_owned()), role)
        }
    };
    let role = Role::parse(level, role).ok_or_else(invalid_role)?;
    Ok(RoleMapping {
        claim: String::new(),
        role,
        organization: place.clone().filter(|_| level == Level::Organization),
        team: place.filter(|_| level == Level::Team),
    })
}

fn invalid_role() -> String {
    "invalid role; use owner, auditor, viewer, organization:NAME:ROLE or team:NAME:ROLE".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    fn resolved(text: &str) -> Result<Option<OidcConfig>, String> {
        let mut errors = ConfigErrors::default();
        let text = format!("[oidc]\n{text}");
        let section = file::parse("gatekeeper.toml", &text, &mut errors);
        let environment = |_: &str| Some("hunter2".to_owned());
        let resolved = resolve(section, Some(&environment), &mut errors);
        match errors.0.is_empty() {
            true => Ok(resolved),
            false => Err(errors.to_string()),
        }
    }

    #[test]
    fn oidc_is_off_without_an_issuer() {
        assert!(resolved("").expect("valid").is_none());
    }

    #[test]
    fn oidc_settings_and_role_map_are_resolved() {
        let text = "issuer = \"https://id.example.com/realms/corp/\"\nclient_id = \"gate\"\nclient_secret = \"env:S\"\n\
                    allowed_domains = [\"Example.com\"]\nrole_claim = \"groups\"\n\
                    role_map = { \"ai-admins\" = \"owner\", eng = \"team:eng:member\", acme = \"organization:acme:admin\" }";
        let oidc = resolved(text).expect("valid").expect("an issuer");
        assert_eq!(oidc.issuer, "https://id.example.com/realms/corp/");
        assert_eq!(oidc.allowed_domains, ["example.com"]);
        assert!(!format!("{oidc:?}").contains("hunter2"));
        let team = oidc.role_map.iter().find(|role| role.claim == "eng");
        let team = team.expect("a mapping");
        assert_eq!(
            (team.role, team.team.as_deref()),
            (Role::TeamMember, Some("eng"))
        );
        assert_eq!(oidc.role_map.len(), 3);
    }

    #[test]
    fn oidc_invalid_setting_is_reported() {
        let issuer = "issuer = \"https://id.example.com\"\n";
        for (text, message) in [
            ("client_id = \"gate\"".to_owned(), "without an issuer"),
            (issuer.to_owned(), "no client_id"),
            (
                "issuer = \"http://id.example.com\"\nclient_id = \"x\"".to_owned(),
                "without TLS",
            ),
            (
                format!("{issuer}client_id = \"x\"\nrole_map = {{ a = \"owner\" }}"),
                "role_claim",
            ),
            (
                format!(
                    "{issuer}client_id = \"x\"\nrole_claim = \"g\"\nrole_map = {{ a = \"king\" }}"
                ),
                "invalid role",
            ),
            (format!("{issuer}client = 1"), "unknown key"),
        ] {
            let errors = resolved(&text).expect_err(&text);
            assert!(errors.contains(message), "{errors}");
        }
    }
}
