//! Who made a model that Converse reaches, by the model's id: what Converse has no member for is asked in the maker's own words.

/// A maker with words of its own; `Other` has none that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    Claude,
    Nova,
    /// OpenAI's open weights
    GptOss,
    Mistral,
    Cohere,
    Llama,
    Other,
}

/// How the ids of each maker's models begin, once region and account are taken off.
const BEGINNINGS: [(&str, Maker); 6] = [
    ("anthropic.claude", Maker::Claude),
    ("amazon.nova", Maker::Nova),
    ("openai.gpt-oss", Maker::GptOss),
    ("mistral.", Maker::Mistral),
    ("cohere.", Maker::Cohere),
    ("meta.llama", Maker::Llama),
];

impl Maker {
    /// Takes ids (`anthropic.claude-opus-4-1-20250805-v1:0`), those of inference profiles (`eu.amazon.nova-lite-v1:0`) and
    /// ARNs that hold one. Of an ARN with a name of the customer's choosing the maker cannot be told.
    pub fn of(model: &str) -> Maker {
        let id = plain_id(model);
        let found = BEGINNINGS
            .into_iter()
            .find(|(beginning, _)| id.starts_with(beginning));
        found.map_or(Maker::Other, |(_, maker)| maker)
    }
}

/// The id without the ARN round it and without the region before it.
pub fn plain_id(model: &str) -> &str {
    let id = model.rsplit('/').next().unwrap_or(model);
    match id.split_once('.') {
        Some((region, rest))
            if !region.contains(':')
                && BEGINNINGS.iter().any(|(maker, _)| rest.starts_with(maker)) =>
        {
            rest
        }
        _ => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maker_is_known_by_the_id_whatever_stands_before_it() {
        for (model, maker, id) in [
            (
                "anthropic.claude-sonnet-5-5",
                Maker::Claude,
                "anthropic.claude-sonnet-5-5",
            ),
            (
                "eu.anthropic.claude-sonnet-4-20250514-v1:0",
                Maker::Claude,
                "anthropic.claude-sonnet-4-20250514-v1:0",
            ),
            (
                "us-gov.anthropic.claude-opus-5",
                Maker::Claude,
                "anthropic.claude-opus-5",
            ),
            (
                "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/global.anthropic.claude-opus-5",
                Maker::Claude,
                "anthropic.claude-opus-5",
            ),
            (
                "arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-70b-instruct-v1:0",
                Maker::Llama,
                "meta.llama3-70b-instruct-v1:0",
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x1",
                Maker::Other,
                "x1",
            ),
            (
                "apac.amazon.nova-2-lite-v1:0",
                Maker::Nova,
                "amazon.nova-2-lite-v1:0",
            ),
            (
                "openai.gpt-oss-120b-1:0",
                Maker::GptOss,
                "openai.gpt-oss-120b-1:0",
            ),
            ("openai.gpt-6-sol", Maker::Other, "openai.gpt-6-sol"),
            (
                "mistral.mistral-large-2407-v1:0",
                Maker::Mistral,
                "mistral.mistral-large-2407-v1:0",
            ),
            (
                "cohere.command-r-v1:0",
                Maker::Cohere,
                "cohere.command-r-v1:0",
            ),
            ("deepseek.v3.2", Maker::Other, "deepseek.v3.2"),
            ("", Maker::Other, ""),
        ] {
            assert_eq!((Maker::of(model), plain_id(model)), (maker, id), "{model}");
        }
    }
}
