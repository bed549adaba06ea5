//! Fits an ask to what a model takes: takes out or replaces what it does not take and says what that was, in the client's words.
//! What would change the meaning of the answer is refused, never dropped in silence.

use crate::conversation::{
    Capabilities, ChatRequest, Content, ContentBlock, Effort, FieldNames, Format, Media,
    ReasoningOptions, ReasoningStyle, Role, Source, SystemTurns, ToolChoice, raw,
};
use crate::domain::api_error::ApiError;

/// The least that is left for the answer itself beside a thinking budget, where the client named the cap: what vendors demand.
const AFTER_THINKING: u64 = 1;
/// The same where the gateway chose the cap: the client has no say in it, and wants an answer.
pub const ANSWER_TOKENS_AFTER_THINKING: u64 = 1_024;
/// How a system turn begins and ends where it has to stand in a user's turn.
const SYSTEM_OPEN: &str = "<system>\n";
const SYSTEM_CLOSE: &str = "\n</system>";

impl ChatRequest {
    /// Fits the ask to a model called `name` towards the client. `words` are the client's; names of what was left out are added
    /// to `dropped`.
    pub fn fit(
        &mut self,
        takes: &Capabilities,
        words: &FieldNames,
        name: &str,
    ) -> Result<(), ApiError> {
        CapabilityFilter {
            ask: self,
            takes,
            words,
            name,
        }
        .all()
    }

    /// The fewest tokens that the model may be told to think with, where it is told a number.
    pub fn thinking_tokens_min(&self, takes: &Capabilities) -> Option<u64> {
        match takes.reasoning {
            ReasoningStyle::Budget { min, .. } => {
                self.reasoning.budget.map(|budget| budget.min(min))
            }
            _ => None,
        }
    }

    /// Sets the output cap that the gateway chose, and leaves room for an answer beside the thoughts.
    pub fn cap(&mut self, cap: u64, takes: &Capabilities) {
        self.output_cap = Some(cap);
        let (Some(budget), ReasoningStyle::Budget { min, .. }) =
            (self.reasoning.budget, takes.reasoning)
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
    ask: &'a mut ChatRequest,
    takes: &'a Capabilities,
    words: &'a FieldNames,
    name: &'a str,
}

impl CapabilityFilter<'_> {
    fn all(&mut self) -> Result<(), ApiError> {
        self.media()?;
        self.tools()?;
        self.format();
        self.stop()?;
        self.sampling();
        self.reasoning();
        self.think_alone();
        self.rest();
        self.system_turns();
        Ok(())
    }

    fn refused(&self, what: &str, param: &str) -> ApiError {
        ApiError::invalid(format!("{} {what}", self.name)).with_param(param)
    }

    /// Media that the model cannot see are refused: without them the question is another one.
    fn media(&self) -> Result<(), ApiError> {
        for block in self.ask.turns.iter().flat_map(|turn| &turn.blocks) {
            self.medium(block, false)?;
        }
        Ok(())
    }

    fn medium(&self, block: &ContentBlock, in_result: bool) -> Result<(), ApiError> {
        let param = self.words.messages;
        match &block.content {
            Content::Image(_) if !self.takes.images => Err(self.refused(
                "takes no images; leave them out or ask another model",
                param,
            )),
            Content::Image(_) if in_result && !self.takes.tool_result_images => Err(self.refused(
                "takes no images in results of tools; send them in a user's message",
                param,
            )),
            Content::Image(Media {
                source: Source::Url(_),
                ..
            }) if !self.takes.image_urls => {
                let what = "is not reached with images by URL, and this gateway fetches none; send the image itself, in base64";
                Err(self.refused(what, param))
            }
            Content::Document(media) => self.document(media),
            Content::Image(Media {
                source: Source::File(_),
                ..
            }) => Err(self.refused(
                "cannot see files that another vendor keeps; send the file itself, in base64",
                param,
            )),
            Content::ToolResult(result) => result
                .blocks
                .iter()
                .try_for_each(|block| self.medium(block, true)),
            _ => Ok(()),
        }
    }

    fn document(&self, media: &Media) -> Result<(), ApiError> {
        let param = self.words.messages;
        match &media.source {
            // plain text goes as text where documents do not
            Source::Text(_) => Ok(()),
            _ if !self.takes.documents => Err(self.refused("takes no documents; send their text, or ask another model", param)),
            Source::Base64(_) => Ok(()),
            Source::Url(_) | Source::File(_) => {
                Err(self.refused("is not reached with documents by URL or file id; send the document itself, in base64", param))
            }
        }
    }

