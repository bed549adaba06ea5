//! Hours and days computed once more, while their records go by, and compared with what is stored as soon as no record can come for
//! them any more. What is booked meanwhile is put right afterwards.

use std::collections::BTreeMap;

use redb::ReadTransaction;

use crate::domain::event::{Settlement, StatusClass};
use crate::domain::id::KeyId;
use crate::domain::money::Money;
use crate::domain::zone::{Window, Zone};
use crate::store::books::post::rollup_key;
use crate::store::books::tables::{DAYS, HOURS};
use crate::store::books::verify::{VerifyReport, applied};
use crate::store::codec::{Stored, class_of};
use crate::store::{Grain, RollupKey, RollupSums, StoreError};

/// Differences that are kept; of a roll-up that many differ the rest is only counted.
const DIFFERENCES_MAX: usize = 10_000;

/// Computed less stored, member by member.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    counts: [i128; 4],
    cost: Money,
}

impl Delta {
    fn of(sums: &RollupSums) -> Delta {
        let counts = [
            sums.requests,
            sums.tokens_in,
            sums.cached_in,
            sums.tokens_out,
        ]
        .map(i128::from);
        Delta {
            counts,
            cost: sums.cost,
        }
    }

    fn plus(mut self, other: Delta) -> Delta {
        for (count, added) in self.counts.iter_mut().zip(other.counts) {
            *count += added;
        }
        self.cost = self.cost.plus(other.cost);
        self
    }

    fn minus(self, other: Delta) -> Delta {
        self.plus(Delta {
            counts: other.counts.map(|count| -count),
            cost: Money::ZERO.minus(other.cost),
        })
    }
}

impl std::fmt::Display for Delta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [requests, tokens_in, cached_in, tokens_out] = self.counts;
        write!(
            f,
            "its records have {requests:+} requests, {tokens_in:+} input, {cached_in:+} cached and {tokens_out:+} output tokens, ${} \
             against what it says",
            self.cost
        )
    }
}

/// The roll-ups of one grain: those that records may still come for, and those that differ.
pub(crate) struct Periods {
    grain: Grain,
    /// before this nothing can be compared
    from_ms: u64,
    /// the period of the last record
    window: Window,
    open: BTreeMap<RollupKey, RollupSums>,
    /// compared up to here, and what the comparing transaction saw of the log
    closed: Vec<(u64, u64)>,
    pub differing: BTreeMap<RollupKey, Delta>,
}

impl Periods {
    pub(crate) fn of(grain: Grain, from_ms: u64) -> Periods {
        Periods {
            grain,
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

    pub(crate) fn add(
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
            // its instant and that of its id lie far apart: the clock was set
            self.differ(key, Delta::of(sums));
        }
    }

    /// A record that was booked after its slice was read: the stored row has it if it was read later still.
    pub(crate) fn late(&mut self, sequence: u64, key: RollupKey, sums: &RollupSums) {
        let closing = self
            .closed
            .partition_point(|(to_ms, _)| *to_ms <= key.start_ms);
        if self
            .closed
            .get(closing)
            .is_some_and(|(_, applied)| sequence <= *applied)
        {
            self.differ(key, Delta::of(sums));
        }
    }

    /// Compares everything before an instant with what is stored.
    pub(crate) fn close(
        &mut self,
        read: &ReadTransaction,
        to_ms: u64,
        verified: &mut VerifyReport,
    ) -> Result<(), StoreError> {
        let from_ms = self.closed_to_ms();
        if to_ms <= from_ms {
            return Ok(());
        }
        let table = read.open_table(match self.grain {
            Grain::Hour => HOURS,
            Grain::Day => DAYS,
        })?;
        for row in table.range((from_ms, 0, "", "", "", 0)..(to_ms, 0, "", "", "", 0))? {
            let (key, bytes) = row?;
            let (start_ms, id, model_asked, provider, model, class) = key.value();
            let class = class_of(class).map_err(|reason| StoreError::Record {
                kind: RollupSums::KIND,
                reason,
            })?;
            if class == StatusClass::Refused {
                // counted, not added up: most of what is refused is no row
                continue;
            }
            let (model_asked, provider, model) = (
                model_asked.to_owned(),
                provider.to_owned(),
                model.to_owned(),
            );
            let key = RollupKey {
                start_ms,
                key: KeyId(id),
                model_asked,
                provider,
                model,
                class,
            };
            let computed = self.open.remove(&key).unwrap_or_default();
            verified.rollups += 1;
            let stored = match RollupSums::decode(bytes.value()) {
                Ok(stored) => stored,
                Err(error) => {
                    verified.differs(
                        crate::store::books::verify::Part::Rollups,
                        self.named(&key),
                        error.to_string(),
                    );
                    continue;
                }
            };
            self.differ(key, Delta::of(&computed).minus(Delta::of(&stored)));
        }
        while let Some(entry) = self
            .open
            .first_entry()
            .filter(|entry| entry.key().start_ms < to_ms)
        {
            let (key, computed) = entry.remove_entry();
            self.differ(key, Delta::of(&computed));
        }
        self.closed.push((to_ms, applied(read)?));
        if self.differing.len() > DIFFERENCES_MAX {
            return Err(StoreError::NotVerified(format!(
                "more than {DIFFERENCES_MAX} roll-ups differ; restore a backup"
            )));
        }
        Ok(())
    }

    fn differ(&mut self, key: RollupKey, delta: Delta) {
        if key.start_ms < self.from_ms {
            return;
        }
        let known = self.differing.remove(&key).unwrap_or_default();
        let delta = known.plus(delta);
        if delta != Delta::default() {
            self.differing.insert(key, delta);
        }
    }

    pub(crate) fn named(&self, key: &RollupKey) -> String {
        let grain = match self.grain {
            Grain::Hour => "hour",
            Grain::Day => "day",
        };
        let from = Zone::utc().rfc3339(key.start_ms);
        format!(
            "{grain} {from} {} {} {}/{} {}",
            key.key,
            key.model_asked,
            key.provider,
            key.model,
            key.class.as_str()
        )
    }
}
