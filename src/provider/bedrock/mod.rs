//! AWS Bedrock at the host of a region; embedded prices. Messages clients reach Claude through
//! InvokeModel, other conversations go to Converse; embeddings of Titan and Cohere to InvokeModel. The credential is a Bedrock API key, or AWS keys
//! that sign each request.

mod sigv4;

pub use sigv4::{AwsKeys, RequestToSign, Signer};

use super::preset::failure_words;
use super::preset::{
    BaseUrl, BodyWrapper, CredentialStyle, Endpoint, OnDisconnect, PlaceRule, Preset, PriceRule,
};
use crate::conversation::{Capabilities, Effort, IdRule, NameRule, ReasoningStyle, SystemTurns};
use crate::dialect::{Dialect, EmbeddingFormat, Framing, ModelFamily, base_model_id};

pub(super) static PRESET: Preset = Preset {
    name: "bedrock",
    base_url: BaseUrl::Regional(regional_url),
    credential: CredentialStyle::BearerOrSigned("bedrock"),
    needs_key: true,
    // Converse first: requests are translated to the first translatable endpoint
    endpoints: &[
        Endpoint::at(Dialect::Converse, "/model/{model}/converse")
            .with_stream_path("/model/{model}/converse-stream")
            .with_framing(Framing::AwsFrames),
        Endpoint::at(Dialect::Messages, "/model/{model}/invoke")
            .with_stream_path("/model/{model}/invoke-with-response-stream")
            .with_framing(Framing::AwsFrames)
            .with_wrapper(&INVOKE)
            .for_models(|model| ModelFamily::of(model) == ModelFamily::Claude),
        Endpoint::native_embeddings(
            Dialect::Converse,
            "/model/{model}/invoke",
            EmbeddingFormat::TitanInvoke,
        )
        .for_models(|model| model.contains("titan-embed") && !model.contains("image")),
        Endpoint::native_embeddings(
            Dialect::Converse,
            "/model/{model}/invoke",
            EmbeddingFormat::CohereInvoke,
        )
        .for_models(|model| model.contains("cohere.embed")),
    ],
    place: PlaceRule::Region,
    price: PriceRule::Sheet("bedrock"),
    output_cap_field: "max_tokens",
    stream_usage_opt_in: false,
    // AWS bills the complete response after a disconnect too
    on_disconnect: OnDisconnect::Drain,
    default_headers: &[],
    failure_words: failure_words::BEDROCK,
    limits: Some("bedrock"),
    capabilities,
};

/// InvokeModel takes Anthropic's body without the fields of the URL, and with values that Anthropic
/// takes from headers.
static INVOKE: BodyWrapper = BodyWrapper {
    remove: &["model", "stream"],
    set: &[("anthropic_version", "\"bedrock-2023-05-31\"")],
    from_header: &[("anthropic-beta", "anthropic_beta")],
};

fn regional_url(region: &str) -> String {
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    format!("https://bedrock-runtime.{region}.{domain}")
}

/// Capabilities that all models have through Converse.
const CONVERSE: Capabilities = Capabilities {
    penalties: false,
    seed: false,
    image_urls: false,
    tool_choice_none: false,
    parallel_switch: false,
    json_object: false,
    strict: false,
    user: false,
    cache_hints: false,
    system_turns: SystemTurns::First,
    reasoning: ReasoningStyle::None,
    names: NameRule {
        max: 64,
        also: "-",
        begins_with_letter: false,
    },
    ids: IdRule {
        min: 1,
        max: 64,
        also: "_-.:",
    },
    ..Capabilities::all()
};

fn capabilities(model: &str) -> Capabilities {
    match ModelFamily::of(model) {
        ModelFamily::Claude => claude(Version::of(base_model_id(model))),
        ModelFamily::Nova => Capabilities {
            stop_sequences_max: 4,
            cache_hints: true,
            json_schema: false,
            // its highest effort forbids an output cap
            reasoning: if base_model_id(model).starts_with("amazon.nova-2") {
                ReasoningStyle::Effort(&[Effort::None, Effort::Low, Effort::Medium])
            } else {
                ReasoningStyle::None
            },
            ..CONVERSE
        },
        ModelFamily::GptOss => Capabilities {
            top_k: false,
            tool_result_images: false,
            tool_choice_forced: false,
            reasoning: ReasoningStyle::Effort(&[Effort::Low, Effort::Medium, Effort::High]),
            ..CONVERSE
        },
        ModelFamily::Llama => Capabilities {
            top_k: false,
            stop_sequences_max: 0,
            json_schema: false,
            tool_result_images: false,
            tool_choice_forced: false,
            ..CONVERSE
        },
        ModelFamily::Cohere => Capabilities {
            json_schema: false,
            tool_result_images: false,
            tool_choice_forced: false,
            ..CONVERSE
        },
        ModelFamily::Mistral => Capabilities {
            tool_result_images: false,
            ..CONVERSE
        },
        ModelFamily::Other => Capabilities {
            top_k: false,
            tool_result_images: false,
            tool_choice_forced: false,
            ..CONVERSE
        },
    }
}

/// Version of a Claude model; a name without one counts as the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    const NEWEST: Version = Version(u32::MAX, 0);
    /// `claude-v2`, `claude-instant`
    const OLDEST: Version = Version(2, 0);

    /// Accepts `anthropic.claude-3-7-sonnet-20250219-v1:0` and `anthropic.claude-opus-5`.
    fn of(id: &str) -> Version {
        let name = id.trim_start_matches("anthropic.claude-");
        if name.starts_with('v') || name.starts_with("instant") {
            return Version::OLDEST;
        }
        let number =
            |part: &&str| part.len() <= 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let mut numbers = name
            .split('-')
            .skip_while(|part| !number(part))
            .take_while(number)
            .map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Version(major, minor),
            (Some(Ok(major)), None) => Version(major, 0),
            _ => Version::NEWEST,
        }
    }
}

