//! Query string of `GET /v1/requests`: parameters in, `RequestQuery` out. An unknown parameter is refused, because an ignored
//! filter would show too much.

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::Control;
use crate::control::requests::{REQUESTS_MAX, RequestCursor, RequestQuery};
use crate::domain::api_error::ApiError;
use crate::domain::attribution::{Pseudonyms, Tag};
use crate::domain::event::{Flags, HoldId, Status, StatusClass};
use crate::domain::id::{KeyId, RequestId, TeamId};
use crate::domain::pattern::Pattern;
use crate::domain::zone::Zone;
use crate::server::api::query::{parse_instant, unknown_parameter};
use crate::store::FeedCursor;

const WAIT_MAX_S: u64 = 30;
const KNOWN: &str =
    "key, team, model, provider, status, flag, tag, user, start, end, before, after, wait, limit";

pub(super) fn parse(
    parameters: &[(String, String)],
    control: &Control,
    grant: &Grant<may::ReadUsage>,
) -> Result<RequestQuery, ApiError> {
    let context = QueryContext {
        zone: control.zone(),
        pseudonyms: control.pseudonyms(),
        team: &|text| control.team_id(grant, text),
        key: &|text| control.key_id(grant, text),
    };
    context.parse(parameters)
}

/// Query of `GET /v1/me/requests`: `key` and `team` are the caller's own.
pub(super) fn parse_own(
    parameters: &[(String, String)],
    control: &Control,
) -> Result<RequestQuery, ApiError> {
    for (name, _) in parameters {
        if name == "key" || name == "team" {
            let known = KNOWN.trim_start_matches("key, team, ");
            return Err(unknown_parameter(name, "the list of own requests", known));
        }
    }
    let context = QueryContext {
        zone: control.zone(),
        pseudonyms: control.pseudonyms(),
        team: &|_| Err(ApiError::invalid("`team` is fixed")),
        key: &|_| Err(ApiError::invalid("`key` is fixed")),
    };
    context.parse(parameters)
}

/// State of the instance that values of a query refer to.
struct QueryContext<'a> {
    zone: &'a Zone,
    /// the team with an id or a name
    team: &'a dyn Fn(&str) -> Result<TeamId, ApiError>,
    /// the virtual key with an id or a name
    key: &'a dyn Fn(&str) -> Result<KeyId, ApiError>,
    pseudonyms: &'a Pseudonyms,
}

impl QueryContext<'_> {
    fn parse(&self, parameters: &[(String, String)]) -> Result<RequestQuery, ApiError> {
        let mut query = RequestQuery::default();
        for (name, value) in parameters {
            self.parse_parameter(&mut query, name, value)?;
        }
        if query.start_ms >= query.end_ms {
            return Err(ApiError::invalid("`start` must be before `end`").with_param("start"));
        }
        if query.before.is_some() && query.after.is_some() {
            let message = "give `before` to go back or `after` to follow, not both";
            return Err(ApiError::invalid(message).with_param("after"));
        }
        if query.wait_s > 0 && !matches!(query.after, Some(RequestCursor::Feed(_))) {
            let message = "`wait` goes with `after=FOLLOW`, where FOLLOW is the `follow` of an earlier answer";
            return Err(ApiError::invalid(message).with_param("wait"));
        }
        Ok(query)
    }

    fn parse_parameter(
        &self,
        query: &mut RequestQuery,
        name: &str,
        value: &str,
    ) -> Result<(), ApiError> {
        match name {
            "key" => query.key = Some((self.key)(value)?),
            "team" => query.team = Some((self.team)(value)?),
            "model" => query.model = Some(Pattern::new(value)),
            "provider" => query.provider = Some(value.to_owned()),
            "status" => (query.status, query.class) = parse_status(value)?,
            "flag" => query.flag = Some(parse_flag(value)?),
            "tag" => {
                let tag = Tag::parse(value.as_bytes());
                query.tag = Some(expect(tag, name, "a tag, as it was sent")?);
            }
            "user" => query.user = Some(self.pseudonyms.user(value)),
            "start" => query.start_ms = parse_instant(name, value, self.zone)?,
            "end" => query.end_ms = parse_instant(name, value, self.zone)?,
            "before" => {
                let id = parse_request_cursor(value, 0);
                query.before = Some(expect(id, name, "the id of a request")?);
            }
            "after" => query.after = Some(parse_after(value)?),
            "wait" => query.wait_s = parse_wait(value)?,
            "limit" => query.limit = parse_limit(value)?,
            other => return Err(unknown_parameter(other, "the list of requests", KNOWN)),
        }
        Ok(())
    }
}

