//! The single requests: a page of them, filtered, or all that is known of one. A page reads no more rows than it may and
//! says where to go on; a follower waits for the next one without a thread of its own.

use std::time::Duration;

use tokio::time::Instant;

use crate::auth::directory::Directory;
use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::reports::{FRESH_WAIT_MS, instant};
use crate::control::teams::resolve_team;
use crate::control::{Control, not_found};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attribution::{Pseudonyms, Tag, UserHash};
use crate::domain::budget::Budget;
use crate::domain::event::{Flags, HoldId, Settlement, Status, StatusClass};
use crate::domain::id::{KeyId, RequestId, TeamId};
use crate::domain::pattern::Pattern;
use crate::domain::refusal::Refusal;
use crate::domain::zone::Zone;
use crate::store::{EntryHead, FeedCursor, Record, RecordIndex, RequestLogEntry, Scan, ScanPage};

pub const REQUESTS_DEFAULT: usize = 50;
pub const REQUESTS_MAX: usize = 500;
/// Rows that one page looks at where a filter has no index.
const ROWS_MAX: usize = 10_000;
const WAIT_MAX_S: u64 = 30;
/// Followers that may wait at once.
pub(super) const FOLLOWERS_MAX: usize = 64;
/// A follower looks again this long after something was booked, so that a busy instance is not read at every commit.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Between two steps of a request that wait for nobody; generous, because nothing but a page's length hangs on it.
const STEPS_MS: u64 = 60_000;

/// What the words of a query mean here.
pub struct QueryContext<'a> {
    pub zone: &'a Zone,
    pub directory: &'a Directory,
    pub pseudonyms: &'a Pseudonyms,
}

/// Which requests are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestQuery {
    key: Option<KeyId>,
    team: Option<TeamId>,
    model: Option<Pattern>,
    provider: Option<String>,
    class: Option<StatusClass>,
    /// within the class
    status: Option<Status>,
    flag: Option<Flags>,
    tag: Option<Tag>,
    user: Option<UserHash>,
    start_ms: u64,
    end_ms: u64,
    before: Option<HoldId>,
    after: Option<RequestCursor>,
    wait_s: u64,
    limit: usize,
}

/// Behind what an answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestCursor {
    /// the requests that were admitted later
    Request(HoldId),
    /// those that were booked later
    Place(FeedCursor),
}

/// Entries of the request log: newest first, behind `after` oldest first.
#[derive(Clone, Debug)]
pub struct RequestPage {
    pub entries: Vec<RequestLogEntry>,
    /// what `before` or `after` takes to go on
    pub next: Option<String>,
    /// what `after` takes to be told what was booked since
    pub follow: String,
}

/// One request with every attempt that was booked, or as it was refused, and the budgets that were charged, as far as they still are.
#[derive(Clone, Debug)]
pub struct RequestDetail {
    pub attempts: Vec<Record>,
    pub refusal: Option<Refusal>,
    pub budgets: Vec<Budget>,
}

impl RequestQuery {
    /// Reads the parameters; a name that is not known is refused, because a filter that is ignored shows too much.
    pub fn parse(
        parameters: &[(String, String)],
        terms: &QueryContext<'_>,
    ) -> Result<RequestQuery, ApiError> {
        let mut query = RequestQuery {
            key: None,
            team: None,
            model: None,
            provider: None,
            class: None,
            status: None,
            flag: None,
            tag: None,
            user: None,
            start_ms: 0,
            end_ms: u64::MAX,
            before: None,
            after: None,
            wait_s: 0,
            limit: REQUESTS_DEFAULT,
        };
        for (name, value) in parameters {
            query.take(name, value, terms)?;
        }
        if query.start_ms >= query.end_ms {
            return Err(ApiError::invalid("`start` must be before `end`").with_param("start"));
        }
        if query.before.is_some() && query.after.is_some() {
            return Err(ApiError::invalid(
                "give `before` to go back or `after` to follow, not both",
            )
            .with_param("after"));
        }
        if query.wait_s > 0 && !matches!(query.after, Some(RequestCursor::Place(_))) {
            let message = "`wait` goes with `after=FOLLOW`, where FOLLOW is the `follow` of an earlier answer";
            return Err(ApiError::invalid(message).with_param("wait"));
        }
        Ok(query)
    }

