//! What a model takes, as data: the vendors' files fill it in, the writers of requests read it.

use crate::conversation::Effort;

/// What one model at one vendor can be asked. Begin from `Capabilities::all()` and take away.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// temperature, top_p, top_k
    pub sampling: bool,
    /// temperature and top_p together
    pub temperature_with_top_p: bool,
    pub top_k: bool,
    pub penalties: bool,
    pub seed: bool,
    /// how many stop texts; 0 for none
    pub stop_sequences_max: usize,
    pub reasoning: ReasoningStyle,
    /// thinking goes with neither sampling nor a forced tool
    pub exclusive_reasoning: bool,
    /// thoughts that it did not sign itself are refused
    pub signed_reasoning: bool,
    pub images: bool,
    /// images by URL, fetched by the vendor
    pub image_urls: bool,
    /// PDF and the like
    pub documents: bool,
    /// images inside results of tools
    pub tool_result_images: bool,
    pub tools: bool,
    /// `tool_choice: none` with tools declared
    pub tool_choice_none: bool,
    /// a tool, or any tool, can be forced
    pub tool_choice_forced: bool,
    /// parallel calls can be turned off
    pub parallel_switch: bool,
    pub json_object: bool,
    pub json_schema: bool,
    /// a schema may leave its objects open to any member
    pub open_schemas: bool,
    /// the closing `strict` of a tool or schema
    pub strict: bool,
    /// a user's message may follow the results of tools at once
    pub user_after_results: bool,
    pub system_turns: SystemTurns,
    /// cache hints on blocks
    pub cache_hints: bool,
    pub service_tier: bool,
    /// the end user's name
    pub user: bool,
    pub names: NameRule,
    pub ids: IdRule,
    /// the first call of a turn must come back with the vendor's signature
    pub signed_calls: bool,
    /// media can stand within a result, not only behind it (Gemini's dialect)
    pub media_within_results: bool,
}

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningStyle {
    /// it does not, or cannot be told
    None,
    /// by one of these words
    Effort(&'static [Effort]),
    /// by a number of tokens from `min` to `max`; with a `min` of 0 none means not to think
    Budget { min: u64, max: u64 },
    /// it decides by itself, and takes these words
    Adaptive(&'static [Effort]),
    /// on or off
    Switch,
}

/// Where a system turn may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemTurns {
    /// only before everything else: a later one becomes a marked user turn, in its place
    First,
    /// anywhere
    Anywhere,
}

/// Which names of tools a vendor takes: letters, digits, `_` and `also`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameRule {
    pub max: usize,
    pub also: &'static str,
    pub begins_with_letter: bool,
}

/// Which ids of calls a vendor takes: letters, digits and `also`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRule {
    pub min: usize,
    pub max: usize,
    pub also: &'static str,
}

impl Capabilities {
    /// What those take who speak the chat dialect and of whose model nothing else is known.
    pub const fn chat() -> Capabilities {
        Capabilities {
            top_k: false,
            stop_sequences_max: 4,
            reasoning: ReasoningStyle::Effort(&[Effort::Low, Effort::Medium, Effort::High]),
            // a message of the role `tool` is text: what it shows follows as a user's message
            tool_result_images: true,
            cache_hints: false,
            ..Capabilities::all()
        }
    }

    /// Everything.
    pub const fn all() -> Capabilities {
        Capabilities {
            sampling: true,
            temperature_with_top_p: true,
            top_k: true,
            penalties: true,
            seed: true,
            stop_sequences_max: 16,
            reasoning: ReasoningStyle::Effort(&Effort::ALL),
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
        }
    }
}
