//! What a chunk (or whole answer) of chat completions says: usage, output, the end, an error. Usage is read from any
//! chunk and of each field the last value counts (WIRE.md 2.12, E11); must never count Groq's second copy twice.

use serde::de::MapAccess;

use crate::dialect::fault::{FaultReader, UpstreamError};
use crate::dialect::output::TextCounter;
use crate::dialect::wire::count::Count;
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, ObjectSeed, skip};
use crate::domain::usage::{ReportedUsage, Usage};

/// The counts of `usage`, per field the last one given.
#[derive(Clone, Debug, Default)]
pub(in crate::dialect) struct ChatUsage {
    prompt: Count,
    completion: Count,
    cached: Count,
    cache_write: Count,
    audio_in: Count,
    audio_out: Count,
    image_out: Count,
    reasoning: Count,
    pub(in crate::dialect) service_tier: Option<String>,
}

impl ChatUsage {
    pub(in crate::dialect) fn then(&mut self, later: ChatUsage) {
        self.prompt.then(later.prompt);
        self.completion.then(later.completion);
        self.cached.then(later.cached);
        self.cache_write.then(later.cache_write);
        self.audio_in.then(later.audio_in);
        self.audio_out.then(later.audio_out);
        self.image_out.then(later.image_out);
        self.reasoning.then(later.reasoning);
        self.service_tier = later.service_tier.or(self.service_tier.take());
    }

    pub(in crate::dialect) fn output_said(&self) -> bool {
        self.completion.is_said()
    }

    pub(in crate::dialect) fn report(&self) -> ReportedUsage {
        let totals = [self.prompt, self.completion, self.cached, self.cache_write];
        let shares = [
            self.audio_in,
            self.audio_out,
            self.image_out,
            self.reasoning,
        ];
        if totals
            .iter()
            .chain(&shares)
            .any(|count| *count == Count::Invalid)
        {
            return ReportedUsage::Invalid;
        }
        let (cache_read, cache_write_other) = (self.cached.tokens(), self.cache_write.tokens());
        let uncached_in = self
            .prompt
            .tokens()
            .saturating_sub(cache_read)
            .saturating_sub(cache_write_other);
        let out_total = self.completion.tokens();
        let usage = Usage {
            uncached_in,
            cache_read,
            cache_write_other,
            out_total,
            reasoning: self.reasoning.tokens().min(out_total),
            audio_in: self.audio_in.tokens().min(uncached_in),
            audio_out: self.audio_out.tokens().min(out_total),
            image_out: self.image_out.tokens().min(out_total),
            service_tier: self.service_tier.clone(),
            ..Usage::default()
        };
        ReportedUsage::of(usage, self.prompt.is_said(), self.completion.is_said())
    }
}

impl FieldVisitor for ChatUsage {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "prompt_tokens" => self.prompt = Count::required(map)?,
            "completion_tokens" => self.completion = Count::required(map)?,
            "cached_tokens" | "num_cached_tokens" => self.cached.then(Count::optional(map)?),
            "prompt_tokens_details" | "prompt_token_details" => {
                map.next_value_seed(ObjectSeed(&mut PromptDetails(self)))?
            }
            "completion_tokens_details" => {
                map.next_value_seed(ObjectSeed(&mut CompletionDetails(self)))?
            }
            _ => skip(map)?,
        }
        Ok(())
    }

    fn other(&mut self) {
        self.prompt = Count::Invalid;
    }
}

/// The usage of a stream, and whether its output count is the last word: one that was said before the end is a beginning.
#[derive(Clone, Debug, Default)]
pub(in crate::dialect) struct StreamedUsage {
    usage: ChatUsage,
    /// a finish reason was seen, or an error
    pub(in crate::dialect) ended: bool,
    pub(in crate::dialect) output_is_final: bool,
}

impl StreamedUsage {
    /// Takes the usage of the next chunk.
    pub(in crate::dialect) fn then(&mut self, chunk: &mut Chunk) {
        self.ended |= chunk.stopped || chunk.error.seen;
        let later = std::mem::take(&mut chunk.usage);
        if later.output_said() {
            self.output_is_final = self.ended;
        } else if chunk.output.delivered.text_bytes > 0 {
            // of several choices another goes on
            self.output_is_final = false;
        }
        self.usage.then(later);
    }

    pub(in crate::dialect) fn report(&self) -> ReportedUsage {
        self.usage.report()
    }
}

