//! Rate limits in a body: the list `limits`, or the flat `rpm`, `tpm`, `max_parallel` of the limit over all models. Body
//! members in, `Limits` out.

use crate::control::limits::{LIMITS_MAX, LimitTerms, Limits};
use crate::domain::api_error::ApiError;
use crate::server::api::body::Fields;
use crate::server::api::tenant_fields::take_model_pattern;

const LIMIT: &str = "a whole number from 1 to 4294967295, or null for no limit";

/// `None`: the body does not name any. Null takes all limits away.
pub(super) fn take_limits(fields: &mut Fields) -> Result<Option<Limits>, ApiError> {
    let list = fields.take_objects("limits")?;
    let rpm = fields.take_nullable("rpm", LIMIT)?;
    let tpm = fields.take_nullable("tpm", LIMIT)?;
    let max_parallel = fields.take_nullable("max_parallel", LIMIT)?;
    let flat = [("rpm", rpm), ("tpm", tpm), ("max_parallel", max_parallel)]
        .into_iter()
        .find(|(_, limit)| limit.is_some());
    match (list, flat) {
        (Some(_), Some((name, _))) => Err(fields.invalid(
            name,
            "is of the limit over all models; write it into `limits`",
        )),
        (Some(list), None) => {
            let terms = list
                .into_iter()
                .take(LIMITS_MAX + 1)
                .map(limit_terms)
                .collect::<Result<_, _>>()?;
            fields.within("limits", Limits::exactly(terms)).map(Some)
        }
        (None, Some(_)) => Ok(Some(Limits::OverAll {
            rpm,
            tpm,
            max_parallel,
        })),
        (None, None) => Ok(None),
    }
}

fn limit_terms(mut fields: Fields) -> Result<LimitTerms, ApiError> {
    let terms = LimitTerms {
        rpm: fields.take("rpm", LIMIT)?,
        tpm: fields.take("tpm", LIMIT)?,
        max_parallel: fields.take("max_parallel", LIMIT)?,
        model: take_model_pattern(&mut fields)?,
    };
    if terms.is_empty() {
        return Err(fields.invalid(
            "rpm",
            "is missing; an entry has at least one of rpm, tpm and max_parallel",
        ));
    }
    fields.finish()?;
    Ok(terms)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn limits(body: &str) -> Result<Option<Limits>, ApiError> {
        let mut fields = Fields::of_body(body.as_bytes())?;
        let limits = take_limits(&mut fields)?;
        fields.finish()?;
        Ok(limits)
    }

    #[test]
    fn flat_members_name_parts_of_the_limit_over_all_models() {
        let flat = |rpm, tpm| Limits::OverAll {
            rpm,
            tpm,
            max_parallel: None,
        };
        for (body, expected) in [
            (
                r#"{"tpm":1000}"#,
                Some(flat(None, Some(NonZeroU32::new(1_000)))),
            ),
            (r#"{"rpm":null}"#, Some(flat(Some(None), None))),
            (r#"{"limits":[]}"#, Some(Limits::default())),
            (r#"{"limits":null}"#, Some(Limits::default())),
            ("{}", None),
        ] {
            assert_eq!(limits(body).expect(body), expected, "{body}");
        }
    }

    #[test]
    fn limit_error_names_its_member() {
        let many = format!(r#"{{"limits":[{}]}}"#, [r#"{"rpm":1}"#; 17].join(","));
        for (body, param) in [
            (r#"{"rpm":0}"#, "rpm"),
            (r#"{"rpm":-1}"#, "rpm"),
            (r#"{"tpm":1.5}"#, "tpm"),
            (r#"{"tpm":4294967296}"#, "tpm"),
            (r#"{"max_parallel":"8"}"#, "max_parallel"),
            (r#"{"rpm":1,"limits":[]}"#, "rpm"),
            (r#"{"limits":{}}"#, "limits"),
            (r#"{"limits":null,"rpm":1}"#, "rpm"),
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