    fn take(&mut self, name: &str, value: &str, terms: &QueryContext<'_>) -> Result<(), ApiError> {
        let fault =
            |says: String| ApiError::invalid(format!("`{name}` must be {says}")).with_param(name);
        match name {
            "key" => {
                self.key = Some(
                    KeyId::parse(value).ok_or_else(|| fault("the id of a virtual key".into()))?,
                )
            }
            "team" => self.team = Some(resolve_team(terms.directory, value)?),
            "model" => self.model = Some(Pattern::new(value)),
            "provider" => self.provider = Some(value.to_owned()),
            "status" => {
                self.status = Status::parse(value);
                self.class = self
                    .status
                    .map(Status::class)
                    .or_else(|| StatusClass::parse(value));
                self.class
                    .ok_or_else(|| fault(format!("one of {}", status_words())))?;
            }
            "flag" => {
                let words = Flags(u16::MAX).names().collect::<Vec<_>>().join(", ");
                self.flag =
                    Some(Flags::parse(value).ok_or_else(|| fault(format!("one of {words}")))?);
            }
            "tag" => {
                self.tag = Some(
                    Tag::parse(value.as_bytes())
                        .ok_or_else(|| fault("a tag, as it was sent".into()))?,
                )
            }
            "user" => self.user = Some(terms.pseudonyms.user(value)),
            "start" => self.start_ms = instant("start", value, terms.zone)?,
            "end" => self.end_ms = instant("end", value, terms.zone)?,
            "before" => {
                self.before = Some(
                    parse_cursor(value, 0).ok_or_else(|| fault("the id of a request".into()))?,
                )
            }
            "after" => {
                let request = || parse_cursor(value, u8::MAX).map(RequestCursor::Request);
                let after = FeedCursor::parse(value)
                    .map(RequestCursor::Place)
                    .or_else(request);
                self.after = Some(after.ok_or_else(|| {
                    fault("the id of a request, or the `follow` of an earlier answer".into())
                })?);
            }
            "wait" => {
                let fits = value.parse().ok().filter(|seconds| *seconds <= WAIT_MAX_S);
                self.wait_s = fits.ok_or_else(|| fault(format!("0 to {WAIT_MAX_S} seconds")))?;
            }
            "limit" => {
                let fits = value
                    .parse()
                    .ok()
                    .filter(|limit| (1..=REQUESTS_MAX).contains(limit));
                self.limit = fits.ok_or_else(|| fault(format!("1 to {REQUESTS_MAX}")))?;
            }
            other => {
                let other: String = other.chars().take(64).collect();
                let known = "key, team, model, provider, status, flag, tag, user, start, end, before, after, wait, limit";
                return Err(ApiError::invalid(format!(
                    "`{other}` is not known here; the list of requests takes {known}"
                ))
                .with_param(other));
            }
        }
        Ok(())
    }

    /// A request's id is of the instant it came, its place in reports of the instant its hold was granted: later by
    /// `admission_ms` at most.
    fn scan(&self, admission_ms: u64) -> Scan {
        let first_at = |at_ms: u64| HoldId {
            request: RequestId::first_at(at_ms.min((1 << 48) - 1)),
            attempt: 0,
        };
        let end = if self.end_ms == u64::MAX {
            END
        } else {
            first_at(self.end_ms)
        };
        let start = first_at(self.start_ms.saturating_sub(admission_ms));
        let index = match (self.key, self.class) {
            (Some(key), _) => RecordIndex::Key(key),
            (None, Some(class)) if class != StatusClass::Ok => RecordIndex::NotOk(class),
            _ => RecordIndex::Time,
        };
        Scan {
            index,
            from: if let Some(RequestCursor::Request(after)) = self.after {
                start.max(following(after))
            } else {
                start
            },
            to: self.before.map_or(end, |before| end.min(before)),
            newest_first: self.after.is_none(),
            limit: self.limit,
            rows_max: ROWS_MAX,
        }
    }

    fn wants(&self, looked: &EntryHead) -> bool {
        match looked {
            EntryHead::Booked(record) => self.wants_booked(record),
            EntryHead::Refused(refusal) => self.wants_refused(refusal),
        }
    }

    fn wants_refused(&self, refusal: &Refusal) -> bool {
        (self.start_ms..self.end_ms).contains(&refusal.at_ms)
            && self.key.is_none_or(|key| refusal.key == key)
            && self.team.is_none_or(|team| refusal.team == team)
            && self.model.as_ref().is_none_or(|model| model.matches(&refusal.model_asked))
            && self.tag.as_ref().is_none_or(|tag| refusal.attribution.tag.as_ref() == Some(tag))
            && self.user.is_none_or(|user| refusal.attribution.user == Some(user))
            && self.class.is_none_or(|class| class == StatusClass::Refused)
            // it came to no provider, and there is nothing to flag
            && self.provider.is_none()
            && self.flag.is_none()
    }

