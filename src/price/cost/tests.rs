//! Costs of known usage at listed rates, tiers, places, fees and factors.

use super::*;
use crate::price::Sheet;

fn price(vendor: &str, model: &str) -> Price {
    Price::Sheet(Sheet::embedded().find(vendor, model).expect(model))
}

fn usd(price: &Price, usage: &Usage, requested_tier: Option<&str>) -> String {
    price
        .cost(usage, requested_tier)
        .expect("a price")
        .total
        .to_string()
}

#[test]
fn cost_uses_the_listed_rate_of_each_class() {
    let usage = Usage {
        uncached_in: 1_000_000,
        cache_read: 1_000_000,
        cache_write_5m: 1_000_000,
        cache_write_1h: 1_000_000,
        cache_write_other: 1_000_000,
        out_total: 1_000_000,
        reasoning: 400_000,
        web_searches: 3,
        ..Usage::default()
    };
    let bill = price("anthropic", "claude-haiku-4-5")
        .cost(&usage, None)
        .expect("a price");
    assert_eq!(
        bill.total.to_string(),
        "10.63",
        "1 + 0.1 + 1.25 + 2 + 1.25 + 5 + 3 × 0.01"
    );
    assert!(
        bill.lines
            .iter()
            .all(|line| CostLine::CLASSES.contains(&line.class))
    );
}

#[test]
fn cost_splits_audio_and_reasoning_if_listed() {
    let usage = Usage {
        uncached_in: 1_000_000,
        audio_in: 500_000,
        out_total: 1_000_000,
        audio_out: 100_000,
        reasoning: 200_000,
        ..Usage::default()
    };
    assert_eq!(
        usd(&price("openai", "gpt-audio"), &usage, None),
        "32.65",
        "1.25 + 16 + 9 + 6.4"
    );
    assert_eq!(
        usd(&price("gemini", "gemini-2.5-flash"), &usage, None),
        "3.15",
        "0.15 + 0.5 + 2.5"
    );
    let overstated = Usage {
        uncached_in: 10,
        audio_in: 1_000_000_000,
        ..Usage::default()
    };
    assert_eq!(
        usd(&price("openai", "gpt-audio"), &overstated, None),
        "0.00032"
    );
}

#[test]
fn cost_of_generated_image_uses_image_rate() {
    let usage = Usage {
        uncached_in: 100,
        out_total: 1_290,
        image_out: 1_290,
        ..Usage::default()
    };
    let image_model = price("gemini", "gemini-2.5-flash-image");
    assert_eq!(
        usd(&image_model, &usage, None),
        "0.03873",
        "100 × 0.3 + 1290 × 30"
    );
    let mixed = Usage {
        out_total: 1_400,
        reasoning: 60,
        ..usage.clone()
    };
    assert_eq!(
        usd(&image_model, &mixed, None),
        "0.039005",
        "plus 110 × 2.5"
    );
    assert_eq!(
        usd(&price("gemini", "gemini-2.5-flash"), &usage, None),
        "0.003255",
        "no image rate listed"
    );
    let batch = Usage {
        service_tier: Some("batch".into()),
        ..usage.clone()
    };
    assert_eq!(
        usd(&price("gemini", "gemini-3-pro-image"), &batch, None),
        "0.0775",
        "100 × 1 + 1290 × 60"
    );
    let overstated = Usage {
        out_total: 10,
        image_out: 1_000_000,
        ..Usage::default()
    };
    assert_eq!(usd(&image_model, &overstated, None), "0.0003");
}

#[test]
fn cost_of_cached_audio_uses_its_rate_if_listed() {
    let usage = Usage {
        uncached_in: 200,
        cache_read: 800,
        audio_cached: 800,
        out_total: 200,
        ..Usage::default()
    };
    let flash = price("gemini", "gemini-2.5-flash");
    assert_eq!(
        usd(&flash, &usage, None),
        "0.00064",
        "200 × 0.3 + 800 × 0.1 + 200 × 2.5"
    );
    assert_eq!(
        usd(
            &flash,
            &Usage {
                audio_cached: 300,
                ..usage.clone()
            },
            None
        ),
        "0.000605",
        "500 at 0.03 and 300 at 0.1"
    );
    let overstated = Usage {
        audio_cached: 1_000_000,
        ..usage.clone()
    };
    assert_eq!(usd(&flash, &overstated, None), "0.00064");
    assert_eq!(
        usd(&price("gemini", "gemini-2.5-flash-image"), &usage, None),
        "0.000584",
        "800 at 0.03: no rate for cached audio"
    );
}

#[test]
fn cost_uses_the_tier_of_the_response() {
    let usage = |tier: Option<&str>| Usage {
        uncached_in: 1_000_000,
        service_tier: tier.map(str::to_owned),
        ..Usage::default()
    };
    let gpt = price("openai", "gpt-5.1-2025-11-13");
    for (served, requested, expected) in [
        (Some("default"), Some("priority"), "1.25"),
        (Some("priority"), None, "2.5"),
        (Some("flex"), Some("flex"), "0.625"),
        (Some("martian"), Some("flex"), "2.5"),
        (Some("FLEX"), None, "0.625"),
        (None, Some("flex"), "1.25"),
        (None, Some("priority"), "2.5"),
        (None, None, "1.25"),
    ] {
        assert_eq!(
            usd(&gpt, &usage(served), requested),
            expected,
            "{served:?} {requested:?}"
        );
    }
}

