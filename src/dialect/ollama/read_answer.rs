//! What `/api/chat` answers, as neutral events: one JSON object per line, the last with `done`. A line with an `error` may come at any
//! time and ends the answer; a body that ends without `done` is cut off.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::conversation::{Event, Opened, Raw, Stop};
use crate::dialect::count::Count;
use crate::dialect::sse::Fields;
use crate::dialect::translation::{AnswerHead, Heard, ReadAnswer};
use crate::dialect::unary::{NotComplete, whole_of};
use crate::dialect::{Dialect, UpstreamFault, fault, json};
use crate::domain::usage::{Report, Usage};

/// Reads one answer.
pub(in crate::dialect) struct OllamaReader {
    /// what minted ids begin with
    seed: String,
    prompt: Count,
    output: Count,
    blocks: u32,
    /// the block of text or thoughts that is open
    open: Option<(u32, Opened)>,
    done: bool,
}

#[derive(Deserialize)]
struct Line {
    message: Option<Message>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: Count,
    #[serde(default)]
    eval_count: Count,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<Raw>,
}

impl OllamaReader {
    pub(in crate::dialect) fn new(head: &AnswerHead) -> OllamaReader {
        let (prompt, output) = (Count::Unsaid, Count::Unsaid);
        OllamaReader { seed: head.request_id.clone(), prompt, output, blocks: 0, open: None, done: false }
    }

    fn line(&mut self, line: Line, events: &mut Vec<Event>) {
        self.prompt.then(line.prompt_eval_count);
        self.output.then(line.eval_count);
        if let Some(message) = line.message {
            self.say(Opened::Reasoning, message.thinking.unwrap_or_default(), events);
            self.say(Opened::Text, message.content.unwrap_or_default(), events);
            message.tool_calls.unwrap_or_default().into_iter().for_each(|call| self.call(call, events));
        }
        if line.done {
            self.close(events);
            self.done = true;
            events.push(Event::Stop(stop(line.done_reason.as_deref())));
        }
    }

    fn say(&mut self, opened: Opened, text: String, events: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        let block = match &self.open {
            Some((block, kind)) if *kind == opened => *block,
            _ => {
                self.close(events);
                self.open(opened, events)
            }
        };
        events.push(Event::Piece { block, text });
    }

    /// Calls come whole.
    fn call(&mut self, call: Call, events: &mut Vec<Event>) {
        self.close(events);
        let (name, arguments) = call.function.map_or((None, None), |function| (function.name, function.arguments));
        let minted = format!("call_{}_{}", self.seed, self.blocks);
        let id = call.id.filter(|id| !id.is_empty()).unwrap_or(minted);
        let block = self.open(Opened::Call { id, name: name.unwrap_or_default() }, events);
        events.push(Event::Piece { block, text: arguments.map_or_else(|| "{}".to_owned(), |json| object(&json)) });
        self.close(events);
    }

    fn open(&mut self, opened: Opened, events: &mut Vec<Event>) -> u32 {
        let block = self.blocks;
        self.blocks += 1;
        events.push(Event::Open { block, opened: opened.clone() });
        self.open = Some((block, opened));
        block
    }

    fn close(&mut self, events: &mut Vec<Event>) {
        if let Some((block, _)) = self.open.take() {
            events.push(Event::Close { block });
        }
    }
}

/// Arguments as they stand; where somebody wrote the object as a text, the text.
fn object(json: &Raw) -> String {
    match json.as_str() {
        "null" => "{}".to_owned(),
        text if text.starts_with('"') => serde_json::from_str(text).unwrap_or_else(|_| text.to_owned()),
        object => object.to_owned(),
    }
}

impl ReadAnswer for OllamaReader {
    fn event(&mut self, fields: &Fields<'_>, events: &mut Vec<Event>) -> Result<Heard, UpstreamFault> {
        let data = fields.data.trim_ascii();
        if data.is_empty() {
            return Ok(Heard::More);
        }
        let line: Line =
            json::lenient(data).map_err(|_| UpstreamFault::new("the upstream sent a line that is none of Ollama's"))?;
        if line.error.is_some() {
            return Err(fault::named(Dialect::Ollama, data));
        }
        self.line(line, events);
        Ok(if self.done { Heard::End } else { Heard::More })
    }

    fn whole(&mut self, body: &[u8], events: &mut Vec<Event>) -> Result<(), NotComplete> {
        let line: Line = whole_of(body)?;
        if line.error.is_some() {
            return Err(NotComplete::Fault(fault::named(Dialect::Ollama, body)));
        }
        if !line.done {
            return Err(NotComplete::CutOff);
        }
        self.line(line, events);
        Ok(())
    }

    /// Counts are left out where the vendor does not know them, which is not zero: both must be there.
    fn report(&self) -> Report {
        match (self.prompt, self.output) {
            (Count::Lie, _) | (_, Count::Lie) => Report::Lying,
            (Count::Said(uncached_in), Count::Said(out_total)) => {
                Report::Reported(Usage { uncached_in, out_total, ..Usage::default() })
            }
            _ => Report::Missing,
        }
    }

    fn output_is_final(&self) -> bool {
        self.done
    }
}

/// Ollama's words for an end (WIRE.md 2.11). `load` and `unload` are ends of calls without a prompt.
fn stop(reason: Option<&str>) -> Stop {
    match reason {
        None | Some("stop" | "load" | "unload") => Stop::End,
        Some("length") => Stop::Length,
        Some(other) => {
            tracing::warn!("Ollama ended an answer with {:?}: taken for a plain end", other.get(..40).unwrap_or(other));
            Stop::End
        }
    }
}
