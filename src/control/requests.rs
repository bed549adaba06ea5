//! The request log: pages of it, filtered, and the detail of one request. A page reads a bounded number of rows and returns the
//! cursor of the next; a follower waits for new entries without occupying a thread.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::auth::directory::Directory;
use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::error::{books_behind, not_found};
use crate::control::names::redacted;
use crate::control::plane::{Control, FRESH_WAIT_MS};
use crate::domain::api_error::{ApiError, ErrorCode};
use crate::domain::attribution::{Tag, UserHash};
use crate::domain::budget::Budget;
use crate::domain::event::{Flags, HoldId, Settlement, Status, StatusClass};
use crate::domain::id::{KeyId, RequestId, TeamId};
use crate::domain::pattern::Pattern;
use crate::domain::refusal::Refusal;
use crate::domain::role::Scope;
use crate::store::{
    EntryHead, FeedCursor, Record, RecordIndex, RequestLogEntry, Scan, ScanPage, SheetName,
};

/// Entries of a page, unless the query sets another limit.
pub const REQUESTS_DEFAULT: usize = 50;
/// Entries of a page at most.
pub const REQUESTS_MAX: usize = 500;
/// Rows that one page reads where a filter has no index.
const ROWS_MAX: usize = 10_000;
/// A follower reads again this long after a commit, so that a busy instance is not read at every commit.
const REREAD_DELAY: Duration = Duration::from_millis(100);
/// Time from a request's arrival to its hold besides waiting; generous, because it only widens the range of a scan.
const PROCESSING_MS: u64 = 60_000;

/// Filters and page of the request log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestQuery {
    pub key: Option<KeyId>,
    pub team: Option<TeamId>,
    pub model: Option<Pattern>,
    pub provider: Option<String>,
    pub class: Option<StatusClass>,
    /// within the class
    pub status: Option<Status>,
    pub flag: Option<Flags>,
    pub tag: Option<Tag>,
    pub user: Option<UserHash>,
    pub start_ms: u64,
    /// exclusive; `u64::MAX`: no end
    pub end_ms: u64,
    /// entries before this id, newest first
    pub before: Option<HoldId>,
    /// entries after this cursor, oldest first; excludes `before`
    pub after: Option<RequestCursor>,
    /// longest wait for an entry after a feed cursor
    pub wait_s: u64,
    pub limit: usize,
}

/// Start of a page, exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestCursor {
    /// followed by requests that were admitted later
    Request(HoldId),
    /// followed by requests that were booked later
    Feed(FeedCursor),
}

impl Default for RequestQuery {
    fn default() -> RequestQuery {
        RequestQuery {
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
        }
    }
}

/// A page of the request log: newest first; after a cursor, oldest first.
#[derive(Clone, Debug)]
pub struct RequestPage {
    pub entries: Vec<RequestLogEntry>,
    /// cursor of the next page, for `before` or `after`
    pub next: Option<String>,
    /// cursor for `after`: entries booked since this page
    pub follow: String,
    /// every request with a smaller id has ended and is in the books; `None` where that is not known
    pub complete_before: Option<RequestId>,
}

/// One request: its booked attempts or its refusal, and those of the charged budgets that still exist.
#[derive(Clone, Debug)]
pub struct RequestDetail {
    pub attempts: Vec<Record>,
    pub refusal: Option<Refusal>,
    pub budgets: Vec<Budget>,
    /// in force at the admission; `None` if no line has its prices
    pub price_sheet: Option<SheetName>,
}

/// A line of the record has a rate of the price sheet, not of the operator.
fn has_sheet_price(record: &Record) -> bool {
    let cards = record.settlement.ending.lines.iter();
    let mut cards = cards.filter_map(|line| line.card.as_deref());
    cards.any(|card| !card.is_own)
}

impl RequestQuery {
    /// The id of a request holds the time of its arrival, its row the time of its hold: up to `admission_ms` later.
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
                start.max(next_id(after))
            } else {
                start
            },
            to: self.before.map_or(end, |before| end.min(before)),
            newest_first: self.after.is_none(),
            limit: self.limit,
            rows_max: ROWS_MAX,
        }
    }

    fn matches(&self, entry: &EntryHead) -> bool {
        match entry {
            EntryHead::Record(record) => self.matches_booked(record),
            EntryHead::Refusal(refusal) => self.matches_refused(refusal),
        }
    }

    fn matches_refused(&self, refusal: &Refusal) -> bool {
        (self.start_ms..self.end_ms).contains(&refusal.at_ms)
            && self.key.is_none_or(|key| refusal.key == key)
            && self.team.is_none_or(|team| refusal.team == team)
            && self.model.as_ref().is_none_or(|model| model.matches(&refusal.model_asked))
            && self.tag.as_ref().is_none_or(|tag| refusal.attribution.tag.as_ref() == Some(tag))
            && self.user.is_none_or(|user| refusal.attribution.user == Some(user))
            && self.class.is_none_or(|class| class == StatusClass::Refused)
            // a refusal reached no provider and has no flags
            && self.provider.is_none()
            && self.flag.is_none()
    }

    fn matches_booked(&self, record: &Settlement) -> bool {
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
                .is_none_or(|provider| *subject.provider == **provider)
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

    /// Cursor of the next page.
    fn next_cursor(&self, scanned: &ScanPage) -> Option<String> {
        let id = scanned.last.filter(|_| !scanned.finished)?;
        Some(match id.attempt {
            // a refusal has no attempts
            0 | u8::MAX => id.request.to_string(),
            // backwards, the first attempt of a request is its last row
            1 if self.after.is_none() => id.request.to_string(),
            attempt => format!("{}.{attempt}", id.request),
        })
    }
}

