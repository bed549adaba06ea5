//! Rate limits of an owner: reads what is wanted, stores it, keeping the identity (and so what is used of the minute) of
//! what stays. Never keeps a limit of its own.

use std::collections::HashSet;
use std::num::NonZeroU32;

use serde_json::{Map, Value, json};

use crate::control::fields::Fields;
use crate::control::input::take_pattern;
use crate::domain::api_error::ApiError;
use crate::domain::budget::Owner;
use crate::domain::id::LimitId;
use crate::domain::limit::RateLimit;
use crate::domain::pattern::Pattern;
use crate::store::ChangeTransaction;

/// per owner
pub const LIMITS_MAX: usize = 16;
const WHOLE: &str = "a whole number from 1 to 4294967295, or null for no limit";

/// One rate limit as it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitTerms {
    pub rpm: Option<NonZeroU32>,
    pub tpm: Option<NonZeroU32>,
    pub max_parallel: Option<NonZeroU32>,
    pub model: Option<Pattern>,
}

impl LimitTerms {
    fn take(mut fields: Fields) -> Result<LimitTerms, ApiError> {
        let terms = LimitTerms {
            rpm: fields.take("rpm", WHOLE)?,
            tpm: fields.take("tpm", WHOLE)?,
            max_parallel: fields.take("max_parallel", WHOLE)?,
            model: take_pattern(&mut fields)?,
        };
        if terms.limits_nothing() {
            return Err(fields.fault(
                "rpm",
                "is missing; an entry has at least one of rpm, tpm and max_parallel",
            ));
        }
        fields.finish()?;
        Ok(terms)
    }

    fn of(limit: &RateLimit) -> LimitTerms {
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

    fn limits_nothing(&self) -> bool {
        self.rpm.is_none() && self.tpm.is_none() && self.max_parallel.is_none()
    }
}

/// What is asked for the rate limits of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limits {
    /// `limits`: these and no others, no two of the same model
    Exactly(Vec<LimitTerms>),
    /// `rpm`, `tpm`, `max_parallel`: so much of the limit over all models is replaced, `Some(None)` by nothing
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
    pub(super) fn take(fields: &mut Fields) -> Result<Option<Limits>, ApiError> {
        let list = fields.take_objects("limits")?;
        let rpm = fields.take_even_null("rpm", WHOLE)?;
        let tpm = fields.take_even_null("tpm", WHOLE)?;
        let max_parallel = fields.take_even_null("max_parallel", WHOLE)?;
        let flat = [("rpm", rpm), ("tpm", tpm), ("max_parallel", max_parallel)]
            .into_iter()
            .find(|(_, given)| given.is_some());
        match (list, flat) {
            (Some(_), Some((name, _))) => Err(fields.fault(
                name,
                "is of the limit over all models; write it into `limits`",
            )),
            (Some(list), None) => {
                let terms = list
                    .into_iter()
                    .take(LIMITS_MAX + 1)
                    .map(LimitTerms::take)
                    .collect::<Result<_, _>>()?;
                fields.placed("limits", Limits::exactly(terms)).map(Some)
            }
            (None, Some(_)) => Ok(Some(Limits::OverAll {
                rpm,
                tpm,
                max_parallel,
            })),
            (None, None) => Ok(None),
        }
    }

    fn exactly(terms: Vec<LimitTerms>) -> Result<Limits, ApiError> {
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
            Some(place) => Err(ApiError::invalid("repeats the model of another entry")
                .with_param(format!("limits[{place}]"))),
            None => Ok(Limits::Exactly(terms)),
        }
    }

    /// What an owner has then.
    fn over(&self, before: &[RateLimit]) -> Vec<LimitTerms> {
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
        if !now.limits_nothing() {
            all.insert(0, now);
        }
        all
    }
}

/// What a change of limits did.
pub(super) struct LimitChanges {
    pub before: Vec<RateLimit>,
    pub now: Vec<RateLimit>,
}

