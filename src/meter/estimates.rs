//! What a call used when nobody said so: tokens from bytes, by what the same model's own reports have taught. No tokenizer
//! (it would add some 50 MB of memory for a guess that is only needed when a stream breaks).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Bytes per token where nothing is learned yet.
const DEFAULT: f64 = 3.0;
const LEAST: f64 = 1.5;
const MOST: f64 = 6.0;
/// Shorter answers teach little.
const LESSON_TOKENS_MIN: u64 = 20;
/// Models remembered; beyond it new ones get the default.
const MODELS_MAX: usize = 4_096;

/// Bytes of text that was delivered, and how many of its characters are Chinese, Japanese or Korean (a token each).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextSize {
    pub bytes: u64,
    pub cjk_chars: u64,
}

/// Learned bytes per output token, by provider and model. An estimate, never money.
#[derive(Default)]
pub struct Estimates(Mutex<HashMap<String, f64>>);

impl Estimates {
    /// Takes a finished answer's own report as a lesson.
    pub fn learn(&self, provider: &str, model: &str, text: TextSize, tokens: u64) {
        let plain = text.bytes.saturating_sub(text.cjk_chars * 3);
        if tokens < LESSON_TOKENS_MIN || text.cjk_chars > 0 || plain == 0 {
            return;
        }
        let seen = (plain as f64 / tokens as f64).clamp(LEAST, MOST);
        let mut learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = learned.len() >= MODELS_MAX;
        let name = format!("{provider}/{model}");
        match learned.get_mut(&name) {
            Some(ratio) => *ratio += (seen - *ratio) * 0.1,
            None if !full => {
                learned.insert(name, seen);
            }
            None => {}
        }
    }

    /// Tokens that this much text comes to, rounded up.
    pub fn tokens(&self, provider: &str, model: &str, text: TextSize) -> u64 {
        let learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ratio = learned
            .get(&format!("{provider}/{model}"))
            .copied()
            .unwrap_or(DEFAULT);
        let plain = text.bytes.saturating_sub(text.cjk_chars * 3);
        (plain as f64 / ratio).ceil() as u64 + text.cjk_chars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_starts_at_three_bytes_and_learns_within_bounds() {
        let estimates = Estimates::default();
        let text = |bytes| TextSize {
            bytes,
            cjk_chars: 0,
        };
        assert_eq!(estimates.tokens("p", "m", text(300)), 100);
        assert_eq!(
            estimates.tokens(
                "p",
                "m",
                TextSize {
                    bytes: 30,
                    cjk_chars: 10
                }
            ),
            10
        );
        estimates.learn("p", "m", text(400), 100);
        assert_eq!(estimates.tokens("p", "m", text(400)), 100);
        for _ in 0..1_000 {
            estimates.learn("p", "m", text(100_000), 100);
        }
        assert_eq!(
            estimates.tokens("p", "m", text(600)),
            101,
            "never above six bytes a token"
        );
    }
}