/// Greater than every id in use.
const END: HoldId = HoldId {
    request: RequestId(u128::MAX),
    attempt: u8::MAX,
};

/// The smallest id after this one.
pub(super) fn next_id(id: HoldId) -> HoldId {
    match id.attempt.checked_add(1) {
        Some(attempt) => HoldId { attempt, ..id },
        None => HoldId {
            request: RequestId(id.request.0.saturating_add(1)),
            attempt: 0,
        },
    }
}

impl Control {
    pub async fn requests(
        &self,
        grant: &Grant<may::ReadUsage>,
        query: RequestQuery,
    ) -> Result<RequestPage, ApiError> {
        let complete_before = self.complete_before();
        // a page that misses the newest entries is still valid
        let fresh = self.store.applied_now(FRESH_WAIT_MS).await;
        if let Some(RequestCursor::Feed(cursor)) = query.after {
            return self.follow(grant, query, cursor).await;
        }
        // taken before the read: an entry booked meanwhile is returned twice rather than never
        let follow = self.store.feed_cursor().to_string();
        let scan = query.scan(self.admission_wait_ms + PROCESSING_MS);
        let (filter, view) = (query.clone(), self.view(grant));
        let scanned = self
            .read(move |store| {
                store.request_log(&scan, |entry| view.shows(entry) && filter.matches(entry))
            })
            .await?;
        Ok(RequestPage {
            next: query.next_cursor(&scanned),
            entries: scanned.entries,
            follow,
            complete_before: fresh.then_some(complete_before),
        })
    }

    /// Id before which every request has ended: that of the oldest with a hold or a retry, or of the oldest request that may still be admitted.
    fn complete_before(&self) -> RequestId {
        let admission_ms = self.admission_wait_ms + PROCESSING_MS;
        let admitted = RequestId::first_at(self.time.now_ms().saturating_sub(admission_ms));
        let oldest = self.ledger.oldest_running();
        oldest.map_or(admitted, |request| request.min(admitted))
    }

    /// Entries booked after a cursor; waits for the first one.
    async fn follow(
        &self,
        grant: &Grant<may::ReadUsage>,
        query: RequestQuery,
        mut cursor: FeedCursor,
    ) -> Result<RequestPage, ApiError> {
        let follower = self.follower(query.wait_s)?;
        loop {
            let mut booked = self.store.wal().postings();
            let (filter, view) = (query.clone(), self.view(grant));
            let bounds = (query.limit, ROWS_MAX);
            let page = self
                .read(move |store| {
                    store.request_log_since(cursor, bounds, |entry| {
                        view.shows(entry) && filter.matches(entry)
                    })
                })
                .await?;
            let page = page.ok_or_else(cursor_lost)?;
            cursor = page.cursor;
            // a page that reached its row bound is returned even if empty: its cursor lies further on
            if !page.entries.is_empty() || !page.finished || follower.is_over() {
                let cursor = cursor.to_string();
                return Ok(RequestPage {
                    entries: page.entries,
                    next: Some(cursor.clone()),
                    follow: cursor,
                    complete_before: None,
                });
            }
            let _commit = tokio::time::timeout_at(follower.deadline, booked.changed()).await;
            let reread = follower.deadline.min(Instant::now() + REREAD_DELAY);
            tokio::time::sleep_until(reread).await;
        }
    }

    /// All that is known of one request.
    pub async fn request(
        &self,
        grant: &Grant<may::ReadUsage>,
        id: RequestId,
    ) -> Result<RequestDetail, ApiError> {
        let is_booked = self.is_booked().await;
        let known = self.read(move |store| {
            let (attempts, refusal) = (store.request(id)?, store.refusal(id)?);
            let of_sheet = attempts.iter().find(|record| has_sheet_price(record));
            let admitted_ms = of_sheet.map(|record| record.settlement.hold.at_ms);
            let sheet = admitted_ms.map(|at_ms| store.sheet_at(at_ms)).transpose()?;
            Ok((attempts, refusal, sheet.flatten()))
        });
        let (attempts, refusal, price_sheet) = known.await?;
        if !is_booked && refusal.is_none() && may_go_on(&attempts) {
            return Err(books_behind());
        }
        let directory = self.directory();
        let key = attempts
            .first()
            .map(|record| record.settlement.hold.subject.key);
        let key = key.or(refusal.as_ref().map(|refusal| refusal.key));
        if key.is_none_or(|key| !covers_key(&directory, grant, key)) {
            let message = format!(
                "{}; a request is booked once it has ended",
                not_found("request", id).message
            );
            return Err(ApiError::new(ErrorCode::NotFound, message));
        }
        let charges = attempts
            .iter()
            .flat_map(|record| &record.settlement.hold.charges);
        let mut budgets: Vec<Budget> = charges
            .filter_map(|charge| directory.budget(charge.budget))
            .cloned()
            .collect();
        budgets.sort_by_key(|budget| budget.id);
        budgets.dedup_by_key(|budget| budget.id);
        Ok(RequestDetail {
            attempts,
            refusal,
            budgets,
            price_sheet,
        })
    }
}

