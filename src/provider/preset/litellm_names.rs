//! Names that LiteLLM gives the vendors (`PREFIX/model`), for the import of its configuration: the provider type that serves the same
//! models, and the rest that its configuration leaves out.

use super::{Preset, PriceRule};
use crate::price::Sheet;

/// A vendor as LiteLLM names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiteLlmVendor {
    pub prefix: &'static str,
    /// provider type
    pub preset: &'static str,
    /// appended to an address of the operator
    pub base_path: &'static str,
    /// runs on the operator's machines, so that it is free unless a price is given
    pub self_hosted: bool,
    /// requests are signed with AWS keys
    pub signs: bool,
    /// variable from which LiteLLM reads the key
    pub key_variable: &'static str,
}

const fn vendor(
    prefix: &'static str,
    preset: &'static str,
    key_variable: &'static str,
) -> LiteLlmVendor {
    LiteLlmVendor {
        prefix,
        preset,
        base_path: "",
        self_hosted: false,
        signs: false,
        key_variable,
    }
}

const fn local(
    prefix: &'static str,
    preset: &'static str,
    base_path: &'static str,
) -> LiteLlmVendor {
    LiteLlmVendor {
        prefix,
        preset,
        base_path,
        self_hosted: true,
        ..vendor(prefix, preset, "")
    }
}

static VENDORS: [LiteLlmVendor; 22] = [
    vendor("openai", "openai", "OPENAI_API_KEY"),
    vendor("custom_openai", "openai_compatible", "OPENAI_API_KEY"),
    vendor("azure", "azure", "AZURE_API_KEY"),
    vendor("anthropic", "anthropic", "ANTHROPIC_API_KEY"),
    LiteLlmVendor {
        signs: true,
        ..vendor("bedrock", "bedrock", "")
    },
    vendor("gemini", "gemini", "GEMINI_API_KEY"),
    vendor("mistral", "mistral", "MISTRAL_API_KEY"),
    vendor("groq", "groq", "GROQ_API_KEY"),
    vendor("cohere", "cohere", "COHERE_API_KEY"),
    vendor("cohere_chat", "cohere", "COHERE_API_KEY"),
    vendor("together_ai", "together", "TOGETHERAI_API_KEY"),
    vendor("openrouter", "openrouter", "OPENROUTER_API_KEY"),
    vendor("xai", "xai", "XAI_API_KEY"),
    vendor("deepseek", "deepseek", "DEEPSEEK_API_KEY"),
    local("ollama", "ollama", "/v1"),
    local("ollama_chat", "ollama", "/v1"),
    local("hosted_vllm", "openai_compatible", ""),
    local("vllm", "openai_compatible", ""),
    local("lm_studio", "openai_compatible", ""),
    local("llamafile", "openai_compatible", ""),
    local("xinference", "openai_compatible", ""),
    local("litellm_proxy", "openai_compatible", ""),
];

/// The vendor and the model behind a name; without a known prefix, the vendor whose price sheet lists it.
pub fn litellm_vendor<'m>(
    model: &'m str,
    presets: &[&Preset],
    sheet: &Sheet,
) -> Option<(LiteLlmVendor, &'m str)> {
    if let Some((prefix, rest)) = model.split_once('/')
        && let Some(vendor) = VENDORS.iter().find(|vendor| vendor.prefix == prefix)
    {
        // LiteLLM's words for the two APIs of Bedrock
        let rest = rest
            .strip_prefix("converse/")
            .or_else(|| rest.strip_prefix("invoke/"))
            .unwrap_or(rest);
        return Some((*vendor, rest));
    }
    let lists = |vendor: &&LiteLlmVendor| {
        let preset = presets.iter().find(|preset| preset.name == vendor.preset);
        match preset.map(|preset| preset.price) {
            Some(PriceRule::Sheet(listed)) => sheet.find(listed, model).is_some(),
            _ => false,
        }
    };
    // the table's order: a vendor before those that resell its models
    let vendor = VENDORS
        .iter()
        .filter(|vendor| vendor.preset != "azure")
        .find(lists)?;
    Some((*vendor, model))
}

impl LiteLlmVendor {
    /// The same vendor at an address of the operator: another server with its API.
    #[must_use]
    pub fn at_own_address(self) -> LiteLlmVendor {
        match self.preset {
            "openai" => LiteLlmVendor {
                preset: "openai_compatible",
                ..self
            },
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::REGISTRY;

    #[test]
    fn every_litellm_prefix_has_a_provider_type() {
        for vendor in VENDORS {
            assert!(
                REGISTRY.iter().any(|preset| preset.name == vendor.preset),
                "{vendor:?}"
            );
        }
    }

    #[test]
    fn litellm_model_leads_to_the_vendor_by_prefix_or_price_sheet() {
        let sheet = Sheet::embedded();
        let found = |model| {
            let (vendor, model) = litellm_vendor(model, REGISTRY, &sheet)?;
            Some((vendor.preset, model))
        };
        assert_eq!(found("openai/gpt-4o"), Some(("openai", "gpt-4o")));
        assert_eq!(found("gpt-4o"), Some(("openai", "gpt-4o")));
        assert_eq!(
            found("bedrock/converse/amazon.nova-pro-v1:0"),
            Some(("bedrock", "amazon.nova-pro-v1:0"))
        );
        assert_eq!(
            found("together_ai/meta-llama/x"),
            Some(("together", "meta-llama/x"))
        );
        assert_eq!(found("vertex_ai/gemini-1.5-pro"), None);
    }
}
