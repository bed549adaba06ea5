//! Members that several resources share: `name`, `models`, `model`, `max_cost_usd`. Body members in, typed values of `control/` out.

use crate::control::input::{Models, Name, parse_pattern};
use crate::control::labels::{LabelsChange, MemberKeysChange};
use crate::domain::api_error::ApiError;
use crate::domain::money::Money;
use crate::domain::pattern::Pattern;
use crate::domain::tenant::Endpoint;
use crate::server::api::body::Fields;

const TAGS_MAX: usize = 32;
const METADATA_BYTES_MAX: usize = 4_096;

pub(super) fn take_name(fields: &mut Fields) -> Result<Name, ApiError> {
    let text: String = fields.require("name", "a text")?;
    fields.within("name", Name::parse(&text))
}

/// `None`: the body does not name `models`. Null allows all models, an empty list none.
pub(super) fn take_models(fields: &mut Fields) -> Result<Option<Models>, ApiError> {
    let expected = "a list of model names or patterns, or null for all";
    let texts: Option<Option<Vec<String>>> = fields.take_nullable("models", expected)?;
    Ok(match texts {
        None => None,
        Some(None) => Some(Models::ALL),
        Some(Some(texts)) => Some(fields.within("models", Models::parse(texts))?),
    })
}

/// Models that a budget or rate limit counts; `None`: all.
pub(super) fn take_model_pattern(fields: &mut Fields) -> Result<Option<Pattern>, ApiError> {
    let text: Option<String> = fields.take("model", "a model's name or pattern")?;
    text.map(|text| fields.within("model", parse_pattern(&text)))
        .transpose()
}

/// `None`: the body does not name it.
pub(super) fn take_optional_name(fields: &mut Fields) -> Result<Option<Name>, ApiError> {
    let text: Option<String> = fields.take_not_null("name", "a text")?;
    text.map(|text| fields.within("name", Name::parse(&text)))
        .transpose()
}

/// `Some(None)`: null, every endpoint is allowed.
pub(super) fn take_endpoints(
    fields: &mut Fields,
) -> Result<Option<Option<Vec<Endpoint>>>, ApiError> {
    let words = Endpoint::ALL.map(Endpoint::as_str).join(", ");
    let expected = format!("a list of {words}, or null for all");
    let texts: Option<Option<Vec<String>>> =
        fields.take_nullable("allowed_endpoints", &expected)?;
    let parse = |text: String| {
        let invalid = || fields.invalid("allowed_endpoints", format!("must be {expected}"));
        Endpoint::parse(&text).ok_or_else(invalid)
    };
    let Some(Some(texts)) = texts else {
        return Ok(texts.map(|_| None));
    };
    let mut endpoints: Vec<Endpoint> = texts.into_iter().map(parse).collect::<Result<_, _>>()?;
    endpoints.sort_unstable();
    endpoints.dedup();
    Ok(Some(Some(endpoints)))
}

/// Bound of a request's cost. `Some(None)`: null, none.
pub(super) fn take_max_cost(fields: &mut Fields) -> Result<Option<Option<Money>>, ApiError> {
    fields.take_nullable_money("max_cost_usd")
}

/// `tags` and `metadata`.
pub(super) fn take_labels(fields: &mut Fields) -> Result<LabelsChange, ApiError> {
    let tags: Option<Option<Vec<String>>> =
        fields.take_nullable("tags", "a list of texts, or null for none")?;
    let tags = tags.map(Option::unwrap_or_default);
    let metadata = fields.take_object_text("metadata", METADATA_BYTES_MAX)?;
    let valid = |tag: &String| Name::parse(tag).is_ok();
    if let Some(tags) = &tags
        && (tags.len() > TAGS_MAX || !tags.iter().all(valid))
    {
        let problem = format!("must be at most {TAGS_MAX} texts of 1 to 64 printable characters");
        return Err(fields.invalid("tags", problem));
    }
    Ok(LabelsChange { tags, metadata })
}

/// `member_key_budget` and `member_keys_max`.
pub(super) fn take_member_keys(fields: &mut Fields) -> Result<MemberKeysChange, ApiError> {
    const COUNT: &str = "a whole number, or null for the default";
    let named = fields.has("member_key_budget");
    let monthly_budget = fields.take_money("member_key_budget")?;
    Ok(MemberKeysChange {
        monthly_budget: named.then_some(monthly_budget),
        keys_max: fields.take_nullable("member_keys_max", COUNT)?,
    })
}
