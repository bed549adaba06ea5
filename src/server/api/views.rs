//! JSON of tenants and keys. Money is an exact decimal string, instants are RFC 3339 in UTC. A secret is rendered only as `key`, in
//! the answer to its creation.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::control::key_status::{KeyAncestor, KeyStatus};
use crate::control::{BudgetWithStatus, LimitWithStatus, WithLimits};
use crate::domain::budget::Owner;
use crate::domain::pattern::Pattern;
use crate::domain::secret::Secret;
use crate::domain::tenant::{
    Endpoint, Labels, MEMBER_KEYS_DEFAULT, Organization, Team, VirtualKey,
};
use crate::domain::zone::Zone;

/// A page of resources. `next`: cursor of the next page; null on the last.
#[derive(Serialize)]
pub(crate) struct List<T> {
    pub data: Vec<T>,
    pub next: Option<String>,
}

/// A budget with its status; members of the status are null while the ledger does not have it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Budget")]
pub(crate) struct BudgetJson<'a> {
    id: String,
    limit: String,
    period: &'static str,
    action: &'static str,
    model: Option<&'a str>,
    spent: Option<String>,
    held: Option<String>,
    remaining: Option<String>,
    /// requests of the window that a budget which warns would have refused if it blocked, and their cost; null if it blocks
    would_refuse_requests: Option<u64>,
    would_refuse: Option<String>,
    resets_at: Option<String>,
}

impl BudgetJson<'_> {
    pub fn of(with_status: &BudgetWithStatus) -> BudgetJson<'_> {
        let BudgetWithStatus { budget, .. } = with_status;
        let status = with_status.status.as_ref();
        let warning = with_status.would_refuse;
        BudgetJson {
            id: budget.id.to_string(),
            limit: status
                .map_or(budget.limit, |status| status.limit)
                .to_string(),
            period: budget.period.as_str(),
            action: budget.action.as_str(),
            model: budget.model.as_ref().map(Pattern::as_str),
            spent: status.map(|status| status.settled.to_string()),
            held: status.map(|status| status.held.to_string()),
            remaining: status.map(|status| status.remaining().to_string()),
            would_refuse_requests: warning.map(|refused| refused.requests),
            would_refuse: warning.map(|refused| refused.cost.to_string()),
            resets_at: status.and_then(|status| status.resets_at_ms).map(rfc3339),
        }
    }
}

/// A rate limit with its status. `remaining_*` is null without such a limit; `running` counts calls in flight.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RateLimit")]
pub(crate) struct LimitJson<'a> {
    id: String,
    rpm: Option<NonZeroU32>,
    tpm: Option<NonZeroU32>,
    max_parallel: Option<NonZeroU32>,
    model: Option<&'a str>,
    remaining_requests: Option<u64>,
    remaining_tokens: Option<u64>,
    running: Option<u32>,
}

impl LimitJson<'_> {
    fn of(LimitWithStatus { limit, status }: &LimitWithStatus) -> LimitJson<'_> {
        let left = status.map(|status| status.allowance).unwrap_or_default();
        LimitJson {
            id: limit.id.to_string(),
            rpm: limit.rpm,
            tpm: limit.tpm,
            max_parallel: limit.max_parallel,
            model: limit.model.as_ref().map(Pattern::as_str),
            remaining_requests: left.requests.map(|gauge| gauge.remaining),
            remaining_tokens: left.tokens.map(|gauge| gauge.remaining),
            running: status.map(|status| status.running),
        }
    }
}

/// Budgets and rate limits of an owner; the flat members repeat the limit over all models.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Limits")]
struct LimitsJson<'a> {
    budgets: Vec<BudgetJson<'a>>,
    limits: Vec<LimitJson<'a>>,
    rpm: Option<NonZeroU32>,
    tpm: Option<NonZeroU32>,
    max_parallel: Option<NonZeroU32>,
}

