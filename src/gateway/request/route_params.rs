//! Request parameters of a route: defaults for what the client leaves out, and overrides. Applied to the client's bytes before any target is
//! planned, so that every dialect, price and limit sees the same request.

use crate::config::RouteConfig;
use crate::dialect::{self, Dialect, Edit, Operation, Request};
use crate::domain::api_error::ApiError;

/// Names of the output cap in the dialects.
const CAPS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];

/// The request with the route's parameters, and the names of those that were set.
pub(in crate::gateway) fn apply(
    request: Request,
    route: &RouteConfig,
) -> Result<(Request, Vec<String>), ApiError> {
    let has_none = route.defaults.is_empty() && route.overrides.is_empty();
    if has_none || request.operation != Operation::Conversation {
        return Ok((request, Vec::new()));
    }
    let dialect = request.dialect;
    let is_absent = |name: &str| match CAPS.contains(&name) {
        true => request.output_cap.is_none(),
        false => request.member(name).is_none(),
    };
    let defaults = route.defaults.iter().filter(|(name, _)| is_absent(name));
    let set: Vec<(&str, &str)> = defaults
        .chain(&route.overrides)
        .map(|(name, json)| (in_dialect(name, dialect), json.as_str()))
        .collect();
    let edits = set.iter().map(|(member, json)| Edit::Set {
        member,
        json: (*json).into(),
    });
    let body = request.spliced(&edits.collect::<Vec<_>>());
    let mut shaped = dialect::read(dialect, request.operation, body)?;
    if request.aliased {
        shaped.resolve_alias(request.model);
    }
    let names = set.iter().map(|(name, _)| (*name).to_owned()).collect();
    Ok((shaped, names))
}

/// The name of a parameter in the client's dialect.
fn in_dialect(name: &str, dialect: Dialect) -> &str {
    match (CAPS.contains(&name), dialect) {
        (true, Dialect::Messages) => "max_tokens",
        (true, Dialect::Responses) => "max_output_tokens",
        _ => name,
    }
}