/// The parsed value, or a 400 that names the parameter.
fn expect<T>(parsed: Option<T>, name: &str, expected: &str) -> Result<T, ApiError> {
    parsed.ok_or_else(|| ApiError::invalid(format!("`{name}` must be {expected}")).with_param(name))
}

/// A status with its class, or a class alone.
fn parse_status(value: &str) -> Result<(Option<Status>, Option<StatusClass>), ApiError> {
    let status = Status::parse(value);
    let class = status
        .map(Status::class)
        .or_else(|| StatusClass::parse(value));
    match class {
        Some(class) => Ok((status, Some(class))),
        None => expect(None, "status", &format!("one of {}", status_words())),
    }
}

/// All statuses, and the classes that are not a status themselves.
fn status_words() -> String {
    let mut words = Status::ALL.map(Status::as_str).to_vec();
    words.extend(
        StatusClass::ALL
            .map(StatusClass::as_str)
            .into_iter()
            .filter(|word| Status::parse(word).is_none()),
    );
    words.join(", ")
}

fn parse_flag(value: &str) -> Result<Flags, ApiError> {
    let words = || Flags(u16::MAX).names().collect::<Vec<_>>().join(", ");
    expect(Flags::parse(value), "flag", &format!("one of {}", words()))
}

/// The cursor of an earlier answer, or the id of a request.
fn parse_after(value: &str) -> Result<RequestCursor, ApiError> {
    let request = || parse_request_cursor(value, u8::MAX).map(RequestCursor::Request);
    let cursor = FeedCursor::parse(value)
        .map(RequestCursor::Feed)
        .or_else(request);
    let expected = "the id of a request, or the `follow` of an earlier answer";
    expect(cursor, "after", expected)
}

/// `req_…` or, for one of its attempts, `req_….2`.
fn parse_request_cursor(text: &str, attempt: u8) -> Option<HoldId> {
    let (request, attempt) = match text.split_once('.') {
        Some((request, attempt)) => (request, attempt.parse().ok()?),
        None => (text, attempt),
    };
    Some(HoldId {
        request: RequestId::parse(request)?,
        attempt,
    })
}

fn parse_wait(value: &str) -> Result<u64, ApiError> {
    let wait_s = value.parse().ok().filter(|wait_s| *wait_s <= WAIT_MAX_S);
    expect(wait_s, "wait", &format!("0 to {WAIT_MAX_S} seconds"))
}

fn parse_limit(value: &str) -> Result<usize, ApiError> {
    let limit = value
        .parse()
        .ok()
        .filter(|limit| (1..=REQUESTS_MAX).contains(limit));
    expect(limit, "limit", &format!("1 to {REQUESTS_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RequestQuery, ApiError> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let parameters: Vec<(String, String)> = pairs
            .map(|pair| pair.split_once('=').expect("a pair"))
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let context = QueryContext {
            zone: &Zone::utc(),
            team: &|_| Err(ApiError::invalid("unknown team").with_param("team")),
            key: &|text| expect(KeyId::parse(text), "key", "the id of a virtual key"),
            pseudonyms: &Pseudonyms::new([7; 16]),
        };
        context.parse(&parameters)
    }

    #[test]
    fn filters_are_parsed_to_typed_values() {
        let query = parse("key=key_3&status=broken&start=1970-01-02&limit=7").expect("a query");
        let expected = RequestQuery {
            key: Some(KeyId(3)),
            class: Some(StatusClass::Failed),
            status: Status::parse("broken"),
            start_ms: 86_400_000,
            limit: 7,
            ..RequestQuery::default()
        };
        assert_eq!(query, expected);
        assert_eq!(parse("").expect("nothing"), RequestQuery::default());
    }

    #[test]
    fn cursor_is_a_request_or_one_of_its_attempts() {
        let request = RequestId::new(5_000, 7);
        let id = |attempt| HoldId { request, attempt };
        let before = |text: &str| parse(text).expect(text).before;
        assert_eq!(before(&format!("before={request}")), Some(id(0)));
        assert_eq!(before(&format!("before={request}.2")), Some(id(2)));
        let after = parse(&format!("after={request}")).expect("a query").after;
        assert_eq!(after, Some(RequestCursor::Request(id(u8::MAX))));
    }

    #[test]
    fn invalid_filter_error_names_the_parameter() {
        for text in [
            "key=team_1",
            "team=nobody",
            "status=fine",
            "flag=blue",
            "tag=two words",
            "start=yesterday",
            "start=2026-11-02&end=2026-11-01",
            "before=req_1",
            "wait=5",
            "after=req_00000000000000000000000000&wait=31",
            "after=req_00000000000000000000000000&wait=5",
            "after=at_1.2",
            "limit=0",
            "limit=501",
            "colour=blue",
        ] {
            assert!(parse(text).expect_err(text).param.is_some(), "{text}");
        }
    }
}