impl LimitChanges {
    /// Every limit that the ledger must hear of: new, changed or gone.
    pub fn touched(&self) -> Vec<LimitId> {
        let gone = self
            .before
            .iter()
            .map(|limit| limit.id)
            .filter(|id| self.now.iter().all(|limit| limit.id != *id));
        self.now.iter().map(|limit| limit.id).chain(gone).collect()
    }

    pub fn note(&self, detail: &mut Map<String, Value>) {
        detail.insert(
            "limits".to_owned(),
            json!({ "from": audited(&self.before), "to": audited(&self.now) }),
        );
    }
}

/// Makes the owner's limits those that are wanted, in one transaction. A limit of the same model lives on.
pub(super) fn rewrite(
    books: &mut ChangeTransaction<'_>,
    owner: Owner,
    wanted: &Limits,
) -> Result<LimitChanges, ApiError> {
    let before = books.limits_of(owner)?;
    let mut now = Vec::new();
    for terms in wanted.over(&before) {
        let id = match before.iter().find(|limit| limit.model == terms.model) {
            Some(limit) => limit.id,
            None => LimitId(books.next_id()?),
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
        books.put_limit(&limit)?;
        now.push(limit);
    }
    let rewritten = LimitChanges { before, now };
    for limit in &rewritten.before {
        if rewritten.now.iter().all(|kept| kept.id != limit.id) {
            books.remove_limit(limit.id)?;
        }
    }
    Ok(rewritten)
}

/// The form that audit events keep.
pub(super) fn audited(limits: &[RateLimit]) -> Value {
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

    fn limits(body: &str) -> Result<Option<Limits>, ApiError> {
        let mut fields = Fields::of_body(body.as_bytes())?;
        let limits = Limits::take(&mut fields)?;
        fields.finish()?;
        Ok(limits)
    }

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
    fn the_flat_members_change_what_they_name_and_nothing_else() {
        let before = [limit(1, 60, None), limit(2, 5, Some("m-*"))];
        let now = |body: &str| limits(body).expect(body).expect("there").over(&before);
        let added = now(r#"{"tpm":1000}"#);
        assert_eq!(
            (added[0].rpm, added[0].tpm),
            (NonZeroU32::new(60), NonZeroU32::new(1_000))
        );
        assert_eq!(added[1].model, Some(Pattern::new("m-*")));
        let dropped = now(r#"{"rpm":null}"#);
        assert_eq!(
            (dropped.len(), dropped[0].model.is_some()),
            (1, true),
            "a limit of nothing is none"
        );
        assert!(now(r#"{"limits":[]}"#).is_empty());
        assert_eq!(limits("{}").expect("nothing"), None);
    }

    #[test]
    fn a_fault_in_a_limit_names_its_member() {
        let many = format!(r#"{{"limits":[{}]}}"#, [r#"{"rpm":1}"#; 17].join(","));
        for (body, param) in [
            (r#"{"rpm":0}"#, "rpm"),
            (r#"{"rpm":-1}"#, "rpm"),
            (r#"{"tpm":1.5}"#, "tpm"),
            (r#"{"tpm":4294967296}"#, "tpm"),
            (r#"{"max_parallel":"8"}"#, "max_parallel"),
            (r#"{"rpm":1,"limits":[]}"#, "rpm"),
            (r#"{"limits":{}}"#, "limits"),
            (r#"{"limits":[{"model":"m"}]}"#, "limits[0].rpm"),
            (r#"{"limits":[{"rpm":1},{"tpm":0}]}"#, "limits[1].tpm"),
            (r#"{"limits":[{"rpm":1},{"tpm":2}]}"#, "limits[1]"),
            (r#"{"limits":[{"rpm":1,"model":"a b"}]}"#, "limits[0].model"),
            (r#"{"limits":[{"rpm":1,"rps":1}]}"#, "limits[0].rps"),
            (many.as_str(), "limits"),
        ] {
            assert_eq!(
                limits(body).expect_err(body).param.as_deref(),
                Some(param),
                "{body}"
            );
        }
    }
}
