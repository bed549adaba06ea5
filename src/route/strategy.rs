//! Choice among the open candidates of one route. Takes candidates that may be asked, returns one of them and the figures that decided.

use crate::config::Strategy;
use crate::route::health::Health;
use crate::route::moment::{Moment, mix};
use crate::route::plan::Candidate;
use crate::route::turns::Turns;

/// Kind of the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    First,
    Later,
}

/// Chooses among the candidates at these indexes, all of one route and one `order`.
pub(super) fn choose(
    (strategy, turns): (Strategy, &Turns),
    candidates: &[Candidate],
    open: &[usize],
    turn: Turn,
    moment: Moment,
) -> Option<(usize, String)> {
    if let (Some(conversation), Turn::First) = (moment.conversation, turn) {
        let index = by_affinity(candidates, open, conversation)?;
        return Some((index, "affinity: the conversation's target".to_owned()));
    }
    match strategy {
        Strategy::Ordered => {
            let index = *open.first()?;
            let place = candidates[index].target.place + 1;
            let (index, _) = among_keys(turns, candidates, open, index, turn)?;
            Some((index, format!("ordered: place {place}")))
        }
        Strategy::Weighted => by_weight(turns, candidates, open, turn),
        Strategy::LeastBusy => by_calls_in_flight(turns, candidates, open, turn),
        Strategy::Fastest => by_latency(candidates, open, moment),
        Strategy::Cheapest => {
            let (index, chosen) = by_ceiling(candidates, open)?;
            let (index, _) = among_keys(turns, candidates, open, index, turn)?;
            Some((index, chosen))
        }
    }
}

/// One of these candidates by chance and weight, of those that do not cool down if there are any; changes no turn.
pub fn by_chance(candidates: &[Candidate], moment: Moment) -> Option<&Candidate> {
    let available = candidates.iter().filter(|one| one.is_available(moment));
    let mut open: Vec<&Candidate> = available.collect();
    if open.is_empty() {
        open.extend(candidates);
    }
    let total: u64 = open.iter().map(|one| one.target.share).sum();
    let mut place = moment.random % total.max(1);
    let chosen = open.iter().find(|one| {
        let is_chosen = place < one.target.share;
        place = place.saturating_sub(one.target.share);
        is_chosen
    });
    chosen.copied()
}

/// Chooses among the open API keys of one target.
fn among_keys(
    turns: &Turns,
    candidates: &[Candidate],
    open: &[usize],
    of: usize,
    turn: Turn,
) -> Option<(usize, String)> {
    let place = candidates[of].target.place;
    let of_place = |index: &usize| candidates[*index].target.place == place;
    let keys: Vec<usize> = open.iter().copied().filter(of_place).collect();
    match keys.as_slice() {
        [only] => Some((*only, String::new())),
        keys => by_weight(turns, candidates, keys, turn),
    }
}

fn by_weight(
    turns: &Turns,
    candidates: &[Candidate],
    open: &[usize],
    turn: Turn,
) -> Option<(usize, String)> {
    let turns = match turn {
        Turn::First => &turns.first,
        Turn::Later => &turns.later,
    };
    let target = |index: &usize| &candidates[*index].target;
    let number = turns.choose(
        open.iter()
            .map(|index| (target(index).turn, target(index).share)),
    )?;
    let index = *open.iter().find(|index| target(index).turn == number)?;
    let has_keys = |index: &usize| target(index).deployment.key_name().is_some();
    if open.iter().any(has_keys) {
        let total: u64 = open.iter().map(|index| target(index).share).sum();
        let percent = u128::from(target(&index).share) * 100 / u128::from(total.max(1));
        return Some((index, format!("weighted: {percent} % of the calls")));
    }
    let weights = open.iter().map(|index| u64::from(target(index).weight));
    let (weight, total) = (target(&index).weight, weights.sum::<u64>());
    Some((index, format!("weighted: weight {weight} of {total}")))
}

