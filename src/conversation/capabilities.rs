//! Capabilities of a model as data: presets state them, the capability filter and the request
//! encoders read them. Must never depend on a vendor's name.

use crate::conversation::Effort;

/// Request features that one model at one vendor accepts. Presets start from `Capabilities::all()`
/// and switch features off.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// temperature, top_p, top_k
    pub sampling: bool,
    /// temperature and top_p together
    pub temperature_with_top_p: bool,
    pub top_k: bool,
    pub penalties: bool,
    pub seed: bool,
    /// maximum number of stop sequences; 0 for none
    pub stop_sequences_max: usize,
    pub reasoning: ReasoningStyle,
    /// `reasoning` is that of this very model: the silence of the price sheet takes nothing away
    pub reasoning_by_model: bool,
    /// reasoning excludes sampling parameters and a forced tool
    pub exclusive_reasoning: bool,
    /// reasoning without the model's own signature is rejected
    pub signed_reasoning: bool,
    pub images: bool,
    /// images by URL, fetched by the vendor
    pub image_urls: bool,
    /// PDF and similar
    pub documents: bool,
    /// images inside tool results
    pub tool_result_images: bool,
    pub tools: bool,
    /// `tool_choice: none` with tools declared
    pub tool_choice_none: bool,
    /// a named tool, or any tool, can be forced
    pub tool_choice_forced: bool,
    /// parallel calls can be disabled
    pub parallel_switch: bool,
    pub json_object: bool,
    pub json_schema: bool,
    /// schemas can allow additional properties
    pub open_schemas: bool,
    /// `strict` of a tool or schema
    pub strict: bool,
    /// a user message can follow tool results directly
    pub user_after_results: bool,
    pub system_turns: SystemTurns,
    /// cache hints on blocks
    pub cache_hints: bool,
    pub service_tier: bool,
    /// identifier of the end user
    pub user: bool,
    pub names: NameRule,
    pub ids: IdRule,
    /// the first call of a turn must be returned with its signature
    pub signed_calls: bool,
    /// the text of reasoning is sent only if it is asked for
    pub summaries_on_request: bool,
    /// the text of reasoning before calls must be returned with them
    pub returned_reasoning: bool,
    /// media can be inside a tool result, not only after it (Gemini dialect)
    pub media_within_results: bool,
}

/// Parameter that controls the reasoning of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningStyle {
    /// no reasoning, or no control of it
    None,
    /// one of these efforts
    Effort(&'static [Effort]),
    /// tokens from `min` to `max`; with a `min` of 0, a budget of 0 disables reasoning
    Budget { min: u64, max: u64 },
    /// the model decides itself, guided by one of these efforts
    Adaptive(&'static [Effort]),
    /// on or off
    Switch,
}

/// Positions at which a system turn is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemTurns {
    /// only before all other turns: a later one becomes a marked user turn at its position
    First,
    /// anywhere
    Anywhere,
}

/// Accepted tool names: letters, digits, `_` and `also`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameRule {
    pub max: usize,
    pub also: &'static str,
    pub begins_with_letter: bool,
}

/// Accepted call ids: letters, digits and `also`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRule {
    pub min: usize,
    pub max: usize,
    pub also: &'static str,
}

impl Capabilities {
    /// Capabilities of an unknown model with the chat dialect.
    pub const fn chat() -> Capabilities {
        Capabilities {
            top_k: false,
            stop_sequences_max: 4,
            reasoning: ReasoningStyle::Effort(&[Effort::Low, Effort::Medium, Effort::High]),
            // a `tool` message is text only: its images follow in a user message
            tool_result_images: true,
            cache_hints: false,
            ..Capabilities::all()
        }
    }

    /// All features.
    pub const fn all() -> Capabilities {
        Capabilities {
            sampling: true,
            temperature_with_top_p: true,
            top_k: true,
            penalties: true,
            seed: true,
            stop_sequences_max: 16,
            reasoning: ReasoningStyle::Effort(&Effort::ALL),
            reasoning_by_model: false,
            exclusive_reasoning: false,
            signed_reasoning: false,
            images: true,
            image_urls: true,
            documents: true,
            tool_result_images: true,
            tools: true,
            tool_choice_none: true,
            tool_choice_forced: true,
            parallel_switch: true,
            json_object: true,
            json_schema: true,
            open_schemas: true,
            strict: true,
            user_after_results: true,
            system_turns: SystemTurns::Anywhere,
            cache_hints: true,
            service_tier: true,
            user: true,
            names: NameRule {
                max: 64,
                also: "-",
                begins_with_letter: false,
            },
            ids: IdRule {
                min: 1,
                max: 256,
                also: "_-.:",
            },
            signed_calls: false,
            media_within_results: false,
            summaries_on_request: false,
            returned_reasoning: false,
        }
    }

    /// Capabilities of the same model at the Responses endpoint, which has fewer parameters than chat.
    pub const fn at_responses(self) -> Capabilities {
        Capabilities {
            top_k: false,
            penalties: false,
            seed: false,
            stop_sequences_max: 0,
            tool_result_images: true,
            summaries_on_request: true,
            ids: IdRule {
                min: 1,
                max: 64,
                also: "_-",
            },
            ..self
        }
    }
}