fn claude(version: Version) -> Capabilities {
    const ALL: &[Effort] = &[
        Effort::Low,
        Effort::Medium,
        Effort::High,
        Effort::XHigh,
        Effort::Max,
    ];
    const ALL_4_6: &[Effort] = &[Effort::Low, Effort::Medium, Effort::High, Effort::Max];
    Capabilities {
        stop_sequences_max: 2_500,
        tools: version > Version::OLDEST,
        images: version > Version::OLDEST,
        cache_hints: version >= Version(3, 5),
        json_schema: version >= Version(4, 5),
        strict: version >= Version(4, 5),
        sampling: version < Version(4, 7),
        temperature_with_top_p: version < Version(4, 1),
        exclusive_reasoning: true,
        reasoning: match version {
            _ if version < Version(3, 7) => ReasoningStyle::None,
            _ if version < Version(4, 6) => ReasoningStyle::Budget {
                min: 1_024,
                max: 60_000,
            },
            Version(4, 6) => ReasoningStyle::Adaptive(ALL_4_6),
            _ => ReasoningStyle::Adaptive(ALL),
        },
        ..CONVERSE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Operation;

    #[test]
    fn bedrock_messages_calls_to_claude_use_invoke_and_others_converse() {
        let path_of = |operation, client, model| {
            let endpoint = PRESET.endpoint(operation, client, model);
            endpoint.map(|endpoint| endpoint.path)
        };
        let path = |client, model| path_of(Operation::Conversation, client, model);
        let (invoke, converse) = (
            Some("/model/{model}/invoke"),
            Some("/model/{model}/converse"),
        );
        for model in [
            "anthropic.claude-opus-5",
            "global.anthropic.claude-opus-5",
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-opus-5",
        ] {
            assert_eq!(
                (path(Dialect::Messages, model), path(Dialect::Chat, model)),
                (invoke, converse),
                "{model}"
            );
        }
        for model in [
            "amazon.nova-lite-v1:0",
            "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/x1",
        ] {
            assert_eq!(
                (path(Dialect::Messages, model), path(Dialect::Chat, model)),
                (converse, converse),
                "{model}"
            );
        }
        let titan = "amazon.titan-embed-text-v2:0";
        assert_eq!(path_of(Operation::Embeddings, Dialect::Chat, titan), invoke);
        for (operation, client, model) in [
            (
                Operation::TokenCount,
                Dialect::Messages,
                "anthropic.claude-opus-5",
            ),
            (
                Operation::Embeddings,
                Dialect::Chat,
                "twelvelabs.marengo-embed-3-0-v1:0",
            ),
        ] {
            assert_eq!(path_of(operation, client, model), None);
        }
    }

    #[test]
    fn e17_bedrock_call_is_drained_after_client_disconnect() {
        assert_eq!(PRESET.on_disconnect, OnDisconnect::Drain);
    }

    #[test]
    fn bedrock_base_url_depends_on_region() {
        assert_eq!(
            regional_url("eu-west-1"),
            "https://bedrock-runtime.eu-west-1.amazonaws.com"
        );
        assert_eq!(
            regional_url("cn-north-1"),
            "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"
        );
    }

    #[test]
    fn e21_bedrock_claude_capabilities_follow_version() {
        for (id, version) in [
            ("anthropic.claude-v2:1", Version::OLDEST),
            ("anthropic.claude-instant-v1", Version::OLDEST),
            ("anthropic.claude-3-opus-20240229-v1:0", Version(3, 0)),
            ("anthropic.claude-3-7-sonnet-20250219-v1:0", Version(3, 7)),
            ("anthropic.claude-sonnet-4-20250514-v1:0", Version(4, 0)),
            ("anthropic.claude-opus-4-5-20251101-v1:0", Version(4, 5)),
            ("anthropic.claude-opus-4-6-v1", Version(4, 6)),
            ("anthropic.claude-haiku-5-5", Version(5, 5)),
            ("anthropic.claude-mythos-preview", Version::NEWEST),
        ] {
            assert_eq!(Version::of(id), version, "{id}");
        }
        assert!(
            !capabilities("us.anthropic.claude-opus-4-7").sampling
                && !capabilities("anthropic.claude-mythos-preview").sampling
        );
        let older = capabilities("eu.anthropic.claude-sonnet-4-20250514-v1:0");
        assert!(
            older.sampling && matches!(older.reasoning, ReasoningStyle::Budget { min: 1_024, .. })
        );
        assert!(matches!(
            capabilities("anthropic.claude-opus-5").reasoning,
            ReasoningStyle::Adaptive(_)
        ));
        assert_eq!(
            capabilities("anthropic.claude-3-opus-20240229-v1:0").reasoning,
            ReasoningStyle::None
        );
    }

    #[test]
    fn bedrock_other_families_have_fewer_capabilities() {
        let llama = capabilities("us.meta.llama4-scout-17b-instruct-v1:0");
        assert_eq!(
            (
                llama.stop_sequences_max,
                llama.tool_choice_forced,
                llama.top_k
            ),
            (0, false, false)
        );
        let reasoning = |id| capabilities(id).reasoning;
        assert_eq!(reasoning("eu.amazon.nova-lite-v1:0"), ReasoningStyle::None);
        assert!(matches!(
            reasoning("eu.amazon.nova-2-lite-v1:0"),
            ReasoningStyle::Effort(_)
        ));
        assert!(matches!(
            reasoning("openai.gpt-oss-20b-1:0"),
            ReasoningStyle::Effort(_)
        ));
    }
}
