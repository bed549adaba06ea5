//! Values as bytes: one version byte, then bincode's standard encoding. The only file that knows bincode. A decoder never
//! trusts a length, leaves no byte over, and turns an older version into today's noun; it never panics.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::budget::{Action, Budget, Owner, Period};
use crate::domain::event::{
    Charge, Correction, CostLine, Ending, Event, Flags, Hold, HoldId, Progress, Settlement, Status, Subject,
};
use crate::domain::id::{AdminKeyId, BudgetId, KeyId, LimitId, OrganizationId, RequestId, TeamId};
use crate::domain::limit::RateLimit;
use crate::domain::money::Money;
use crate::domain::pattern::Pattern;
use crate::domain::tenant::{AdminKey, Organization, Team, VirtualKey};
use crate::domain::usage::Usage;
use crate::store::{RollupSums, StoreError};

const VALUE_BYTES_MAX: usize = 1024 * 1024;
const VERSION: u8 = 1;

fn shape() -> Configuration<LittleEndian, Varint, Limit<VALUE_BYTES_MAX>> {
    bincode::config::standard().with_limit::<VALUE_BYTES_MAX>()
}

/// A noun that can be stored.
pub(super) trait Stored: Sized {
    const KIND: &'static str;
    type Row: DeserializeOwned;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String>;
    fn from_row(row: Self::Row) -> Result<Self, String>;

    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::with_capacity(256);
        bytes.push(VERSION);
        self.encode_row(&mut bytes).map_err(|reason| StoreError::Record { kind: Self::KIND, reason })?;
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let fault = |reason: String| StoreError::Record { kind: Self::KIND, reason };
        let (version, row) = bytes.split_first().ok_or_else(|| fault("it is empty".into()))?;
        if *version != VERSION {
            return Err(fault(format!("version {version} is not known to this release")));
        }
        let (decoded, length) = bincode::serde::decode_from_slice(row, shape()).map_err(|error| fault(error.to_string()))?;
        if length != row.len() {
            return Err(fault(format!("{} bytes are left over", row.len() - length)));
        }
        Self::from_row(decoded).map_err(fault)
    }
}

fn write_row(row: &impl Serialize, into: &mut Vec<u8>) -> Result<(), String> {
    bincode::serde::encode_into_std_write(row, into, shape()).map(|_| ()).map_err(|error| error.to_string())
}

// ---- the ledger's events

#[derive(Serialize, Deserialize)]
pub(super) struct SubjectRow<'a> {
    organization: u64,
    team: u64,
    key: u64,
    model_asked: Cow<'a, str>,
    provider: Cow<'a, str>,
    model: Cow<'a, str>,
    dialect: Cow<'a, str>,
    streamed: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct HoldRow<'a> {
    request: u128,
    attempt: u8,
    at_ms: u64,
    subject: SubjectRow<'a>,
    ceiling: i128,
    charges: Vec<(u64, u64)>,
    progress: ProgressRow<'a>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ProgressRow<'a> {
    after_ms: u64,
    output_bytes: u64,
    usage: Option<UsageRow<'a>>,
    cost: i128,
}

#[derive(Serialize, Deserialize)]
pub(super) struct UsageRow<'a> {
    uncached_in: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    cache_write_other: u64,
    out_total: u64,
    reasoning: u64,
    audio_in: u64,
    audio_out: u64,
    web_searches: u64,
    service_tier: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SettlementRow<'a> {
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
pub(super) enum EventRow<'a> {
    Hold(HoldRow<'a>),
    Progress { request: u128, attempt: u8, progress: ProgressRow<'a> },
    Settle(SettlementRow<'a>),
    Release { request: u128, attempt: u8, at_ms: u64 },
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
    }
}

fn hold_row(hold: &Hold) -> HoldRow<'_> {
    HoldRow {
        request: hold.id.request.0,
        attempt: hold.id.attempt,
        at_ms: hold.at_ms,
        subject: subject_row(&hold.subject),
        ceiling: hold.ceiling.pico(),
        charges: hold.charges.iter().map(|charge| (charge.budget.0, charge.window_start_ms)).collect(),
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
        audio_out: usage.audio_out,
        web_searches: usage.web_searches,
        service_tier: usage.service_tier.as_deref().map(Cow::Borrowed),
    }
}