/// True if a further attempt may follow the booked ones: none has ended the request.
fn may_go_on(attempts: &[Record]) -> bool {
    attempts
        .last()
        .is_none_or(|last| last.settlement.ending.status.class() == StatusClass::Failed)
}

/// Entries that a grant shows.
struct View {
    directory: Arc<Directory>,
    /// `None`: all
    grant: Option<Grant<may::ReadUsage>>,
}

impl Control {
    fn view(&self, grant: &Grant<may::ReadUsage>) -> View {
        View {
            directory: self.directory(),
            grant: (!grant.covers(Scope::Instance)).then(|| grant.clone()),
        }
    }
}

impl View {
    fn shows(&self, entry: &EntryHead) -> bool {
        let Some(grant) = &self.grant else {
            return true;
        };
        let key = match entry {
            EntryHead::Record(record) => record.hold.subject.key,
            EntryHead::Refusal(refusal) => refusal.key,
        };
        covers_key(&self.directory, grant, key)
    }
}

/// True if usage of the key is covered. A key that no longer exists belongs to the instance.
impl Control {
    /// Id of the key with this id, or with this name where the actor may see it. A deleted key is found by its id only.
    pub fn key_id(&self, grant: &Grant<may::ReadUsage>, text: &str) -> Result<KeyId, ApiError> {
        if let Some(id) = KeyId::parse(text) {
            return Ok(id);
        }
        let directory = self.directory();
        let mut named = directory
            .keys()
            .map(|caller| &caller.key)
            .filter(|key| key.name == text && grant.covers(key.place()));
        match (named.next(), named.next()) {
            (Some(key), None) => Ok(key.id),
            (None, _) => Err(not_found("key", redacted(text)).with_param("key")),
            (Some(one), Some(other)) => Err(ApiError::invalid(format!(
                "ambiguous `key`: {} of {} and {} of {}; give the id",
                one.id, one.team, other.id, other.team
            ))
            .with_param("key")),
        }
    }
}

pub(super) fn covers_key(directory: &Directory, grant: &Grant<may::ReadUsage>, key: KeyId) -> bool {
    let place = directory.key(key).map(|caller| caller.key.place());
    grant.covers(place.unwrap_or(Scope::Instance.into()))
}

fn cursor_lost() -> ApiError {
    let message = "stale cursor: the gateway was restarted, or too many requests have ended since; \
                   read the list without `after`, then continue from its `follow`";
    ApiError::invalid(message).with_param("after")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(request: u128, attempt: u8) -> HoldId {
        HoldId {
            request: RequestId(request),
            attempt,
        }
    }

    #[test]
    fn scan_uses_the_most_selective_index() {
        let index = |query: RequestQuery| query.scan(0).index;
        let failed = RequestQuery {
            class: Some(StatusClass::Failed),
            ..RequestQuery::default()
        };
        let of_key = RequestQuery {
            key: Some(KeyId(3)),
            ..failed.clone()
        };
        let ok = RequestQuery {
            class: Some(StatusClass::Ok),
            ..RequestQuery::default()
        };
        assert_eq!(index(RequestQuery::default()), RecordIndex::Time);
        assert_eq!(index(of_key), RecordIndex::Key(KeyId(3)));
        assert_eq!(index(failed), RecordIndex::NotOk(StatusClass::Failed));
        assert_eq!(index(ok), RecordIndex::Time);
    }

    #[test]
    fn cursor_excludes_its_request() {
        let request = RequestId::new(5_000, 7);
        let before = |attempt| {
            let query = RequestQuery {
                before: Some(id(request.0, attempt)),
                ..RequestQuery::default()
            };
            query.scan(0)
        };
        assert_eq!(
            (before(0).to, before(0).newest_first),
            (id(request.0, 0), true)
        );
        assert_eq!(before(2).to, id(request.0, 2));
        let after = RequestQuery {
            after: Some(RequestCursor::Request(id(request.0, u8::MAX))),
            ..RequestQuery::default()
        };
        let scan = after.scan(0);
        assert_eq!(
            (scan.from, scan.newest_first),
            (id(request.0 + 1, 0), false)
        );
    }

    #[test]
    fn scan_starts_earlier_by_the_admission_wait() {
        let query = RequestQuery {
            start_ms: 86_400_000,
            ..RequestQuery::default()
        };
        let from = |wait_ms| query.scan(wait_ms).from;
        assert_eq!(from(0), id(RequestId::first_at(86_400_000).0, 0));
        assert_eq!(from(400_000), id(RequestId::first_at(86_000_000).0, 0));
        assert_eq!(from(u64::MAX), id(0, 0));
    }
}
