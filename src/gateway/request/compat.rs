//! Fits a request to a vendor that borrows its dialect: by the capability table of the endpoint, members are left out, renamed or
//! reworded, and every one of them is named to the client. What cannot be had at all is refused. Never touches a request to the
//! dialect's own vendor.

use std::borrow::Cow;

use crate::config::UnsupportedFieldPolicy;
use crate::dialect::{Edit, Request};
use crate::domain::api_error::ApiError;
use crate::provider::{BodyWrapper, CompatRules};
use crate::route::Deployment;

/// More names than this, and longer ones, are not repeated in a header.
const NAMES_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 64;

/// Refuses what the vendor would not do, or, where the configuration asks for that, what it would not be told.
pub(crate) fn check(
    request: &Request,
    compat: &CompatRules,
    deployment: &Deployment,
) -> Result<(), ApiError> {
    let name = deployment.qualified();
    if compat.one_choice && request.choices > 1 {
        let message = format!(
            "{name} gives one answer to a request, not {}; leave `n` out and ask several times",
            request.choices
        );
        return Err(ApiError::invalid(message).with_param("n"));
    }
    if deployment.provider.unsupported == UnsupportedFieldPolicy::Error
        && let Some(member) =
            dropped(request, compat).find(|member| says_something(request, member))
    {
        return Err(not_taken(deployment, member));
    }
    Ok(())
}

/// The refusal of what a vendor does not take, where the configuration would rather have that than leave it out.
pub(crate) fn not_taken(deployment: &Deployment, member: &str) -> ApiError {
    let (name, provider, member) = (
        deployment.qualified(),
        &deployment.provider.name,
        shown(member),
    );
    let message = format!(
        "{name} does not take `{member}`, and [providers.{provider}] says unsupported = \"error\"; leave it out, or ask \
         another provider"
    );
    ApiError::invalid(message).with_param(member)
}

/// The members that the vendor gets otherwise or not at all, as a header names them; `None` if it gets them all.
pub(crate) fn changed(request: &Request, compat: &CompatRules) -> Option<String> {
    let renamed = compat.renames.iter().map(|(ours, _)| *ours);
    let reworded = compat
        .value_map
        .iter()
        .filter(|(member, ours, _)| request.member(member) == Some(ours))
        .map(|(member, ..)| *member);
    let mut names: Vec<&str> = renamed
        .chain(reworded)
        .chain(dropped(request, compat))
        .collect();
    names.retain(|name| says_something(request, name));
    names.sort_unstable();
    names.dedup();
    listed(&names)
}

/// Names of members as a header tells them; `None` if there are none.
pub(crate) fn listed(names: &[&str]) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let more = names.len().saturating_sub(NAMES_MAX);
    let mut list = names
        .iter()
        .take(NAMES_MAX)
        .map(|name| shown(name))
        .collect::<Vec<_>>()
        .join(", ");
    if more > 0 {
        list.push_str(&format!(", and {more} more"));
    }
    Some(list)
}

/// Adds what fits the request, on top of the edits that there are: a cap under the client's name gets the vendor's.
pub(crate) fn edits<'r>(
    request: &'r Request,
    compat: &'static CompatRules,
    edits: &mut Vec<Edit<'r>>,
) {
    for (member, ours, theirs) in compat.value_map {
        if request.member(member) == Some(ours) {
            edits.push(Edit::Set {
                member,
                json: Cow::Borrowed(theirs),
            });
        }
    }
    for (ours, theirs) in compat.renames {
        let Some(json) = value(request, ours, edits) else {
            continue;
        };
        edits.push(Edit::Remove { member: ours });
        if json != "null" {
            edits.push(Edit::Set {
                member: theirs,
                json,
            });
        }
    }
    edits.extend(dropped(request, compat).map(|member| Edit::Remove { member }));
}

/// Adds what covers the request, on top of the edits that there are. `headers` are the client's.
pub(crate) fn wrapper(
    headers: &[(String, String)],
    wrapper: &'static BodyWrapper,
    edits: &mut Vec<Edit<'_>>,
) {
    edits.extend(wrapper.remove.iter().map(|member| Edit::Remove { member }));
    edits.extend(wrapper.set.iter().map(|(member, json)| Edit::Set {
        member,
        json: Cow::Borrowed(json),
    }));
    for (header, member) in wrapper.from_header {
        let lists = headers
            .iter()
            .filter(|(name, _)| name == header)
            .flat_map(|(_, list)| list.split(','));
        let words: Vec<&str> = lists
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect();
        if !words.is_empty() {
            let json = serde_json::Value::from(words).to_string();
            edits.push(Edit::Set {
                member,
                json: Cow::Owned(json),
            });
        }
    }
}

/// What a member will be by the edits so far.
fn value<'r>(request: &'r Request, member: &str, edits: &[Edit<'r>]) -> Option<Cow<'r, str>> {
    let set = edits.iter().rev().find_map(|edit| match edit {
        Edit::Set { member: set, json } if *set == member => Some(json.clone()),
        _ => None,
    });
    set.or_else(|| request.member(member).map(Cow::Borrowed))
}

fn dropped<'r>(request: &'r Request, compat: &CompatRules) -> impl Iterator<Item = &'r str> {
    let is_renamed = |name: &str| compat.renames.iter().any(|(ours, _)| *ours == name);
    request
        .member_names()
        .filter(move |name| !compat.fields.supports(name) && !is_renamed(name))
}