    fn wants_booked(&self, record: &Settlement) -> bool {
        let (hold, subject) = (&record.hold, &record.hold.subject);
        let is_model = |model: &Pattern| {
            model.matches_deployment(&subject.model_asked, &subject.provider, &subject.model)
        };
        (self.start_ms..self.end_ms).contains(&hold.at_ms)
            && self.key.is_none_or(|key| subject.key == key)
            && self.team.is_none_or(|team| subject.team == team)
            && self.model.as_ref().is_none_or(is_model)
            && self
                .provider
                .as_ref()
                .is_none_or(|provider| subject.provider == *provider)
            && self
                .class
                .is_none_or(|class| record.ending.status.class() == class)
            && self
                .status
                .is_none_or(|status| record.ending.status == status)
            && self.flag.is_none_or(|flag| record.ending.flags.has(flag))
            && self
                .tag
                .as_ref()
                .is_none_or(|tag| subject.attribution.tag.as_ref() == Some(tag))
            && self
                .user
                .is_none_or(|user| subject.attribution.user == Some(user))
    }

    /// Where the next page begins.
    fn next(&self, scanned: &ScanPage) -> Option<String> {
        let id = scanned.last.filter(|_| !scanned.finished)?;
        Some(match id.attempt {
            // a refusal is alone
            0 | u8::MAX => id.request.to_string(),
            // going back, nothing of the request is left behind its first attempt
            1 if self.after.is_none() => id.request.to_string(),
            attempt => format!("{}.{attempt}", id.request),
        })
    }
}

/// How a request can have ended, and the classes of that which are no status themselves.
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

/// Behind every id.
const END: HoldId = HoldId {
    request: RequestId(u128::MAX),
    attempt: u8::MAX,
};

/// The first place behind a row.
pub(super) fn following(id: HoldId) -> HoldId {
    match id.attempt.checked_add(1) {
        Some(attempt) => HoldId { attempt, ..id },
        None => HoldId {
            request: RequestId(id.request.0.saturating_add(1)),
            attempt: 0,
        },
    }
}

/// `req_…` or, for one of its attempts, `req_….2`.
fn parse_cursor(text: &str, attempt: u8) -> Option<HoldId> {
    match text.split_once('.') {
        Some((id, attempt)) => Some(HoldId {
            request: RequestId::parse(id)?,
            attempt: attempt.parse().ok()?,
        }),
        None => Some(HoldId {
            request: RequestId::parse(text)?,
            attempt,
        }),
    }
}

impl Control {
    pub async fn requests(
        &self,
        _grant: &Grant<may::ReadUsage>,
        query: RequestQuery,
    ) -> Result<RequestPage, ApiError> {
        // a list that lags a little is still a list
        let _fresh = self.store.applied_now(FRESH_WAIT_MS).await;
        if let Some(RequestCursor::Place(place)) = query.after {
            return self.followed(query, place).await;
        }
        // what is booked while the page is read is told twice rather than never
        let follow = self.store.feed_cursor().to_string();
        let (asked, scan) = (query.clone(), query.scan(self.waits_ms + STEPS_MS));
        let scanned = self
            .read(move |store| store.request_log(&scan, |looked| asked.wants(looked)))
            .await?;
        Ok(RequestPage {
            next: query.next(&scanned),
            entries: scanned.entries,
            follow,
        })
    }

    /// What was booked behind a place; waits for the first of it.
    async fn followed(
        &self,
        query: RequestQuery,
        mut place: FeedCursor,
    ) -> Result<RequestPage, ApiError> {
        let deadline = Instant::now() + Duration::from_secs(query.wait_s);
        let _turn = match query.wait_s {
            0 => None,
            _ => Some(
                self.followers
                    .clone()
                    .try_acquire_owned()
                    .map_err(|_| too_many_followers())?,
            ),
        };
        loop {
            let mut booked = self.store.wal().postings();
            let asked = query.clone();
            let bounds = (query.limit, ROWS_MAX);
            let followed = self
                .read(move |store| {
                    store.request_log_since(place, bounds, |looked| asked.wants(looked))
                })
                .await?;
            let followed = followed.ok_or_else(place_lost)?;
            place = followed.cursor;
            // one that stopped at its bound is answered too: the caller goes on where it stopped
            if !followed.entries.is_empty()
                || !followed.finished
                || Instant::now() >= deadline
                || self.followers.is_closed()
            {
                let cursor = place.to_string();
                return Ok(RequestPage {
                    entries: followed.entries,
                    next: Some(cursor.clone()),
                    follow: cursor,
                });
            }
            let _something = tokio::time::timeout_at(deadline, booked.changed()).await;
            tokio::time::sleep_until(deadline.min(Instant::now() + LOOK_AGAIN)).await;
        }
    }

