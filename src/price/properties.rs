//! Properties of prices that must hold for each row of the sheet, tier, place and usage, checked
//! with a generator of fixed seed.

use super::*;
use crate::domain::cost_line::{CostLine, LineUnit};
use crate::domain::input_bound::InputBound;
use crate::domain::money::Money;
use crate::domain::server_tool::ServerTool;
use crate::domain::usage::{CacheLifetime, Usage};

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

    /// Usage of at most this many tokens on either side.
    fn usage(&mut self, in_max: u64, out_max: u64) -> Usage {
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
            cache_write_12h: part(self),
            cache_write_other: part(self),
            ..Usage::default()
        };
        usage.uncached_in = left;
        usage.out_total = self.up_to(out_max);
        usage.reasoning = self.up_to(usage.out_total);
        usage.image_out = self.up_to(usage.out_total);
        usage.audio_out = self.up_to(usage.out_total);
        usage
    }

    /// Adds shares of sound and images to the input.
    fn add_media(&mut self, usage: &mut Usage, bound: &InputBound) {
        if bound.audio {
            usage.audio_in = self.up_to(usage.uncached_in);
            usage.audio_cached = self.up_to(usage.cache_read);
        }
        if bound.images > 0 {
            usage.image_in = self.up_to(usage.uncached_in);
            usage.image_cached = self.up_to(usage.cache_read);
        }
    }
}

const TIERS: [&str; 9] = [
    "default",
    "flex",
    "batch",
    "priority",
    "ultrafast",
    "fast",
    "FAST",
    "inference_geo=us",
    "fast+inference_geo=us",
];

const TOOLS: [(ServerTool, u64); 2] = [(ServerTool::FileSearch, 2), (ServerTool::GoogleMaps, 3)];

const LIFETIMES: [CacheLifetime; 3] = [
    CacheLifetime::Shortest,
    CacheLifetime::Hour,
    CacheLifetime::HalfDay,
];

/// One priced row with its places, and those that an operator could configure.
struct Case {
    price: Price,
    places: Vec<Option<String>>,
}

fn cases() -> Vec<Case> {
    let sheet = Sheet::embedded();
    let rows = sheet.rows().filter(|row| row.is_priced());
    let mut cases: Vec<Case> = rows
        .map(|row| Case {
            price: Price::Sheet(row.clone()),
            places: [None, Some("eu"), Some("gov"), Some("ap-east-1")]
                .into_iter()
                .map(|place| place.map(str::to_owned))
                .chain(row.place_names().into_iter().map(Some))
                .collect(),
        })
        .collect();
    // the order of a hash map differs between runs
    cases.sort_by_key(|case| {
        format!(
            "{:?}",
            case.price.row().map(|row| (&row.vendor, &row.model))
        )
    });
    cases
}

/// Listed prices, and an operator's own over every seventh of them.
fn cases_with_own_prices() -> Vec<Case> {
    let mut cases = cases();
    let own: Vec<Case> = cases.iter().step_by(7).filter_map(own_price).collect();
    assert!(own.len() > 50, "{}", own.len());
    cases.extend(own);
    cases
}

/// Prices of an operator over a row: a discount, or rates of every class with a fee for each request.
fn own_price(case: &Case) -> Option<Case> {
    let row = case.price.shared_row()?;
    let rates: Vec<(&str, u64)> = OwnRates::names()
        .zip([2_000_000, 9_000_000].into_iter().cycle())
        .collect();
    let is_discount = row.model.len() % 2 == 0;
    let price = OwnPrice {
        rates: (!is_discount).then(|| OwnRates::new(&rates, 1_000_000_000)),
        factor: if is_discount {
            Factor::parse("0.85")?
        } else {
            Factor::ONE
        },
        row: Some(row.clone()),
        is_reported: false,
    };
    Some(Case {
        price: Price::Own(price.into()),
        places: case.places.clone(),
    })
}

fn context<'a>(rng: &mut SeededRng, place: &'a Option<String>) -> PricingContext<'a> {
    let tier = rng.one_of(&TIERS);
    PricingContext {
        tier: rng.one_of(&[None, Some(tier)]),
        place: place.as_deref(),
        search_tool: rng.one_of(&[
            None,
            Some(ServerTool::WebSearch),
            Some(ServerTool::GoogleSearch),
        ]),
        cache_lifetime: rng.one_of(&LIFETIMES),
    }
}

