//! Holds as rows: subject, charges, progress and usage. Used by the open holds of the books and by every event of the log. Rows are
//! positional: the order of the fields is stored.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::attribution::{Attribution, Tag, UserHash};
use crate::domain::event::{Charge, Hold, HoldId, Progress, Subject};
use crate::domain::id::{BudgetId, KeyId, OrganizationId, RequestId, TeamId};
use crate::domain::money::Money;
use crate::domain::usage::Usage;
use crate::store::codec::{StoredValue, write_row};

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct SubjectRow<'a> {
    organization: u64,
    team: u64,
    key: u64,
    model_asked: Cow<'a, str>,
    provider: Cow<'a, str>,
    model: Cow<'a, str>,
    dialect: Cow<'a, str>,
    streamed: bool,
    user: Option<u64>,
    tag: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct HoldRow<'a> {
    request: u128,
    attempt: u8,
    at_ms: u64,
    subject: SubjectRow<'a>,
    ceiling: i128,
    charges: Vec<(u64, u64)>,
    progress: ProgressRow<'a>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct ProgressRow<'a> {
    after_ms: u64,
    output_bytes: u64,
    usage: Option<UsageRow<'a>>,
    cost: i128,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct UsageRow<'a> {
    uncached_in: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    cache_write_other: u64,
    out_total: u64,
    reasoning: u64,
    audio_in: u64,
    audio_cached: u64,
    audio_out: u64,
    image_out: u64,
    web_searches: u64,
    service_tier: Option<Cow<'a, str>>,
}

impl StoredValue for Hold {
    const KIND: &'static str = "open hold";
    type Row = HoldRow<'static>;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(&hold_row(self), into)
    }

    fn from_row(row: HoldRow<'static>) -> Result<Hold, String> {
        Ok(hold_of(row))
    }
}

fn subject_row(subject: &Subject) -> SubjectRow<'_> {
    SubjectRow {
        organization: subject.organization.0,
        team: subject.team.0,
        key: subject.key.0,
        model_asked: Cow::Borrowed(&subject.model_asked),
        provider: Cow::Borrowed(&subject.provider),
        model: Cow::Borrowed(&subject.model),
        dialect: Cow::Borrowed(&subject.dialect),
        streamed: subject.streamed,
        user: subject.attribution.user.map(|user| user.0),
        tag: subject
            .attribution
            .tag
            .as_ref()
            .map(|tag| Cow::Borrowed(tag.as_str())),
    }
}

pub(super) fn hold_row(hold: &Hold) -> HoldRow<'_> {
    HoldRow {
        request: hold.id.request.0,
        attempt: hold.id.attempt,
        at_ms: hold.at_ms,
        subject: subject_row(&hold.subject),
        ceiling: hold.ceiling.pico(),
        charges: hold
            .charges
            .iter()
            .map(|charge| (charge.budget.0, charge.window_start_ms))
            .collect(),
        progress: progress_row(&hold.progress),
    }
}

pub(super) fn progress_row(progress: &Progress) -> ProgressRow<'_> {
    ProgressRow {
        after_ms: progress.after_ms,
        output_bytes: progress.output_bytes,
        usage: progress.usage.as_ref().map(usage_row),
        cost: progress.cost.pico(),
    }
}

pub(super) fn usage_row(usage: &Usage) -> UsageRow<'_> {
    UsageRow {
        uncached_in: usage.uncached_in,
        cache_read: usage.cache_read,
        cache_write_5m: usage.cache_write_5m,
        cache_write_1h: usage.cache_write_1h,
        cache_write_other: usage.cache_write_other,
        out_total: usage.out_total,
        reasoning: usage.reasoning,
        audio_in: usage.audio_in,
        audio_cached: usage.audio_cached,
        audio_out: usage.audio_out,
        image_out: usage.image_out,
        web_searches: usage.web_searches,
        service_tier: usage.service_tier.as_deref().map(Cow::Borrowed),
    }
}

pub(super) fn hold_of(row: HoldRow<'_>) -> Hold {
    Hold {
        id: HoldId {
            request: RequestId(row.request),
            attempt: row.attempt,
        },
        at_ms: row.at_ms,
        subject: Arc::new(Subject {
            organization: OrganizationId(row.subject.organization),
            team: TeamId(row.subject.team),
            key: KeyId(row.subject.key),
            model_asked: row.subject.model_asked.into_owned(),
            provider: row.subject.provider.into_owned(),
            model: row.subject.model.into_owned(),
            dialect: row.subject.dialect.into_owned(),
            streamed: row.subject.streamed,
            attribution: Attribution {
                user: row.subject.user.map(UserHash),
                tag: row.subject.tag.and_then(|tag| Tag::parse(tag.as_bytes())),
            },
        }),
        ceiling: Money::from_pico(row.ceiling),
        charges: row
            .charges
            .into_iter()
            .map(|(budget, window_start_ms)| Charge {
                budget: BudgetId(budget),
                window_start_ms,
            })
            .collect(),
        progress: progress_of(row.progress),
    }
}

pub(super) fn progress_of(row: ProgressRow<'_>) -> Progress {
    Progress {
        after_ms: row.after_ms,
        output_bytes: row.output_bytes,
        usage: row.usage.map(usage_of),
        cost: Money::from_pico(row.cost),
    }
}

pub(super) fn usage_of(row: UsageRow<'_>) -> Usage {
    Usage {
        uncached_in: row.uncached_in,
        cache_read: row.cache_read,
        cache_write_5m: row.cache_write_5m,
        cache_write_1h: row.cache_write_1h,
        cache_write_other: row.cache_write_other,
        out_total: row.out_total,
        reasoning: row.reasoning,
        audio_in: row.audio_in,
        audio_cached: row.audio_cached,
        audio_out: row.audio_out,
        image_out: row.image_out,
        web_searches: row.web_searches,
        service_tier: row.service_tier.map(Cow::into_owned),
    }
}
