//! Fits a request to a model's capabilities: drops or replaces unsupported fields and lists them by
//! the client's names. Content without which the response would have another meaning is refused; it
//! must never be dropped silently.

mod format;

use crate::conversation::{
    Capabilities, ChatRequest, Content, ContentBlock, Effort, FieldNames, Media, ReasoningOptions,
    ReasoningStyle, Role, Source, Summary, SystemTurns, ToolChoice,
};
use crate::domain::api_error::ApiError;

/// Minimum output tokens beside a thinking budget under a client's cap, as vendors require.
const ANSWER_TOKENS_MIN: u64 = 1;
/// Output tokens beside a thinking budget under a cap chosen by the gateway: the client expects an
/// answer.
pub const ANSWER_TOKENS_AFTER_THINKING: u64 = 1_024;
/// Markers of a system turn that is sent as a user turn.
const SYSTEM_OPEN: &str = "<system>\n";
const SYSTEM_CLOSE: &str = "\n</system>";

impl ChatRequest {
    /// Fits the request to a model with the client-facing name `model`. Names of dropped fields are
    /// added to `dropped`.
    pub fn fit(
        &mut self,
        capabilities: &Capabilities,
        field_names: &FieldNames,
        model: &str,
    ) -> Result<(), ApiError> {
        CapabilityFilter {
            request: self,
            capabilities,
            field_names,
            model,
        }
        .apply()
    }

    /// Smallest thinking budget that can be sent; `None` without a budget.
    pub fn thinking_tokens_min(&self, capabilities: &Capabilities) -> Option<u64> {
        match capabilities.reasoning {
            ReasoningStyle::Budget { min, .. } => {
                self.reasoning.budget.map(|budget| budget.min(min))
            }
            _ => None,
        }
    }

    /// Sets an output cap chosen by the gateway and reduces the thinking budget to leave tokens for
    /// the answer.
    pub fn cap(&mut self, cap: u64, capabilities: &Capabilities) {
        self.output_cap = Some(cap);
        let (Some(budget), ReasoningStyle::Budget { min, .. }) =
            (self.reasoning.budget, capabilities.reasoning)
        else {
            return;
        };
        let budget = budget.min(cap.saturating_sub(ANSWER_TOKENS_AFTER_THINKING));
        self.reasoning = if budget < min {
            ReasoningOptions::default()
        } else {
            ReasoningOptions {
                budget: Some(budget),
                ..self.reasoning.clone()
            }
        };
    }
}

struct CapabilityFilter<'a> {
    request: &'a mut ChatRequest,
    capabilities: &'a Capabilities,
    field_names: &'a FieldNames,
    model: &'a str,
}

