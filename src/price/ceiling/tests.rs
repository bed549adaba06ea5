//! Ceilings of known requests, and random usage within bounds, which must never cost more than its
//! ceiling.

use super::*;
use crate::domain::usage::Usage;
use crate::price::Sheet;

fn price(vendor: &str, model: &str) -> Price {
    Price::Sheet(Sheet::embedded().find(vendor, model).expect(model))
}

fn text(text_bytes: u64) -> InputBound {
    InputBound {
        text_bytes,
        ..InputBound::default()
    }
}

fn usd(ceiling: Result<Money, CeilingError>) -> String {
    ceiling.expect("a ceiling").to_string()
}

#[test]
fn ceiling_counts_input_once_and_output_per_choice() {
    let gpt = price("openai", "gpt-5.1");
    assert_eq!(usd(gpt.ceiling(&text(1_000), 100, 1, None)), "0.00225");
    assert_eq!(usd(gpt.ceiling(&text(1_000), 100, 3, None)), "0.00425");
    assert_eq!(usd(gpt.input_ceiling(&text(1_000), None)), "0.00125");
    assert_eq!(
        usd(gpt.ceiling(&text(1_000), 100, 1, Some("auto"))),
        "0.0045"
    );
    assert_eq!(
        usd(gpt.ceiling(&text(1_000), 100, 1, Some("priority"))),
        "0.0045"
    );
    assert_eq!(
        usd(gpt.ceiling(&text(1_000), 100, 1, Some("flex"))),
        "0.00225",
        "a full tier falls back to the base tier"
    );
    assert_eq!(
        usd(gpt.input_ceiling(&text(u64::MAX), None)),
        "0.34",
        "the context window bounds it"
    );
    let claude = price("anthropic", "claude-haiku-4-5");
    assert_eq!(
        usd(claude.input_ceiling(&text(1_000), None)),
        "0.002",
        "a cache write for an hour has the highest rate"
    );
}

#[test]
fn ceiling_of_embeddings_has_a_window_per_text_and_no_output() {
    let small = price("openai", "text-embedding-3-small");
    let texts = |prompts| InputBound {
        text_bytes: 100_000,
        prompts,
        ..InputBound::default()
    };
    assert_eq!(
        usd(small.ceiling(&texts(1), 0, 1, None)),
        "0.00016382",
        "8191 tokens"
    );
    assert_eq!(
        usd(small.ceiling(&texts(3), 500, 1, None)),
        "0.00049146",
        "three windows, no output"
    );
    assert_eq!(
        usd(small.ceiling(&texts(40), 0, 1, None)),
        "0.002",
        "at most one token per byte"
    );
}

#[test]
fn ceiling_includes_images_tools_documents_searches_and_audio() {
    let gpt = price("openai", "gpt-5.1");
    let images = |images| InputBound {
        images,
        ..InputBound::default()
    };
    assert_eq!(usd(gpt.input_ceiling(&images(2), None)), "0.03125");
    assert_eq!(
        usd(price("openai", "gpt-4o-mini").input_ceiling(&images(2), None)),
        "0.0144507"
    );
    let tools = InputBound {
        tools: 2,
        ..InputBound::default()
    };
    assert_eq!(usd(gpt.input_ceiling(&tools, None)), "0.00325");
    let documents = InputBound {
        documents: 1,
        ..InputBound::default()
    };
    assert_eq!(usd(gpt.input_ceiling(&documents, None)), "0.34");
    let searches = InputBound {
        searches: 2,
        ..InputBound::default()
    };
    assert_eq!(
        usd(gpt.input_ceiling(&searches, None)),
        "1.04",
        "3 × 272,000 tokens and two fees"
    );
    let audio = InputBound {
        audio: true,
        ..text(1_000)
    };
    assert_eq!(
        usd(price("openai", "gpt-audio").input_ceiling(&audio, None)),
        "0.032"
    );
    assert_eq!(
        usd(price("openai", "gpt-audio").input_ceiling(&text(1_000), None)),
        "0.0025"
    );
}

#[test]
fn ceiling_of_image_model_uses_image_rate_for_all_output() {
    let image_model = price("gemini", "gemini-2.5-flash-image");
    assert_eq!(
        usd(image_model.ceiling(&text(100), 1_290, 1, None)),
        "0.03873",
        "100 × 0.3 + 1290 × 30"
    );
    let remainder = Money::from_pico(38_730_000_000);
    assert_eq!(
        image_model.affordable_output(&text(100), 1, None, remainder),
        Ok(1_290)
    );
    assert_eq!(
        usd(price("gemini", "gemini-2.5-flash").ceiling(&text(100), 1_290, 1, None)),
        "0.003255"
    );
}