impl<'a> LimitsJson<'a> {
    fn of<T>(owner: &'a WithLimits<T>) -> LimitsJson<'a> {
        let over_all = owner
            .limits
            .iter()
            .map(|with_status| &with_status.limit)
            .find(|limit| limit.model.is_none());
        LimitsJson {
            budgets: owner.budgets.iter().map(BudgetJson::of).collect(),
            limits: owner.limits.iter().map(LimitJson::of).collect(),
            rpm: over_all.and_then(|limit| limit.rpm),
            tpm: over_all.and_then(|limit| limit.tpm),
            max_parallel: over_all.and_then(|limit| limit.max_parallel),
        }
    }
}

/// Tags and metadata; metadata is the object that was given.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Labels")]
struct LabelsJson<'a> {
    tags: &'a [String],
    metadata: Option<Value>,
}

impl LabelsJson<'_> {
    fn of(labels: &Labels) -> LabelsJson<'_> {
        let metadata = labels.metadata.as_deref();
        LabelsJson {
            tags: &labels.tags,
            metadata: metadata.and_then(|text| serde_json::from_str(text).ok()),
        }
    }
}

fn endpoint_words(endpoints: Option<&[Endpoint]>) -> Option<Vec<&'static str>> {
    endpoints.map(|endpoints| endpoints.iter().map(|endpoint| endpoint.as_str()).collect())
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Organization")]
pub(crate) struct OrganizationJson<'a> {
    id: String,
    object: &'static str,
    name: &'a str,
    /// null: no restriction
    models: Option<Vec<&'a str>>,
    #[serde(flatten)]
    limits: LimitsJson<'a>,
    created_at: String,
}

impl OrganizationJson<'_> {
    pub fn of(owner: &WithLimits<Organization>) -> OrganizationJson<'_> {
        let record = &owner.record;
        OrganizationJson {
            id: record.id.to_string(),
            object: "organization",
            name: &record.name,
            models: record.models.texts(),
            limits: LimitsJson::of(owner),
            created_at: rfc3339(record.created_ms),
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Team")]
pub(crate) struct TeamJson<'a> {
    id: String,
    object: &'static str,
    name: &'a str,
    organization: String,
    /// null: no restriction
    models: Option<Vec<&'a str>>,
    /// null: all
    allowed_endpoints: Option<Vec<&'static str>>,
    #[serde(flatten)]
    labels: LabelsJson<'a>,
    /// highest monthly budget of a member's personal key; null: none is needed
    member_key_budget: Option<String>,
    member_keys_max: u32,
    /// most that one request of its keys may cost
    max_cost_usd: Option<String>,
    #[serde(flatten)]
    limits: LimitsJson<'a>,
    created_at: String,
}

impl TeamJson<'_> {
    pub fn of(owner: &WithLimits<Team>) -> TeamJson<'_> {
        let record = &owner.record;
        let rules = record.member_keys;
        TeamJson {
            id: record.id.to_string(),
            object: "team",
            name: &record.name,
            organization: record.organization.to_string(),
            models: record.models.texts(),
            allowed_endpoints: endpoint_words(record.endpoints.as_deref()),
            labels: LabelsJson::of(&record.labels),
            member_key_budget: rules.monthly_budget.map(|limit| limit.to_string()),
            member_keys_max: rules.keys_max.unwrap_or(MEMBER_KEYS_DEFAULT),
            max_cost_usd: record.max_cost.map(|most| most.to_string()),
            limits: LimitsJson::of(owner),
            created_at: rfc3339(record.created_ms),
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "VirtualKey")]
pub(crate) struct KeyJson<'a> {
    id: String,
    object: &'static str,
    /// secret, only in the answer to its creation or rotation; null with `key_shown` in a repetition of the creation
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    name: &'a str,
    team: String,
    organization: String,
    /// parent key
    parent: Option<String>,
    /// owner of a personal key
    user: Option<String>,
    /// null: no restriction
    models: Option<Vec<&'a str>>,
    /// null: all that the team allows
    allowed_endpoints: Option<Vec<&'static str>>,
    #[serde(flatten)]
    labels: LabelsJson<'a>,
    /// most that one request may cost
    max_cost_usd: Option<String>,
    expires_at: Option<String>,
    disabled: bool,
    hint: &'a str,
    /// the secret comes from another gateway
    imported: bool,
    /// secret before the last rotation, and the end of its grace period
    previous_hint: Option<&'a str>,
    previous_until: Option<String>,
    last_used_at: Option<String>,
    #[serde(flatten)]
    limits: LimitsJson<'a>,
    created_at: String,
}

