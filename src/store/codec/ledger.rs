//! The ledger's events, records, roll-ups and balances as rows.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::api_error::ErrorCode;
use crate::domain::attribution::{Attribution, Tag, UserHash};
use crate::domain::event::{
    CallResult, Charge, Correction, CostLine, Flags, Hold, HoldId, LedgerEvent, Progress,
    Settlement, Status, StatusClass, Subject,
};
use crate::domain::id::{BudgetId, KeyId, OrganizationId, RequestId, TeamId};
use crate::domain::money::Money;
use crate::domain::refusal::Refusal;
use crate::domain::usage::Usage;
use crate::store::RollupSums;
use crate::store::codec::{Stored, write_row};

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

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct SettlementRow<'a> {
    hold: HoldRow<'a>,
    ended_ms: u64,
    status: u8,
    flags: u16,
    usage: UsageRow<'a>,
    cost: i128,
    /// position in `CostLine::CLASSES`, count, rate
    lines: Vec<(u8, u64, u64)>,
    output_cap: Option<u64>,
    upstream_status: u16,
    first_content_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) enum EventRow<'a> {
    Hold(HoldRow<'a>),
    Progress {
        request: u128,
        attempt: u8,
        progress: ProgressRow<'a>,
    },
    Settle(SettlementRow<'a>),
    Release {
        request: u128,
        attempt: u8,
        at_ms: u64,
    },
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

fn hold_row(hold: &Hold) -> HoldRow<'_> {
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

fn progress_row(progress: &Progress) -> ProgressRow<'_> {
    ProgressRow {
        after_ms: progress.after_ms,
        output_bytes: progress.output_bytes,
        usage: progress.usage.as_ref().map(usage_row),
        cost: progress.cost.pico(),
    }
}

fn usage_row(usage: &Usage) -> UsageRow<'_> {
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

fn settlement_row(settlement: &Settlement) -> Result<SettlementRow<'_>, String> {
    let ending = &settlement.ending;
    let lines = ending.lines.iter().map(|line| {
        let class = CostLine::CLASSES
            .iter()
            .position(|class| *class == line.class);
        let class = class.ok_or_else(|| format!("`{}` is not a class of cost", line.class))?;
        Ok((class as u8, line.count, line.rate_pico))
    });
    Ok(SettlementRow {
        hold: hold_row(&settlement.hold),
        ended_ms: ending.ended_ms,
        status: Status::ALL
            .iter()
            .position(|status| *status == ending.status)
            .unwrap_or_default() as u8,
        flags: ending.flags.0,
        usage: usage_row(&ending.usage),
        cost: ending.cost.pico(),
        lines: lines.collect::<Result<_, String>>()?,
        output_cap: ending.output_cap,
        upstream_status: ending.upstream_status,
        first_content_ms: ending.first_content_ms,
    })
}

fn hold_of(row: HoldRow<'_>) -> Hold {
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

fn progress_of(row: ProgressRow<'_>) -> Progress {
    Progress {
        after_ms: row.after_ms,
        output_bytes: row.output_bytes,
        usage: row.usage.map(usage_of),
        cost: Money::from_pico(row.cost),
    }
}

fn usage_of(row: UsageRow<'_>) -> Usage {
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

fn settlement_of(row: SettlementRow<'_>) -> Result<Settlement, String> {
    let lines = row.lines.into_iter().map(|(class, count, rate_pico)| {
        let class = CostLine::CLASSES
            .get(usize::from(class))
            .ok_or_else(|| format!("class of cost {class} is not known"))?;
        Ok(CostLine {
            class,
            count,
            rate_pico,
        })
    });
    let ending = CallResult {
        ended_ms: row.ended_ms,
        status: status_of(row.status)?,
        flags: Flags(row.flags),
        usage: usage_of(row.usage),
        cost: Money::from_pico(row.cost),
        lines: lines.collect::<Result<_, String>>()?,
        output_cap: row.output_cap,
        upstream_status: row.upstream_status,
        first_content_ms: row.first_content_ms,
    };
    Ok(Settlement {
        hold: hold_of(row.hold),
        ending,
    })
}

fn status_of(number: u8) -> Result<Status, String> {
    Status::ALL
        .get(usize::from(number))
        .copied()
        .ok_or_else(|| format!("status {number} is not known"))
}

pub(in crate::store) fn class_of(number: u8) -> Result<StatusClass, String> {
    StatusClass::ALL
        .get(usize::from(number))
        .copied()
        .ok_or_else(|| format!("class of status {number} is not known"))
}

pub(in crate::store) fn class_number(class: StatusClass) -> u8 {
    StatusClass::ALL
        .iter()
        .position(|known| *known == class)
        .unwrap_or_default() as u8
}

impl Stored for LedgerEvent {
    const KIND: &'static str = "event";
    type Row = EventRow<'static>;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = match self {
            LedgerEvent::Hold(hold) => EventRow::Hold(hold_row(hold)),
            LedgerEvent::Progress { id, progress } => EventRow::Progress {
                request: id.request.0,
                attempt: id.attempt,
                progress: progress_row(progress),
            },
            LedgerEvent::Settle(settlement) => EventRow::Settle(settlement_row(settlement)?),
            LedgerEvent::Release { id, at_ms } => EventRow::Release {
                request: id.request.0,
                attempt: id.attempt,
                at_ms: *at_ms,
            },
        };
        write_row(&row, into)
    }

    fn from_row(row: EventRow<'static>) -> Result<LedgerEvent, String> {
        let hold_id = |request, attempt| HoldId {
            request: RequestId(request),
            attempt,
        };
        Ok(match row {
            EventRow::Hold(hold) => LedgerEvent::Hold(hold_of(hold)),
            EventRow::Progress {
                request,
                attempt,
                progress,
            } => LedgerEvent::Progress {
                id: hold_id(request, attempt),
                progress: progress_of(progress),
            },
            EventRow::Settle(settlement) => LedgerEvent::Settle(settlement_of(settlement)?),
            EventRow::Release {
                request,
                attempt,
                at_ms,
            } => LedgerEvent::Release {
                id: hold_id(request, attempt),
                at_ms,
            },
        })
    }
}