impl CapabilityFilter<'_> {
    fn apply(&mut self) -> Result<(), ApiError> {
        self.media()?;
        self.tools()?;
        self.format()?;
        self.stop()?;
        self.sampling();
        self.reasoning();
        self.exclusive_reasoning();
        self.service_tier_and_user();
        self.system_turns();
        Ok(())
    }

    fn refusal(&self, reason: &str, param: &str) -> ApiError {
        ApiError::invalid(format!("{} {reason}", self.model)).with_param(param)
    }

    /// Unsupported media are refused: without them the request has another meaning.
    fn media(&self) -> Result<(), ApiError> {
        for block in self.request.turns.iter().flat_map(|turn| &turn.blocks) {
            self.media_block(block, false)?;
        }
        Ok(())
    }

    fn media_block(&self, block: &ContentBlock, in_result: bool) -> Result<(), ApiError> {
        let param = self.field_names.messages;
        match &block.content {
            Content::Image(_) if !self.capabilities.images => Err(self.refusal(
                "does not support images; remove them or use another model",
                param,
            )),
            Content::Image(_) if in_result && !self.capabilities.tool_result_images => Err(self
                .refusal(
                    "does not support images in tool results; send them in a user message",
                    param,
                )),
            Content::Image(Media {
                source: Source::Url(_),
                ..
            }) if !self.capabilities.image_urls => {
                let reason = "does not support image URLs, and the gateway does not fetch them; send the image in base64";
                Err(self.refusal(reason, param))
            }
            Content::Document(media) => self.document(media),
            Content::Image(Media {
                source: Source::File(_),
                ..
            }) => Err(self.refusal(
                "cannot read files stored at another vendor; send the file in base64",
                param,
            )),
            Content::ToolResult(result) => result
                .blocks
                .iter()
                .try_for_each(|block| self.media_block(block, true)),
            _ => Ok(()),
        }
    }

    fn document(&self, media: &Media) -> Result<(), ApiError> {
        let param = self.field_names.messages;
        match &media.source {
            // plain text is sent as text to models without documents
            Source::Text(_) => Ok(()),
            _ if !self.capabilities.documents => Err(self.refusal(
                "does not support documents; send their text or use another model",
                param,
            )),
            Source::Base64(_) => Ok(()),
            Source::Url(_) | Source::File(_) => Err(self.refusal(
                "does not support documents by URL or file id; send the document in base64",
                param,
            )),
        }
    }

    fn tools(&mut self) -> Result<(), ApiError> {
        let capabilities = self.capabilities;
        if !capabilities.tools && !self.request.tools.is_empty() {
            return Err(self.refusal(
                "does not support tools; remove `tools` or use another model",
                "tools",
            ));
        }
        if self.request.tools.is_empty() {
            if self.request.tool_choice != ToolChoice::Auto {
                self.request.tool_choice = ToolChoice::Auto;
            }
            self.request.parallel_tools = None;
        }
        match self.request.tool_choice {
            // sending no tools has the effect of `none`
            ToolChoice::None if !capabilities.tool_choice_none => {
                self.request.tools.clear();
                self.request.tool_choice = ToolChoice::Auto;
            }
            ToolChoice::Any | ToolChoice::Named(_) if !capabilities.tool_choice_forced => {
                self.request.tool_choice = ToolChoice::Auto;
                self.request.drop_param("tool_choice");
            }
            _ => {}
        }
        if self.request.parallel_tools == Some(false) && !capabilities.parallel_switch {
            self.request.drop_param(self.field_names.parallel_tools);
        }
        if !capabilities.parallel_switch {
            self.request.parallel_tools = None;
        }
        if !capabilities.strict {
            self.request
                .tools
                .iter_mut()
                .for_each(|tool| tool.strict = None);
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<(), ApiError> {
        let (count, max) = (
            self.request.stop.len(),
            self.capabilities.stop_sequences_max,
        );
        if max == 0 && count > 0 {
            self.request.stop.clear();
            self.request.drop_param(self.field_names.stop);
        } else if count > max {
            let reason = format!("supports at most {max} stop sequences, got {count}; remove some");
            return Err(self.refusal(&reason, self.field_names.stop));
        }
        Ok(())
    }

    fn sampling(&mut self) {
        let capabilities = self.capabilities;
        let sampling = &mut self.request.sampling;
        let mut dropped = Vec::new();
        let both = sampling.temperature.is_some() && sampling.top_p.is_some();
        for (field, value, is_supported) in [
            (
                "temperature",
                &mut sampling.temperature,
                capabilities.sampling,
            ),
            (
                "top_p",
                &mut sampling.top_p,
                capabilities.sampling && (capabilities.temperature_with_top_p || !both),
            ),
            (
                "top_k",
                &mut sampling.top_k,
                capabilities.sampling && capabilities.top_k,
            ),
            (
                "frequency_penalty",
                &mut sampling.frequency_penalty,
                capabilities.penalties,
            ),
            (
                "presence_penalty",
                &mut sampling.presence_penalty,
                capabilities.penalties,
            ),
            ("seed", &mut sampling.seed, capabilities.seed),
        ] {
            if !is_supported && value.take().is_some() {
                dropped.push(field);
            }
        }
        dropped
            .into_iter()
            .for_each(|field| self.request.drop_param(field));
    }

    /// Reasoning in the model's style: the nearest effort, or a budget that leaves tokens for the
    /// answer.
    fn reasoning(&mut self) {
        let mut requested = std::mem::take(&mut self.request.reasoning);
        if !requested.is_named() {
            return;
        }
        if self.capabilities.summaries_on_request
            && (requested.adaptive || requested.budget.is_some())
        {
            requested.summary.get_or_insert(Summary::Shown);
        }
        let effort = requested
            .effort
            .or_else(|| requested.budget.map(Effort::from_tokens));
        let supported = match self.capabilities.reasoning {
            ReasoningStyle::None => None,
            ReasoningStyle::Effort(efforts) => match effort {
                Some(effort) => effort.nearest(efforts).map(|effort| ReasoningOptions {
                    effort: Some(effort),
                    ..ReasoningOptions::default()
                }),
                // the model decides itself; the client can still request the reasoning text
                None => requested.adaptive.then(|| ReasoningOptions {
                    adaptive: true,
                    ..ReasoningOptions::default()
                }),
            },
            ReasoningStyle::Adaptive(efforts) => Some(ReasoningOptions {
                effort: effort
                    .filter(|effort| *effort != Effort::None)
                    .and_then(|effort| effort.nearest(efforts)),
                adaptive: !requested.is_off(),
                budget: None,
                summary: None,
            })
            .map(|options| {
                // these models think unless they are told not to
                let off = requested.is_off().then_some(Effort::None);
                ReasoningOptions {
                    effort: off.or(options.effort),
                    ..options
                }
            }),
            ReasoningStyle::Budget { min, max } => self.budget(&requested, min, max),
            ReasoningStyle::Switch => Some(ReasoningOptions {
                effort: effort.filter(|effort| *effort == Effort::None),
                adaptive: !requested.is_off(),
                ..ReasoningOptions::default()
            }),
        };
        match supported {
            Some(supported) => {
                self.request.reasoning = ReasoningOptions {
                    summary: requested.summary,
                    ..supported
                }
            }
            // nothing is lost if reasoning was disabled, or only a summary was requested
            None if requested.is_off()
                || (requested.effort.is_none()
                    && requested.budget.is_none()
                    && !requested.adaptive) => {}
            None => self.request.drop_param(self.field_names.reasoning),
        }
    }

    /// Models with exclusive reasoning: a forced tool is explicit and takes precedence over
    /// reasoning, reasoning over sampling.
    fn exclusive_reasoning(&mut self) {
        let is_reasoning =
            self.request.reasoning.adaptive || self.request.reasoning.budget.is_some();
        if !self.capabilities.exclusive_reasoning || !is_reasoning {
            return;
        }
        if matches!(
            self.request.tool_choice,
            ToolChoice::Any | ToolChoice::Named(_)
        ) {
            self.request.reasoning = ReasoningOptions::default();
            return self.request.drop_param(self.field_names.reasoning);
        }
        let sampling = &mut self.request.sampling;
        let removed = [
            ("temperature", sampling.temperature.take()),
            ("top_p", sampling.top_p.take()),
            ("top_k", sampling.top_k.take()),
        ];
        for (field, _) in removed.into_iter().filter(|(_, value)| value.is_some()) {
            self.request.drop_param(field);
        }
    }

    /// True if the last assistant turn has calls but not the signed reasoning before them.
    fn has_lost_reasoning(&self) -> bool {
        let Some(last) = self
            .request
            .turns
            .iter()
            .rfind(|turn| turn.role == Role::Assistant)
        else {
            return false;
        };
        let has =
            |matches: fn(&Content) -> bool| last.blocks.iter().any(|block| matches(&block.content));
        has(|content| matches!(content, Content::ToolCall(_)))
            && !has(
                |content| matches!(content, Content::Reasoning(reasoned) if reasoned.provider_state.is_some()),
            )
    }

    fn budget(&self, requested: &ReasoningOptions, min: u64, max: u64) -> Option<ReasoningOptions> {
        if requested.is_off() {
            // a budget of 0 disables reasoning if the model's minimum is 0
            return (min == 0).then(|| ReasoningOptions {
                budget: Some(0),
                ..ReasoningOptions::default()
            });
        }
        if self.capabilities.signed_reasoning && self.has_lost_reasoning() {
            return None;
        }
        let tokens = requested
            .budget
            .or(requested.effort.map(Effort::tokens))
            .unwrap_or(Effort::Medium.tokens())
            .clamp(min, max);
        let budget_max = self
            .request
            .output_cap
            .map_or(u64::MAX, |cap| cap.saturating_sub(ANSWER_TOKENS_MIN));
        let budget = tokens.min(budget_max);
        (budget >= min).then(|| ReasoningOptions {
            budget: Some(budget),
            ..ReasoningOptions::default()
        })
    }

    fn service_tier_and_user(&mut self) {
        if !self.capabilities.service_tier && self.request.service_tier.take().is_some() {
            self.request.drop_param("service_tier");
        }
        if !self.capabilities.user && self.request.user.take().is_some() {
            self.request.drop_param(self.field_names.user);
        }
    }

    /// A later system turn keeps its position, as a marked user turn if the model rejects it there:
    /// moving it to the top would change the context and invalidate the vendor's prompt cache.
    fn system_turns(&mut self) {
        if self.capabilities.system_turns == SystemTurns::Anywhere {
            return;
        }
        let turns = self
            .request
            .turns
            .iter_mut()
            .skip_while(|turn| turn.role == Role::System);
        for turn in turns.filter(|turn| turn.role == Role::System) {
            turn.role = Role::User;
            for block in &mut turn.blocks {
                if let Content::Text(text) = &mut block.content {
                    *text = format!("{SYSTEM_OPEN}{text}{SYSTEM_CLOSE}");
                }
            }
        }
        self.request.join_turns();
    }
}

#[cfg(test)]
mod tests;
