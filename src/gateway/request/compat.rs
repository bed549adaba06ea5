//! Compatibility rules: fits a request to a vendor that borrows another vendor's dialect. Members are removed, renamed or given
//! another value by the endpoint's table, and each is named to the client; what the vendor cannot do is refused. Never touches
//! a request to the dialect's own vendor.

use std::borrow::Cow;

use crate::config::UnsupportedFieldPolicy;
use crate::dialect::{Edit, Request};
use crate::domain::api_error::ApiError;
use crate::domain::header_list::KnownHeader;
use crate::provider::{BodyWrapper, CompatRules};
use crate::route::Deployment;

/// Bounds of the header that lists changed members: names, and bytes of a name.
const NAMES_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 64;

/// Refuses what the vendor cannot do and, with `unsupported = "error"`, what would be left out.
pub(in crate::gateway) fn check(
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
        && let Some(member) = dropped(request, compat).find(|member| has_value(request, member))
    {
        return Err(unsupported_member(deployment, member));
    }
    Ok(())
}

/// 400: the vendor does not take a member, and the configuration forbids leaving it out.
pub(in crate::gateway) fn unsupported_member(deployment: &Deployment, member: &str) -> ApiError {
    let (name, provider, member) = (
        deployment.qualified(),
        &deployment.provider.name,
        header_name(member),
    );
    let message = format!(
        "{name} does not take `{member}`, and [providers.{provider}] says unsupported = \"error\"; leave it out, or ask \
         another provider"
    );
    ApiError::invalid(message).with_param(member)
}

/// Members that the vendor receives changed or not at all, sorted.
pub(in crate::gateway) fn changed<'r>(
    request: &'r Request,
    compat: &'static CompatRules,
) -> Vec<&'r str> {
    let renamed = compat.renames.iter().map(|(ours, _)| *ours);
    let revalued = compat
        .value_map
        .iter()
        .filter(|(member, ours, _)| request.member(member) == Some(ours))
        .map(|(member, ..)| *member);
    let mut names: Vec<&str> = renamed
        .chain(revalued)
        .chain(dropped(request, compat))
        .collect();
    names.retain(|name| has_value(request, name));
    names.sort_unstable();
    names.dedup();
    names
}

/// Member names as a header lists them; `None` if there are none.
pub(in crate::gateway) fn header_list(names: &[&str]) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let more = names.len().saturating_sub(NAMES_MAX);
    let mut list = names
        .iter()
        .take(NAMES_MAX)
        .map(|name| header_name(name))
        .collect::<Vec<_>>()
        .join(", ");
    if more > 0 {
        list.push_str(&format!(", and {more} more"));
    }
    Some(list)
}

/// Adds the edits of the table to those made already: an output cap set under the client's name gets the vendor's.
pub(in crate::gateway) fn edits<'r>(
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

/// Adds the edits that wrap the body for the vendor. `headers` are the client's.
pub(in crate::gateway) fn wrap(
    headers: &[KnownHeader],
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

/// Value of a member after the edits so far.
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

/// A null counts as absent.
fn has_value(request: &Request, member: &str) -> bool {
    request.member(member).is_some_and(|json| json != "null")
}

/// A client's member name if it is safe in a header.
fn header_name(name: &str) -> &str {
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
            header_list(&changed(&request, &TABLE)),
        )
    }

    #[test]
    fn compat_rules_drop_rename_and_revalue_members_and_name_them() {
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
    fn lowered_output_cap_gets_the_vendors_member_name() {
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
    fn p09_body_wrapper_moves_betas_from_the_header_and_keeps_the_rest() {
        static WRAPPER: BodyWrapper = BodyWrapper {
            remove: &["model", "stream"],
            set: &[("anthropic_version", "\"v\"")],
            from_header: &[("anthropic-beta", "anthropic_beta")],
        };
        let wrapped = |more: &str, headers: &[(&'static str, &str)]| {
            let request = request(more);
            let headers: Vec<KnownHeader> =
                headers.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
            let mut edits = vec![Edit::text("model", "other")];
            wrap(&headers, &WRAPPER, &mut edits);
            String::from_utf8(request.spliced(&edits).to_vec()).expect("UTF-8")
        };
        assert_eq!(
            wrapped(r#","stream":true,"x":1.0"#, &[]),
            r#"{"messages":[],"x":1.0,"anthropic_version":"v"}"#
        );
        assert_eq!(
            wrapped(
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
            wrapped(
                r#","anthropic_version":"w","anthropic_beta":["own"]"#,
                &[("anthropic-beta", " ")]
            ),
            r#"{"messages":[],"anthropic_version":"v","anthropic_beta":["own"]}"#
        );
    }

    #[test]
    fn dropped_members_header_is_bounded() {
        let many: String = (0..40).map(|n| format!(",\"x{n:02}\":1")).collect();
        let named = fitted(&many, None).1.expect("dropped");
        assert!(
            named.starts_with("x00, x01") && named.ends_with("x31, and 8 more"),
            "{named}"
        );
    }
}
