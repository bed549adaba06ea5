//! Members that a vendor of a borrowed dialect is sent where a budget blocks: those of the gateway's table and those that the
//! configuration lists. Others are dropped and named; other names of the output cap are refused, because the money that is held
//! for a call follows from it.

use crate::config::UnsupportedFieldPolicy;
use crate::dialect::{self, NESTED_OPTIONS, Request};
use crate::domain::api_error::ApiError;
use crate::gateway::request::compat;
use crate::provider::Endpoint;
use crate::route::Deployment;

/// Refuses other names of the output cap and of the number of answers and, with `unsupported = "error"`, every unknown member.
pub(in crate::gateway) fn check(
    request: &Request,
    endpoint: &Endpoint,
    deployment: &Deployment,
) -> Result<(), ApiError> {
    let own_cap = request.output_cap_member();
    let mut named = request.member_names();
    if let Some(alias) =
        named.find(|name| dialect::is_bound_alias(name) && !request.caps_output_by(name))
    {
        return Err(bound_alias(deployment, alias, own_cap));
    }
    let mut nested = request.nested_names(NESTED_OPTIONS).into_iter();
    if let Some(alias) = nested.find(|name| dialect::is_bound_alias(name)) {
        return Err(bound_alias(
            deployment,
            &format!("{NESTED_OPTIONS}.{alias}"),
            own_cap,
        ));
    }
    if deployment.provider.unsupported == UnsupportedFieldPolicy::Error
        && let Some(member) = unknown(request, endpoint, deployment).next()
    {
        return Err(compat::unsupported_member(deployment, member));
    }
    Ok(())
}

/// Members that are dropped because nothing is known of them.
pub(in crate::gateway) fn unknown<'r>(
    request: &'r Request,
    endpoint: &'r Endpoint,
    deployment: &'r Deployment,
) -> impl Iterator<Item = &'r str> {
    let in_table = |name: &str| match endpoint.compat {
        Some(rules) => rules.decides(name),
        None => false,
    };
    request.member_names().filter(move |name| {
        !dialect::is_known_member(request.dialect, request.operation, name)
            && !in_table(name)
            && !deployment.provider.takes.iter().any(|taken| taken == name)
    })
}

fn bound_alias(deployment: &Deployment, alias: &str, own: &str) -> ApiError {
    let (name, provider) = (deployment.qualified(), &deployment.provider.name);
    ApiError::invalid(format!(
        "`{alias}` is another name of the output cap or of the number of answers, a budget above this key blocks, and \
         {provider} may obey it; name the cap of {name} as `{own}`, and the number of answers as `n`"
    ))
    .with_param(alias)
}
