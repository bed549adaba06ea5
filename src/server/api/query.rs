//! Query strings of the control plane: parameters by name, dates and instants. A parameter given twice is refused, because one
//! of the two values would be ignored.

use actix_web::web::Query;

use crate::domain::api_error::ApiError;
use crate::domain::zone::Zone;

/// Decoded parameters in their order, each name once.
pub(super) fn parameters(query: &str) -> Result<Vec<(String, String)>, ApiError> {
    let parameters = Query::<Vec<(String, String)>>::from_query(query)
        .map(Query::into_inner)
        .map_err(|_| ApiError::invalid("malformed query string; write it like `?limit=10`"))?;
    for (index, (name, _)) in parameters.iter().enumerate() {
        let mut earlier = parameters.iter().take(index);
        if earlier.any(|(earlier, _)| earlier == name) {
            let name = shortened(name);
            let message = format!("duplicate parameter `{name}`; give it once");
            return Err(ApiError::invalid(message).with_param(name));
        }
    }
    Ok(parameters)
}

/// 400 for a parameter that an endpoint does not have: an ignored filter would show too much.
pub(super) fn unknown_parameter(name: &str, endpoint: &str, known: &str) -> ApiError {
    let name = shortened(name);
    let message = format!("unknown parameter `{name}`; {endpoint} takes {known}");
    ApiError::invalid(message).with_param(name)
}

fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

/// A date of the instance's zone, or RFC 3339; accepts the space that form decoding makes of a `+`.
pub(super) fn parse_instant(name: &str, text: &str, zone: &Zone) -> Result<u64, ApiError> {
    zone.date_start_ms(text)
        .filter(|_| text.len() == 10)
        .or_else(|| Zone::parse_rfc3339(text))
        .or_else(|| Zone::parse_rfc3339(&text.replace(' ', "+")))
        .ok_or_else(|| {
            ApiError::invalid(format!(
                "`{name}` must be a date like 2026-11-01 or an instant like 2026-11-01T00:00:00Z"
            ))
            .with_param(name)
        })
}
