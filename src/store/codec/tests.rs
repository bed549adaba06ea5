//! Stored bytes: values round-trip, version 2 never changes, and no input makes a decoder panic. Also the sample events of other tests.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::domain::attempt::{AttemptNote, Decision, FailureClass, FailureNote};
use crate::domain::attribution::{Attribution, Tag, UserHash};
use crate::domain::budget::{Action, Budget, Owner, Period};
use crate::domain::cache::{CacheEntryId, CacheNote, CacheOutcome, Similarity};
use crate::domain::event::{
    CallResult, Charge, CostLine, Flags, Hold, HoldId, LedgerEvent, LineUnit, PriceCard, Progress,
    Settlement, Status, Subject,
};
use crate::domain::id::{BudgetId, KeyId, LimitId, OrganizationId, RequestId, TeamId};
use crate::domain::latency::{Histogram, Latencies};
use crate::domain::limit::RateLimit;
use crate::domain::money::Money;
use crate::domain::pattern::Pattern;
use crate::domain::server_tool::ServerTool;
use crate::domain::usage::{SecondModel, Usage};
use crate::store::codec::StoredValue;
use crate::store::rollup::RollupSums;

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
            second_models: Vec::new(),
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

/// Usage with a distinct number per class, so that no two can be swapped unnoticed.
fn all_classes() -> Usage {
    Usage {
        uncached_in: 1,
        cache_read: 2,
        cache_write_5m: 3,
        cache_write_1h: 4,
        cache_write_other: 5,
        out_total: 6,
        reasoning: 7,
        // decided by the vendor's rules before anything is stored
        unsettled_reasoning: 0,
        audio_in: 8,
        audio_cached: 9,
        audio_out: 10,
        image_out: 11,
        web_searches: 12,
        service_tier: Some("flex".into()),
        cache_write_12h: 13,
        image_in: 14,
        image_cached: 15,
        search_tool: Some(ServerTool::WebSearchPreview),
        tools: ServerTool::ALL.map(|tool| (tool, tool as u64 + 20)).into(),
        second_models: vec![SecondModel {
            model: "claude-opus-5".into(),
            usage: Usage {
                uncached_in: 30,
                image_out: 31,
                tools: vec![(ServerTool::FileSearch, 32)],
                ..Usage::default()
            },
        }],
        is_clamped: true,
        reported_cost: Some(Money::from_pico(33)),
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
            ..CostLine::default()
        }],
        output_cap: Some(256),
        upstream_status: 200,
        first_content_ms: Some(3),
        note: None,
        cache: None,
    };
    Settlement {
        hold: sample_hold(at_ms),
        ending,
    }
}

fn sample_note() -> AttemptNote {
    AttemptNote {
        route: "smart".into(),
        chosen: "weighted: 3 of 4".into(),
        wait_ms: 250,
        failure: Some(FailureNote {
            class: FailureClass::QuotaExhausted,
            vendor_code: "insufficient_quota".into(),
            decision: Decision::NextTarget,
            why: "another target is left".into(),
            detail: "tls: invalid peer certificate".into(),
        }),
    }
}

/// The failure is the last of a settlement, and its detail the last of the failure: a length and the text.
#[test]
fn codec_settlement_of_version_4_is_read_without_a_detail() {
    let mut settlement = sample_settlement(2);
    settlement.ending.note = Some(Box::new(sample_note()));
    let detail = sample_note()
        .failure
        .map_or(0, |failure| failure.detail.len());
    let mut old = settlement.encode().expect("encodes");
    // the cache's note is absent in one byte
    old.truncate(old.len() - 1 - detail - 1);
    old[0] = 4;
    let note = settlement.ending.note.as_mut().expect("a note");
    note.failure.as_mut().expect("a failure").detail.clear();
    assert_eq!(Settlement::decode(&old).ok(), Some(settlement));
}

/// A settlement of version 5 is one of version 6 without its last byte, which says that there is no lookup in the cache.
#[test]
fn codec_settlement_of_version_5_is_read_without_a_lookup() {
    let mut settlement = sample_settlement(2);
    settlement.ending.note = Some(Box::new(sample_note()));
    let mut old = settlement.encode().expect("encodes");
    assert_eq!((old[0], old.pop()), (6, Some(0)));
    old[0] = 5;
    assert_eq!(Settlement::decode(&old).ok(), Some(settlement));
}

