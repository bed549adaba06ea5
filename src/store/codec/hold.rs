//! Holds as rows: subject, charges, progress and usage. Used by the open holds of the books and by every event of the log. Rows are
//! positional: the order of the fields is stored.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::attribution::{Attribution, Tag, UserHash};
use crate::domain::event::{Charge, Hold, HoldId, Progress, Subject};
use crate::domain::id::{BudgetId, KeyId, OrganizationId, RequestId, TeamId};
use crate::domain::money::Money;
use crate::domain::server_tool::ServerTool;
use crate::domain::usage::{SecondModel, Usage};
use crate::store::codec::{StoredValue, read_row, unknown_version, write_row};

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

/// `V` and `S` are usage and second models of the row's version.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct HoldRow<'a, V = UsageRow<'a>, S = Vec<String>> {
    request: u128,
    attempt: u8,
    at_ms: u64,
    subject: SubjectRow<'a>,
    ceiling: i128,
    #[serde(with = "charge_rows")]
    charges: Cow<'a, [Charge]>,
    progress: ProgressRow<V>,
    second_models: S,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct ProgressRow<V> {
    after_ms: u64,
    output_bytes: u64,
    usage: Option<V>,
    cost: i128,
}

/// Charges as pairs of budget and window start.
mod charge_rows {
    use super::*;

    pub fn serialize<S: Serializer>(charges: &[Charge], serializer: S) -> Result<S::Ok, S::Error> {
        let pair = |charge: &Charge| (charge.budget.0, charge.window_start_ms);
        serializer.collect_seq(charges.iter().map(pair))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        row: D,
    ) -> Result<Cow<'static, [Charge]>, D::Error> {
        let charge = |(budget, window_start_ms)| Charge {
            budget: BudgetId(budget),
            window_start_ms,
        };
        let pairs = Vec::<(u64, u64)>::deserialize(row)?;
        Ok(pairs.into_iter().map(charge).collect())
    }
}

/// Hold of version 2.
pub(in crate::store) type HoldRowV2<'a> = HoldRow<'a, UsageRowV2<'a>, Absent>;

/// Usage of version 2.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct UsageRowV2<'a> {
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
pub(in crate::store) struct UsageRow<'a> {
    counts: CountsRow,
    service_tier: Option<Cow<'a, str>>,
    is_clamped: bool,
    reported_cost: Option<i128>,
    second_models: Vec<(Cow<'a, str>, CountsRow)>,
}

#[derive(Serialize, Deserialize)]
struct CountsRow {
    uncached_in: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    cache_write_12h: u64,
    cache_write_other: u64,
    out_total: u64,
    reasoning: u64,
    audio_in: u64,
    audio_cached: u64,
    audio_out: u64,
    image_out: u64,
    image_in: u64,
    image_cached: u64,
    web_searches: u64,
    /// positions in `ServerTool::ALL`
    search_tool: Option<u8>,
    tools: Vec<(u8, u64)>,
}

/// Version of a usage row.
pub(in crate::store) trait UsageVersion: Sized {
    fn usage(self) -> Result<Usage, String>;
}

/// Members that a version does not have: no bytes.
#[derive(Default, Serialize, Deserialize)]
pub(in crate::store) struct Absent;

impl From<Absent> for Vec<String> {
    fn from(_: Absent) -> Vec<String> {
        Vec::new()
    }
}

impl UsageVersion for UsageRowV2<'_> {
    fn usage(self) -> Result<Usage, String> {
        Ok(Usage {
            uncached_in: self.uncached_in,
            cache_read: self.cache_read,
            cache_write_5m: self.cache_write_5m,
            cache_write_1h: self.cache_write_1h,
            cache_write_other: self.cache_write_other,
            out_total: self.out_total,
            reasoning: self.reasoning,
            audio_in: self.audio_in,
            audio_cached: self.audio_cached,
            audio_out: self.audio_out,
            image_out: self.image_out,
            web_searches: self.web_searches,
            service_tier: self.service_tier.map(Cow::into_owned),
            ..Usage::default()
        })
    }
}

impl UsageVersion for UsageRow<'_> {
    fn usage(self) -> Result<Usage, String> {
        let second = |(model, counts): (Cow<'_, str>, CountsRow)| {
            Ok(SecondModel {
                model: model.into_owned(),
                usage: counts.usage()?,
            })
        };
        let second_models = self.second_models.into_iter().map(second);
        Ok(Usage {
            service_tier: self.service_tier.map(Cow::into_owned),
            is_clamped: self.is_clamped,
            reported_cost: self.reported_cost.map(Money::from_pico),
            second_models: second_models.collect::<Result<_, String>>()?,
            ..self.counts.usage()?
        })
    }
}

