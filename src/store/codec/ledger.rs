//! Events of the log, usage records, corrections, roll-ups and balances as rows. Rows are positional: the order of the fields is stored.

use serde::{Deserialize, Serialize};

use crate::domain::event::{CallResult, Correction, Flags, HoldId, LedgerEvent, Settlement};
use crate::domain::id::RequestId;
use crate::domain::latency::{Histogram, Latencies};
use crate::domain::money::Money;
use crate::store::codec::cache::{CacheRow, CacheVersion, cache_row};
use crate::store::codec::hold::{
    Absent, HoldRow, ProgressRow, UsageRow, UsageRowV2, UsageVersion, hold_of, hold_row,
    progress_of, progress_row, usage_row,
};
use crate::store::codec::lines::{LineRowV2, LinesRow, LinesVersion, WrittenLines};
use crate::store::codec::note::{NoteRow, NoteRowV4, NoteVersion, note_row};
use crate::store::codec::status::{status_number, status_of};
use crate::store::codec::{StoredValue, read_row, unknown_version, write_row};
use crate::store::rollup::RollupSums;

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct SettlementRow<
    'a,
    V = UsageRow<'a>,
    S = Vec<String>,
    L = LinesRow<'a>,
    N = Option<NoteRow<'a>>,
    C = Option<CacheRow<'a>>,
> {
    hold: HoldRow<'a, V, S>,
    ended_ms: u64,
    status: u8,
    flags: u16,
    usage: V,
    cost: i128,
    lines: L,
    output_cap: Option<u64>,
    upstream_status: u16,
    first_content_ms: Option<u64>,
    /// since version 4
    note: N,
    /// since version 6
    cache: C,
}

/// Settlement of version 2.
type SettlementRowV2<'a> =
    SettlementRow<'a, UsageRowV2<'a>, Absent, Vec<LineRowV2>, Absent, Absent>;

/// Settlement of version 3.
type SettlementRowV3<'a> =
    SettlementRow<'a, UsageRow<'a>, Vec<String>, LinesRow<'a>, Absent, Absent>;

/// Settlement of version 4.
type SettlementRowV4<'a> =
    SettlementRow<'a, UsageRow<'a>, Vec<String>, LinesRow<'a>, Option<NoteRowV4<'a>>, Absent>;

/// Settlement of version 5.
type SettlementRowV5<'a> =
    SettlementRow<'a, UsageRow<'a>, Vec<String>, LinesRow<'a>, Option<NoteRow<'a>>, Absent>;

#[derive(Serialize, Deserialize)]
pub(in crate::store) enum EventRow<
    'a,
    V = UsageRow<'a>,
    S = Vec<String>,
    L = LinesRow<'a>,
    N = Option<NoteRow<'a>>,
    C = Option<CacheRow<'a>>,