    fn tools(&mut self) -> Result<(), ApiError> {
        let takes = self.takes;
        if !takes.tools && !self.ask.tools.is_empty() {
            return Err(self.refused(
                "calls no tools; leave `tools` out or ask another model",
                "tools",
            ));
        }
        if self.ask.tools.is_empty() {
            if self.ask.tool_choice != ToolChoice::Auto {
                self.ask.tool_choice = ToolChoice::Auto;
            }
            self.ask.parallel_tools = None;
        }
        match self.ask.tool_choice {
            // no tools is what `none` asks for
            ToolChoice::None if !takes.tool_choice_none => {
                self.ask.tools.clear();
                self.ask.tool_choice = ToolChoice::Auto;
            }
            ToolChoice::Any | ToolChoice::Named(_) if !takes.tool_choice_forced => {
                self.ask.tool_choice = ToolChoice::Auto;
                self.ask.drop_param("tool_choice");
            }
            _ => {}
        }
        if self.ask.parallel_tools == Some(false) && !takes.parallel_switch {
            self.ask.drop_param(self.words.parallel_tools);
        }
        if !takes.parallel_switch {
            self.ask.parallel_tools = None;
        }
        if !takes.strict {
            self.ask
                .tools
                .iter_mut()
                .for_each(|tool| tool.strict = None);
        }
        Ok(())
    }

