//! Parts of the semantic step alone: CPU time of this thread for an embedding, a search of 10,000 vectors and a judgement of the guards.

use std::hint::black_box;
use std::time::Duration;

use gatekeeper::cache::embedder::{Embedder, Vector};
use gatekeeper::cache::guards::{self, Strictness};
use gatekeeper::cache::search::VectorIndex;

const ENTRIES: u32 = 10_000;
const TURNS: usize = 21;

/// Prints the figures; nothing without the embedder.
pub fn report() {
    let Some(embedder) = Embedder::load() else {
        return println!("SKIPPED steps of the semantic cache: built without the embedder");
    };
    println!("| step                             | CPU ms | goal ms |");
    println!("|----------------------------------|-------:|--------:|");
    for words in [5, 18, 60, 120] {
        let text = text_of(words);
        let cpu = median(|| {
            black_box(embedder.embed(&text));
        });
        let goal = if words == 18 { "10" } else { "" };
        row(&format!("embedding of {words} words"), cpu, goal);
    }
    let mut index = VectorIndex::default();
    for id in 0..ENTRIES {
        index.insert(id, &vector(id));
    }
    let asked = embedder.embed(&text_of(12)).expect("a vector");
    let search = median(|| {
        black_box(index.nearest(&asked, -1.0, 5));
    });
    row(&format!("search of {ENTRIES} entries"), search, "0.3");
    let is_word = |word: &str| embedder.is_word(word);
    let pair = (
        "What is the capital of France?",
        "what is the capitol of france please",
    );
    let judged = median(|| {
        black_box(guards::refusal(
            pair.1,
            pair.0,
            Strictness::Strict,
            &is_word,
        ));
    });
    row("guards, one pair", judged, "");
}

fn row(name: &str, cpu: Duration, goal: &str) {
    println!(
        "| {name:<32} | {:>6.3} | {goal:>7} |",
        cpu.as_secs_f64() * 1e3
    );
}

/// A text of words that are one token each.
fn text_of(words: usize) -> String {
    let some = [
        "the", "old", "bridge", "over", "this", "river", "was", "built", "in", "winter",
    ];
    let words: Vec<&str> = some.iter().copied().cycle().take(words).collect();
    words.join(" ")
}

/// Any vector, different for each number.
fn vector(number: u32) -> Vector {
    let mut state = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let bytes: Vec<u8> = (0..Vector::BYTES)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect();
    Vector::from_bytes(&bytes).expect("as many bytes as a vector has")
}

fn median(work: impl Fn()) -> Duration {
    let mut times: Vec<Duration> = (0..TURNS).map(|_| timed(&work)).collect();
    times.sort();
    times[TURNS / 2]
}

fn timed(work: impl Fn()) -> Duration {
    let start = cpu_time();
    work();
    cpu_time() - start
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