#[test]
fn ceiling_of_unbounded_or_unpriced_call_is_an_error() {
    let fixed = Price::fixed(1, 1);
    for bound in [
        InputBound {
            documents: 1,
            ..InputBound::default()
        },
        InputBound {
            searches: 1,
            ..InputBound::default()
        },
        InputBound {
            unbounded: Some("file id".to_owned()),
            ..InputBound::default()
        },
    ] {
        assert!(
            matches!(
                fixed.ceiling(&bound, 1, 1, None),
                Err(CeilingError::Unbounded(_))
            ),
            "{bound:?}"
        );
        assert_eq!(Price::Free.ceiling(&bound, 1, 1, None), Ok(Money::ZERO));
        assert_eq!(
            Price::Unknown.ceiling(&bound, 1, 1, None),
            Err(CeilingError::Unpriced)
        );
    }
    assert_eq!(
        price("gemini", "gemini-exp-1206").input_ceiling(&text(1), None),
        Err(CeilingError::Unpriced)
    );
}

#[test]
fn affordable_output_is_what_the_remainder_buys() {
    let gpt = price("openai", "gpt-5.1");
    let affordable = |pico| gpt.affordable_output(&text(1_000), 2, None, Money::from_pico(pico));
    assert_eq!(affordable(1_250_000_000 + 7 * 20_000_000), Ok(7));
    assert_eq!(affordable(1_250_000_000 + 7 * 20_000_000 - 1), Ok(6));
    assert_eq!(
        (affordable(1_250_000_000), affordable(0), affordable(-1)),
        (Ok(0), Ok(0), Ok(0))
    );
    assert_eq!(
        Price::Free.affordable_output(&text(1), 1, None, Money::ZERO),
        Ok(u64::MAX)
    );
    assert_eq!(
        gpt.affordable_output(&text(0), 0, None, Money::MAX),
        Ok(u64::MAX)
    );
}

#[test]
fn ceiling_of_largest_counts_saturates() {
    let fixed = Price::fixed(u64::MAX, u64::MAX);
    assert_eq!(
        fixed.ceiling(&text(u64::MAX), u64::MAX, u64::MAX, None),
        Ok(Money::MAX)
    );
    let all = InputBound {
        images: u64::MAX,
        tools: u64::MAX,
        searches: u64::MAX,
        audio: true,
        ..text(u64::MAX)
    };
    assert!(
        price("openai", "gpt-5.1")
            .ceiling(&all, u64::MAX, u64::MAX, Some("auto"))
            .is_ok()
    );
}

/// xorshift with a fixed seed: the same cases on every run.
struct SeededRng(u64);

impl SeededRng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// 0 to `max` inclusive; both ends are frequent.
    fn up_to(&mut self, max: u64) -> u64 {
        match self.next() % 4 {
            0 => 0,
            1 => max,
            _ => self.next() % max.saturating_add(1).max(1),
        }
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[(self.next() % choices.len() as u64) as usize].clone()
    }

    /// Usage as an upstream can report it, split over the classes in random ways.
    fn usage(&mut self, in_max: u64, out_max: u64, bound: &InputBound) -> Usage {
        let mut left = self.up_to(in_max);
        let mut part = |rng: &mut SeededRng| {
            let part = rng.up_to(left);
            left -= part;
            part
        };
        let mut usage = Usage {
            cache_read: part(self),
            cache_write_5m: part(self),
            cache_write_1h: part(self),
            cache_write_other: part(self),
            ..Usage::default()
        };
        usage.uncached_in = left;
        usage.audio_in = if bound.audio { self.up_to(in_max) } else { 0 };
        usage.audio_cached = if bound.audio { self.up_to(in_max) } else { 0 };
        usage.out_total = self.up_to(out_max);
        usage.reasoning = self.up_to(out_max);
        usage.audio_out = self.up_to(out_max);
        usage.image_out = self.up_to(out_max);
        usage.web_searches = self.up_to(bound.searches);
        usage
    }

    fn bound(&mut self) -> InputBound {
        InputBound {
            text_bytes: self.up_to(600_000),
            images: self.one_of(&[0, 0, 1, 7]),
            documents: self.one_of(&[0, 0, 0, 1]),
            audio: self.one_of(&[false, true]),
            searches: self.one_of(&[0, 0, 0, 3]),
            tools: self.one_of(&[0, 1, 20]),
            prompts: self.one_of(&[0, 1, 3]),
            hosted_uses: self.one_of(&[
                Vec::new(),
                Vec::new(),
                Vec::new(),
                vec![(ServerTool::FileSearch, 2)],
            ]),
            tool_rounds: self.one_of(&[0, 0, 0, 2]),
            ..InputBound::default()
        }
    }
}

