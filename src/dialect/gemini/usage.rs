//! Converts Gemini's `usageMetadata` to canonical usage. The prompt count includes cached tokens;
//! the candidates count excludes thoughts; tokens read by Gemini's own tools are counted apart from
//! both. The last value of each field counts. An invalid count must never be taken for zero.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess};

use crate::dialect::wire::count::Count;
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, skip};
use crate::domain::usage::{ReportedUsage, Usage};

#[derive(Clone, Debug, Default)]
pub(super) struct GeminiUsage {
    prompt: Count,
    cached: Count,
    tool_use: Count,
    candidates: Count,
    thoughts: Count,
    total: Count,
    /// audio and generated images have rates of their own; other media cost the same as text
    audio_in: Count,
    audio_cached: Count,
    audio_out: Count,
    image_out: Count,
    pub(super) service_tier: Option<String>,
}

impl FieldVisitor for GeminiUsage {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "promptTokenCount" => self.prompt.then(Count::optional(map)?),
            "cachedContentTokenCount" => self.cached.then(Count::optional(map)?),
            "toolUsePromptTokenCount" => self.tool_use.then(Count::optional(map)?),
            "candidatesTokenCount" => self.candidates.then(Count::optional(map)?),
            "totalTokenCount" => self.total.then(Count::optional(map)?),
            "thoughtsTokenCount" => self.thoughts.then(Count::optional(map)?),
            "promptTokensDetails" => self.audio_in.then(modality_counts(map)?.audio),
            "cacheTokensDetails" => self.audio_cached.then(modality_counts(map)?.audio),
            "candidatesTokensDetails" => {
                let counts = modality_counts(map)?;
                self.audio_out.then(counts.audio);
                self.image_out.then(counts.image);
            }
            "serviceTier" => {
                if let Leaf::Text(tier) = map.next_value()? {
                    self.service_tier = Some(tier.into_owned());
                }
            }
            _ => skip(map)?,
        }
        Ok(())
    }

    fn other(&mut self) {
        self.prompt = Count::Invalid;
    }
}

impl<'de> Deserialize<'de> for GeminiUsage {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<GeminiUsage, D::Error> {
        let mut usage = GeminiUsage::default();
        ObjectSeed(&mut usage).deserialize(json)?;
        Ok(usage)
    }
}

/// Token counts by modality (`promptTokensDetails` and others).
#[derive(Default)]
struct ModalityCounts {
    modality: Modality,
    tokens: Count,
    audio: Count,
    image: Count,
}

#[derive(Clone, Copy, Default)]
enum Modality {
    Audio,
    Image,
    #[default]
    Other,
}

impl Modality {
    fn parse(name: Option<&str>) -> Modality {
        match name {
            Some("AUDIO") => Modality::Audio,
            Some("IMAGE") => Modality::Image,
            _ => Modality::Other,
        }
    }
}

