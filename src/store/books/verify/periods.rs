//! Roll-ups of one period length, computed again from the records and compared with the stored rows as soon as no further record can
//! belong to them. Postings made meanwhile are added afterwards.

use std::collections::BTreeMap;

use redb::ReadTransaction;

use crate::domain::event::{Settlement, StatusClass};
use crate::domain::id::KeyId;
use crate::domain::latency::Histogram;
use crate::domain::money::Money;
use crate::domain::zone::{Window, Zone};
use crate::store::books::database::applied;
use crate::store::books::post::rollup_key;
use crate::store::books::tables::{DAYS, HOURS};
use crate::store::books::verify::report::{Part, VerifyReport};
use crate::store::codec::StoredValue;
use crate::store::codec::status::class_of;
use crate::store::error::StoreError;
use crate::store::rollup::{RollupKey, RollupPeriod, RollupSums};

/// Differing roll-ups held in memory; more end the verification.
pub(super) const DIFFERENCES_MAX: usize = 10_000;

/// Computed sums minus stored sums.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store) struct Delta {
    counts: [i128; 12],
    cost: Money,
}

impl Delta {
    pub(super) fn of(sums: &RollupSums) -> Delta {
        let counts = [
            sums.requests,
            sums.tokens_in,
            sums.cached_in,
            sums.tokens_out,
            sums.cache_writes,
            sums.reasoning,
            sums.images,
            sums.audio,
            sums.searches,
            sums.second_models,
            weighted(&sums.latencies.duration),
            weighted(&sums.latencies.first_content),
        ]
        .map(i128::from);
        Delta {
            counts,
            cost: sums.cost,
        }
    }

    pub(super) fn plus(mut self, other: Delta) -> Delta {
        for (count, added) in self.counts.iter_mut().zip(other.counts) {
            *count += added;
        }
        self.cost = self.cost.plus(other.cost);
        self
    }

    pub(super) fn minus(self, other: Delta) -> Delta {
        self.plus(Delta {
            counts: other.counts.map(|count| -count),
            cost: Money::ZERO.minus(other.cost),
        })
    }
}

/// Latencies, each weighted by its bucket, so that one in another bucket differs too.
fn weighted(histogram: &Histogram) -> u64 {
    let weighted = histogram
        .filled()
        .map(|(position, count)| count.saturating_mul(u64::from(position) + 1));
    weighted.fold(0, u64::saturating_add)
}

impl std::fmt::Display for Delta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [requests, tokens_in, cached_in, tokens_out, details @ ..] = self.counts;
        write!(
            f,
            "its records have {requests:+} requests, {tokens_in:+} input, {cached_in:+} cached and {tokens_out:+} output tokens"
        )?;
        let names = [
            "cache write tokens",
            "reasoning tokens",
            "image tokens",
            "audio tokens",
            "searches",
            "tokens of second models",
            "durations by bucket",
            "times to first content by bucket",
        ];
        for (name, count) in names.iter().zip(details).filter(|(_, count)| *count != 0) {
            write!(f, ", {count:+} {name}")?;
        }
        write!(f, ", ${} against what it says", self.cost)
    }
}

/// Roll-ups of one period length: open ones, to which records may still belong, and those that differ.
pub(in crate::store) struct Periods {
    period: RollupPeriod,
    /// roll-ups before this cannot be compared, because their records were deleted
    from_ms: u64,
    /// period of the last record
    window: Window,
    open: BTreeMap<RollupKey, RollupSums>,
    /// end of each comparison, and the log position that its transaction saw
    closed: Vec<(u64, u64)>,
    pub differing: BTreeMap<RollupKey, Delta>,
}

impl Periods {
    pub(in crate::store) fn of(period: RollupPeriod, from_ms: u64) -> Periods {
        Periods {
            period,
            from_ms,
            window: Window {
                start_ms: 0,
                end_ms: 0,
            },
            open: BTreeMap::new(),
            closed: Vec::new(),
            differing: BTreeMap::new(),
        }
    }

    fn closed_to_ms(&self) -> u64 {
        self.closed.last().map_or(self.from_ms, |(to_ms, _)| *to_ms)
    }

