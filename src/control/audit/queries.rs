//! Lists of the audit log: filtered pages with a cursor, and followers that wait for the next event without occupying a thread.

use serde::Deserialize;
use serde_json::Value;

use crate::auth::grant::Grant;
use crate::auth::role::may;
use crate::control::plane::Control;
use crate::domain::api_error::ApiError;
use crate::domain::pattern::Pattern;
use crate::store::{AuditPage, AuditScan};

/// Events of a page, unless the query sets another limit.
pub const EVENTS_DEFAULT: usize = 50;
/// Events of a page at most.
pub const EVENTS_MAX: usize = 500;
/// Lines that one page reads.
const LINES_MAX: usize = 10_000;
/// Bytes after which a page ends.
const PAGE_BYTES: usize = 4 << 20;

/// Filters and page of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditQuery {
    pub actor: Option<Pattern>,
    pub action: Option<Pattern>,
    pub subject: Option<Pattern>,
    /// anywhere in the event, in any case
    pub text: Option<String>,
    pub start_ms: u64,
    /// exclusive; `u64::MAX`: no end
    pub end_ms: u64,
    /// events before this one, newest first
    pub before: Option<u64>,
    /// events after this one, oldest first; excludes `before`
    pub after: Option<u64>,
    /// longest wait for an event after `after`
    pub wait_s: u64,
    pub limit: usize,
}

impl Default for AuditQuery {
    fn default() -> AuditQuery {
        AuditQuery {
            actor: None,
            action: None,
            subject: None,
            text: None,
            start_ms: 0,
            end_ms: u64::MAX,
            before: None,
            after: None,
            wait_s: 0,
            limit: EVENTS_DEFAULT,
        }
    }
}

/// A page of the audit log: newest first; after a cursor, oldest first.
#[derive(Clone, Debug)]
pub struct AuditEvents {
    pub events: Vec<Value>,
    /// cursor of the next page, for `before` or `after`
    pub next: Option<u64>,
    /// cursor for `after`: events added since this page
    pub follow: u64,
}

/// Members that filters look at.
#[derive(Deserialize)]
struct EventMembers {
    at_ms: u64,
    actor: String,
    action: String,
    subject: String,
}

impl AuditQuery {
    fn matches(&self, line: &str) -> bool {
        let Ok(event) = serde_json::from_str::<EventMembers>(line) else {
            return false;
        };
        let is = |pattern: &Option<Pattern>, text: &str| {
            pattern.as_ref().is_none_or(|pattern| pattern.matches(text))
        };
        let contains = |text: &String| line.to_lowercase().contains(&text.to_lowercase());
        (self.start_ms..self.end_ms).contains(&event.at_ms)
            && is(&self.actor, &event.actor)
            && is(&self.action, &event.action)
            && is(&self.subject, &event.subject)
            && self.text.as_ref().is_none_or(contains)
    }

    fn scan(&self, end: u64) -> AuditScan {
        AuditScan {
            from: self.after.map_or(1, |after| after.saturating_add(1)),
            to: self.before.unwrap_or(u64::MAX).min(end.saturating_add(1)),
            newest_first: self.after.is_none(),
            limit: self.limit,
            lines_max: LINES_MAX,
            bytes_max: PAGE_BYTES,
        }
    }
}

impl Control {
    /// A page of the audit log; with `after` and `wait_s`, once it has an event or the time is over.
    pub async fn audit_events(
        &self,
        _grant: &Grant<may::ReadAudit>,
        query: AuditQuery,
    ) -> Result<AuditEvents, ApiError> {
        let follower = self.follower(query.wait_s)?;
        let mut end = self.store.audit_end();
        let mut query = query;
        loop {
            let last = *end.borrow_and_update();
            let page = self.audit_page(&query, last).await?;
            if follower.is_over() || !page.events.is_empty() || page.next.is_some() {
                return Ok(page);
            }
            query.after = Some(page.follow);
            let _event = tokio::time::timeout_at(follower.deadline, end.changed()).await;
        }
    }

    async fn audit_page(&self, query: &AuditQuery, end: u64) -> Result<AuditEvents, ApiError> {
        let (scan, filter) = (query.scan(end), query.clone());
        let page = self
            .read(move |store| store.audit_page(&scan, |line| filter.matches(line)))
            .await?;
        let AuditPage { lines, stopped_at } = page;
        let parse = |(_, line): &(u64, String)| serde_json::from_str(line).ok();
        let next = stopped_at.filter(|last| match query.after {
            Some(_) => *last < end,
            None => *last > 1,
        });
        Ok(AuditEvents {
            events: lines.iter().filter_map(parse).collect(),
            next,
            follow: next.filter(|_| query.after.is_some()).unwrap_or(end),
        })
    }
}