/// A settlement of version 3 is one of version 6 without its last two bytes: no note, no lookup in the cache.
#[test]
fn codec_settlement_of_version_3_is_read_without_a_note() {
    let settlement = sample_settlement(2);
    let event = LedgerEvent::Settle(settlement.clone());
    let old = |bytes: Vec<u8>| {
        assert!(bytes[0] == 6 && bytes.ends_with(&[0, 0]));
        let mut old = bytes[..bytes.len() - 2].to_vec();
        old[0] = 3;
        old
    };
    let row = old(settlement.encode().expect("encodes"));
    assert_eq!(Settlement::decode(&row).ok(), Some(settlement));
    let record = old(event.encode().expect("encodes"));
    assert_eq!(LedgerEvent::decode(&record).ok(), Some(event));
}

/// Roll-ups of version 2 have no counts of cache writes, reasoning, images, sound, searches and second models.
#[test]
fn codec_rollup_of_version_2_is_read_with_zeros() {
    let sums = RollupSums {
        requests: 1,
        refused: 2,
        tokens_in: 3,
        cached_in: 4,
        tokens_out: 5,
        cost: Money::from_pico(6),
        ..RollupSums::default()
    };
    let decoded = RollupSums::decode(&[2, 1, 2, 3, 4, 5, 12]).expect("version 2");
    assert_eq!(decoded, sums);
    let details = RollupSums {
        cache_writes: 7,
        reasoning: 8,
        images: 9,
        audio: 10,
        searches: 11,
        second_models: 12,
        ..sums
    };
    let version_3 = [3, 1, 2, 3, 4, 5, 12, 7, 8, 9, 10, 11, 12];
    assert_eq!(RollupSums::decode(&version_3).expect("version 3"), details);
    let all = RollupSums {
        latencies: Latencies {
            duration: Histogram::of(1_000),
            first_content: Histogram::of(30),
        },
        cache_hits: 13,
        saved: Money::from_pico(14),
        ..details
    };
    let bytes = all.encode().expect("encodes");
    let version_5 = [
        5, 1, 2, 3, 4, 5, 12, 7, 8, 9, 10, 11, 12, 1, 10, 1, 1, 1, 1, 13, 28,
    ];
    assert_eq!(bytes, version_5);
    assert_eq!(RollupSums::decode(&bytes).expect("decodes"), all);
    let version_4 = [4, 1, 2, 3, 4, 5, 12, 7, 8, 9, 10, 11, 12, 1, 10, 1, 1, 1, 1];
    let before = RollupSums::decode(&version_4).expect("version 4");
    assert_eq!((before.latencies, before.cache_hits), (all.latencies, 0));
}

#[test]
fn codec_events_round_trip() {
    let mut every_class = sample_settlement(5);
    every_class.ending.usage = all_classes();
    let card = |place: &str| {
        Some(Arc::new(PriceCard {
            model: "gpt-5.1".into(),
            tier: "flex".into(),
            place: Some(place.into()),
            above_input_tokens: 272_000,
            factor_millionths: 1_100_000,
            is_own: place == "us",
        }))
    };
    let cards = [None, card("eu"), card("us")];
    every_class.ending.lines = CostLine::CLASSES
        .map(|class| CostLine {
            class,
            count: 1,
            rate_pico: 2,
            unit: LineUnit::ALL[class.len() % LineUnit::ALL.len()],
            listed_pico: 3,
            card: cards[class.len() % 3].clone(),
        })
        .into();
    let mut noted = sample_settlement(6);
    noted.ending.note = Some(Box::new(sample_note()));
    let mut cached = sample_settlement(7);
    cached.ending.cache = Some(Box::new(CacheNote {
        entry: Some(CacheEntryId([9; 16])),
        similarity: Some(Similarity(912)),
        own: Some(CacheEntryId([8; 16])),
        reason: "number".into(),
        age_ms: 5,
        saved: Money::from_pico(77),
        ..CacheNote::of(CacheOutcome::Semantic)
    }));
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
        LedgerEvent::Settle(noted),
        LedgerEvent::Settle(cached),
    ] {
        assert_eq!(
            LedgerEvent::decode(&event.encode().expect("encodes")).expect("decodes"),
            event
        );
    }
}

/// Every data folder in use has bytes of version 2: a change of a row needs a new version.
#[test]
fn codec_version_2_bytes_are_unchanged() {
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
fn codec_damaged_bytes_are_an_error_and_never_a_panic() {
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

#[test]
fn codec_unknown_version_is_refused_with_its_number() {
    let good = LedgerEvent::Hold(sample_hold(1)).encode().expect("encodes");
    for (version, expected) in [
        (7, "version 7 was written by a newer release"),
        (255, "version 255 was written by a newer release"),
        (1, "unknown version 1"),
        (0, "unknown version 0"),
    ] {
        let mut bytes = good.clone();
        bytes[0] = version;
        let error = LedgerEvent::decode(&bytes)
            .expect_err("refused")
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}