    pub(in crate::store) fn add(
        &mut self,
        record: &Settlement,
        sums: &RollupSums,
        cut: impl Fn(&Zone) -> Window,
        zone: &Zone,
    ) {
        if !self.window.contains(record.hold.at_ms) {
            self.window = cut(zone);
        }
        let key = rollup_key(record, self.window.start_ms);
        if key.start_ms >= self.closed_to_ms() {
            self.open.entry(key).or_default().add(sums);
        } else {
            // its admission is much earlier than its id says: the clock was set
            self.add_difference(key, Delta::of(sums));
        }
    }

    /// Adds a record posted after its slice was read, if the stored row was read after the posting.
    pub(in crate::store) fn add_late(&mut self, sequence: u64, key: RollupKey, sums: &RollupSums) {
        let closing = self
            .closed
            .partition_point(|(to_ms, _)| *to_ms <= key.start_ms);
        if self
            .closed
            .get(closing)
            .is_some_and(|(_, applied)| sequence <= *applied)
        {
            self.add_difference(key, Delta::of(sums));
        }
    }

    /// Compares all roll-ups before an instant with the stored rows.
    pub(in crate::store) fn close(
        &mut self,
        read: &ReadTransaction,
        to_ms: u64,
        report: &mut VerifyReport,
    ) -> Result<(), StoreError> {
        let from_ms = self.closed_to_ms();
        if to_ms <= from_ms {
            return Ok(());
        }
        let table = read.open_table(match self.period {
            RollupPeriod::Hour => HOURS,
            RollupPeriod::Day => DAYS,
        })?;
        for row in table.range((from_ms, 0, "", "", "", 0)..(to_ms, 0, "", "", "", 0))? {
            let (key, bytes) = row?;
            let key = key_of(key.value())?;
            if key.class == StatusClass::Refused {
                // refusals are counts: most of them have no row to recount
                continue;
            }
            let computed = self.open.remove(&key).unwrap_or_default();
            report.rollups += 1;
            match RollupSums::decode(bytes.value()) {
                Ok(stored) => {
                    self.add_difference(key, Delta::of(&computed).minus(Delta::of(&stored)))
                }
                Err(error) => report.add(Part::Rollups, self.row_name(&key), error.to_string()),
            }
        }
        while let Some(entry) = self
            .open
            .first_entry()
            .filter(|entry| entry.key().start_ms < to_ms)
        {
            let (key, computed) = entry.remove_entry();
            self.add_difference(key, Delta::of(&computed));
        }
        self.closed.push((to_ms, applied(read)?));
        if self.differing.len() > DIFFERENCES_MAX {
            return Err(StoreError::NotVerified(format!(
                "more than {DIFFERENCES_MAX} roll-ups differ; restore a backup"
            )));
        }
        Ok(())
    }

    fn add_difference(&mut self, key: RollupKey, delta: Delta) {
        if key.start_ms < self.from_ms {
            return;
        }
        let known = self.differing.remove(&key).unwrap_or_default();
        let delta = known.plus(delta);
        if delta != Delta::default() {
            self.differing.insert(key, delta);
        }
    }

    /// Name of a roll-up in the report.
    pub(in crate::store) fn row_name(&self, key: &RollupKey) -> String {
        let period = match self.period {
            RollupPeriod::Hour => "hour",
            RollupPeriod::Day => "day",
        };
        let from = Zone::utc().rfc3339(key.start_ms);
        format!(
            "{period} {from} {} {} {}/{} {}",
            key.key,
            key.model_asked,
            key.provider,
            key.model,
            key.class.as_str()
        )
    }
}

/// Row key of the hour and day tables.
fn key_of(
    (start_ms, id, model_asked, provider, model, class): (u64, u64, &str, &str, &str, u8),
) -> Result<RollupKey, StoreError> {
    Ok(RollupKey {
        start_ms,
        key: KeyId(id),
        model_asked: model_asked.into(),
        provider: provider.into(),
        model: model.into(),
        class: class_of(class).map_err(|reason| StoreError::Record {
            kind: RollupSums::KIND,
            reason,
        })?,
    })
}
