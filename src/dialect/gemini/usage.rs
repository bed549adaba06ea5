//! What `usageMetadata` says, in the canonical shape (WIRE.md 2.12): the prompt includes what the cache served, the candidates
//! exclude the thoughts, what tools of the vendor's own read is told beside both. Of each field the last value counts.

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
    /// the tokens of sound and of images made, which have a price of their own; other media cost what text costs
    sound_in: Count,
    sound_cached: Count,
    sound_out: Count,
    images_out: Count,
    pub(super) service_tier: Option<String>,
}

impl FieldVisitor for GeminiUsage {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "promptTokenCount" => self.prompt.then(Count::optional(map)?),
            "cachedContentTokenCount" => self.cached.then(Count::optional(map)?),
            "toolUsePromptTokenCount" => self.tool_use.then(Count::optional(map)?),
            "candidatesTokenCount" => self.candidates.then(Count::optional(map)?),
            "thoughtsTokenCount" => self.thoughts.then(Count::optional(map)?),
            "promptTokensDetails" => self.sound_in.then(details(map)?.sound),
            "cacheTokensDetails" => self.sound_cached.then(details(map)?.sound),
            "candidatesTokensDetails" => {
                let made = details(map)?;
                self.sound_out.then(made.sound);
                self.images_out.then(made.images);
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

/// Details by modality: how much of it was sound, and how much images.
#[derive(Default)]
struct Details {
    modality: Modality,
    tokens: Count,
    sound: Count,
    images: Count,
}

#[derive(Clone, Copy, Default)]
enum Modality {
    Sound,
    Image,
    #[default]
    Other,
}

impl Modality {
    fn named(word: Option<&str>) -> Modality {
        match word {
            Some("AUDIO") => Modality::Sound,
            Some("IMAGE") => Modality::Image,
            _ => Modality::Other,
        }
    }
}

impl FieldVisitor for Details {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "modality" => self.modality = Modality::named(map.next_value::<Leaf<'_>>()?.text()),
            "tokenCount" => self.tokens = Count::optional(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn end(&mut self) {
        let tokens = std::mem::take(&mut self.tokens);
        match std::mem::take(&mut self.modality) {
            Modality::Sound => self.sound.then(tokens),
            Modality::Image => self.images.then(tokens),
            Modality::Other => {}
        }
    }

    fn other(&mut self) {
        self.sound = Count::Invalid;
    }
}

fn details<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Details, A::Error> {
    let mut details = Details::default();
    map.next_value_seed(ElementsSeed(&mut details))?;
    Ok(details)
}

impl GeminiUsage {
    pub(super) fn then(&mut self, later: GeminiUsage) {
        self.prompt.then(later.prompt);
        self.cached.then(later.cached);
        self.tool_use.then(later.tool_use);
        self.candidates.then(later.candidates);
        self.thoughts.then(later.thoughts);
        self.sound_in.then(later.sound_in);
        self.sound_cached.then(later.sound_cached);
        self.sound_out.then(later.sound_out);
        self.images_out.then(later.images_out);
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
            self.sound_in,
            self.sound_cached,
            self.sound_out,
            self.images_out,
        ];
        if counts
            .iter()
            .chain(&media)
            .any(|count| *count == Count::Invalid)
        {
            return ReportedUsage::Invalid;
        }
        let [prompt, cache_read, tool_use, candidates, thoughts] = counts.map(Count::tokens);
        let [sound_in, sound_cached, sound_out, images_out] = media.map(Count::tokens);
        let uncached_in = prompt.saturating_sub(cache_read).saturating_add(tool_use);
        let out_total = candidates.saturating_add(thoughts);
        let usage = Usage {
            uncached_in,
            cache_read,
            out_total,
            reasoning: thoughts,
            audio_in: sound_in.saturating_sub(sound_cached).min(uncached_in),
            audio_cached: sound_cached.min(cache_read),
            audio_out: sound_out.min(out_total),
            image_out: images_out.min(out_total),
            service_tier: self.service_tier.clone(),
            ..Usage::default()
        };
        ReportedUsage::of(usage, self.prompt.is_said(), self.candidates.is_said())
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
    fn every_token_is_in_one_class() {
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
    fn what_is_not_said_is_missing_and_what_cannot_be_is_a_lie() {
        assert_eq!(report("{}"), ReportedUsage::Missing);
        assert_eq!(
            report(r#"{"promptTokenCount":null,"promptTokensDetails":null}"#),
            ReportedUsage::Missing
        );
        for lie in ["-1", "1.5", "\"7\"", "[]", "1e30", "99999999999"] {
            assert_eq!(
                report(&format!(
                    r#"{{"promptTokenCount":3,"candidatesTokenCount":{lie}}}"#
                )),
                ReportedUsage::Invalid,
                "{lie}"
            );
        }
        for lie in ["5", "\"x\"", "[]", "-3", "true"] {
            assert_eq!(report(lie), ReportedUsage::Invalid, "{lie}");
        }
        for odd in [
            r#""promptTokensDetails":"x""#,
            r#""cacheTokensDetails":[5]"#,
            r#""candidatesTokensDetails":7"#,
        ] {
            assert_eq!(
                report(&format!("{{{odd}}}")),
                ReportedUsage::Invalid,
                "{odd}"
            );
        }
        let half = |usage, unsaid| ReportedUsage::Partial { usage, unsaid };
        for (json, expected) in [
            (
                r#"{"promptTokenCount":3}"#,
                half(
                    Usage {
                        uncached_in: 3,
                        ..Usage::default()
                    },
                    Side::Output,
                ),
            ),
            (
                r#"{"candidatesTokenCount":3}"#,
                half(
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
                cache_read: 5,
                ..Usage::default()
            })
        );
    }

    #[test]
    fn an_image_may_come_late_in_a_stream_and_only_those_that_were_made_count() {
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
        usage.then(serde_json::from_str(last).expect("usage"));
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
    fn a_share_is_never_larger_than_the_whole() {
        let overstated = r#"{"promptTokenCount":9,"cachedContentTokenCount":4,"candidatesTokenCount":7,
            "cacheTokensDetails":[{"modality":"AUDIO","tokenCount":5}],
            "candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":8}]}"#;
        let cut = Usage {
            uncached_in: 5,
            cache_read: 4,
            audio_cached: 4,
            out_total: 7,
            image_out: 7,
            ..Usage::default()
        };
        assert_eq!(report(overstated), ReportedUsage::Complete(cut));
        assert_eq!(
            report(
                r#"{"candidatesTokenCount":7,"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":-8}]}"#
            ),
            ReportedUsage::Invalid
        );
    }

    #[test]
    fn the_last_value_of_each_field_counts() {
        let mut usage: GeminiUsage = serde_json::from_str(
            r#"{"promptTokenCount":10,"thoughtsTokenCount":4,"serviceTier":"standard"}"#,
        )
        .expect("usage");
        usage.then(
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
