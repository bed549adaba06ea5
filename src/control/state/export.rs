//! The document of the books: objects by name, with the members that differ from their defaults.

use serde_json::{Map, Value, json};

use crate::auth::directory::{Directory, OwnerLimits};
use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::captures::reader_words;
use crate::control::keys::instant;
use crate::control::plane::Control;
use crate::domain::budget::{Budget, Owner};
use crate::domain::capture::CaptureSetting;
use crate::domain::id::{OrganizationId, TeamId};
use crate::domain::limit::RateLimit;
use crate::domain::money::Money;
use crate::domain::tenant::{Endpoint, Labels, Organization, Team, VirtualKey};

impl Control {
    /// Document that `apply` would find without a difference.
    pub fn export_state(&self, _grant: &Grant<may::ReadState>) -> Value {
        let directory = self.directory();
        let all = directory.organizations();
        let organizations: Vec<Value> = all.map(|one| organization(&directory, one)).collect();
        json!({ "organizations": organizations })
    }
}

type Members = Map<String, Value>;

/// Adds a member unless it is the default.
fn put(members: &mut Members, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        members.insert(name.to_owned(), value);
    }
}

fn list(values: Vec<Value>) -> Option<Value> {
    (!values.is_empty()).then_some(Value::Array(values))
}

fn organization(directory: &Directory, organization: &Organization) -> Value {
    let mut members = Members::new();
    put(&mut members, "name", Some(json!(organization.name)));
    put(&mut members, "models", texts(organization.models.texts()));
    let owner = Owner::Organization(organization.id);
    put_limits(&mut members, &directory.limits_of(owner));
    let teams = teams(directory, organization.id);
    put(&mut members, "teams", list(teams));
    members.into()
}

fn teams(directory: &Directory, organization: OrganizationId) -> Vec<Value> {
    let teams = directory.teams();
    teams
        .filter(|team| team.organization == organization)
        .map(|one| team(directory, one))
        .collect()
}

fn team(directory: &Directory, team: &Team) -> Value {
    let mut members = Members::new();
    put(&mut members, "name", Some(json!(team.name)));
    put(&mut members, "models", texts(team.models.texts()));
    put_endpoints(&mut members, team.endpoints.as_deref());
    put_labels(&mut members, &team.labels);
    let rules = team.member_keys;
    let budget = rules.monthly_budget.map(|limit| json!(limit.to_string()));
    put(&mut members, "member_key_budget", budget);
    let keys_max = rules.keys_max.map(|count| json!(count));
    put(&mut members, "member_keys_max", keys_max);
    put_max_cost(&mut members, team.max_cost);
    put_limits(&mut members, &directory.limits_of(Owner::Team(team.id)));
    put_capture(&mut members, &directory.capture_of(Owner::Team(team.id)));
    put(&mut members, "keys", list(keys(directory, team.id)));
    members.into()
}

/// In the order of ids a parent comes before its children.
fn keys(directory: &Directory, team: TeamId) -> Vec<Value> {
    let keys = directory.keys_of_team(team);
    keys.map(|caller| key(directory, &caller.key)).collect()
}

fn key(directory: &Directory, key: &VirtualKey) -> Value {
    let mut members = Members::new();
    put(&mut members, "name", Some(json!(key.name)));
    let parent = key.parent.and_then(|id| directory.live_key(id));
    put(&mut members, "parent", parent.map(|key| json!(key.name)));
    let user = key.user.and_then(|id| directory.user(id));
    put(&mut members, "user", user.map(|user| json!(user.email)));
    put(&mut members, "models", texts(key.models.texts()));
    put_endpoints(&mut members, key.endpoints.as_deref());
    put_labels(&mut members, &key.labels);
    put_max_cost(&mut members, key.max_cost);
    let expires = key.expires_ms.map(|at_ms| json!(instant(at_ms)));
    put(&mut members, "expires_at", expires);
    put(
        &mut members,
        "disabled",
        key.disabled.then_some(json!(true)),
    );
    put_limits(&mut members, &directory.limits_of(Owner::Key(key.id)));
    put_capture(&mut members, &directory.capture_of(Owner::Key(key.id)));
    members.into()
}

fn put_max_cost(members: &mut Members, max_cost: Option<Money>) {
    let most = max_cost.map(|most| json!(most.to_string()));
    put(members, "max_cost_usd", most);
}

/// Absent: all models are allowed.
fn texts(texts: Option<Vec<&str>>) -> Option<Value> {
    texts.map(|texts| json!(texts))
}

fn put_endpoints(members: &mut Members, endpoints: Option<&[Endpoint]>) {
    let words = |endpoints: &[Endpoint]| -> Value {
        let words = endpoints.iter().map(|endpoint| endpoint.as_str());
        words.collect()
    };
    put(members, "allowed_endpoints", endpoints.map(words));
}

fn put_labels(members: &mut Members, labels: &Labels) {
    let tags = labels.tags.iter().map(|tag| json!(tag)).collect();
    put(members, "tags", list(tags));
    let metadata = labels.metadata.as_deref();
    let metadata = metadata.and_then(|text| serde_json::from_str(text).ok());
    put(members, "metadata", metadata);
}

fn put_limits(members: &mut Members, limits: &OwnerLimits) {
    put(
        members,
        "budgets",
        list(limits.budgets.iter().map(budget).collect()),
    );
    put(
        members,
        "limits",
        list(limits.limits.iter().map(limit).collect()),
    );
}

fn put_capture(members: &mut Members, setting: &CaptureSetting) {
    let days = setting.keep.map(|keep| json!(keep.days()));
    put(members, "capture_keep_days", days);
    let readers = reader_words(setting.readers).into_iter();
    let readers = list(readers.map(Value::from).collect());
    put(members, "capture_readers", readers);
}

fn budget(budget: &Budget) -> Value {
    let mut members = Members::new();
    put(&mut members, "limit", Some(json!(budget.limit.to_string())));
    put(&mut members, "period", Some(json!(budget.period.as_str())));
    put(&mut members, "action", Some(json!(budget.action.as_str())));
    let model = budget.model.as_ref().map(|model| json!(model.as_str()));
    put(&mut members, "model", model);
    members.into()
}

fn limit(limit: &RateLimit) -> Value {
    let mut members = Members::new();
    let parts = [
        ("rpm", limit.rpm),
        ("tpm", limit.tpm),
        ("max_parallel", limit.max_parallel),
    ];
    for (name, part) in parts {
        put(&mut members, name, part.map(|part| json!(part)));
    }
    let model = limit.model.as_ref().map(|model| json!(model.as_str()));
    put(&mut members, "model", model);
    members.into()
}
