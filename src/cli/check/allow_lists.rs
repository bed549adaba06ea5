//! Remarks on patterns that match no model: of prices, and of the allow-lists in a running server, which are read over its local admin
//! socket. Also keys whose models their team may not call. A pattern is doubtful only if no listed name and no route matches it.

use std::path::Path;

use serde_json::Value;

use crate::cli::admin::AdminClient;
use crate::cli::resolve::qualified_keys;
use crate::cli::values::{cell, rows};
use crate::config::Provider;
use crate::domain::pattern::Pattern;
use crate::process::ADMIN_SOCKET;
use crate::route::RouteTable;

/// Remarks on the prices of a provider.
pub(super) fn price_remarks(provider: &Provider, routes: &RouteTable) -> Vec<String> {
    let names = Names(routes);
    let unused = |pattern: &&Pattern| !names.of_provider(&provider.name, pattern);
    provider
        .prices
        .iter()
        .map(|entry| &entry.pattern)
        .filter(unused)
        .map(|pattern| {
            format!(
                "price for `{pattern}` of provider {} applies to none of its listed models",
                provider.name
            )
        })
        .collect()
}

/// Remarks on the allow-lists of the server that runs on the data folder; none without a server.
pub(super) async fn allow_list_remarks(folder: &Path, routes: &RouteTable) -> Vec<String> {
    if !folder.join(ADMIN_SOCKET).exists() {
        return Vec::new();
    }
    let admin = AdminClient::in_folder(folder);
    let teams = admin.list("/v1/teams").await;
    let keys = admin.list("/v1/keys").await;
    match (teams, keys) {
        (Ok(teams), Ok(keys)) => remarks(&teams, keys, routes),
        (Err(error), _) | (_, Err(error)) => vec![format!("allow-lists not checked: {error}")],
    }
}

fn remarks(teams: &[Value], keys: Vec<Value>, routes: &RouteTable) -> Vec<String> {
    let names = Names(routes);
    let mut remarks = Vec::new();
    for team in teams {
        let owner = format!("team {}", cell(&team["name"]));
        remarks.extend(unmatched(&owner, &team["models"], &names));
    }
    for candidate in qualified_keys(keys, teams) {
        let key = &candidate.resource;
        let owner = format!("key {}", candidate.label);
        remarks.extend(unmatched(&owner, &key["models"], &names));
        if let Some(team) = teams.iter().find(|team| team["id"] == key["team"]) {
            remarks.extend(outside_team(&owner, key, team, &names));
        }
    }
    remarks
}

fn unmatched(owner: &str, models: &Value, names: &Names<'_>) -> Vec<String> {
    let unmatched = |pattern: &Pattern| names.matching(pattern).is_empty();
    patterns(models)
        .into_iter()
        .filter(unmatched)
        .map(|pattern| {
            format!("`{pattern}` in the models of {owner} matches no model, route or alias")
        })
        .collect()
}

/// Patterns of a key of which the team allows nothing.
fn outside_team(owner: &str, key: &Value, team: &Value, names: &Names<'_>) -> Option<String> {
    let allowed: Vec<String> = match &team["models"] {
        Value::Null => return None,
        models => patterns(models)
            .iter()
            .flat_map(|pattern| names.matching(pattern))
            .collect(),
    };
    let is_outside = |pattern: &Pattern| {
        let matching = names.matching(pattern);
        !matching.is_empty() && !matching.iter().any(|name| allowed.contains(name))
    };
    let outside: Vec<String> = patterns(&key["models"])
        .into_iter()
        .filter(is_outside)
        .map(|pattern| format!("`{pattern}`"))
        .collect();
    (!outside.is_empty()).then(|| {
        format!(
            "{} in the models of {owner} is outside those of team {}, so the key may not call it",
            outside.join(", "),
            cell(&team["name"])
        )
    })
}

fn patterns(models: &Value) -> Vec<Pattern> {
    rows(models)
        .iter()
        .filter_map(Value::as_str)
        .map(Pattern::new)
        .collect()
}

/// Names that clients can ask for.
struct Names<'a>(&'a RouteTable);

impl Names<'_> {
    /// Names that a pattern allows. A model by `provider/model` need not be listed.
    fn matching(&self, pattern: &Pattern) -> Vec<String> {
        let models = self.0.names().filter(|(name, deployment)| {
            pattern.matches_deployment(name, &deployment.provider.name, &deployment.model)
        });
        let mut names: Vec<String> = models.map(|(name, _)| name.to_owned()).collect();
        let routes = self.0.route_names().filter(|name| pattern.matches(name));
        names.extend(routes.map(str::to_owned));
        if names.is_empty() && self.is_unlisted_model(pattern.as_str()) {
            names.push(pattern.as_str().to_owned());
        }
        names
    }

    fn is_unlisted_model(&self, text: &str) -> bool {
        !text.contains('*') && self.0.resolve(text).is_ok()
    }

    fn of_provider(&self, provider: &str, pattern: &Pattern) -> bool {
        self.0.names().any(|(_, deployment)| {
            deployment.provider.name == provider && pattern.matches(&deployment.model)
        })
    }
}