struct PromptDetails<'u>(&'u mut ChatUsage);

impl FieldVisitor for PromptDetails<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "cached_tokens" => self.0.cached.then(Count::optional(map)?),
            "cache_write_tokens" => self.0.cache_write.then(Count::optional(map)?),
            "audio_tokens" => self.0.audio_in.then(Count::optional(map)?),
            _ => skip(map)?,
        }
        Ok(())
    }

    fn other(&mut self) {
        self.0.cached = Count::Invalid;
    }
}

struct CompletionDetails<'u>(&'u mut ChatUsage);

impl FieldVisitor for CompletionDetails<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "reasoning_tokens" => self.0.reasoning.then(Count::optional(map)?),
            "audio_tokens" => self.0.audio_out.then(Count::optional(map)?),
            // OpenRouter's word for what an image model makes
            "image_tokens" => self.0.image_out.then(Count::optional(map)?),
            _ => skip(map)?,
        }
        Ok(())
    }

    fn other(&mut self) {
        self.0.reasoning = Count::Invalid;
    }
}

/// One chunk, or one whole answer: they differ in `delta` and `message` only.
#[derive(Clone, Debug, Default)]
pub(in crate::dialect) struct Chunk {
    pub(in crate::dialect) usage: ChatUsage,
    /// `usage` itself is there, not null
    pub(in crate::dialect) has_usage: bool,
    pub(in crate::dialect) choices: u64,
    pub(in crate::dialect) output: TextCounter,
    /// what choices say beside delta and message: legacy completions, or the same once more (Together)
    plain: TextCounter,
    pub(in crate::dialect) stopped: bool,
    /// a choice ended with the word `error`
    pub(in crate::dialect) choice_failed: bool,
    pub(in crate::dialect) error: FaultReader,
}

impl FieldVisitor for Chunk {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "choices" => map.next_value_seed(ElementsSeed(&mut Choice(self))),
            "usage" => {
                let mut usage = UsageObject::default();
                map.next_value_seed(ObjectSeed(&mut usage))?;
                self.has_usage |= usage.seen;
                self.usage.then(usage.usage);
                Ok(())
            }
            "x_groq" => map.next_value_seed(ObjectSeed(&mut Extension(self))),
            "service_tier" => {
                if let Leaf::Text(tier) = map.next_value()? {
                    self.usage.service_tier = Some(tier.into_owned());
                }
                Ok(())
            }
            "error" => map.next_value_seed(ObjectSeed(&mut self.error)),
            _ => skip(map),
        }
    }

    fn end(&mut self) {
        if !self.output.has_content {
            self.output = std::mem::take(&mut self.plain);
        }
    }
}

/// What a choice that ended with the word `error` means for the answer.
pub(in crate::dialect) fn choice_failed() -> UpstreamError {
    UpstreamError::new("the upstream ended its answer with the finish reason `error`")
}

/// A usage object, told apart from null.
#[derive(Default)]
struct UsageObject {
    usage: ChatUsage,
    seen: bool,
}

impl FieldVisitor for UsageObject {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        self.usage.member(name, map)
    }

    fn other(&mut self) {
        self.usage.other();
    }

    fn end(&mut self) {
        self.seen = true;
    }
}

struct Choice<'c>(&'c mut Chunk);

impl FieldVisitor for Choice<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "delta" | "message" => map.next_value_seed(ElementsSeed(&mut self.0.output)),
            "text" => map.next_value_seed(ElementsSeed(&mut self.0.plain)),
            "finish_reason" => {
                let reason: Leaf<'_> = map.next_value()?;
                // some send an empty one with every chunk
                self.0.stopped |= reason.text().is_some_and(|reason| !reason.is_empty());
                self.0.choice_failed |= reason.text() == Some("error");
                Ok(())
            }
            _ => skip(map),
        }
    }

    fn end(&mut self) {
        self.0.choices += 1;
    }
}

/// `x_groq`: the same usage once more, and errors.
struct Extension<'c>(&'c mut Chunk);

impl FieldVisitor for Extension<'_> {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "usage" => {
                let mut usage = ChatUsage::default();
                map.next_value_seed(ObjectSeed(&mut usage))?;
                self.0.usage.then(usage);
                Ok(())
            }
            "error" => map.next_value_seed(ObjectSeed(&mut self.0.error)),
            _ => skip(map),
        }
    }
}
