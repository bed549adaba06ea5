//! What `usageMetadata` says, in the canonical shape (WIRE.md 2.12): the prompt includes what the cache served, the candidates
//! exclude the thoughts, what tools of the vendor's own read is told beside both. Of each field the last value counts.

use serde::Deserialize;

use crate::dialect::count::Count;
use crate::domain::usage::{Report, Usage};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GeminiUsage {
    prompt_token_count: Count,
    cached_content_token_count: Count,
    tool_use_prompt_token_count: Count,
    candidates_token_count: Count,
    thoughts_token_count: Count,
    prompt_tokens_details: Option<Vec<Modality>>,
    cache_tokens_details: Option<Vec<Modality>>,
    candidates_tokens_details: Option<Vec<Modality>>,
    pub(super) service_tier: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Modality {
    modality: Option<String>,
    token_count: Count,
}

impl GeminiUsage {
    pub(super) fn then(&mut self, later: GeminiUsage) {
        self.prompt_token_count.then(later.prompt_token_count);
        self.cached_content_token_count.then(later.cached_content_token_count);
        self.tool_use_prompt_token_count.then(later.tool_use_prompt_token_count);
        self.candidates_token_count.then(later.candidates_token_count);
        self.thoughts_token_count.then(later.thoughts_token_count);
        self.prompt_tokens_details = later.prompt_tokens_details.or(self.prompt_tokens_details.take());
        self.cache_tokens_details = later.cache_tokens_details.or(self.cache_tokens_details.take());
        self.candidates_tokens_details = later.candidates_tokens_details.or(self.candidates_tokens_details.take());
        self.service_tier = later.service_tier.or(self.service_tier.take());
    }

    /// Whether the answer's own tokens were counted.
    pub(super) fn output_said(&self) -> bool {
        self.candidates_token_count != Count::Unsaid
    }

    pub(super) fn report(&self) -> Report {
        let counts = [
            self.prompt_token_count,
            self.cached_content_token_count,
            self.tool_use_prompt_token_count,
            self.candidates_token_count,
            self.thoughts_token_count,
        ];
        let sounds = [&self.prompt_tokens_details, &self.cache_tokens_details, &self.candidates_tokens_details].map(sound);
        if counts.iter().chain(&sounds).any(|count| *count == Count::Lie) {
            return Report::Lying;
        }
        if counts.iter().all(|count| *count == Count::Unsaid) {
            return Report::Missing;
        }
        let [prompt, cache_read, tool_use, candidates, thoughts] = counts.map(Count::tokens);
        let [sound_in, sound_cached, sound_out] = sounds.map(Count::tokens);
        let uncached_in = prompt.saturating_sub(cache_read).saturating_add(tool_use);
        let out_total = candidates.saturating_add(thoughts);
        Report::Reported(Usage {
            uncached_in,
            cache_read,
            out_total,
            reasoning: thoughts,
            audio_in: sound_in.saturating_sub(sound_cached).min(uncached_in),
            audio_out: sound_out.min(out_total),
            service_tier: self.service_tier.clone(),
            ..Usage::default()
        })
    }
}

/// The tokens of sound, which have a price of their own; other media cost what text costs.
fn sound(details: &Option<Vec<Modality>>) -> Count {
    let mut sound = Count::Unsaid;
    for detail in details.iter().flatten().filter(|detail| detail.modality.as_deref() == Some("AUDIO")) {
        sound.then(detail.token_count);
    }
    sound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(json: &str) -> Report {
        let usage: GeminiUsage = serde_json::from_str(json).expect("usage");
        usage.report()
    }

    #[test]
    fn every_token_is_in_one_class() {
        let all = r#"{"promptTokenCount":100,"cachedContentTokenCount":40,"toolUsePromptTokenCount":7,"candidatesTokenCount":20,
            "thoughtsTokenCount":5,"totalTokenCount":132,"serviceTier":"flex",
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":70},{"modality":"AUDIO","tokenCount":30}],
            "cacheTokensDetails":[{"modality":"AUDIO","tokenCount":10}],
            "candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":3}]}"#;
        let expected = Usage {
            uncached_in: 67,
            cache_read: 40,
            out_total: 25,
            reasoning: 5,
            audio_in: 20,
            audio_out: 3,
            service_tier: Some("flex".into()),
            ..Usage::default()
        };
        assert_eq!(report(all), Report::Reported(expected));
    }

    #[test]
    fn what_is_not_said_is_missing_and_what_cannot_be_is_a_lie() {
        assert_eq!(report("{}"), Report::Missing);
        assert_eq!(report(r#"{"promptTokenCount":null,"promptTokensDetails":null}"#), Report::Missing);
        for lie in ["-1", "1.5", "\"7\"", "[]", "1e30", "99999999999"] {
            assert_eq!(report(&format!(r#"{{"promptTokenCount":3,"candidatesTokenCount":{lie}}}"#)), Report::Lying, "{lie}");
        }
        assert_eq!(
            report(r#"{"promptTokenCount":3,"cachedContentTokenCount":5}"#),
            Report::Reported(Usage { cache_read: 5, ..Usage::default() })
        );
    }

    #[test]
    fn the_last_value_of_each_field_counts() {
        let mut usage: GeminiUsage =
            serde_json::from_str(r#"{"promptTokenCount":10,"thoughtsTokenCount":4,"serviceTier":"standard"}"#).expect("usage");
        usage.then(serde_json::from_str(r#"{"promptTokenCount":11,"candidatesTokenCount":2}"#).expect("usage"));
        let tier = Some("standard".to_owned());
        let expected = Usage { uncached_in: 11, out_total: 6, reasoning: 4, service_tier: tier, ..Usage::default() };
        assert_eq!(usage.report(), Report::Reported(expected));
    }
}
