//! How much an upstream has said: walks a delta or a message and counts its text, for estimates and to tell content
//! from framing. Counts every text whose name it does not know, so that a new kind of delta is never taken for silence.

use serde::de::MapAccess;
use serde_json::value::RawValue;

use crate::dialect::wire::json::{ElementsSeed, FieldVisitor, Leaf, skip};

/// Deeper than any delta or message lies.
const DEPTH_MAX: u8 = 16;

/// Text that an upstream has delivered: content, reasoning, refusals, tool names and arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveredText {
    /// as UTF-8, the CJK characters included
    pub text_bytes: u64,
    /// characters that are about one token each
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
}

fn is_cjk(letter: char) -> bool {
    matches!(u32::from(letter),
        0x1100..=0x11ff | 0x2e80..=0x9fff | 0xa960..=0xa97f | 0xac00..=0xd7ff | 0xf900..=0xfaff | 0xfe30..=0xfe4f
        | 0xff00..=0xffef | 0x2_0000..=0x3_ffff)
}

/// Walks one delta, message or block.
#[derive(Clone, Debug, Default)]
pub(super) struct TextCounter {
    pub(super) delivered: DeliveredText,
    /// there is something that a client would see as part of the answer
    pub(super) has_content: bool,
    depth: u8,
}

impl TextCounter {
    /// Something that is content but not text of the model: a signature, sound, a citation.
    fn uncounted<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let value: Leaf<'_> = map.next_value()?;
        self.has_content |= value.text().is_some_and(|text| !text.is_empty());
        Ok(())
    }

    /// Tool arguments: a text in streams, perhaps an object in whole answers. Empty ones are placeholders.
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::wire::json::read;

    fn walked(json: &str) -> (u64, u64, bool) {
        let output = read(&TextCounter::default(), json.as_bytes()).expect("JSON");
        (
            output.delivered.text_bytes,
            output.delivered.cjk_chars,
            output.has_content,
        )
    }

    #[test]
    fn text_is_counted_wherever_it_stands() {
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
            assert_eq!(walked(delta), expected, "{delta}");
        }
    }
}