const TIERS: [Option<&str>; 7] = [
    None,
    Some("auto"),
    Some("default"),
    Some("flex"),
    Some("priority"),
    Some("batch"),
    Some("x"),
];

/// Rows of all vendors, and the prices that an operator can set instead.
fn all_prices() -> Vec<Price> {
    let sheet = Sheet::embedded();
    let mut prices: Vec<Price> = sheet.rows().map(|row| Price::Sheet(row.clone())).collect();
    prices.extend([Price::Free, Price::fixed(3, 7)]);
    prices
}

#[test]
fn ceiling_is_never_below_the_cost_of_usage_within_bounds() {
    let prices = all_prices();
    let mut rng = SeededRng(0x9E37_79B9_7F4A_7C15);
    let mut checked = 0;
    for round in 0..prices.len() * TIERS.len() * 12 {
        let (price, tier) = (
            &prices[round % prices.len()],
            TIERS[round / prices.len() % TIERS.len()],
        );
        let (bound, cap, choices) = (rng.bound(), rng.up_to(200_000), rng.one_of(&[1, 1, 5]));
        let Ok(ceiling) = price.ceiling(&bound, cap, choices, tier) else {
            continue;
        };
        let tokens = price.input_tokens(&bound).unwrap_or(bound.text_bytes);
        let served = match tier {
            Some("auto") => rng.one_of(&[None, Some("priority"), Some("default")]),
            tier => rng.one_of(&[None, tier, Some("standard"), Some("default")]),
        };
        let mut usage = rng.usage(tokens, cap * choices, &bound);
        usage.service_tier = served.map(str::to_owned);
        let bill = price
            .cost(&usage, tier)
            .expect("a price, as there is a ceiling");
        assert!(
            bill.total <= ceiling,
            "{price:?} {bound:?} {cap} × {choices} {tier:?}: {bill:?} over {ceiling}"
        );
        assert_eq!(
            bill.lines.iter().map(|line| line.amount()).sum::<Money>(),
            bill.total
        );
        checked += 1;
    }
    assert!(checked > 25_000, "{checked}");
}

#[test]
fn ceiling_of_larger_request_is_never_smaller() {
    let prices = all_prices();
    let mut rng = SeededRng(11);
    for round in 0..prices.len() * TIERS.len() * 2 {
        let (price, tier) = (
            &prices[round % prices.len()],
            TIERS[round / prices.len() % TIERS.len()],
        );
        let (bound, cap, choices) = (rng.bound(), rng.up_to(200_000), rng.one_of(&[1, 5]));
        let larger = InputBound {
            text_bytes: bound.text_bytes + rng.up_to(600_000),
            images: bound.images + rng.up_to(3),
            audio: bound.audio || rng.one_of(&[false, true]),
            searches: bound.searches + rng.up_to(2),
            tools: bound.tools + rng.up_to(5),
            ..bound.clone()
        };
        let ceiling = |bound: &InputBound, cap, choices| price.ceiling(bound, cap, choices, tier);
        let (Ok(small), Ok(large)) = (
            ceiling(&bound, cap, choices),
            ceiling(&larger, cap + rng.up_to(9), choices + rng.up_to(2)),
        ) else {
            continue;
        };
        assert!(
            small <= large,
            "{price:?} {tier:?}: {small} for {bound:?}, {large} for {larger:?}"
        );
    }
}

#[test]
fn affordable_output_fits_the_remainder_and_one_more_token_does_not() {
    let gpt = price("openai", "gpt-5.5");
    let mut rng = SeededRng(7);
    for _ in 0..2_000 {
        let (bound, choices) = (rng.bound(), rng.one_of(&[1, 4]));
        let remainder = Money::from_pico(i128::from(rng.up_to(20_000_000_000_000)));
        let cap = gpt
            .affordable_output(&bound, choices, None, remainder)
            .expect("a price");
        let ceiling = |cap| gpt.ceiling(&bound, cap, choices, None).expect("a ceiling");
        assert!(cap == 0 || ceiling(cap) <= remainder);
        assert!(ceiling(cap + 1) > remainder);
    }
}
