//! Members that several resources share: `name`, `models`, `model`. Body members in, typed values of `control/` out.

use crate::control::input::{Models, Name, parse_pattern};
use crate::domain::api_error::ApiError;
use crate::domain::pattern::Pattern;
use crate::server::api::body::Fields;

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
