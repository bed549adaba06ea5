//! Model family of a Bedrock model id. Fields that Converse lacks are sent in the format of the
//! family; an id that does not reveal its family must never be guessed.

/// Family with request fields of its own; `Other` has none that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelFamily {
    Claude,
    Nova,
    /// OpenAI's open weights
    GptOss,
    Mistral,
    Cohere,
    Llama,
    Other,
}

/// Prefix of the base model ids of each family.
const ID_PREFIXES: [(&str, ModelFamily); 6] = [
    ("anthropic.claude", ModelFamily::Claude),
    ("amazon.nova", ModelFamily::Nova),
    ("openai.gpt-oss", ModelFamily::GptOss),
    ("mistral.", ModelFamily::Mistral),
    ("cohere.", ModelFamily::Cohere),
    ("meta.llama", ModelFamily::Llama),
];

impl ModelFamily {
    /// Accepts base model ids (`anthropic.claude-opus-4-1-20250805-v1:0`), inference profile ids
    /// (`eu.amazon.nova-lite-v1:0`) and ARNs that contain either. An ARN with a customer-chosen
    /// name is `Other`.
    pub fn of(model: &str) -> ModelFamily {
        let id = base_model_id(model);
        let known = ID_PREFIXES
            .into_iter()
            .find(|(prefix, _)| id.starts_with(prefix));
        known.map_or(ModelFamily::Other, |(_, family)| family)
    }
}

/// Model id without ARN and without region prefix.
pub fn base_model_id(model: &str) -> &str {
    let id = model.rsplit('/').next().unwrap_or(model);
    match id.split_once('.') {
        Some((region, rest))
            if !region.contains(':')
                && ID_PREFIXES
                    .iter()
                    .any(|(prefix, _)| rest.starts_with(prefix)) =>
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
    fn converse_model_family_is_read_from_id_profile_and_arn() {
        for (model, family, id) in [
            (
                "anthropic.claude-sonnet-5-5",
                ModelFamily::Claude,
                "anthropic.claude-sonnet-5-5",
            ),
            (
                "eu.anthropic.claude-sonnet-4-20250514-v1:0",
                ModelFamily::Claude,
                "anthropic.claude-sonnet-4-20250514-v1:0",
            ),
            (
                "us-gov.anthropic.claude-opus-5",
                ModelFamily::Claude,
                "anthropic.claude-opus-5",
            ),
            (
                "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/global.anthropic.claude-opus-5",
                ModelFamily::Claude,
                "anthropic.claude-opus-5",
            ),
            (
                "arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-70b-instruct-v1:0",
                ModelFamily::Llama,
                "meta.llama3-70b-instruct-v1:0",
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x1",
                ModelFamily::Other,
                "x1",
            ),
            (
                "apac.amazon.nova-2-lite-v1:0",
                ModelFamily::Nova,
                "amazon.nova-2-lite-v1:0",
            ),
            (
                "openai.gpt-oss-120b-1:0",
                ModelFamily::GptOss,
                "openai.gpt-oss-120b-1:0",
            ),
            ("openai.gpt-6-sol", ModelFamily::Other, "openai.gpt-6-sol"),
            (
                "mistral.mistral-large-2407-v1:0",
                ModelFamily::Mistral,
                "mistral.mistral-large-2407-v1:0",
            ),
            (
                "cohere.command-r-v1:0",
                ModelFamily::Cohere,
                "cohere.command-r-v1:0",
            ),
            ("deepseek.v3.2", ModelFamily::Other, "deepseek.v3.2"),
            ("", ModelFamily::Other, ""),
        ] {
            assert_eq!(
                (ModelFamily::of(model), base_model_id(model)),
                (family, id),
                "{model}"
            );
        }
    }
}