fn settlement_row(settlement: &Settlement) -> Result<SettlementRow<'_>, String> {
    let ending = &settlement.ending;
    let lines = ending.lines.iter().map(|line| {
        let class = CostLine::CLASSES.iter().position(|class| *class == line.class);
        let class = class.ok_or_else(|| format!("`{}` is not a class of cost", line.class))?;
        Ok((class as u8, line.count, line.rate_pico))
    });
    Ok(SettlementRow {
        hold: hold_row(&settlement.hold),
        ended_ms: ending.ended_ms,
        status: Status::ALL.iter().position(|status| *status == ending.status).unwrap_or_default() as u8,
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
        id: HoldId { request: RequestId(row.request), attempt: row.attempt },
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
        }),
        ceiling: Money::from_pico(row.ceiling),
        charges: row
            .charges
            .into_iter()
            .map(|(budget, window_start_ms)| Charge { budget: BudgetId(budget), window_start_ms })
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
        audio_out: row.audio_out,
        web_searches: row.web_searches,
        service_tier: row.service_tier.map(Cow::into_owned),
    }
}

fn settlement_of(row: SettlementRow<'_>) -> Result<Settlement, String> {
    let lines = row.lines.into_iter().map(|(class, count, rate_pico)| {
        let class = CostLine::CLASSES.get(usize::from(class)).ok_or_else(|| format!("class of cost {class} is not known"))?;
        Ok(CostLine { class, count, rate_pico })
    });
    let ending = Ending {
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
    Ok(Settlement { hold: hold_of(row.hold), ending })
}

pub(super) fn status_of(number: u8) -> Result<Status, String> {
    Status::ALL.get(usize::from(number)).copied().ok_or_else(|| format!("status {number} is not known"))
}

pub(super) fn status_number(status: Status) -> u8 {
    Status::ALL.iter().position(|known| *known == status).unwrap_or_default() as u8
}

impl Stored for Event {
    const KIND: &'static str = "event";
    type Row = EventRow<'static>;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = match self {
            Event::Hold(hold) => EventRow::Hold(hold_row(hold)),
            Event::Progress { id, progress } => {
                EventRow::Progress { request: id.request.0, attempt: id.attempt, progress: progress_row(progress) }
            }
            Event::Settle(settlement) => EventRow::Settle(settlement_row(settlement)?),
            Event::Release { id, at_ms } => EventRow::Release { request: id.request.0, attempt: id.attempt, at_ms: *at_ms },
        };
        write_row(&row, into)
    }

    fn from_row(row: EventRow<'static>) -> Result<Event, String> {
        let hold_id = |request, attempt| HoldId { request: RequestId(request), attempt };
        Ok(match row {
            EventRow::Hold(hold) => Event::Hold(hold_of(hold)),
            EventRow::Progress { request, attempt, progress } => {
                Event::Progress { id: hold_id(request, attempt), progress: progress_of(progress) }
            }
            EventRow::Settle(settlement) => Event::Settle(settlement_of(settlement)?),
            EventRow::Release { request, attempt, at_ms } => Event::Release { id: hold_id(request, attempt), at_ms },
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
pub(super) struct CorrectionRow {
    at_ms: u64,
    amount: i128,
    reason: String,
    actor: String,
}

impl Stored for Correction {
    const KIND: &'static str = "correction";
    type Row = CorrectionRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(&(self.at_ms, self.amount.pico(), &self.reason, &self.actor), into)
    }

    fn from_row(row: CorrectionRow) -> Result<Correction, String> {
        Ok(Correction { at_ms: row.at_ms, amount: Money::from_pico(row.amount), reason: row.reason, actor: row.actor })
    }
}

impl Stored for RollupSums {
    const KIND: &'static str = "roll-up";
    type Row = (u64, u64, u64, u64, i128);

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(&(self.requests, self.tokens_in, self.cached_in, self.tokens_out, self.cost.pico()), into)
    }

    fn from_row((requests, tokens_in, cached_in, tokens_out, cost): Self::Row) -> Result<RollupSums, String> {
        Ok(RollupSums { requests, tokens_in, cached_in, tokens_out, cost: Money::from_pico(cost) })
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

// ---- the tenants

fn patterns(models: &[Pattern]) -> Vec<&str> {
    models.iter().map(Pattern::as_str).collect()
}

fn patterns_of(models: Vec<String>) -> Vec<Pattern> {
    models.into_iter().map(Pattern::new).collect()
}

#[derive(Serialize, Deserialize)]
pub(super) struct OrganizationRow {
    id: u64,
    name: String,
    created_ms: u64,
}

impl Stored for Organization {
    const KIND: &'static str = "organization";
    type Row = OrganizationRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(&(self.id.0, &self.name, self.created_ms), into)
    }

    fn from_row(row: OrganizationRow) -> Result<Organization, String> {
        Ok(Organization { id: OrganizationId(row.id), name: row.name, created_ms: row.created_ms })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct TeamRow {
    id: u64,
    organization: u64,
    name: String,
    models: Vec<String>,
    created_ms: u64,
}

impl Stored for Team {
    const KIND: &'static str = "team";
    type Row = TeamRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(&(self.id.0, self.organization.0, &self.name, patterns(&self.models), self.created_ms), into)
    }

    fn from_row(row: TeamRow) -> Result<Team, String> {
        Ok(Team {
            id: TeamId(row.id),
            organization: OrganizationId(row.organization),
            name: row.name,
            models: patterns_of(row.models),
            created_ms: row.created_ms,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct KeyRow {
    id: u64,
    team: u64,
    organization: u64,
    name: String,
    secret_hash: [u8; 32],
    hint: String,
    models: Vec<String>,
    expires_ms: Option<u64>,
    disabled: bool,
    created_ms: u64,
}

impl Stored for VirtualKey {
    const KIND: &'static str = "virtual key";
    type Row = KeyRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = KeyRow {
            id: self.id.0,
            team: self.team.0,
            organization: self.organization.0,
            name: self.name.clone(),
            secret_hash: self.secret_hash,
            hint: self.hint.clone(),
            models: patterns(&self.models).into_iter().map(str::to_owned).collect(),
            expires_ms: self.expires_ms,
            disabled: self.disabled,
            created_ms: self.created_ms,
        };
        write_row(&row, into)
    }

    fn from_row(row: KeyRow) -> Result<VirtualKey, String> {
        Ok(VirtualKey {
            id: KeyId(row.id),
            team: TeamId(row.team),
            organization: OrganizationId(row.organization),
            name: row.name,
            secret_hash: row.secret_hash,
            hint: row.hint,
            models: patterns_of(row.models),
            expires_ms: row.expires_ms,
            disabled: row.disabled,
            created_ms: row.created_ms,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct AdminKeyRow {
    id: u64,
    name: String,
    secret_hash: [u8; 32],
    hint: String,
    disabled: bool,
    created_ms: u64,
}

impl Stored for AdminKey {
    const KIND: &'static str = "administrative key";
    type Row = AdminKeyRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(&(self.id.0, &self.name, self.secret_hash, &self.hint, self.disabled, self.created_ms), into)
    }

    fn from_row(row: AdminKeyRow) -> Result<AdminKey, String> {
        Ok(AdminKey {
            id: AdminKeyId(row.id),
            name: row.name,
            secret_hash: row.secret_hash,
            hint: row.hint,
            disabled: row.disabled,
            created_ms: row.created_ms,
        })
    }
}

/// 0 organization, 1 team, 2 key; and its number.
fn owner_row(owner: Owner) -> (u8, u64) {
    match owner {
        Owner::Organization(id) => (0, id.0),
        Owner::Team(id) => (1, id.0),
        Owner::Key(id) => (2, id.0),
    }
}

fn owner_of(kind: u8, number: u64) -> Result<Owner, String> {
    match kind {
        0 => Ok(Owner::Organization(OrganizationId(number))),
        1 => Ok(Owner::Team(TeamId(number))),
        2 => Ok(Owner::Key(KeyId(number))),
        other => Err(format!("owner of kind {other} is not known")),
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct BudgetRow {
    id: u64,
    owner_kind: u8,
    owner: u64,
    limit: i128,
    period: u8,
    warn_only: bool,
    model: Option<String>,
}

impl Stored for Budget {
    const KIND: &'static str = "budget";
    type Row = BudgetRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let (owner_kind, owner) = owner_row(self.owner);
        let row = BudgetRow {
            id: self.id.0,
            owner_kind,
            owner,
            limit: self.limit.pico(),
            period: Period::ALL.iter().position(|period| *period == self.period).unwrap_or_default() as u8,
            warn_only: self.action == Action::Warn,
            model: self.model.as_ref().map(|pattern| pattern.as_str().to_owned()),
        };
        write_row(&row, into)
    }

    fn from_row(row: BudgetRow) -> Result<Budget, String> {
        let period = Period::ALL.get(usize::from(row.period)).ok_or_else(|| format!("period {} is not known", row.period))?;
        Ok(Budget {
            id: BudgetId(row.id),
            owner: owner_of(row.owner_kind, row.owner)?,
            limit: Money::from_pico(row.limit),
            period: *period,
            action: if row.warn_only { Action::Warn } else { Action::Block },
            model: row.model.map(Pattern::new),
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct RateLimitRow {
    id: u64,
    owner_kind: u8,
    owner: u64,
    rpm: Option<NonZeroU32>,
    tpm: Option<NonZeroU32>,
    max_parallel: Option<NonZeroU32>,
    model: Option<String>,
}

impl Stored for RateLimit {
    const KIND: &'static str = "rate limit";
    type Row = RateLimitRow;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let (owner_kind, owner) = owner_row(self.owner);
        let RateLimit { id, rpm, tpm, max_parallel, .. } = *self;
        let model = self.model.as_ref().map(|pattern| pattern.as_str().to_owned());
        write_row(&RateLimitRow { id: id.0, owner_kind, owner, rpm, tpm, max_parallel, model }, into)
    }

    fn from_row(row: RateLimitRow) -> Result<RateLimit, String> {
        let owner = owner_of(row.owner_kind, row.owner)?;
        let RateLimitRow { id, rpm, tpm, max_parallel, model, .. } = row;
        Ok(RateLimit { id: LimitId(id), owner, rpm, tpm, max_parallel, model: model.map(Pattern::new) })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::store) fn sample_hold(at_ms: u64) -> Hold {
        Hold {
            id: HoldId { request: RequestId::new(at_ms, 7), attempt: 1 },
            at_ms,
            subject: Arc::new(Subject {
                organization: OrganizationId(1),
                team: TeamId(2),
                key: KeyId(3),
                model_asked: "gpt-5.1".into(),
                provider: "openai".into(),
                model: "gpt-5.1-2025-11-13".into(),
                dialect: "chat".into(),
                streamed: true,
            }),
            ceiling: Money::from_usd(1),
            charges: vec![Charge { budget: BudgetId(9), window_start_ms: 0 }],
            progress: Progress { cost: Money::from_pico(40), ..Progress::default() },
        }
    }

    pub(in crate::store) fn sample_progress() -> Progress {
        Progress { after_ms: 2_000, output_bytes: 5, usage: Some(Usage::default()), cost: Money::from_pico(60) }
    }

    pub(in crate::store) fn sample_settlement(at_ms: u64) -> Settlement {
        let ending = Ending {
            ended_ms: at_ms + 5,
            status: Status::Ok,
            flags: Flags::ESTIMATED,
            usage: Usage { uncached_in: 10, out_total: 20, service_tier: Some("default".into()), ..Usage::default() },
            cost: Money::from_pico(123),
            lines: vec![CostLine { class: "input", count: 10, rate_pico: 1 }],
            output_cap: Some(256),
            upstream_status: 200,
            first_content_ms: Some(3),
        };
        Settlement { hold: sample_hold(at_ms), ending }
    }

    #[test]
    fn what_is_written_reads_back() {
        for event in [
            Event::Hold(sample_hold(1)),
            Event::Settle(sample_settlement(2)),
            Event::Release { id: sample_hold(3).id, at_ms: 4 },
            Event::Progress { id: sample_hold(3).id, progress: sample_progress() },
        ] {
            assert_eq!(Event::decode(&event.encode().expect("encodes")).expect("decodes"), event);
        }
    }

    /// The bytes of version 1 are a promise to every data folder in use: a change of shape needs a new version.
    #[test]
    fn the_bytes_of_version_1_stay_as_they_are() {
        let budget = Budget {
            id: BudgetId(7),
            owner: Owner::Team(TeamId(2)),
            limit: Money::from_pico(1_000),
            period: Period::Monthly,
            action: Action::Warn,
            model: Some(Pattern::new("a*")),
        };
        let bytes = budget.encode().expect("encodes");
        assert_eq!(bytes, [1, 7, 1, 2, 251, 208, 7, 2, 1, 1, 2, b'a', b'*']);
        assert_eq!(Budget::decode(&bytes).expect("decodes"), budget);
        let (id, owner, model) = (LimitId(7), Owner::Key(KeyId(3)), Some(Pattern::new("a*")));
        let limit = RateLimit { id, owner, rpm: NonZeroU32::new(60), tpm: None, max_parallel: NonZeroU32::new(2), model };
        let bytes = limit.encode().expect("encodes");
        assert_eq!(bytes, [1, 7, 2, 3, 1, 60, 0, 1, 2, 1, 2, b'a', b'*']);
        assert_eq!(RateLimit::decode(&bytes).expect("decodes"), limit);
    }

    #[test]
    fn no_bytes_can_make_a_decoder_panic() {
        let good = Event::Settle(sample_settlement(2)).encode().expect("encodes");
        for end in 0..good.len() {
            assert!(Event::decode(&good[..end]).is_err());
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let _ = Event::decode(&bad);
            }
        }
        let mut long = good.clone();
        long.push(0);
        assert!(Event::decode(&long).is_err(), "bytes left over");
    }
}