    /// Every attempt of one request.
    pub async fn request(
        &self,
        _grant: &Grant<may::ReadUsage>,
        id: RequestId,
    ) -> Result<RequestDetail, ApiError> {
        let _fresh = self.store.applied_now(FRESH_WAIT_MS).await;
        let known = self.read(move |store| {
            Ok((
                store.request(id)?,
                store.refusal(id)?,
                store.tenants()?.budgets,
            ))
        });
        let (attempts, refusal, mut budgets) = known.await?;
        if attempts.is_empty() && refusal.is_none() {
            let message = format!(
                "{}; a request is booked when it has ended",
                not_found("request", id).message
            );
            return Err(ApiError::new(ErrorCode::NotFound, message));
        }
        let charges = || {
            attempts
                .iter()
                .flat_map(|record| &record.settlement.hold.charges)
        };
        budgets.retain(|budget| charges().any(|charge| charge.budget == budget.id));
        Ok(RequestDetail {
            attempts,
            refusal,
            budgets,
        })
    }

    /// Answers all who wait for the next request, and lets nobody wait any more: the process is stopping.
    pub fn close_followers(&self) {
        self.followers.close();
        self.store.wake_followers();
    }

    /// Calls that wait for the next request.
    pub fn followers(&self) -> usize {
        FOLLOWERS_MAX.saturating_sub(self.followers.available_permits())
    }
}

fn place_lost() -> ApiError {
    let message = "the requests behind this place are not known any more: the gateway was started since, or too many have ended; \
                   read the list without `after`, and follow from its `follow`";
    ApiError::invalid(message).with_param("after")
}

fn too_many_followers() -> ApiError {
    let message =
        format!("{FOLLOWERS_MAX} calls wait for the next request already; ask without `wait`");
    ApiError::new(ErrorCode::Overloaded, message).with_retry_after(5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Tenants;

    fn parse(text: &str) -> Result<RequestQuery, ApiError> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let parameters: Vec<(String, String)> = pairs
            .map(|pair| pair.split_once('=').expect("a pair"))
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let (zone, directory) = (Zone::utc(), Directory::build(Tenants::default()));
        let pseudonyms = Pseudonyms::new([7; 16]);
        RequestQuery::parse(
            &parameters,
            &QueryContext {
                zone: &zone,
                directory: &directory,
                pseudonyms: &pseudonyms,
            },
        )
    }

    fn id(request: u128, attempt: u8) -> HoldId {
        HoldId {
            request: RequestId(request),
            attempt,
        }
    }

    #[test]
    fn what_has_an_index_is_walked_by_it() {
        let index = |text: &str| parse(text).expect(text).scan(0).index;
        assert_eq!(index(""), RecordIndex::Time);
        assert_eq!(index("key=key_3&status=broken"), RecordIndex::Key(KeyId(3)));
        assert_eq!(
            index("status=broken&flag=estimated"),
            RecordIndex::NotOk(StatusClass::Failed)
        );
        assert_eq!(index("status=ok&provider=x"), RecordIndex::Time);
    }

    #[test]
    fn a_cursor_ends_before_or_begins_after_its_request() {
        let request = RequestId::new(5_000, 7);
        let scan = parse(&format!("before={request}"))
            .expect("a query")
            .scan(0);
        assert_eq!((scan.to, scan.newest_first), (id(request.0, 0), true));
        let scan = parse(&format!("after={request}")).expect("a query").scan(0);
        assert_eq!(
            (scan.from, scan.newest_first),
            (id(request.0 + 1, 0), false)
        );
        let scan = parse(&format!("before={request}.2"))
            .expect("a query")
            .scan(0);
        assert_eq!(scan.to, id(request.0, 2));
    }

    #[test]
    fn what_came_before_the_start_and_may_have_waited_until_then_is_looked_at() {
        let from = |wait_ms| {
            parse("start=1970-01-02")
                .expect("a query")
                .scan(wait_ms)
                .from
        };
        assert_eq!(from(0), id(RequestId::first_at(86_400_000).0, 0));
        assert_eq!(from(400_000), id(RequestId::first_at(86_000_000).0, 0));
        assert_eq!(from(u64::MAX), id(0, 0));
    }

    #[test]
    fn a_wrong_filter_is_named() {
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