impl<'k> KeyJson<'k> {
    pub fn with_secret(self, secret: &'k Secret) -> KeyJson<'k> {
        KeyJson {
            key: Some(secret.expose()),
            ..self
        }
    }

    pub fn of(owner: &'k WithLimits<VirtualKey>) -> KeyJson<'k> {
        let record = &owner.record;
        let previous = record.previous.as_ref();
        KeyJson {
            id: record.id.to_string(),
            object: "key",
            key: None,
            name: &record.name,
            team: record.team.to_string(),
            organization: record.organization.to_string(),
            parent: record.parent.map(|parent| parent.to_string()),
            user: record.user.map(|user| user.to_string()),
            models: record.models.texts(),
            allowed_endpoints: endpoint_words(record.endpoints.as_deref()),
            labels: LabelsJson::of(&record.labels),
            max_cost_usd: record.max_cost.map(|most| most.to_string()),
            expires_at: record.expires_ms.map(rfc3339),
            disabled: record.disabled,
            hint: &record.hint,
            imported: record.imported,
            previous_hint: previous.map(|previous| previous.hint.as_str()),
            previous_until: previous.map(|previous| rfc3339(previous.until_ms)),
            last_used_at: owner.last_used_ms.map(rfc3339),
            limits: LimitsJson::of(owner),
            created_at: rfc3339(record.created_ms),
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LimitOwner")]
struct AncestorJson<'a> {
    owner: String,
    name: &'a str,
    #[serde(flatten)]
    limits: LimitsJson<'a>,
}

impl AncestorJson<'_> {
    fn of(ancestor: &WithLimits<KeyAncestor>) -> AncestorJson<'_> {
        let owner = match ancestor.record.owner {
            Owner::Organization(id) => id.to_string(),
            Owner::Team(id) => id.to_string(),
            Owner::Key(id) => id.to_string(),
        };
        AncestorJson {
            owner,
            name: &ancestor.record.name,
            limits: LimitsJson::of(ancestor),
        }
    }
}

/// Status of a key: `kind` is `virtual`, `administrative` or null; a refused key has code and message of the error.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(rename = "KeyStatus")]
pub(crate) struct KeyStatusJson<'a> {
    object: &'static str,
    valid: bool,
    kind: Option<&'static str>,
    code: Option<&'static str>,
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<KeyJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_key: Option<String>,
    /// owners above it whose budgets and limits its calls also count against
    above: Vec<AncestorJson<'a>>,
    /// configured models that it may call
    models: &'a [String],
}

impl KeyStatusJson<'_> {
    pub fn of(status: &KeyStatus) -> KeyStatusJson<'_> {
        let valid = KeyStatusJson {
            object: "key_verification",
            valid: true,
            ..KeyStatusJson::default()
        };
        match status {
            KeyStatus::Virtual {
                caller,
                own,
                ancestors,
                models,
            } => KeyStatusJson {
                kind: Some("virtual"),
                key: Some(KeyJson::of(own)),
                team_name: Some(&caller.team.name),
                above: ancestors.iter().map(AncestorJson::of).collect(),
                models,
                ..valid
            },
            KeyStatus::Administrative { id, .. } => KeyStatusJson {
                kind: Some("administrative"),
                admin_key: Some(id.to_string()),
                ..valid
            },
            KeyStatus::Refused(error) => KeyStatusJson {
                valid: false,
                code: Some(error.code.as_str()),
                message: Some(&error.message),
                ..valid
            },
        }
    }
}

/// An instant as JSON has it.
pub(crate) fn rfc3339(at_ms: u64) -> String {
    Zone::utc().rfc3339(at_ms)
}
