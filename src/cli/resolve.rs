//! Organizations, teams and keys by id, by name, as `team/key`, or by a prefix that only one of them has. Text of an
//! argument in, the resource as the server lists it out. An ambiguous name is refused: the command would change another
//! resource than the caller means.

use std::collections::HashMap;

use serde_json::Value;

use super::admin::AdminClient;
use super::failure::Failure;
use crate::cli::values::cell;

/// Names that an error lists.
const NAMES_SHOWN: usize = 10;

/// Organization with this id or name.
pub async fn organization(admin: &AdminClient, text: &str) -> Result<Value, Failure> {
    let organizations = admin.list("/v1/organizations").await?;
    find("organization", &named(organizations), text)
}

/// Team with this id or name.
pub async fn team(admin: &AdminClient, text: &str) -> Result<Value, Failure> {
    let teams = admin.list("/v1/teams").await?;
    find("team", &named(teams), text)
}

/// Virtual or administrative key with this id or name; a name that several teams use is written `team/key`.
pub async fn key(admin: &AdminClient, text: &str) -> Result<Value, Failure> {
    if text.starts_with("sk-") {
        return Err(Failure::usage(
            "the secret of a key does not name it here; use its id or name, as `gatekeeper keys list` shows them",
        ));
    }
    let teams = admin.list("/v1/teams").await?;
    let keys = admin.list("/v1/keys").await?;
    let mut candidates = qualified_keys(keys, &teams);
    candidates.extend(named(admin.list("/v1/keys?admin=true").await?));
    find("key", &candidates, text)
}

/// Keys with their names as `team/key`.
pub fn qualified_keys(keys: Vec<Value>, teams: &[Value]) -> Vec<Candidate> {
    let names: HashMap<&str, &str> = teams
        .iter()
        .filter_map(|team| Some((team["id"].as_str()?, team["name"].as_str()?)))
        .collect();
    let qualified = |key: Value| {
        let team = key["team"].as_str().unwrap_or("-");
        let team = names.get(team).unwrap_or(&team);
        Candidate {
            label: format!("{team}/{}", cell(&key["name"])),
            resource: key,
        }
    };
    keys.into_iter().map(qualified).collect()
}

/// A resource and the name that is unique among its kind.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub label: String,
    pub resource: Value,
}

impl Candidate {
    fn is_id(&self, text: &str) -> bool {
        self.resource["id"] == text
    }

    fn has_name(&self, text: &str) -> bool {
        self.label == text || self.resource["name"] == text
    }

    fn has_prefix(&self, text: &str) -> bool {
        let name = self.resource["name"].as_str().unwrap_or_default();
        name.starts_with(text) || self.label.starts_with(text)
    }
}

/// Candidates whose names are unique as they are.
pub fn named(resources: Vec<Value>) -> Vec<Candidate> {
    let candidate = |resource: Value| Candidate {
        label: cell(&resource["name"]),
        resource,
    };
    resources.into_iter().map(candidate).collect()
}

/// The candidate with this id, else with this name, else the only one whose name begins so.
pub fn find(kind: &str, candidates: &[Candidate], text: &str) -> Result<Value, Failure> {
    let by = |matches: &dyn Fn(&Candidate) -> bool| -> Vec<&Candidate> {
        candidates.iter().filter(|one| matches(one)).collect()
    };
    let steps: [Vec<&Candidate>; 3] = [
        by(&|one| one.is_id(text)),
        by(&|one| one.has_name(text)),
        by(&|one| !text.is_empty() && one.has_prefix(text)),
    ];
    match steps
        .iter()
        .find(|found| !found.is_empty())
        .map(Vec::as_slice)
    {
        Some([only]) => Ok(only.resource.clone()),
        Some(several) => Err(Failure::usage(format!(
            "ambiguous {kind} `{text}`: {}; write the whole name or the id",
            listed(several)
        ))),
        None => {
            let all: Vec<&Candidate> = candidates.iter().collect();
            Err(Failure::runtime(match all.len() {
                0 => format!("unknown {kind} `{text}`; there is none yet"),
                _ => format!("unknown {kind} `{text}`; there is {}", listed(&all)),
            }))
        }
    }
}

fn listed(candidates: &[&Candidate]) -> String {
    let name = |one: &&Candidate| format!("{} ({})", one.label, cell(&one.resource["id"]));
    let names: Vec<String> = candidates.iter().take(NAMES_SHOWN).map(name).collect();
    match candidates.len().saturating_sub(NAMES_SHOWN) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys() -> Vec<Candidate> {
        let teams = [
            json!({"id": "team_1", "name": "eng"}),
            json!({"id": "team_2", "name": "ops"}),
        ];
        let key = |id: &str, team: &str, name: &str| json!({"id": id, "team": team, "name": name});
        let keys = vec![
            key("key_1", "team_1", "laptop"),
            key("key_2", "team_2", "laptop"),
            key("key_3", "team_2", "ci"),
            key("key_4", "team_2", "ci-nightly"),
        ];
        qualified_keys(keys, &teams)
    }

    fn id(text: &str) -> Result<String, String> {
        let found = find("key", &keys(), text).map_err(|failure| failure.to_string());
        found.map(|key| cell(&key["id"]))
    }

    #[test]
    fn resource_is_found_by_id_name_path_or_unique_prefix() {
        for (text, expected) in [
            ("key_2", "key_2"),
            ("ops/laptop", "key_2"),
            ("ci", "key_3"),
            ("ci-n", "key_4"),
            ("eng/", "key_1"),
        ] {
            assert_eq!(id(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn ambiguous_or_unknown_name_error_lists_candidates() {
        let ambiguous = id("laptop").expect_err("two");
        assert!(
            ambiguous.contains("eng/laptop (key_1), ops/laptop (key_2)"),
            "{ambiguous}"
        );
        let unknown = id("desktop").expect_err("none");
        assert!(
            unknown.contains("unknown key `desktop`; there is eng/laptop"),
            "{unknown}"
        );
        assert!(id("").is_err(), "an empty text is no prefix");
    }
}
