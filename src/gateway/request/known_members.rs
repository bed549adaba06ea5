//! Members that a vendor of a borrowed dialect is sent where a budget blocks: those of the gateway's table and those that the
//! configuration lists. Others are dropped and named; other names of the output cap are refused, because the money that is held
//! for a call follows from it.

use crate::config::UnsupportedFieldPolicy;
use crate::dialect::{self, NESTED_OPTIONS, Request};
use crate::domain::api_error::ApiError;
use crate::gateway::request::compat;
use crate::provider::Endpoint;
use crate::route::Deployment;

/// Names of members that are listed at most, and bytes of a name.
const FOREIGN_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 64;

/// Refuses members that explain a bill above its ceiling, other names of the output cap and of the number of answers and, with `unsupported = "error"`, every unknown member.
pub(in crate::gateway) fn check(
    request: &Request,
    endpoint: &Endpoint,
    deployment: &Deployment,
    ruled_out: &[String],
) -> Result<(), ApiError> {
    let own_cap = request.output_cap_member();
    // the names of most requests need not be read for this
    if !ruled_out.is_empty() {
        let mut taken = request
            .member_names()
            .filter(|name| is_taken(deployment, name));
        if let Some(member) = taken.find(|name| ruled_out.iter().any(|member| member == name)) {
            return Err(dear_member(deployment, member));
        }
    }
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
    let mut names = request.member_names();
    std::iter::from_fn(move || {
        names.find(|name| !is_known(request, endpoint, name) && !is_taken(deployment, name))
    })
}

/// Members that are sent although nothing is known of them; with `known_only` those that the configuration lists.
pub(in crate::gateway) fn foreign(
    request: &Request,
    endpoint: &Endpoint,
    deployment: &Deployment,
    known_only: bool,
) -> Vec<String> {
    let names = request.member_names().filter(|name| {
        !is_known(request, endpoint, name)
            && (!known_only || is_taken(deployment, name))
            && name.len() <= NAME_BYTES_MAX
    });
    names.take(FOREIGN_MAX).map(str::to_owned).collect()
}

fn is_known(request: &Request, endpoint: &Endpoint, name: &str) -> bool {
    let in_table = endpoint.compat.is_some_and(|rules| rules.decides(name));
    in_table || dialect::is_known_member(request.dialect, request.operation, name)
}

fn is_taken(deployment: &Deployment, name: &str) -> bool {
    deployment.provider.takes.iter().any(|taken| taken == name)
}

fn dear_member(deployment: &Deployment, member: &str) -> ApiError {
    let (name, provider) = (deployment.qualified(), &deployment.provider.name);
    ApiError::invalid(format!(
        "a call of {name} with `{member}` cost more than its ceiling, and a budget above this key blocks; leave it out, or \
         ask the administrator to take it out of `takes` under [providers.{provider}]"
    ))
    .with_param(member)
}

fn bound_alias(deployment: &Deployment, alias: &str, own: &str) -> ApiError {
    let (name, provider) = (deployment.qualified(), &deployment.provider.name);
    ApiError::invalid(format!(
        "`{alias}` is another name of the output cap or of the number of answers, a budget above this key blocks, and \
         {provider} may obey it; name the cap of {name} as `{own}`, and the number of answers as `n`"
    ))
    .with_param(alias)
}
