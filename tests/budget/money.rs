//! Money as arithmetic: what holds for every amount, tried with seeded amounts of every size up to the ends of the range.

use gatekeeper::domain::money::Money;
use gatekeeper::domain::usage::Usage;
use gatekeeper::price::{Price, Sheet};

use super::call::SeededRng;
use crate::harness::{pico, repetitions, usd};

fn rounds() -> usize {
    repetitions("GK_MONEY_ROUNDS", 20_000)
}

/// Any integer: of every length in bits alike, and the ends of the range now and then.
fn any(seeded: &mut SeededRng) -> i128 {
    match seeded.between(0, 19) {
        0 => i128::MAX,
        1 => i128::MIN,
        2 => 0,
        _ => {
            let bits = (u128::from(seeded.next()) << 64 | u128::from(seeded.next()))
                >> seeded.between(0, 127);
            bits as i128
        }
    }
}

/// An amount that somebody could write: up to ten to the fifteen dollars, to the last digit.
fn written(seeded: &mut SeededRng) -> i128 {
    const MOST: i128 = 1_000_000_000_000_000 * 1_000_000_000_000;
    any(seeded).checked_abs().unwrap_or(0) % (MOST + 1)
}

#[test]
fn what_is_printed_reads_back_to_the_last_digit() {
    let mut seeded = SeededRng::new(1);
    for _ in 0..rounds() {
        let amount = written(&mut seeded);
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
fn sums_are_exact_where_there_is_room_and_stop_at_the_ends_where_there_is_none() {
    let mut seeded = SeededRng::new(2);
    for _ in 0..rounds() {
        let (one, other, times) = (
            any(&mut seeded),
            any(&mut seeded),
            seeded.next() >> seeded.between(0, 63),
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
fn the_order_of_what_is_spent_changes_no_sum() {
    let mut seeded = SeededRng::new(3);
    for _ in 0..rounds() / 20 {
        // none is negative: so it holds at the end of the range too
        let mut amounts: Vec<Money> = (0..seeded.between(1, 40))
            .map(|_| Money::from_pico(any(&mut seeded).checked_abs().unwrap_or(0)))
            .collect();
        let total: Money = amounts.iter().copied().sum();
        for last in (1..amounts.len()).rev() {
            amounts.swap(last, seeded.between(0, last as u64) as usize);
        }
        let (front, back) = amounts.split_at(amounts.len() / 2);
        let [front, back]: [Money; 2] = [front, back].map(|half| half.iter().copied().sum());
        assert_eq!(front.plus(back), total);
        assert!(amounts.iter().all(|amount| *amount <= total));
    }
}

#[test]
fn a_cost_is_the_sum_of_its_lines_and_never_negative_whatever_an_upstream_reports() {
    let sheet = Sheet::embedded();
    let mut prices: Vec<Price> = ["openai", "anthropic", "gemini", "mistral", "azure"]
        .iter()
        .flat_map(|vendor| sheet.models(vendor))
        .map(|row| Price::Sheet(row.clone()))
        .collect();
    prices.extend([
        Price::Free,
        Price::Fixed {
            input: u64::MAX,
            output: u64::MAX,
        },
    ]);
    let mut seeded = SeededRng::new(4);
    let mut priced = 0;
    for round in 0..rounds() {
        let mut tokens = || seeded.next() >> seeded.between(0, 63);
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
        };
        let Ok(bill) = prices[round % prices.len()].cost(&usage, None) else {
            continue;
        };
        let by_hand = bill.lines.iter().fold(0i128, |sum, line| {
            sum.saturating_add(i128::from(line.rate_pico).saturating_mul(i128::from(line.count)))
        });
        assert_eq!(bill.total.pico(), by_hand, "{usage:?}: {bill:?}");
        assert!(bill.total >= Money::ZERO);
        priced += 1;
    }
    assert!(priced > rounds() / 2, "{priced} of {}", rounds());
}
