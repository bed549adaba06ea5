//! Events of the log, usage records, corrections, roll-ups and balances as rows. Rows are positional: the order of the fields, and the
//! positions in `CostLine::CLASSES`, are stored.

use serde::{Deserialize, Serialize};

use crate::domain::event::{
    CallResult, Correction, CostLine, Flags, HoldId, LedgerEvent, Settlement,
};
use crate::domain::id::RequestId;
use crate::domain::money::Money;
use crate::store::codec::hold::{
    HoldRow, ProgressRow, UsageRow, hold_of, hold_row, progress_of, progress_row, usage_of,
    usage_row,
};
use crate::store::codec::note::{NoteRow, note_of, note_row};
use crate::store::codec::status::{status_number, status_of};
use crate::store::codec::{StoredValue, read_row, unknown_version, write_row};
use crate::store::rollup::RollupSums;

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

/// Version 3: with the note of the attempt.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct NotedSettlementRow<'a> {
    settlement: SettlementRow<'a>,
    note: Option<NoteRow<'a>>,
}

/// Events, with settlements of the row `S`: version 2 has no notes.
#[derive(Serialize, Deserialize)]
pub(in crate::store) enum EventRow<'a, S> {
    Hold(HoldRow<'a>),
    Progress {
        request: u128,
        attempt: u8,
        progress: ProgressRow<'a>,
    },
    Settle(S),
    Release {
        request: u128,
        attempt: u8,
        at_ms: u64,
    },
}

fn settlement_row(settlement: &Settlement) -> Result<SettlementRow<'_>, String> {
    let ending = &settlement.ending;
    let lines = ending.lines.iter().map(|line| {
        let class = CostLine::CLASSES
            .iter()
            .position(|class| *class == line.class);
        let class = class.ok_or_else(|| format!("unknown cost class `{}`", line.class))?;
        Ok((class as u8, line.count, line.rate_pico))
    });
    Ok(SettlementRow {
        hold: hold_row(&settlement.hold),
        ended_ms: ending.ended_ms,
        status: status_number(ending.status),
        flags: ending.flags.0,
        usage: usage_row(&ending.usage),
        cost: ending.cost.pico(),
        lines: lines.collect::<Result<_, String>>()?,
        output_cap: ending.output_cap,
        upstream_status: ending.upstream_status,
        first_content_ms: ending.first_content_ms,
    })
}

fn settlement_of(row: SettlementRow<'_>) -> Result<Settlement, String> {
    let lines = row.lines.into_iter().map(|(class, count, rate_pico)| {
        let class = CostLine::CLASSES
            .get(usize::from(class))
            .ok_or_else(|| format!("unknown cost class {class}"))?;
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
        note: None,
    };
    Ok(Settlement {
        hold: hold_of(row.hold),
        ending,
    })
}

fn noted_row(settlement: &Settlement) -> Result<NotedSettlementRow<'_>, String> {
    Ok(NotedSettlementRow {
        settlement: settlement_row(settlement)?,
        note: settlement.ending.note.as_deref().map(note_row),
    })
}

fn noted_settlement(row: NotedSettlementRow<'_>) -> Result<Settlement, String> {
    let mut settlement = settlement_of(row.settlement)?;
    settlement.ending.note = row.note.map(note_of).transpose()?.map(Box::new);
    Ok(settlement)
}

fn event_of<'a, S>(
    row: EventRow<'a, S>,
    settlement: fn(S) -> Result<Settlement, String>,
) -> Result<LedgerEvent, String> {
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
        EventRow::Settle(row) => LedgerEvent::Settle(settlement(row)?),
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
    const VERSION: u8 = 3;
    type Row = EventRow<'static, NotedSettlementRow<'static>>;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        let row = match self {
            LedgerEvent::Hold(hold) => EventRow::Hold(hold_row(hold)),
            LedgerEvent::Progress { id, progress } => EventRow::Progress {
                request: id.request.0,
                attempt: id.attempt,
                progress: progress_row(progress),
            },
            LedgerEvent::Settle(settlement) => EventRow::Settle(noted_row(settlement)?),
            LedgerEvent::Release { id, at_ms } => EventRow::Release {
                request: id.request.0,
                attempt: id.attempt,
                at_ms: *at_ms,
            },
        };
        write_row(&row, into)
    }

    fn from_row(row: Self::Row) -> Result<LedgerEvent, String> {
        event_of(row, noted_settlement)
    }

    fn decode_version(version: u8, bytes: &[u8]) -> Result<LedgerEvent, String> {
        match version {
            2 => event_of(
                read_row::<EventRow<'_, SettlementRow<'_>>>(bytes)?,
                settlement_of,
            ),
            Self::VERSION => read_row(bytes).and_then(Self::from_row),
            other => Err(unknown_version::<Self>(other)),
        }
    }
}

impl StoredValue for Settlement {
    const KIND: &'static str = "usage record";
    const VERSION: u8 = 3;
    type Row = NotedSettlementRow<'static>;

    fn encode_row(&self, into: &mut Vec<u8>) -> Result<(), String> {
        write_row(&noted_row(self)?, into)
    }

    fn from_row(row: NotedSettlementRow<'static>) -> Result<Settlement, String> {
        noted_settlement(row)
    }

    fn decode_version(version: u8, bytes: &[u8]) -> Result<Settlement, String> {
        match version {
            2 => settlement_of(read_row(bytes)?),
            Self::VERSION => read_row(bytes).and_then(Self::from_row),
            other => Err(unknown_version::<Self>(other)),
        }
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

impl StoredValue for RollupSums {
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