    fn format(&mut self) {
        let taken = match &self.ask.format {
            Format::Text => true,
            Format::JsonObject => self.takes.json_object,
            Format::JsonSchema { .. } => self.takes.json_schema,
        };
        if taken {
            return;
        }
        self.ask.format = match &self.ask.format {
            // any object is what a schema of an object asks for
            Format::JsonObject if self.takes.json_schema && self.takes.open_schemas => {
                Format::JsonSchema {
                    name: "object".to_owned(),
                    description: None,
                    schema: raw(r#"{"type":"object"}"#.to_owned()).unwrap_or_default(),
                    strict: None,
                }
            }
            Format::JsonSchema { .. } if self.takes.json_object => Format::JsonObject,
            _ => Format::Text,
        };
        if !matches!(self.ask.format, Format::JsonSchema { .. }) {
            self.ask.drop_param(self.words.format);
        }
    }

    fn stop(&self) -> Result<(), ApiError> {
        let (named, max) = (self.ask.stop.len(), self.takes.stop_sequences_max);
        if named > max {
            let what = format!("takes at most {max} stop sequences, not {named}");
            return Err(self.refused(&what, self.words.stop));
        }
        Ok(())
    }

    fn sampling(&mut self) {
        let takes = self.takes;
        let sampling = &mut self.ask.sampling;
        let mut dropped = Vec::new();
        let both = sampling.temperature.is_some() && sampling.top_p.is_some();
        for (member, value, taken) in [
            ("temperature", &mut sampling.temperature, takes.sampling),
            (
                "top_p",
                &mut sampling.top_p,
                takes.sampling && (takes.temperature_with_top_p || !both),
            ),
            ("top_k", &mut sampling.top_k, takes.sampling && takes.top_k),
            (
                "frequency_penalty",
                &mut sampling.frequency_penalty,
                takes.penalties,
            ),
            (
                "presence_penalty",
                &mut sampling.presence_penalty,
                takes.penalties,
            ),
            ("seed", &mut sampling.seed, takes.seed),
        ] {
            if !taken && value.take().is_some() {
                dropped.push(member);
            }
        }
        dropped
            .into_iter()
            .for_each(|member| self.ask.drop_param(member));
    }

    /// Thinking in the model's own manner: the nearest word, or a number that leaves room for an answer.
    fn reasoning(&mut self) {
        let asked = std::mem::take(&mut self.ask.reasoning);
        if !asked.is_named() {
            return;
        }
        let effort = asked
            .effort
            .or_else(|| asked.budget.map(Effort::from_tokens));
        let fitted = match self.takes.reasoning {
            ReasoningStyle::None => None,
            ReasoningStyle::Effort(words) => match effort {
                Some(effort) => effort.nearest(words).map(|effort| ReasoningOptions {
                    effort: Some(effort),
                    ..ReasoningOptions::default()
                }),
                // it thinks by itself; the client may still want to see it
                None => asked.adaptive.then(|| ReasoningOptions {
                    adaptive: true,
                    ..ReasoningOptions::default()
                }),
            },
            ReasoningStyle::Adaptive(words) => Some(ReasoningOptions {
                effort: effort
                    .filter(|effort| *effort != Effort::None)
                    .and_then(|effort| effort.nearest(words)),
                adaptive: !asked.is_off(),
                budget: None,
                summary: None,
            })
            .filter(|_| !asked.is_off()),
            ReasoningStyle::Budget { min, max } => self.budget(&asked, min, max),
            ReasoningStyle::Switch => Some(ReasoningOptions {
                effort: effort.filter(|effort| *effort == Effort::None),
                adaptive: !asked.is_off(),
                ..ReasoningOptions::default()
            }),
        };
        match fitted {
            Some(fitted) => {
                self.ask.reasoning = ReasoningOptions {
                    summary: asked.summary,
                    ..fitted
                }
            }
            // off is what a model does that cannot think; a summary alone asks for no thinking
            None if asked.is_off()
                || (asked.effort.is_none() && asked.budget.is_none() && !asked.adaptive) => {}
            None => self.ask.drop_param(self.words.reasoning),
        }
    }

    /// A forced tool is the client's plain word, and goes before thinking; sampling gives way to it.
    fn think_alone(&mut self) {
        let thinks = self.ask.reasoning.adaptive || self.ask.reasoning.budget.is_some();
        if !self.takes.exclusive_reasoning || !thinks {
            return;
        }
        if matches!(self.ask.tool_choice, ToolChoice::Any | ToolChoice::Named(_)) {
            self.ask.reasoning = ReasoningOptions::default();
            return self.ask.drop_param(self.words.reasoning);
        }
        let sampling = &mut self.ask.sampling;
        let named = [
            ("temperature", sampling.temperature.take()),
            ("top_p", sampling.top_p.take()),
            ("top_k", sampling.top_k.take()),
        ];
        for (member, _) in named.into_iter().filter(|(_, value)| value.is_some()) {
            self.ask.drop_param(member);
        }
    }

    /// A turn of calls that goes on without the signed thoughts that it began with.
    fn has_lost_thoughts(&self) -> bool {
        let Some(last) = self
            .ask
            .turns
            .iter()
            .rfind(|turn| turn.role == Role::Assistant)
        else {
            return false;
        };
        let has =
            |wanted: fn(&Content) -> bool| last.blocks.iter().any(|block| wanted(&block.content));
        has(|content| matches!(content, Content::ToolCall(_)))
            && !has(
                |content| matches!(content, Content::Reasoning(reasoned) if reasoned.provider_state.is_some()),
            )
    }

    fn budget(&self, asked: &ReasoningOptions, min: u64, max: u64) -> Option<ReasoningOptions> {
        if asked.is_off() {
            // where no thinking is a budget like any other
            return (min == 0).then(|| ReasoningOptions {
                budget: Some(0),
                ..ReasoningOptions::default()
            });
        }
        if self.takes.signed_reasoning && self.has_lost_thoughts() {
            return None;
        }
        let wanted = asked
            .budget
            .or(asked.effort.map(Effort::tokens))
            .unwrap_or(Effort::Medium.tokens())
            .clamp(min, max);
        let room = self
            .ask
            .output_cap
            .map_or(u64::MAX, |cap| cap.saturating_sub(AFTER_THINKING));
        let budget = wanted.min(room);
        (budget >= min).then(|| ReasoningOptions {
            budget: Some(budget),
            ..ReasoningOptions::default()
        })
    }

    fn rest(&mut self) {
        if !self.takes.service_tier && self.ask.service_tier.take().is_some() {
            self.ask.drop_param("service_tier");
        }
        if !self.takes.user && self.ask.user.take().is_some() {
            self.ask.drop_param(self.words.user);
        }
    }

    /// A system turn in the middle keeps its place, as a marked user turn where the model knows none there: moved to the top it
    /// would stand before what it follows, and break the vendor's cache.
    fn system_turns(&mut self) {
        if self.takes.system_turns == SystemTurns::Anywhere {
            return;
        }
        let turns = self
            .ask
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
        self.ask.join_turns();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Sampling, Turn};

    const WORDS: FieldNames = FieldNames {
        messages: "messages",
        stop: "stop",
        reasoning: "reasoning_effort",
        format: "response_format",
        parallel_tools: "parallel_tool_calls",
        user: "user",
    };

    fn fitted(mut ask: ChatRequest, takes: Capabilities) -> Result<ChatRequest, ApiError> {
        ask.fit(&takes, &WORDS, "vendor/model").map(|()| ask)
    }

    fn thinking(
        reasoning: ReasoningOptions,
        output_cap: Option<u64>,
        style: ReasoningStyle,
    ) -> (ReasoningOptions, Vec<String>) {
        let takes = Capabilities {
            reasoning: style,
            ..Capabilities::all()
        };
        let ask = fitted(
            ChatRequest {
                reasoning,
                output_cap,
                ..ChatRequest::default()
            },
            takes,
        )
        .expect("a fit");
        (ask.reasoning, ask.dropped)
    }

    #[test]
    fn r01_thinking_fits_the_model_or_is_named_as_dropped() {
        let asked = ReasoningOptions {
            effort: Some(Effort::High),
            ..ReasoningOptions::default()
        };
        let budget = ReasoningStyle::Budget {
            min: 1_024,
            max: 64_000,
        };
        assert_eq!(
            thinking(asked.clone(), Some(800), budget),
            (
                ReasoningOptions::default(),
                vec!["reasoning_effort".to_owned()]
            )
        );
        assert_eq!(
            thinking(asked.clone(), Some(2_000), budget).0.budget,
            Some(1_999)
        );
        assert_eq!(thinking(asked.clone(), None, budget).0.budget, Some(16_384));
        let adaptive = thinking(
            asked.clone(),
            Some(800),
            ReasoningStyle::Adaptive(&[Effort::Low, Effort::High]),
        )
        .0;
        assert_eq!(
            (adaptive.adaptive, adaptive.effort, adaptive.budget),
            (true, Some(Effort::High), None)
        );
        assert_eq!(
            thinking(asked, None, ReasoningStyle::None).1,
            ["reasoning_effort"]
        );
        let off = ReasoningOptions {
            effort: Some(Effort::None),
            ..ReasoningOptions::default()
        };
        assert_eq!(
            thinking(off, None, ReasoningStyle::None),
            (ReasoningOptions::default(), vec![]),
            "nothing is lost"
        );
    }

    #[test]
    fn thinking_gives_way_to_a_forced_tool_and_sampling_to_thinking() {
        let takes = Capabilities {
            exclusive_reasoning: true,
            reasoning: ReasoningStyle::Adaptive(&[Effort::High]),
            ..Capabilities::all()
        };
        let tool = crate::conversation::Tool {
            name: "f".into(),
            description: None,
            schema: Default::default(),
            strict: None,
            cache: None,
        };
        let ask = |tool_choice| ChatRequest {
            reasoning: ReasoningOptions {
                effort: Some(Effort::High),
                ..ReasoningOptions::default()
            },
            sampling: Sampling {
                temperature: raw("0".into()),
                ..Sampling::default()
            },
            tools: vec![tool.clone()],
            tool_choice,
            ..ChatRequest::default()
        };
        let forced = fitted(ask(ToolChoice::Any), takes).expect("a fit");
        assert_eq!(
            (forced.reasoning.is_named(), forced.dropped),
            (false, vec!["reasoning_effort".to_owned()])
        );
        let free = fitted(ask(ToolChoice::Auto), takes).expect("a fit");
        assert_eq!(
            (
                free.reasoning.adaptive,
                free.sampling.temperature,
                free.dropped
            ),
            (true, None, vec!["temperature".to_owned()])
        );
    }

    #[test]
    fn a_budget_is_dropped_and_named_where_the_thoughts_before_a_call_are_lost() {
        let reasoning = ReasoningStyle::Budget {
            min: 1_024,
            max: 64_000,
        };
        let takes = Capabilities {
            reasoning,
            signed_reasoning: true,
            ..Capabilities::all()
        };
        let call = crate::conversation::ToolCall {
            id: "a".into(),
            name: "f".into(),
            arguments: String::new(),
            provider_state: None,
        };
        let provider_state = crate::conversation::ProviderState {
            origin: None,
            kind: crate::conversation::ProviderStateKind::Signature,
            data: "s".into(),
        };
        let thought = crate::conversation::ReasoningBlock {
            text: "hm".into(),
            provider_state: Some(provider_state),
        };
        for (thoughts, kept) in [
            (vec![], false),
            (vec![Content::Reasoning(thought).into()], true),
        ] {
            let blocks = [thoughts, vec![Content::ToolCall(call.clone()).into()]].concat();
            let turns = vec![Turn {
                role: Role::Assistant,
                blocks,
            }];
            let reasoning = ReasoningOptions {
                effort: Some(Effort::Medium),
                ..ReasoningOptions::default()
            };
            let ask = fitted(
                ChatRequest {
                    turns,
                    reasoning,
                    ..ChatRequest::default()
                },
                takes,
            )
            .expect("a fit");
            assert_eq!(
                (ask.reasoning.budget.is_some(), ask.dropped.is_empty()),
                (kept, kept)
            );
        }
    }

    #[test]
    fn r02_adaptive_thinking_becomes_the_nearest_effort_and_no_budget() {
        let asked = ReasoningOptions {
            effort: Some(Effort::XHigh),
            adaptive: true,
            ..ReasoningOptions::default()
        };
        let (fitted, dropped) = thinking(
            asked,
            None,
            ReasoningStyle::Effort(&[Effort::Low, Effort::Medium, Effort::High]),
        );
        assert_eq!(
            (fitted.effort, fitted.budget, fitted.adaptive),
            (Some(Effort::High), None, false)
        );
        assert!(dropped.is_empty());
    }

    #[test]
    fn what_a_model_does_not_take_is_dropped_by_the_clients_name() {
        let number = || raw("0.5".into());
        let sampling = Sampling {
            temperature: number(),
            top_p: number(),
            seed: number(),
            ..Sampling::default()
        };
        let takes = Capabilities {
            sampling: false,
            user: false,
            seed: true,
            ..Capabilities::all()
        };
        let ask = fitted(
            ChatRequest {
                sampling,
                user: Some("u".into()),
                ..ChatRequest::default()
            },
            takes,
        )
        .expect("a fit");
        assert_eq!(ask.dropped, ["temperature", "top_p", "user"]);
        assert!(ask.sampling.seed.is_some() && ask.sampling.temperature.is_none());
    }

    #[test]
    fn media_that_a_model_cannot_see_are_refused() {
        let media = |source| Media {
            mime: "image/png".into(),
            source,
            name: None,
        };
        let with = |content: Content| ChatRequest {
            turns: vec![Turn {
                role: Role::User,
                blocks: vec![content.into()],
            }],
            ..ChatRequest::default()
        };
        let takes = Capabilities {
            images: false,
            documents: false,
            ..Capabilities::all()
        };
        for content in [
            Content::Image(media(Source::Base64("AA".into()))),
            Content::Document(media(Source::Base64("AA".into()))),
        ] {
            assert_eq!(
                fitted(with(content), takes)
                    .expect_err("refused")
                    .param
                    .as_deref(),
                Some("messages")
            );
        }
        assert!(
            fitted(
                with(Content::Document(media(Source::Text("t".into())))),
                takes
            )
            .is_ok()
        );
        let takes = Capabilities {
            image_urls: false,
            ..Capabilities::all()
        };
        let problem = fitted(
            with(Content::Image(media(Source::Url("https://x".into())))),
            takes,
        )
        .expect_err("refused");
        assert!(problem.message.contains("base64"), "{problem}");
    }

    #[test]
    fn e01_a_system_turn_in_the_middle_keeps_its_place() {
        let turn = |role, text: &str| Turn {
            role,
            blocks: vec![Content::Text(text.into()).into()],
        };
        let turns = vec![
            turn(Role::System, "top"),
            turn(Role::User, "go"),
            turn(Role::System, "later"),
        ];
        let takes = Capabilities {
            system_turns: SystemTurns::First,
            ..Capabilities::all()
        };
        let ask = fitted(
            ChatRequest {
                turns,
                ..ChatRequest::default()
            },
            takes,
        )
        .expect("a fit");
        assert_eq!(
            (
                ask.turns.len(),
                ask.turns[1].role,
                ask.turns[1].blocks.len()
            ),
            (2, Role::User, 2)
        );
        assert!(
            matches!(&ask.turns[1].blocks[1].content, Content::Text(text) if text == "<system>\nlater\n</system>")
        );
    }
}