> {
    Hold(HoldRow<'a, V, S>),
    Progress {
        request: u128,
        attempt: u8,
        progress: ProgressRow<V>,
    },
    Settle(SettlementRow<'a, V, S, L, N, C>),
    Release {
        request: u128,
        attempt: u8,
        at_ms: u64,
    },
}

/// Settlement as it is written.
type WrittenSettlement<'a> = SettlementRow<'a, UsageRow<'a>, Vec<String>, WrittenLines<'a>>;

fn settlement_row(settlement: &Settlement) -> WrittenSettlement<'_> {
    let ending = &settlement.ending;
    SettlementRow {
        hold: hold_row(&settlement.hold),
        ended_ms: ending.ended_ms,
        status: status_number(ending.status),
        flags: ending.flags.0,
        usage: usage_row(&ending.usage),
        cost: ending.cost.pico(),
        lines: WrittenLines(&ending.lines),
        output_cap: ending.output_cap,
        upstream_status: ending.upstream_status,
        first_content_ms: ending.first_content_ms,
        note: ending.note.as_deref().map(note_row),
        cache: ending.cache.as_deref().map(cache_row),
    }
}

fn settlement_of<V, S, L, N, C>(row: SettlementRow<'_, V, S, L, N, C>) -> Result<Settlement, String>
where
    V: UsageVersion,
    S: Into<Vec<String>>,
    L: LinesVersion,
    N: NoteVersion,
    C: CacheVersion,
{
    let ending = CallResult {
        ended_ms: row.ended_ms,
        status: status_of(row.status)?,
        flags: Flags(row.flags),
        usage: row.usage.usage()?,
        cost: Money::from_pico(row.cost),
        lines: row.lines.lines()?,
        output_cap: row.output_cap,
        upstream_status: row.upstream_status,
        first_content_ms: row.first_content_ms,
        note: row.note.note()?.map(Box::new),
        cache: row.cache.cache()?.map(Box::new),
    };
    Ok(Settlement {
        hold: hold_of(row.hold)?,
        ending,
    })
}

fn event_of<V, S, L, N, C>(row: EventRow<'_, V, S, L, N, C>) -> Result<LedgerEvent, String>
where
    V: UsageVersion,
    S: Into<Vec<String>>,
    L: LinesVersion,
    N: NoteVersion,
    C: CacheVersion,
{
    let hold_id = |request, attempt| HoldId {
        request: RequestId(request),
        attempt,
    };
    Ok(match row {
        EventRow::Hold(hold) => LedgerEvent::Hold(hold_of(hold)?),
        EventRow::Progress {
            request,
            attempt,
            progress,
        } => LedgerEvent::Progress {
            id: hold_id(request, attempt),
            progress: progress_of(progress)?,
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

impl StoredValue for LedgerEvent {
    const KIND: &'static str = "event";
    const VERSION: u8 = 6;
    type Row = EventRow<'static>;

    fn decode_version(version: u8, bytes: &[u8]) -> Result<LedgerEvent, String> {
        type RowV2<'a> = EventRow<'a, UsageRowV2<'a>, Absent, Vec<LineRowV2>, Absent, Absent>;
        type RowV3<'a> = EventRow<'a, UsageRow<'a>, Vec<String>, LinesRow<'a>, Absent, Absent>;
        type RowV4<'a> =
            EventRow<'a, UsageRow<'a>, Vec<String>, LinesRow<'a>, Option<NoteRowV4<'a>>, Absent>;
        type RowV5<'a> =
            EventRow<'a, UsageRow<'a>, Vec<String>, LinesRow<'a>, Option<NoteRow<'a>>, Absent>;
        match version {
            2 => read_row(bytes).and_then(|row: RowV2<'_>| event_of(row)),
            3 => read_row(bytes).and_then(|row: RowV3<'_>| event_of(row)),
            4 => read_row(bytes).and_then(|row: RowV4<'_>| event_of(row)),
            5 => read_row(bytes).and_then(|row: RowV5<'_>| event_of(row)),
            6 => read_row(bytes).and_then(LedgerEvent::from_row),
            other => Err(unknown_version::<LedgerEvent>(other)),
        }
    }

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = match self {
            LedgerEvent::Hold(hold) => EventRow::Hold(hold_row(hold)),
            LedgerEvent::Progress { id, progress } => EventRow::Progress {
                request: id.request.0,
                attempt: id.attempt,
                progress: progress_row(progress),
            },
            LedgerEvent::Settle(settlement) => EventRow::Settle(settlement_row(settlement)),
            LedgerEvent::Release { id, at_ms } => EventRow::Release {
                request: id.request.0,
                attempt: id.attempt,
                at_ms: *at_ms,
            },
        };
        write_row(&row, into)
    }

    fn from_row(row: EventRow<'static>) -> Result<LedgerEvent, String> {
        event_of(row)
    }
}

impl StoredValue for Settlement {
    const KIND: &'static str = "usage record";
    const VERSION: u8 = 6;
    type Row = SettlementRow<'static>;

    fn decode_version(version: u8, bytes: &[u8]) -> Result<Settlement, String> {
        match version {
            2 => read_row(bytes).and_then(|row: SettlementRowV2<'_>| settlement_of(row)),
            3 => read_row(bytes).and_then(|row: SettlementRowV3<'_>| settlement_of(row)),
            4 => read_row(bytes).and_then(|row: SettlementRowV4<'_>| settlement_of(row)),
            5 => read_row(bytes).and_then(|row: SettlementRowV5<'_>| settlement_of(row)),
            6 => read_row(bytes).and_then(Settlement::from_row),
            other => Err(unknown_version::<Settlement>(other)),
        }
    }

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(&settlement_row(self), into)
    }

    fn from_row(row: SettlementRow<'static>) -> Result<Settlement, String> {
        settlement_of(row)
    }
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct CorrectionRow {
    at_ms: u64,
    amount: i128,
    reason: String,
    actor: String,
}

impl StoredValue for Correction {
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

/// Requests, refused requests, input, cached input, output, cost.
type RollupRowV2 = (u64, u64, u64, u64, u64, i128);
/// Position and number of latencies of each bucket that is not empty.
type Buckets = Vec<(u8, u64)>;

impl StoredValue for RollupSums {
    const KIND: &'static str = "roll-up";
    const VERSION: u8 = 5;
    /// sums, details, latencies, answers of the cache and the cost that they saved
    type Row = (RollupRowV2, [u64; 6], Buckets, Buckets, (u64, i128));

    fn decode_version(version: u8, bytes: &[u8]) -> Result<RollupSums, String> {
        type RowV4 = (RollupRowV2, [u64; 6], Buckets, Buckets);
        let uncached = |(sums, details, duration, first_content): RowV4| {
            RollupSums::from_row((sums, details, duration, first_content, (0, 0)))
        };
        let without_latencies = |sums, details| uncached((sums, details, Vec::new(), Vec::new()));
        match version {
            2 => read_row(bytes).and_then(|row: RollupRowV2| without_latencies(row, [0; 6])),
            3 => read_row(bytes).and_then(|(sums, details): (RollupRowV2, [u64; 6])| {
                without_latencies(sums, details)
            }),
            4 => read_row(bytes).and_then(uncached),
            5 => read_row(bytes).and_then(RollupSums::from_row),
            other => Err(unknown_version::<RollupSums>(other)),
        }
    }

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let sums = (
            self.requests,
            self.refused,
            self.tokens_in,
            self.cached_in,
            self.tokens_out,
            self.cost.pico(),
        );
        let details = [
            self.cache_writes,
            self.reasoning,
            self.images,
            self.audio,
            self.searches,
            self.second_models,
        ];
        let buckets = |histogram: &Histogram| histogram.filled().collect::<Buckets>();
        let latencies = (
            buckets(&self.latencies.duration),
            buckets(&self.latencies.first_content),
        );
        let cached = (self.cache_hits, self.saved.pico());
        write_row(&(sums, details, latencies.0, latencies.1, cached), into)
    }

    fn from_row(row: Self::Row) -> Result<RollupSums, String> {
        let (sums, details, duration, first_content, (cache_hits, saved)) = row;
        let histogram = |buckets: Buckets| {
            Histogram::of_filled(buckets).ok_or_else(|| "unknown bucket of a latency".to_owned())
        };
        let (requests, refused, tokens_in, cached_in, tokens_out, cost) = sums;
        let [
            cache_writes,
            reasoning,
            images,
            audio,
            searches,
            second_models,
        ] = details;
        Ok(RollupSums {
            requests,
            refused,
            tokens_in,
            cached_in,
            tokens_out,
            cache_writes,
            reasoning,
            images,
            audio,
            searches,
            second_models,
            latencies: Latencies {
                duration: histogram(duration)?,
                first_content: histogram(first_content)?,
            },
            cost: Money::from_pico(cost),
            cache_hits,
            saved: Money::from_pico(saved),
        })
    }
}

impl StoredValue for Money {
    const KIND: &'static str = "balance";
    type Row = i128;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(&self.pico(), into)
    }

    fn from_row(row: i128) -> Result<Money, String> {
        Ok(Money::from_pico(row))
    }
}