impl Stored for Hold {
    const KIND: &'static str = "open hold";
    type Row = HoldRow<'static>;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(&hold_row(self), into)
    }

    fn from_row(row: HoldRow<'static>) -> Result<Hold, String> {
        Ok(hold_of(row))
    }
}

impl Stored for Settlement {
    const KIND: &'static str = "usage record";
    type Row = SettlementRow<'static>;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(&settlement_row(self)?, into)
    }

    fn from_row(row: SettlementRow<'static>) -> Result<Settlement, String> {
        settlement_of(row)
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct RefusalRow<'a> {
    request: u128,
    at_ms: u64,
    organization: u64,
    team: u64,
    key: u64,
    model_asked: Cow<'a, str>,
    user: Option<u64>,
    tag: Option<Cow<'a, str>>,
    dialect: Cow<'a, str>,
    word: Cow<'a, str>,
}

impl Stored for Refusal {
    const KIND: &'static str = "refusal";
    type Row = RefusalRow<'static>;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = RefusalRow {
            request: self.request.0,
            at_ms: self.at_ms,
            organization: self.organization.0,
            team: self.team.0,
            key: self.key.0,
            model_asked: Cow::Borrowed(&self.model_asked),
            user: self.attribution.user.map(|user| user.0),
            tag: self
                .attribution
                .tag
                .as_ref()
                .map(|tag| Cow::Borrowed(tag.as_str())),
            dialect: Cow::Borrowed(&self.dialect),
            word: Cow::Borrowed(self.code.as_str()),
        };
        write_row(&row, into)
    }

    fn from_row(row: RefusalRow<'static>) -> Result<Refusal, String> {
        Ok(Refusal {
            request: RequestId(row.request),
            at_ms: row.at_ms,
            organization: OrganizationId(row.organization),
            team: TeamId(row.team),
            key: KeyId(row.key),
            model_asked: row.model_asked.into_owned(),
            attribution: Attribution {
                user: row.user.map(UserHash),
                tag: row.tag.and_then(|tag| Tag::parse(tag.as_bytes())),
            },
            dialect: row.dialect.into_owned(),
            code: ErrorCode::parse(&row.word)
                .ok_or_else(|| format!("the word `{}` is not known", row.word))?,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct CorrectionRow {
    at_ms: u64,
    amount: i128,
    reason: String,
    actor: String,
}

impl Stored for Correction {
    const KIND: &'static str = "correction";
    type Row = CorrectionRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(
            &(self.at_ms, self.amount.pico(), &self.reason, &self.actor),
            into,
        )
    }

    fn from_row(row: CorrectionRow) -> Result<Correction, String> {
        Ok(Correction {
            at_ms: row.at_ms,
            amount: Money::from_pico(row.amount),
            reason: row.reason,
            actor: row.actor,
        })
    }
}

impl Stored for RollupSums {
    const KIND: &'static str = "roll-up";
    type Row = (u64, u64, u64, u64, u64, i128);

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(
            &(
                self.requests,
                self.refused,
                self.tokens_in,
                self.cached_in,
                self.tokens_out,
                self.cost.pico(),
            ),
            into,
        )
    }

    fn from_row(
        (requests, refused, tokens_in, cached_in, tokens_out, cost): Self::Row,
    ) -> Result<RollupSums, String> {
        Ok(RollupSums {
            requests,
            refused,
            tokens_in,
            cached_in,
            tokens_out,
            cost: Money::from_pico(cost),
        })
    }
}

impl Stored for Money {
    const KIND: &'static str = "balance";
    type Row = i128;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(&self.pico(), into)
    }

    fn from_row(row: i128) -> Result<Money, String> {
        Ok(Money::from_pico(row))
    }
}
