//! Text that an upstream has sent: counted for estimates, and to distinguish content from framing. Text under an unknown name counts,
//! so that a new kind of delta is never taken for silence.

use serde::de::MapAccess;
use serde_json::value::RawValue;

use crate::conversation::{BlockKind, OutputEvent};
use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, skip};
use crate::dialect::wire::template::TextPlace;

/// Deeper than any delta or message.
const DEPTH_MAX: u8 = 16;

/// Text of a response: content, reasoning, model refusals, tool names and arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveredText {
    /// UTF-8, including CJK characters
    pub text_bytes: u64,
    /// characters of about one token each
    pub cjk_chars: u64,
}

impl DeliveredText {
    pub(super) fn count(&mut self, text: &str) {
        self.text_bytes += text.len() as u64;
        if !text.is_ascii() {
            self.cjk_chars += text.chars().filter(|letter| is_cjk(*letter)).count() as u64;
        }
    }

    pub(super) fn add(&mut self, more: DeliveredText) {
        self.text_bytes += more.text_bytes;
        self.cjk_chars += more.cjk_chars;
    }

    /// Counts the text of an event; `true` if the event is content.
    pub(super) fn count_event(&mut self, event: &OutputEvent) -> bool {
        match event {
            OutputEvent::Open {
                block_kind: BlockKind::Call { name, .. },
                ..
            } => {
                self.count(name);
                true
            }
            OutputEvent::Delta { text, .. } => {
                self.count(text);
                !text.is_empty()
            }
            OutputEvent::State { .. } => true,
            OutputEvent::Open { .. } | OutputEvent::Close { .. } | OutputEvent::Stop(_) => false,
        }
    }
}

fn is_cjk(letter: char) -> bool {
    matches!(u32::from(letter),
        0x1100..=0x11ff | 0x2e80..=0x9fff | 0xa960..=0xa97f | 0xac00..=0xd7ff | 0xf900..=0xfaff | 0xfe30..=0xfe4f
        | 0xff00..=0xffef | 0x2_0000..=0x3_ffff)
}

/// Counts the text of one delta, message or block.
#[derive(Clone, Debug, Default)]
pub(super) struct TextCounter {
    pub(super) delivered: DeliveredText,
    /// the client would see part of an answer
    pub(super) has_content: bool,
    depth: u8,
    /// number of texts, and the place of the last
    texts: u32,
    last: Option<TextPlace>,
}

impl TextCounter {
    /// Place of the text, if there was exactly one.
    pub(super) fn only_text(&self) -> Option<TextPlace> {
        self.last.filter(|_| self.texts == 1)
    }

    /// Content that is not text of the model: a signature, audio, a citation.
    fn uncounted<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let value: Leaf<'_> = map.next_value()?;
        self.has_content |= value.text().is_some_and(|text| !text.is_empty());
        Ok(())
    }

    /// Tool arguments: a text in streams, possibly an object in unary responses. Empty arguments are placeholders.
    fn arguments<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let json = map.next_value::<&RawValue>()?.get();
        match Leaf::of(json) {
            Some(Leaf::Text(text)) => self.text(&text),
            Some(Leaf::Null | Leaf::Empty) => {}
            _ => self.text(json),
        }
        Ok(())
    }
}

impl FieldVisitor for TextCounter {
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "role" | "id" | "type" | "index" | "object" | "status" | "call_id" | "tool_use_id"
            | "caller" | "format" | "phase" | "execution" | "logprobs" => skip(map),
            "signature" | "thought_signature" | "data" | "citation" | "citations"
            | "annotations" | "extra_content" | "encrypted_content" => self.uncounted(map),
            "input" | "arguments" => self.arguments(map),
            _ if self.depth == DEPTH_MAX => skip(map),
            _ => {
                self.depth += 1;
                map.next_value_seed(ElementsSeed(self))?;
                self.depth -= 1;
                Ok(())
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.has_content |= !text.is_empty();
        self.delivered.count(text);
        self.texts += 1;
        self.last = Some(TextPlace::of(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::wire::json::read;

    fn counted(json: &str) -> (u64, u64, bool) {
        let output = read(&TextCounter::default(), json.as_bytes()).expect("JSON");
        (
            output.delivered.text_bytes,
            output.delivered.cjk_chars,
            output.has_content,
        )
    }

    #[test]
    fn text_under_any_name_is_counted() {
        for (delta, expected) in [
            (r#"{"role":"assistant","content":""}"#, (0, 0, false)),
            (
                r#"{"role":"assistant","content":null,"refusal":null,"tool_calls":[]}"#,
                (0, 0, false),
            ),
            (r#"{"content":"a\nb"}"#, (3, 0, true)),
            (r#"{"content":"日本 ok"}"#, (9, 2, true)),
            (
                r#"{"reasoning_content":"hm","reasoning":"hm"}"#,
                (4, 0, true),
            ),
            (r#"{"refusal":"no"}"#, (2, 0, true)),
            (
                r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"}]}"#,
                (3, 0, true),
            ),
            (
                r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}"#,
                (1, 0, true),
            ),
            (
                r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}"#,
                (5, 0, true),
            ),
            (
                r#"{"tool_calls":[{"function":{"arguments":{"a": 1}}}]}"#,
                (8, 0, true),
            ),
            (
                r#"{"type":"tool_use","id":"t","name":"","input":{ }}"#,
                (0, 0, false),
            ),
            (
                r#"{"type":"signature_delta","signature":"abc"}"#,
                (0, 0, true),
            ),
            (
                r#"{"audio":{"id":"x","data":"AAAA","transcript":"hi"}}"#,
                (2, 0, true),
            ),
            (r#"{"a_new_kind_of_text":"abc"}"#, (3, 0, true)),
        ] {
            assert_eq!(counted(delta), expected, "{delta}");
        }
    }
}