#[test]
fn cost_band_follows_the_complete_prompt_and_applies_to_all_tokens() {
    let haiku = price("anthropic", "claude-haiku-5-5");
    let short = Usage {
        uncached_in: 1,
        cache_read: 99_999,
        out_total: 1_000_000,
        ..Usage::default()
    };
    let long = Usage {
        uncached_in: 2,
        ..short.clone()
    };
    assert_eq!(usd(&haiku, &short, None), "0.50100009");
    assert_eq!(usd(&haiku, &long, None), "2.50500095");
}

#[test]
fn cost_of_no_usage_is_zero_and_of_huge_usage_saturates() {
    let all = [
        price("anthropic", "claude-haiku-5-5"),
        Price::Free,
        Price::fixed(u64::MAX, u64::MAX),
    ];
    for price in &all {
        assert_eq!(price.cost(&Usage::default(), None), Ok(Bill::default()));
    }
    let huge = Usage {
        uncached_in: u64::MAX,
        cache_read: u64::MAX,
        out_total: u64::MAX,
        ..Usage::default()
    };
    assert_eq!(all[2].cost(&huge, None).expect("a price").total, Money::MAX);
    assert!(all[0].cost(&huge, None).expect("a price").total > Money::from_usd(1_000_000));
    assert_eq!(all[1].cost(&huge, None), Ok(Bill::default()));
}

#[test]
fn cost_without_a_price_is_an_error() {
    assert_eq!(
        Price::Unknown.cost(&Usage::default(), None),
        Err(PriceUnknown)
    );
    assert_eq!(
        price("cohere", "command-a-plus-05-2026").cost(&Usage::default(), None),
        Err(PriceUnknown)
    );
    let fixed = Price::fixed(2, 3);
    let usage = Usage {
        uncached_in: 5,
        cache_write_1h: 5,
        out_total: 10,
        web_searches: 9,
        ..Usage::default()
    };
    assert_eq!(
        fixed.cost(&usage, None).expect("a price").total,
        Money::from_pico(50)
    );
}

#[test]
fn unlisted_higher_tier_has_estimated_rates_and_no_ceiling() {
    use crate::domain::input_bound::InputBound;
    use crate::price::CeilingError;
    let usage = |tier: &str| Usage {
        uncached_in: 1_000_000,
        service_tier: Some(tier.into()),
        ..Usage::default()
    };
    let is_estimated = |price: &Price, tier: &str| {
        let bill = price.cost(&usage(tier), None).expect("a price");
        bill.rates_estimated
    };
    let input = InputBound {
        text_bytes: 10,
        ..InputBound::default()
    };
    let unlisted = price("anthropic", "claude-sonnet-4-5");
    for (tier, listed) in [
        ("fast", price("openai", "gpt-5.1")),
        ("fast", price("anthropic", "claude-opus-5")),
        ("priority", price("openai", "gpt-5.1")),
        ("inference_geo=us", price("anthropic", "claude-opus-4-6")),
    ] {
        assert!(!is_estimated(&listed, tier), "{tier}");
        assert!(is_estimated(&unlisted, tier), "{tier}");
        assert!(listed.ceiling(&input, 10, 1, Some(tier)).is_ok());
        let CeilingError::Unbounded(why) =
            unlisted.ceiling(&input, 10, 1, Some(tier)).expect_err(tier)
        else {
            panic!("{tier}")
        };
        assert!(why.contains(tier), "{why}");
    }
    for tier in ["ultrafast", "scale"] {
        assert!(is_estimated(&unlisted, tier), "{tier}");
        assert!(unlisted.ceiling(&input, 10, 1, Some(tier)).is_err());
    }
    for tier in ["standard", "auto", "batch", "flex", "default"] {
        assert!(!is_estimated(&unlisted, tier), "{tier}");
        assert!(
            unlisted.ceiling(&input, 10, 1, Some(tier)).is_ok(),
            "{tier}"
        );
    }
    let fixed = Price::fixed(5, 5);
    let reason = "a fixed price holds for all tiers";
    assert!(!is_estimated(&fixed, "fast"), "{reason}");
}

#[test]
fn cached_audio_above_the_cached_tokens_is_clamped_and_marked() {
    let usage = |audio_cached| Usage {
        cache_read: 100,
        audio_cached,
        ..Usage::default()
    };
    let flash = price("gemini", "gemini-2.5-flash");
    let bill = |audio| flash.cost(&usage(audio), None).expect("a price");
    assert!(bill(101).is_clamped && !bill(100).is_clamped);
    assert_eq!(bill(101).total, bill(100).total);
}

/// Shares of the output and input that a tier does not list never cost less, relative to their
/// class, than in the base tier.
#[test]
fn unlisted_share_of_a_dearer_tier_keeps_its_relation() {
    let cost = |price: &Price, usage: &Usage, tier: &str| {
        let usage = Usage {
            service_tier: Some(tier.to_owned()),
            ..usage.clone()
        };
        price.cost(&usage, None).expect("a price").total.to_string()
    };
    let thoughts = Usage {
        out_total: 1_000_000,
        reasoning: 1_000_000,
        ..Usage::default()
    };
    let flash = price("gemini", "gemini-2.5-flash");
    for (tier, usd) in [("standard", "2.5"), ("priority", "4.5"), ("flex", "1.25")] {
        assert_eq!(cost(&flash, &thoughts, tier), usd, "{tier}");
    }
    let images = Usage {
        out_total: 1_000_000,
        image_out: 1_000_000,
        ..Usage::default()
    };
    let image_model = price("gemini", "gemini-3-pro-image");
    for (tier, usd) in [
        ("standard", "120"),
        ("priority", "216"),
        ("batch", "60"),
        ("flex", "120"),
    ] {
        assert_eq!(cost(&image_model, &images, tier), usd, "{tier}");
    }
}