/// Null is as good as absent: nobody misses it.
fn says_something(request: &Request, member: &str) -> bool {
    request.member(member).is_some_and(|json| json != "null")
}

/// A client's own name for a member, if it may stand in a header.
fn shown(name: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.len() <= NAME_BYTES_MAX && !name.is_empty() && name.bytes().all(plain) {
        name
    } else {
        "(a name that is not shown)"
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::dialect::{Dialect, Operation, read};
    use crate::provider::SupportedFields;

    static TABLE: CompatRules = CompatRules {
        fields: SupportedFields::Only(&[
            "model",
            "messages",
            "max_tokens",
            "random_seed",
            "tool_choice",
        ]),
        renames: &[
            ("max_completion_tokens", "max_tokens"),
            ("seed", "random_seed"),
        ],
        value_map: &[("tool_choice", "\"required\"", "\"any\"")],
        one_choice: true,
    };

    fn request(more: &str) -> Request {
        read(
            Dialect::Chat,
            Operation::Conversation,
            Bytes::from(format!(r#"{{"model":"m","messages":[]{more}}}"#)),
        )
        .expect("a request")
    }

    fn fitted(more: &str, cap: Option<u64>) -> (String, Option<String>) {
        let request = request(more);
        let mut all = cap.map_or(Vec::new(), |tokens| request.capped(tokens, "max_tokens"));
        edits(&request, &TABLE, &mut all);
        let body = String::from_utf8(request.spliced(&all).to_vec()).expect("UTF-8");
        (
            body.replacen(r#"{"model":"m","messages":[]"#, "", 1),
            changed(&request, &TABLE),
        )
    }

    #[test]
    fn members_are_dropped_renamed_and_reworded_and_named() {
        for (sent, body, named) in [
            ("", "}", None),
            (
                r#","max_tokens":5,"random_seed":1"#,
                r#","max_tokens":5,"random_seed":1}"#,
                None,
            ),
            (
                r#","seed":7,"logit_bias":{"1":2}"#,
                r#","random_seed":7}"#,
                Some("logit_bias, seed"),
            ),
            (
                r#","tool_choice":"required""#,
                r#","tool_choice":"any"}"#,
                Some("tool_choice"),
            ),
            (
                r#","tool_choice":"auto""#,
                r#","tool_choice":"auto"}"#,
                None,
            ),
            (r#","seed":null,"user":null"#, "}", None),
            (
                r#","max_tokens":9,"max_completion_tokens":5"#,
                r#","max_tokens":5}"#,
                Some("max_completion_tokens"),
            ),
            (
                r#","max_tokens":9,"max_completion_tokens":null"#,
                r#","max_tokens":9}"#,
                None,
            ),
            (r#","\u0073eed":7"#, r#","random_seed":7}"#, Some("seed")),
            (r#","a\nb: c":7"#, "}", Some("(a name that is not shown)")),
        ] {
            assert_eq!(
                fitted(sent, None),
                (body.to_owned(), named.map(str::to_owned)),
                "{sent}"
            );
        }
    }

    #[test]
    fn a_cap_that_the_gateway_lowers_is_lowered_under_the_vendors_name() {
        assert_eq!(
            fitted(r#","max_completion_tokens":500"#, Some(100)).0,
            r#","max_tokens":100}"#
        );
        assert_eq!(
            fitted(r#","max_completion_tokens":50"#, Some(100)).0,
            r#","max_tokens":50}"#
        );
        assert_eq!(fitted("", Some(100)).0, r#","max_tokens":100}"#);
        assert_eq!(
            fitted(
                r#","max_completion_tokens":500,"max_tokens":900"#,
                Some(100)
            )
            .0,
            r#","max_tokens":100}"#
        );
    }

    #[test]
    fn p09_a_cover_takes_the_betas_from_the_header_and_leaves_the_rest_as_it_came() {
        static COVER: BodyWrapper = BodyWrapper {
            remove: &["model", "stream"],
            set: &[("anthropic_version", "\"v\"")],
            from_header: &[("anthropic-beta", "anthropic_beta")],
        };
        let covered = |more: &str, headers: &[(&str, &str)]| {
            let request = request(more);
            let headers: Vec<(String, String)> = headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect();
            let mut edits = vec![Edit::text("model", "other")];
            wrapper(&headers, &COVER, &mut edits);
            String::from_utf8(request.spliced(&edits).to_vec()).expect("UTF-8")
        };
        assert_eq!(
            covered(r#","stream":true,"x":1.0"#, &[]),
            r#"{"messages":[],"x":1.0,"anthropic_version":"v"}"#
        );
        assert_eq!(
            covered(
                "",
                &[
                    ("anthropic-beta", "a-1, b\"2,"),
                    ("anthropic-version", "2023-06-01"),
                    ("anthropic-beta", "c")
                ]
            ),
            r#"{"messages":[],"anthropic_version":"v","anthropic_beta":["a-1","b\"2","c"]}"#
        );
        assert_eq!(
            covered(
                r#","anthropic_version":"w","anthropic_beta":["own"]"#,
                &[("anthropic-beta", " ")]
            ),
            r#"{"messages":[],"anthropic_version":"v","anthropic_beta":["own"]}"#
        );
    }

    #[test]
    fn a_header_names_no_more_than_it_can_hold() {
        let many: String = (0..40).map(|n| format!(",\"x{n:02}\":1")).collect();
        let named = fitted(&many, None).1.expect("dropped");
        assert!(
            named.starts_with("x00, x01") && named.ends_with("x31, and 8 more"),
            "{named}"
        );
    }
}