impl FieldVisitor for ModalityCounts {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "modality" => self.modality = Modality::parse(map.next_value::<Leaf<'_>>()?.text()),
            "tokenCount" => self.tokens = Count::optional(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn end(&mut self) {
        let tokens = std::mem::take(&mut self.tokens);
        match std::mem::take(&mut self.modality) {
            Modality::Audio => self.audio.then(tokens),
            Modality::Image => self.image.then(tokens),
            Modality::Other => {}
        }
    }

    fn other(&mut self) {
        self.audio = Count::Invalid;
    }
}

fn modality_counts<'de, A: MapAccess<'de>>(map: &mut A) -> Result<ModalityCounts, A::Error> {
    let mut counts = ModalityCounts::default();
    map.next_value_seed(ElementsSeed(&mut counts))?;
    Ok(counts)
}

impl GeminiUsage {
    /// Takes the fields that `later` reports.
    pub(super) fn merge(&mut self, later: GeminiUsage) {
        self.prompt.then(later.prompt);
        self.cached.then(later.cached);
        self.tool_use.then(later.tool_use);
        self.candidates.then(later.candidates);
        self.thoughts.then(later.thoughts);
        self.total.then(later.total);
        self.audio_in.then(later.audio_in);
        self.audio_cached.then(later.audio_cached);
        self.audio_out.then(later.audio_out);
        self.image_out.then(later.image_out);
        self.service_tier = later.service_tier.or(self.service_tier.take());
    }

    pub(super) fn report(&self) -> ReportedUsage {
        let counts = [
            self.prompt,
            self.cached,
            self.tool_use,
            self.candidates,
            self.thoughts,
        ];
        let media = [
            self.audio_in,
            self.audio_cached,
            self.audio_out,
            self.image_out,
        ];
        if counts
            .iter()
            .chain(&media)
            .any(|count| *count == Count::Invalid)
        {
            return ReportedUsage::Invalid;
        }
        let [prompt, cache_read, tool_use, candidates, thoughts] = counts.map(Count::tokens);
        let [audio_in, audio_cached, audio_out, image_out] = media.map(Count::tokens);
        let mut out_total = candidates.saturating_add(thoughts);
        if self.prompt.is_reported() && self.candidates.is_reported() {
            // tokens of a total that exceeds its parts are output
            out_total += self.total.beyond(&[prompt, tool_use, out_total]);
        }
        let mut usage = Usage {
            cache_read,
            out_total,
            reasoning: thoughts,
            audio_cached: audio_cached.min(cache_read),
            audio_out: audio_out.min(out_total),
            image_out: image_out.min(out_total),
            service_tier: self.service_tier.clone(),
            ..Usage::default()
        };
        if self.prompt.is_reported() {
            usage.clamp_to_prompt(prompt);
        }
        usage.uncached_in = usage.uncached_in.saturating_add(tool_use);
        let audio_in = audio_in.saturating_sub(audio_cached);
        usage.audio_in = audio_in.min(usage.uncached_in);
        ReportedUsage::of(
            usage,
            self.prompt.is_reported(),
            self.candidates.is_reported(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::usage::Side;

    fn report(json: &str) -> ReportedUsage {
        let usage: GeminiUsage = serde_json::from_str(json).expect("usage");
        usage.report()
    }

    #[test]
    fn gemini_usage_counts_every_token_in_one_class() {
        let all = r#"{"promptTokenCount":100,"cachedContentTokenCount":40,"toolUsePromptTokenCount":7,"candidatesTokenCount":20,
            "thoughtsTokenCount":5,"totalTokenCount":132,"serviceTier":"flex",
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":70},{"modality":"AUDIO","tokenCount":30}],
            "cacheTokensDetails":[{"modality":"AUDIO","tokenCount":10}],
            "candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":3},{"modality":"IMAGE","tokenCount":11},
                {"modality":"TEXT","tokenCount":6}]}"#;
        let expected = Usage {
            uncached_in: 67,
            cache_read: 40,
            out_total: 25,
            reasoning: 5,
            audio_in: 20,
            audio_cached: 10,
            audio_out: 3,
            image_out: 11,
            service_tier: Some("flex".into()),
            ..Usage::default()
        };
        assert_eq!(report(all), ReportedUsage::Complete(expected));
    }

    #[test]
    fn gemini_usage_absent_counts_are_missing_and_bad_counts_invalid() {
        assert_eq!(report("{}"), ReportedUsage::Missing);
        assert_eq!(
            report(r#"{"promptTokenCount":null,"promptTokensDetails":null}"#),
            ReportedUsage::Missing
        );
        for invalid in ["-1", "1.5", "\"7\"", "[]", "1e30", "99999999999"] {
            assert_eq!(
                report(&format!(
                    r#"{{"promptTokenCount":3,"candidatesTokenCount":{invalid}}}"#
                )),
                ReportedUsage::Invalid,
                "{invalid}"
            );
        }
        for invalid in ["5", "\"x\"", "[]", "-3", "true"] {
            assert_eq!(report(invalid), ReportedUsage::Invalid, "{invalid}");
        }
        for field in [
            r#""promptTokensDetails":"x""#,
            r#""cacheTokensDetails":[5]"#,
            r#""candidatesTokensDetails":7"#,
        ] {
            assert_eq!(
                report(&format!("{{{field}}}")),
                ReportedUsage::Invalid,
                "{field}"
            );
        }
        let partial = |usage, missing| ReportedUsage::Partial { usage, missing };
        for (json, expected) in [
            (
                r#"{"promptTokenCount":3}"#,
                partial(
                    Usage {
                        uncached_in: 3,
                        ..Usage::default()
                    },
                    Side::Output,
                ),
            ),
            (
                r#"{"candidatesTokenCount":3}"#,
                partial(
                    Usage {
                        out_total: 3,
                        ..Usage::default()
                    },
                    Side::Input,
                ),
            ),
            (
                r#"{"promptTokensDetails":[{"modality":5,"tokenCount":1}],"serviceTier":5}"#,
                ReportedUsage::Missing,
            ),
        ] {
            assert_eq!(report(json), expected, "{json}");
        }
        assert_eq!(
            report(
                r#"{"promptTokenCount":3,"cachedContentTokenCount":5,"candidatesTokenCount":0}"#
            ),
            ReportedUsage::Complete(Usage {
                cache_read: 3,
                is_clamped: true,
                ..Usage::default()
            })
        );
    }

    #[test]
    fn gemini_usage_counts_generated_images_reported_late_in_a_stream() {
        let mut usage: GeminiUsage = serde_json::from_str(
            r#"{"promptTokenCount":268,"candidatesTokenCount":10,"promptTokensDetails":[{"modality":"IMAGE","tokenCount":258}],
                "candidatesTokensDetails":[{"modality":"TEXT","tokenCount":10}]}"#,
        )
        .expect("usage");
        let text = Usage {
            uncached_in: 268,
            out_total: 10,
            ..Usage::default()
        };
        assert_eq!(usage.report(), ReportedUsage::Complete(text.clone()));
        let last = r#"{"candidatesTokenCount":1300,"candidatesTokensDetails":[{"tokenCount":1290,"modality":"IMAGE"}]}"#;
        usage.merge(serde_json::from_str(last).expect("usage"));
        assert_eq!(
            usage.report(),
            ReportedUsage::Complete(Usage {
                out_total: 1_300,
                image_out: 1_290,
                ..text
            })
        );
    }

    #[test]
    fn gemini_usage_modality_share_is_capped_at_its_total() {
        let overstated = r#"{"promptTokenCount":9,"cachedContentTokenCount":4,"candidatesTokenCount":7,
            "cacheTokensDetails":[{"modality":"AUDIO","tokenCount":5}],
            "candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":8}]}"#;
        let capped = Usage {
            uncached_in: 5,
            cache_read: 4,
            audio_cached: 4,
            out_total: 7,
            image_out: 7,
            ..Usage::default()
        };
        assert_eq!(report(overstated), ReportedUsage::Complete(capped));
        assert_eq!(
            report(
                r#"{"candidatesTokenCount":7,"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":-8}]}"#
            ),
            ReportedUsage::Invalid
        );
    }

    #[test]
    fn gemini_usage_merge_keeps_last_value_of_each_field() {
        let mut usage: GeminiUsage = serde_json::from_str(
            r#"{"promptTokenCount":10,"thoughtsTokenCount":4,"serviceTier":"standard"}"#,
        )
        .expect("usage");
        usage.merge(
            serde_json::from_str(r#"{"promptTokenCount":11,"candidatesTokenCount":2}"#)
                .expect("usage"),
        );
        let tier = Some("standard".to_owned());
        let expected = Usage {
            uncached_in: 11,
            out_total: 6,
            reasoning: 4,
            service_tier: tier,
            ..Usage::default()
        };
        assert_eq!(usage.report(), ReportedUsage::Complete(expected));
    }
}
