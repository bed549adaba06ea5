//! Values as bytes: one version byte, then bincode's standard encoding. The only file that knows bincode. A decoder never
//! trusts a length, leaves no byte over, and turns an older version into today's noun; it never panics.

mod ledger;
mod tenants;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::StoreError;
pub(super) use crate::store::codec::ledger::{class_number, class_of};

const VALUE_BYTES_MAX: usize = 1024 * 1024;
const VERSION: u8 = 2;

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
        self.encode_row(&mut bytes)
            .map_err(|reason| StoreError::Record {
                kind: Self::KIND,
                reason,
            })?;
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let fault = |reason: String| StoreError::Record {
            kind: Self::KIND,
            reason,
        };
        let (version, row) = bytes
            .split_first()
            .ok_or_else(|| fault("it is empty".into()))?;
        if *version != VERSION {
            return Err(fault(format!(
                "version {version} is not known to this release"
            )));
        }
        let (decoded, length) = bincode::serde::decode_from_slice(row, shape())
            .map_err(|error| fault(error.to_string()))?;
        if length != row.len() {
            return Err(fault(format!("{} bytes are left over", row.len() - length)));
        }
        Self::from_row(decoded).map_err(fault)
    }
}

fn write_row(row: &impl Serialize, into: &mut Vec<u8>) -> Result<(), String> {
    bincode::serde::encode_into_std_write(row, into, shape())
        .map(|_| ())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use super::*;
    use crate::domain::attribution::{Attribution, Tag, UserHash};
    use crate::domain::budget::{Action, Budget, Owner, Period};
    use crate::domain::event::{
        CallResult, Charge, CostLine, Flags, Hold, HoldId, LedgerEvent, Progress, Settlement,
        Status, Subject,
    };
    use crate::domain::id::{BudgetId, KeyId, LimitId, OrganizationId, RequestId, TeamId};
    use crate::domain::limit::RateLimit;
    use crate::domain::money::Money;
    use crate::domain::pattern::Pattern;
    use crate::domain::usage::Usage;

    pub(in crate::store) fn sample_hold(at_ms: u64) -> Hold {
        Hold {
            id: HoldId {
                request: RequestId::new(at_ms, 7),
                attempt: 1,
            },
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
                attribution: Attribution {
                    user: Some(UserHash(u64::MAX)),
                    tag: Tag::parse(b"nightly"),
                },
            }),
            ceiling: Money::from_usd(1),
            charges: vec![Charge {
                budget: BudgetId(9),
                window_start_ms: 0,
            }],
            progress: Progress {
                cost: Money::from_pico(40),
                ..Progress::default()
            },
        }
    }

    /// Every count another, so that none can stand in another's place.
    fn all_classes() -> Usage {
        Usage {
            uncached_in: 1,
            cache_read: 2,
            cache_write_5m: 3,
            cache_write_1h: 4,
            cache_write_other: 5,
            out_total: 6,
            reasoning: 7,
            audio_in: 8,
            audio_cached: 9,
            audio_out: 10,
            image_out: 11,
            web_searches: 12,
            service_tier: Some("flex".into()),
        }
    }

    pub(in crate::store) fn sample_progress() -> Progress {
        Progress {
            after_ms: 2_000,
            output_bytes: 5,
            usage: Some(Usage::default()),
            cost: Money::from_pico(60),
        }
    }

    pub(in crate::store) fn sample_settlement(at_ms: u64) -> Settlement {
        let ending = CallResult {
            ended_ms: at_ms + 5,
            status: Status::Ok,
            flags: Flags::ESTIMATED,
            usage: Usage {
                uncached_in: 10,
                out_total: 20,
                service_tier: Some("default".into()),
                ..Usage::default()
            },
            cost: Money::from_pico(123),
            lines: vec![CostLine {
                class: "input",
                count: 10,
                rate_pico: 1,
            }],
            output_cap: Some(256),
            upstream_status: 200,
            first_content_ms: Some(3),
        };
        Settlement {
            hold: sample_hold(at_ms),
            ending,
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut every_class = sample_settlement(5);
        every_class.ending.usage = all_classes();
        every_class.ending.lines = CostLine::CLASSES
            .map(|class| CostLine {
                class,
                count: 1,
                rate_pico: 2,
            })
            .into();
        for event in [
            LedgerEvent::Hold(sample_hold(1)),
            LedgerEvent::Settle(sample_settlement(2)),
            LedgerEvent::Release {
                id: sample_hold(3).id,
                at_ms: 4,
            },
            LedgerEvent::Progress {
                id: sample_hold(3).id,
                progress: sample_progress(),
            },
            LedgerEvent::Settle(every_class),
        ] {
            assert_eq!(
                LedgerEvent::decode(&event.encode().expect("encodes")).expect("decodes"),
                event
            );
        }
    }

    /// The bytes of version 2 are a promise to every data folder in use: a change of shape needs a new version.
    #[test]
    fn the_bytes_of_version_2_stay_as_they_are() {
        let budget = Budget {
            id: BudgetId(7),
            owner: Owner::Team(TeamId(2)),
            limit: Money::from_pico(1_000),
            period: Period::Monthly,
            action: Action::Warn,
            model: Some(Pattern::new("a*")),
        };
        let bytes = budget.encode().expect("encodes");
        assert_eq!(bytes, [2, 7, 1, 2, 251, 208, 7, 2, 1, 1, 2, b'a', b'*']);
        assert_eq!(Budget::decode(&bytes).expect("decodes"), budget);
        let (id, owner, model) = (LimitId(7), Owner::Key(KeyId(3)), Some(Pattern::new("a*")));
        let limit = RateLimit {
            id,
            owner,
            rpm: NonZeroU32::new(60),
            tpm: None,
            max_parallel: NonZeroU32::new(2),
            model,
        };
        let bytes = limit.encode().expect("encodes");
        assert_eq!(bytes, [2, 7, 2, 3, 1, 60, 0, 1, 2, 1, 2, b'a', b'*']);
        assert_eq!(RateLimit::decode(&bytes).expect("decodes"), limit);
    }

    #[test]
    fn no_bytes_can_make_a_decoder_panic() {
        let good = LedgerEvent::Settle(sample_settlement(2))
            .encode()
            .expect("encodes");
        for end in 0..good.len() {
            assert!(LedgerEvent::decode(&good[..end]).is_err());
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let _ = LedgerEvent::decode(&bad);
            }
        }
        let mut long = good.clone();
        long.push(0);
        assert!(LedgerEvent::decode(&long).is_err(), "bytes left over");
    }
}