fn by_calls_in_flight(
    turns: &Turns,
    candidates: &[Candidate],
    open: &[usize],
    turn: Turn,
) -> Option<(usize, String)> {
    let load = |index: usize| {
        (
            in_flight(&candidates[index]),
            candidates[index].target.share,
        )
    };
    // a/x < b/y without a division
    let less = |(calls, share): (u32, u64), (other, of): (u32, u64)| {
        u128::from(calls) * u128::from(of) < u128::from(other) * u128::from(share)
    };
    let loads: Vec<(usize, (u32, u64))> = open.iter().map(|index| (*index, load(*index))).collect();
    let (_, least) = *loads
        .iter()
        .reduce(|best, one| if less(one.1, best.1) { one } else { best })?;
    let tied: Vec<usize> = loads
        .iter()
        .filter(|(_, load)| !less(least, *load))
        .map(|(index, _)| *index)
        .collect();
    let (index, _) = by_weight(turns, candidates, &tied, turn)?;
    Some((index, format!("least_busy: {} in flight", least.0)))
}

/// Power of two choices over latency × load; a deployment without a sample is tried, one call at a time.
fn by_latency(candidates: &[Candidate], open: &[usize], moment: Moment) -> Option<(usize, String)> {
    let health = |index: usize| candidates[index].target.health.as_deref();
    let latency = |index: usize| health(index).and_then(|health| health.latency_ms(moment.boot_ms));
    let is_new =
        |index: &&usize| latency(**index).is_none() && in_flight(&candidates[**index]) == 0;
    if let Some(index) = open.iter().find(is_new) {
        return Some((*index, "fastest: not measured yet".to_owned()));
    }
    let count = open.len() as u64;
    let first = open.get((moment.random % count.max(1)) as usize)?;
    let second = match count {
        1 => first,
        _ => {
            let apart = 1 + (moment.random >> 32) % (count - 1);
            &open[((moment.random % count + apart) % count) as usize]
        }
    };
    let ms = |index: usize| latency(index).unwrap_or(0.0);
    let score = |index: usize| (ms(index) + 1.0) * f64::from(in_flight(&candidates[index]) + 1);
    let (index, other) = if score(*second) < score(*first) {
        (*second, *first)
    } else {
        (*first, *second)
    };
    let figure = |index: usize| {
        format!(
            "{:.0} ms with {} in flight",
            ms(index),
            in_flight(&candidates[index])
        )
    };
    Some((
        index,
        format!("fastest: {} against {}", figure(index), figure(other)),
    ))
}

fn by_ceiling(candidates: &[Candidate], open: &[usize]) -> Option<(usize, String)> {
    let ceiling = |index: &&usize| candidates[**index].ceiling;
    let known = open.iter().filter(|index| ceiling(index).is_some());
    let cheapest = known.min_by_key(ceiling);
    match cheapest.and_then(|index| Some((*index, candidates[*index].ceiling?))) {
        Some((index, ceiling)) => Some((index, format!("cheapest: at most ${ceiling}"))),
        None => Some((*open.first()?, "cheapest: no price is known".to_owned())),
    }
}

/// Rendezvous hashing: a conversation keeps its target while it is open, and only those of a closed one move.
fn by_affinity(candidates: &[Candidate], open: &[usize], conversation: u64) -> Option<usize> {
    let score = |index: &usize| {
        let target = &candidates[*index].target;
        let hash = mix(conversation ^ mix(target.turn as u64 + 1));
        // uniform in (0, 1)
        let uniform = (hash >> 11) as f64 / (1_u64 << 53) as f64 + f64::EPSILON;
        -(target.share as f64) / uniform.ln()
    };
    open.iter()
        .copied()
        .max_by(|one, other| score(one).total_cmp(&score(other)))
}

fn in_flight(candidate: &Candidate) -> u32 {
    candidate
        .target
        .health
        .as_deref()
        .map_or(0, Health::in_flight)
}
