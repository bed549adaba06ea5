//! Members that several resources share: `name`, `models`, `model`. Body members in, typed values of `control/` out.

use crate::control::input::{Models, Name, parse_pattern};
use crate::domain::api_error::ApiError;
use crate::domain::pattern::Pattern;
use crate::server::api::body::Fields;

pub(super) fn take_name(fields: &mut Fields) -> Result<Name, ApiError> {
    let text: String = fields.require("name", "a text")?;
    fields.within("name", Name::parse(&text))
}

/// `None`: the body does not name any.
pub(super) fn take_models(fields: &mut Fields) -> Result<Option<Models>, ApiError> {
    let texts: Option<Vec<String>> = fields.take("models", "a list of model names or patterns")?;
    texts
        .map(|texts| fields.within("models", Models::parse(texts)))
        .transpose()
}

/// Models that a budget or rate limit counts; `None`: all.
pub(super) fn take_model_pattern(fields: &mut Fields) -> Result<Option<Pattern>, ApiError> {
    let text: Option<String> = fields.take("model", "a model's name or pattern")?;
    text.map(|text| fields.within("model", parse_pattern(&text)))
        .transpose()
}
