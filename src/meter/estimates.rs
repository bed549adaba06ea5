//! Token estimates for calls without reported usage: bytes divided by a ratio learned from the same model's reports. Never a
//! basis of exact money. A tokenizer would cost about 50 MB of memory for a value needed only when a stream breaks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Bytes per token before anything is learned.
const BYTES_PER_TOKEN_DEFAULT: f64 = 3.0;
const BYTES_PER_TOKEN_MIN: f64 = 1.5;
const BYTES_PER_TOKEN_MAX: f64 = 6.0;
/// Shorter responses are too imprecise to learn from.
const LEARNED_TOKENS_MIN: u64 = 20;
/// Maximum number of models with a learned ratio; further models use the default.
const MODELS_MAX: usize = 4_096;

/// Size of delivered text; Chinese, Japanese and Korean characters count separately, as one token each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextSize {
    pub bytes: u64,
    pub cjk_chars: u64,
}

/// Learned bytes per output token, by provider and model.
#[derive(Default)]
pub struct Estimates(Mutex<Learned>);

#[derive(Default)]
struct Learned {
    by_provider: HashMap<String, HashMap<String, f64>>,
    models: usize,
}

impl Learned {
    fn ratio(&mut self, provider: &str, model: &str) -> Option<&mut f64> {
        self.by_provider.get_mut(provider)?.get_mut(model)
    }

    /// Keeps the first ratio of a model, while there is room.
    fn insert(&mut self, provider: &str, model: &str, ratio: f64) {
        if self.models < MODELS_MAX {
            let models = self.by_provider.entry(provider.to_owned()).or_default();
            models.insert(model.to_owned(), ratio);
            self.models += 1;
        }
    }
}

impl Estimates {
    /// Updates the ratio from a complete response and its reported output tokens.
    pub fn learn(&self, provider: &str, model: &str, text: TextSize, tokens: u64) {
        let plain = text.bytes.saturating_sub(text.cjk_chars * 3);
        if tokens < LEARNED_TOKENS_MIN || text.cjk_chars > 0 || plain == 0 {
            return;
        }
        let observed =
            (plain as f64 / tokens as f64).clamp(BYTES_PER_TOKEN_MIN, BYTES_PER_TOKEN_MAX);
        let mut learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match learned.ratio(provider, model) {
            Some(ratio) => *ratio += (observed - *ratio) * 0.1,
            None => learned.insert(provider, model, observed),
        }
    }

    /// Estimated tokens of a text, rounded up.
    pub fn tokens(&self, provider: &str, model: &str, text: TextSize) -> u64 {
        let mut learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ratio = learned.ratio(provider, model).copied();
        let ratio = ratio.unwrap_or(BYTES_PER_TOKEN_DEFAULT);
        let plain = text.bytes.saturating_sub(text.cjk_chars * 3);
        (plain as f64 / ratio).ceil() as u64 + text.cjk_chars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimate_starts_at_three_bytes_per_token_and_learns_within_bounds() {
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
            "at most six bytes per token"
        );
    }
}
