//! Rate limits of an owner in the books: replaces them with the wanted ones, keeping the id (and so the usage within the minute)
//! of a limit on the same model. The limits in force are the ledger's.

use std::collections::HashSet;
use std::num::NonZeroU32;

use serde_json::{Map, Value, json};

use crate::control::change::Change;
use crate::domain::api_error::ApiError;
use crate::domain::budget::Owner;
use crate::domain::id::LimitId;
use crate::domain::limit::RateLimit;
use crate::domain::pattern::Pattern;

/// Rate limits per owner.
pub const LIMITS_MAX: usize = 16;

/// Terms of one rate limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitTerms {
    pub rpm: Option<NonZeroU32>,
    pub tpm: Option<NonZeroU32>,
    pub max_parallel: Option<NonZeroU32>,
    pub model: Option<Pattern>,
}

impl LimitTerms {
    pub(super) fn of(limit: &RateLimit) -> LimitTerms {
        let RateLimit {
            rpm,
            tpm,
            max_parallel,
            ..
        } = *limit;
        LimitTerms {
            rpm,
            tpm,
            max_parallel,
            model: limit.model.clone(),
        }
    }

    /// Has no limit at all.
    pub fn is_empty(&self) -> bool {
        self.rpm.is_none() && self.tpm.is_none() && self.max_parallel.is_none()
    }
}

/// Wanted rate limits of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limits {
    /// these and no others, no two on the same model
    Exactly(Vec<LimitTerms>),
    /// replaces parts of the limit over all models; `Some(None)` removes a part
    OverAll {
        rpm: Option<Option<NonZeroU32>>,
        tpm: Option<Option<NonZeroU32>>,
        max_parallel: Option<Option<NonZeroU32>>,
    },
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::Exactly(Vec::new())
    }
}

impl Limits {
    /// Refuses too many entries, and two on the same model.
    pub fn exactly(terms: Vec<LimitTerms>) -> Result<Limits, ApiError> {
        if terms.len() > LIMITS_MAX {
            return Err(ApiError::invalid(format!(
                "may have at most {LIMITS_MAX} entries"
            )));
        }
        let mut seen = HashSet::new();
        match terms
            .iter()
            .position(|terms| !seen.insert(terms.model.as_ref()))
        {
            Some(index) => Err(ApiError::invalid("repeats the model of another entry")
                .with_param(format!("limits[{index}]"))),
            None => Ok(Limits::Exactly(terms)),
        }
    }

    /// Limits of an owner that had none.
    pub(super) fn of_new_owner(&self) -> Vec<LimitTerms> {
        self.apply_to(&[])
    }

    /// Limits that the owner has after the change.
    fn apply_to(&self, before: &[RateLimit]) -> Vec<LimitTerms> {
        let (rpm, tpm, max_parallel) = match self {
            Limits::Exactly(terms) => return terms.clone(),
            Limits::OverAll {
                rpm,
                tpm,
                max_parallel,
            } => (rpm, tpm, max_parallel),
        };
        let (mut over_all, mut all): (Vec<_>, Vec<_>) = before
            .iter()
            .map(LimitTerms::of)
            .partition(|terms| terms.model.is_none());
        let was = over_all.pop().unwrap_or_default();
        let now = LimitTerms {
            rpm: rpm.unwrap_or(was.rpm),
            tpm: tpm.unwrap_or(was.tpm),
            max_parallel: max_parallel.unwrap_or(was.max_parallel),
            model: None,
        };
        if !now.is_empty() {
            all.insert(0, now);
        }
        all
    }
}

/// Rate limits of an owner before and after a change.
pub(super) struct LimitChanges {
    pub before: Vec<RateLimit>,
    pub after: Vec<RateLimit>,
}

impl LimitChanges {
    pub fn add_to_audit(&self, detail: &mut Map<String, Value>) {
        detail.insert(
            "limits".to_owned(),
            json!({ "from": to_audit(&self.before), "to": to_audit(&self.after) }),
        );
    }
}

/// Replaces the owner's limits with the wanted ones; a limit on the same model keeps its id.
pub(super) fn rewrite(
    change: &mut Change<'_, '_>,
    owner: Owner,
    wanted: &Limits,
) -> Result<LimitChanges, ApiError> {
    let before = change.directory.limits_of(owner).limits;
    let mut after = Vec::new();
    for terms in wanted.apply_to(&before) {
        let id = match before.iter().find(|limit| limit.model == terms.model) {
            Some(limit) => limit.id,
            None => LimitId(change.books.next_id()?),
        };
        let LimitTerms {
            rpm,
            tpm,
            max_parallel,
            model,
        } = terms;
        let limit = RateLimit {
            id,
            owner,
            rpm,
            tpm,
            max_parallel,
            model,
        };
        change.books.put_limit(&limit)?;
        after.push(limit);
    }
    let changes = LimitChanges { before, after };
    for limit in &changes.before {
        if changes.after.iter().all(|kept| kept.id != limit.id) {
            change.books.remove_limit(limit.id)?;
        }
    }
    Ok(changes)
}

/// Form in which audit events record rate limits.
pub(super) fn to_audit(limits: &[RateLimit]) -> Value {
    let one = |limit: &RateLimit| {
        json!({
            "id": limit.id.to_string(),
            "rpm": limit.rpm,
            "tpm": limit.tpm,
            "max_parallel": limit.max_parallel,
            "model": limit.model.as_ref().map(ToString::to_string),
        })
    };
    limits.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::KeyId;

    fn limit(id: u64, rpm: u32, model: Option<&str>) -> RateLimit {
        let (id, owner, model) = (LimitId(id), Owner::Key(KeyId(1)), model.map(Pattern::new));
        RateLimit {
            id,
            owner,
            rpm: NonZeroU32::new(rpm),
            tpm: None,
            max_parallel: None,
            model,
        }
    }

    #[test]
    fn flat_limits_change_only_the_parts_they_name() {
        let before = [limit(1, 60, None), limit(2, 5, Some("m-*"))];
        let over_all = |rpm, tpm| {
            let max_parallel = None;
            Limits::OverAll {
                rpm,
                tpm,
                max_parallel,
            }
            .apply_to(&before)
        };
        let added = over_all(None, Some(NonZeroU32::new(1_000)));
        assert_eq!(
            (added[0].rpm, added[0].tpm),
            (NonZeroU32::new(60), NonZeroU32::new(1_000))
        );
        assert_eq!(added[1].model, Some(Pattern::new("m-*")));
        let removed = over_all(Some(None), None);
        assert_eq!(
            (removed.len(), removed[0].model.is_some()),
            (1, true),
            "an empty limit is removed"
        );
        assert!(Limits::default().apply_to(&before).is_empty());
    }
}
