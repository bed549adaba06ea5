//! Partial updates of tags, metadata, the rules for members' keys and the bound of a request's cost, with the form in which audit events record them.

use serde_json::{Value, json};

use crate::domain::money::Money;
use crate::domain::tenant::{Labels, MemberKeyRules};

/// Partial update of labels; `None` leaves a part unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelsChange {
    pub tags: Option<Vec<String>>,
    pub metadata: Option<Option<String>>,
}

impl LabelsChange {
    pub fn is_empty(&self) -> bool {
        self.tags.is_none() && self.metadata.is_none()
    }

    pub fn into_new(self) -> Labels {
        Labels {
            tags: self.tags.unwrap_or_default(),
            metadata: self.metadata.flatten(),
        }
    }

    /// Changes the labels; returns the change for the audit event. Metadata may be long, so the event only says that it changed.
    pub(super) fn apply_to(self, labels: &mut Labels) -> Value {
        let before = labels.clone();
        if let Some(tags) = self.tags {
            labels.tags = tags;
        }
        if let Some(metadata) = self.metadata {
            labels.metadata = metadata;
        }
        json!({
            "tags": { "from": before.tags, "to": labels.tags },
            "metadata_changed": before.metadata != labels.metadata,
        })
    }
}

/// Partial update of the rules for members' keys; `None` leaves a part unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberKeysChange {
    pub monthly_budget: Option<Option<Money>>,
    pub keys_max: Option<Option<u32>>,
}

impl MemberKeysChange {
    pub fn is_empty(&self) -> bool {
        self.monthly_budget.is_none() && self.keys_max.is_none()
    }

    pub fn into_new(self) -> MemberKeyRules {
        MemberKeyRules {
            monthly_budget: self.monthly_budget.flatten(),
            keys_max: self.keys_max.flatten(),
        }
    }

    /// Changes the rules; returns the change for the audit event.
    pub(super) fn apply_to(self, rules: &mut MemberKeyRules) -> Value {
        let before = *rules;
        if let Some(limit) = self.monthly_budget {
            rules.monthly_budget = limit;
        }
        if let Some(keys_max) = self.keys_max {
            rules.keys_max = keys_max;
        }
        json!({ "from": member_keys_to_audit(before), "to": member_keys_to_audit(*rules) })
    }
}

/// Replaces the bound of a request's cost; returns the change for the audit event.
pub(super) fn max_cost_change(bound: &mut Option<Money>, to: Option<Money>) -> Value {
    let before = std::mem::replace(bound, to);
    let text = |bound: Option<Money>| bound.map(|most| most.to_string());
    json!({ "from": text(before), "to": text(to) })
}

pub(super) fn member_keys_to_audit(rules: MemberKeyRules) -> Value {
    json!({
        "monthly_budget": rules.monthly_budget.map(|limit| limit.to_string()),
        "keys_max": rules.keys_max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_change_keeps_what_it_does_not_name() {
        let mut labels = Labels {
            tags: vec!["prod".into()],
            metadata: Some("{}".into()),
        };
        let change = LabelsChange {
            tags: Some(vec!["test".into()]),
            metadata: None,
        };
        change.apply_to(&mut labels);
        assert_eq!(
            (labels.tags.as_slice(), labels.metadata.as_deref()),
            (&["test".to_owned()][..], Some("{}"))
        );
        let audited = LabelsChange {
            tags: None,
            metadata: Some(None),
        }
        .apply_to(&mut labels);
        assert_eq!(labels.metadata, None);
        assert_eq!(audited["metadata_changed"], true);
    }
}