#[test]
fn cost_within_bounds_never_exceeds_the_ceiling_at_any_place() {
    let cases = cases_with_own_prices();
    let mut rng = SeededRng(0x9E37_79B9_7F4A_7C15);
    let mut checked = 0;
    for round in 0..cases.len() * 80 {
        let case = &cases[round % cases.len()];
        let place = rng.one_of(&case.places);
        let tools = rng.one_of(&[&TOOLS[..0], &TOOLS[..0], &TOOLS[..1], &TOOLS[..]]);
        let context = context(&mut rng, &place);
        let bound = InputBound {
            text_bytes: rng.up_to(600_000),
            searches: rng.one_of(&[0, 0, 3]),
            hosted_uses: tools.to_vec(),
            audio: rng.one_of(&[false, true]),
            images: rng.one_of(&[0, 2]),
            ..InputBound::default()
        };
        let (cap, choices) = (rng.up_to(100_000), rng.one_of(&[1, 4]));
        let Ok(ceiling) = case.price.ceiling(&bound, cap, choices, context) else {
            continue;
        };
        // results of searches count as input up to the window; the bytes alone are within it
        let window = case.price.context().unwrap_or(u64::MAX);
        let mut usage = rng.usage(bound.text_bytes.min(window), cap * choices);
        rng.add_media(&mut usage, &bound);
        usage.web_searches = rng.up_to(bound.searches);
        usage.tools = tools.to_vec();
        usage.service_tier = rng
            .one_of(&[None, context.tier, Some("standard")])
            .map(str::to_owned);
        let bill = case.price.cost(&usage, context).expect("a price");
        assert!(
            bill.total <= ceiling,
            "{:?} {context:?} {bound:?} {cap}: {bill:?} over {ceiling}",
            case.price
        );
        checked += 1;
    }
    assert!(checked > 10_000, "{checked}");
}

#[test]
fn cost_is_the_sum_of_its_lines_and_each_line_has_a_card() {
    let cases = cases_with_own_prices();
    let mut rng = SeededRng(5);
    for round in 0..cases.len() * 20 {
        let case = &cases[round % cases.len()];
        let place = rng.one_of(&case.places);
        let context = context(&mut rng, &place);
        let mut usage = rng.usage(700_000, 100_000);
        usage.web_searches = rng.up_to(5);
        usage.tools = TOOLS.to_vec();
        let bill = case.price.cost(&usage, context).expect("a price");
        let amounts = bill.lines.iter().map(CostLine::amount);
        assert_eq!(amounts.sum::<Money>(), bill.total, "{bill:?}");
        let tokens = bill
            .lines
            .iter()
            .filter(|line| line.unit == LineUnit::Token);
        let counted: u64 = tokens.map(|line| line.count).sum();
        assert!(counted <= usage.in_total() + usage.out_total, "{bill:?}");
        for line in &bill.lines {
            let card = line.card.as_ref().expect("a card");
            assert!(!card.tier.is_empty() && !card.model.is_empty());
        }
    }
}

#[test]
fn cost_is_monotonic_in_every_count() {
    let cases = cases_with_own_prices();
    let mut rng = SeededRng(7);
    for round in 0..cases.len() * 40 {
        let case = &cases[round % cases.len()];
        let place = rng.one_of(&case.places);
        let context = context(&mut rng, &place);
        let usage = rng.usage(400_000, 50_000);
        let mut more = usage.clone();
        let added = rng.up_to(300_000);
        let counts = [
            &mut more.uncached_in,
            &mut more.cache_read,
            &mut more.cache_write_5m,
            &mut more.cache_write_1h,
            &mut more.cache_write_12h,
            &mut more.cache_write_other,
            &mut more.out_total,
            &mut more.web_searches,
        ];
        let at = (rng.next() % counts.len() as u64) as usize;
        for count in counts.into_iter().skip(at).take(1) {
            *count += added;
        }
        let cost = |usage: &Usage| case.price.cost(usage, context).expect("a price").total;
        assert!(
            cost(&usage) <= cost(&more),
            "{:?} {context:?}: {usage:?} costs more than {more:?}",
            case.price
        );
    }
}

#[test]
fn no_class_is_cheaper_than_the_cheapest_rate_of_its_card() {
    let cases = cases();
    let mut rng = SeededRng(11);
    for round in 0..cases.len() * 20 {
        let case = &cases[round % cases.len()];
        let Some(row) = case.price.row() else {
            continue;
        };
        let place = rng.one_of(&case.places);
        let context = context(&mut rng, &place);
        let mut usage = rng.usage(400_000, 50_000);
        usage.service_tier = Some(
            rng.one_of(&["scale", "standard", "flex", "Priority"])
                .to_owned(),
        );
        let lowest = row.lowest_rate(usage.in_total(), place.as_deref());
        let bill = case.price.cost(&usage, context).expect("a price");
        let tokens = bill
            .lines
            .iter()
            .filter(|line| line.unit == LineUnit::Token);
        for line in tokens {
            assert!(line.rate_pico >= lowest, "{} is below {lowest}", line);
        }
    }
}

#[test]
fn unknown_tier_word_costs_at_least_as_much_as_every_listed_tier() {
    let cases = cases();
    let mut rng = SeededRng(13);
    for case in &cases {
        let mut usage = rng.usage(400_000, 50_000);
        let mut cost = |tier: &str| {
            usage.service_tier = Some(tier.to_owned());
            case.price.cost(&usage, None).expect("a price")
        };
        let unknown = cost("scale");
        assert!(unknown.rates_estimated);
        for tier in ["standard", "flex", "batch", "priority", "ultrafast", "auto"] {
            assert!(cost(tier).total <= unknown.total, "{:?} {tier}", case.price);
        }
    }
}