impl CountsRow {
    fn of(usage: &Usage) -> CountsRow {
        CountsRow {
            uncached_in: usage.uncached_in,
            cache_read: usage.cache_read,
            cache_write_5m: usage.cache_write_5m,
            cache_write_1h: usage.cache_write_1h,
            cache_write_12h: usage.cache_write_12h,
            cache_write_other: usage.cache_write_other,
            out_total: usage.out_total,
            reasoning: usage.reasoning,
            audio_in: usage.audio_in,
            audio_cached: usage.audio_cached,
            audio_out: usage.audio_out,
            image_out: usage.image_out,
            image_in: usage.image_in,
            image_cached: usage.image_cached,
            web_searches: usage.web_searches,
            search_tool: usage.search_tool.map(|tool| tool as u8),
            tools: usage
                .tools
                .iter()
                .map(|(tool, uses)| (*tool as u8, *uses))
                .collect(),
        }
    }

    fn usage(self) -> Result<Usage, String> {
        let tools = self
            .tools
            .into_iter()
            .map(|(tool, uses)| Ok((tool_of(tool)?, uses)));
        Ok(Usage {
            uncached_in: self.uncached_in,
            cache_read: self.cache_read,
            cache_write_5m: self.cache_write_5m,
            cache_write_1h: self.cache_write_1h,
            cache_write_12h: self.cache_write_12h,
            cache_write_other: self.cache_write_other,
            out_total: self.out_total,
            reasoning: self.reasoning,
            audio_in: self.audio_in,
            audio_cached: self.audio_cached,
            audio_out: self.audio_out,
            image_out: self.image_out,
            image_in: self.image_in,
            image_cached: self.image_cached,
            web_searches: self.web_searches,
            search_tool: self.search_tool.map(tool_of).transpose()?,
            tools: tools.collect::<Result<_, String>>()?,
            ..Usage::default()
        })
    }
}

fn tool_of(number: u8) -> Result<ServerTool, String> {
    let tool = ServerTool::ALL.get(usize::from(number)).copied();
    tool.ok_or_else(|| format!("unknown tool {number}"))
}

impl StoredValue for Hold {
    const KIND: &'static str = "open hold";
    const VERSION: u8 = 3;
    type Row = HoldRow<'static>;

    fn decode_version(version: u8, bytes: &[u8]) -> Result<Hold, String> {
        match version {
            2 => read_row(bytes).and_then(|row: HoldRowV2<'_>| hold_of(row)),
            3 => read_row(bytes).and_then(Hold::from_row),
            other => Err(unknown_version::<Hold>(other)),
        }
    }

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(&hold_row(self), into)
    }

    fn from_row(row: HoldRow<'static>) -> Result<Hold, String> {
        hold_of(row)
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
        charges: Cow::Borrowed(&hold.charges),
        progress: progress_row(&hold.progress),
        second_models: hold.subject.second_models.clone(),
    }
}

pub(super) fn progress_row(progress: &Progress) -> ProgressRow<UsageRow<'_>> {
    ProgressRow {
        after_ms: progress.after_ms,
        output_bytes: progress.output_bytes,
        usage: progress.usage.as_ref().map(usage_row),
        cost: progress.cost.pico(),
    }
}

pub(super) fn usage_row(usage: &Usage) -> UsageRow<'_> {
    UsageRow {
        counts: CountsRow::of(usage),
        service_tier: usage.service_tier.as_deref().map(Cow::Borrowed),
        is_clamped: usage.is_clamped,
        reported_cost: usage.reported_cost.map(Money::pico),
        second_models: usage
            .second_models
            .iter()
            .map(|second| {
                (
                    Cow::Borrowed(second.model.as_str()),
                    CountsRow::of(&second.usage),
                )
            })
            .collect(),
    }
}

pub(super) fn hold_of<V: UsageVersion, S: Into<Vec<String>>>(
    row: HoldRow<'_, V, S>,
) -> Result<Hold, String> {
    Ok(Hold {
        id: HoldId {
            request: RequestId(row.request),
            attempt: row.attempt,
        },
        at_ms: row.at_ms,
        subject: Arc::new(Subject {
            organization: OrganizationId(row.subject.organization),
            team: TeamId(row.subject.team),
            key: KeyId(row.subject.key),
            model_asked: row.subject.model_asked.into(),
            provider: row.subject.provider.into(),
            model: row.subject.model.into(),
            dialect: row.subject.dialect.into_owned().into(),
            streamed: row.subject.streamed,
            attribution: Attribution {
                user: row.subject.user.map(UserHash),
                tag: row.subject.tag.and_then(|tag| Tag::parse(tag.as_bytes())),
            },
            second_models: row.second_models.into(),
        }),
        ceiling: Money::from_pico(row.ceiling),
        charges: row.charges.into_owned(),
        progress: progress_of(row.progress)?,
    })
}

pub(super) fn progress_of<V: UsageVersion>(row: ProgressRow<V>) -> Result<Progress, String> {
    Ok(Progress {
        after_ms: row.after_ms,
        output_bytes: row.output_bytes,
        usage: row.usage.map(V::usage).transpose()?,
        cost: Money::from_pico(row.cost),
    })
}
