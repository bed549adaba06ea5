//! Money arithmetic: properties of all amounts, checked with seeded amounts of every size up to the ends of the range.

use gatekeeper::domain::money::Money;
use gatekeeper::domain::server_tool::ServerTool;
use gatekeeper::domain::usage::Usage;
use gatekeeper::price::{Price, Sheet};

use super::call::SeededRng;
use crate::harness::{pico, repetitions, usd};

fn rounds() -> usize {
    repetitions("GK_MONEY_ROUNDS", 20_000)
}

/// Random integer: every bit length is equally likely, one in twenty is an end of the range.
fn any(rng: &mut SeededRng) -> i128 {
    match rng.between(0, 19) {
        0 => i128::MAX,
        1 => i128::MIN,
        2 => 0,
        _ => {
            let bits =
                (u128::from(rng.next()) << 64 | u128::from(rng.next())) >> rng.between(0, 127);
            bits as i128
        }
    }
}

/// Random amount that parses: up to 10^15 dollars.
fn parsable(rng: &mut SeededRng) -> i128 {
    const PICO_MAX: i128 = 1_000_000_000_000_000 * 1_000_000_000_000;
    any(rng).checked_abs().unwrap_or(0) % (PICO_MAX + 1)
}

#[test]
fn money_printed_amount_parses_to_same_amount() {
    let mut rng = SeededRng::new(1);
    for _ in 0..rounds() {
        let amount = parsable(&mut rng);
        let printed = Money::from_pico(amount).to_string();
        assert_eq!(printed, usd(amount));
        assert_eq!(pico(&printed), amount);
        assert_eq!(
            Money::parse(&printed),
            Ok(Money::from_pico(amount)),
            "{printed}"
        );
        assert_eq!(
            Money::parse(&format!(" ${printed}")),
            Ok(Money::from_pico(amount)),
            "{printed}"
        );
        let negative = Money::from_pico(-amount).to_string();
        assert_eq!(
            Money::parse_signed(&negative),
            Ok(Money::from_pico(-amount)),
            "{negative}"
        );
    }
    for end in [i128::MAX, i128::MIN] {
        assert_eq!(Money::from_pico(end).to_string(), usd(end));
    }
}

#[test]
fn money_arithmetic_is_exact_and_saturates() {
    let mut rng = SeededRng::new(2);
    for _ in 0..rounds() {
        let (one, other, times) = (
            any(&mut rng),
            any(&mut rng),
            rng.next() >> rng.between(0, 63),
        );
        let [a, b] = [one, other].map(Money::from_pico);
        let nearest = |positive: bool| if positive { i128::MAX } else { i128::MIN };
        assert_eq!(
            a.plus(b).pico(),
            one.checked_add(other).unwrap_or(nearest(one > 0)),
            "{one} + {other}"
        );
        assert_eq!(
            a.minus(b).pico(),
            one.checked_sub(other).unwrap_or(nearest(one >= 0)),
            "{one} - {other}"
        );
        let product = one
            .checked_mul(i128::from(times))
            .unwrap_or(nearest(one > 0));
        assert_eq!(a.times(times).pico(), product, "{one} × {times}");
        assert_eq!(a.plus(b), b.plus(a));
    }
}

#[test]
fn money_sum_is_independent_of_order() {
    let mut rng = SeededRng::new(3);
    for _ in 0..rounds() / 20 {
        // sums of amounts that are not negative saturate in any order
        let mut amounts: Vec<Money> = (0..rng.between(1, 40))
            .map(|_| Money::from_pico(any(&mut rng).checked_abs().unwrap_or(0)))
            .collect();
        let total: Money = amounts.iter().copied().sum();
        for last in (1..amounts.len()).rev() {
            amounts.swap(last, rng.between(0, last as u64) as usize);
        }
        let (front, back) = amounts.split_at(amounts.len() / 2);
        let [front, back]: [Money; 2] = [front, back].map(|half| half.iter().copied().sum());
        assert_eq!(front.plus(back), total);
        assert!(amounts.iter().all(|amount| *amount <= total));
    }
}

#[test]
fn cost_of_any_usage_is_sum_of_lines_and_never_negative() {
    let sheet = Sheet::embedded();
    let mut prices: Vec<Price> = ["openai", "anthropic", "gemini", "mistral", "azure"]
        .iter()
        .flat_map(|vendor| sheet.models(vendor))
        .map(|row| Price::Sheet(row.clone()))
        .collect();
    prices.extend([Price::Free, Price::fixed(u64::MAX, u64::MAX)]);
    let mut rng = SeededRng::new(4);
    let mut priced = 0;
    for round in 0..rounds() {
        let mut tokens = || rng.next() >> rng.between(0, 63);
        let usage = Usage {
            uncached_in: tokens(),
            cache_read: tokens(),
            cache_write_5m: tokens(),
            cache_write_1h: tokens(),
            cache_write_other: tokens(),
            out_total: tokens(),
            reasoning: tokens(),
            audio_in: tokens(),
            audio_cached: tokens(),
            audio_out: tokens(),
            image_out: tokens(),
            web_searches: tokens(),
            service_tier: [None, Some("flex"), Some("priority"), Some("nonsense")][round % 4]
                .map(str::to_owned),
            cache_write_12h: tokens(),
            image_in: tokens(),
            image_cached: tokens(),
            tools: vec![(ServerTool::FileSearch, tokens())],
            ..Usage::default()
        };
        let Ok(bill) = prices[round % prices.len()].cost(&usage, None) else {
            continue;
        };
        let expected = bill.lines.iter().fold(0i128, |sum, line| {
            sum.saturating_add(i128::from(line.rate_pico).saturating_mul(i128::from(line.count)))
        });
        assert_eq!(bill.total.pico(), expected, "{usage:?}: {bill:?}");
        assert!(bill.total >= Money::ZERO);
        priced += 1;
    }
    assert!(priced > rounds() / 2, "{priced} of {}", rounds());
}
