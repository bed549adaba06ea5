//! Answers that must be one JSON object, of models that were only told so: what stands around the object (a fence, a sentence) is
//! left out as it comes, and an answer without a whole object is a fault. Must never pass another text for the object.

use serde::de::IgnoredAny;

use crate::conversation::{BlockKind, OutputEvent, StopReason};

/// Longer answers are judged by their brackets alone.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Output events of one response, with the object as the only text.
#[derive(Clone, Debug, Default)]
pub struct JsonAnswer {
    /// blocks of text, and whether the client knows them
    texts: Vec<(u32, bool)>,
    object: ObjectScanner,
    has_call: bool,
    stop: Option<StopReason>,
}

impl JsonAnswer {
    /// The event as the client sees it; nothing for text around the object.
    pub fn translate(&mut self, event: OutputEvent) -> Vec<OutputEvent> {
        match event {
            OutputEvent::Open {
                block,
                block_kind: BlockKind::Text,
            } => {
                self.texts.push((block, false));
                Vec::new()
            }
            OutputEvent::Delta { block, text } if self.is_text(block) => {
                let part = self.object.take(&text).to_owned();
                if part.is_empty() {
                    return Vec::new();
                }
                let mut events = self.opening(block);
                events.push(OutputEvent::Delta { block, text: part });
                events
            }
            OutputEvent::Close { block } | OutputEvent::State { block, .. }
                if self.texts.contains(&(block, false)) =>
            {
                Vec::new()
            }
            event => {
                self.note(&event);
                vec![event]
            }
        }
    }

    fn is_text(&self, block: u32) -> bool {
        self.texts.iter().any(|(text, _)| *text == block)
    }

    /// The opening of a block that the client does not know yet.
    fn opening(&mut self, block: u32) -> Vec<OutputEvent> {
        let known = self.texts.iter_mut().find(|(text, _)| *text == block);
        match known {
            Some((_, is_known @ false)) => {
                *is_known = true;
                let block_kind = BlockKind::Text;
                vec![OutputEvent::Open { block, block_kind }]
            }
            _ => Vec::new(),
        }
    }

    fn note(&mut self, event: &OutputEvent) {
        match event {
            OutputEvent::Open {
                block_kind: BlockKind::Call { .. },
                ..
            } => self.has_call = true,
            OutputEvent::Stop(stop) => self.stop = Some(stop.clone()),
            _ => {}
        }
    }

    /// Returns true if the response ended by itself with another text than one JSON object. A cut answer, a refusal and a call are
    /// what they say.
    pub fn is_other_text(&self) -> bool {
        let ended = matches!(
            self.stop,
            Some(StopReason::End | StopReason::Tool | StopReason::Sequence(_))
        );
        ended && !self.has_call && !self.object.is_whole()
    }
}

/// Finds the first JSON object in a text that comes in pieces.
#[derive(Clone, Debug, Default)]
struct ObjectScanner {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    has_ended: bool,
    bytes: usize,
    kept: String,
}

impl ObjectScanner {
    /// The part of a piece that belongs to the object.
    fn take<'t>(&mut self, text: &'t str) -> &'t str {
        let start = match self.depth {
            _ if self.has_ended => return "",
            0 => match text.find('{') {
                Some(start) => start,
                None => return "",
            },
            _ => 0,
        };
        let mut end = text.len();
        for (at, byte) in text.bytes().enumerate().skip(start) {
            self.step(byte);
            if self.depth == 0 {
                self.has_ended = true;
                end = at + 1;
                break;
            }
        }
        let part = &text[start..end];
        self.bytes += part.len();
        if self.bytes <= KEPT_BYTES_MAX {
            self.kept.push_str(part);
        }
        part
    }

    fn step(&mut self, byte: u8) {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.in_string => self.is_escaped = true,
            b'"' => self.in_string = !self.in_string,
            b'{' | b'[' if !self.in_string => self.depth += 1,
            b'}' | b']' if !self.in_string => self.depth -= 1,
            _ => {}
        }
    }

    fn is_whole(&self) -> bool {
        let is_json = || serde_json::from_str::<IgnoredAny>(&self.kept).is_ok();
        self.has_ended && (self.bytes > KEPT_BYTES_MAX || is_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text that the client gets of these pieces, and whether the answer is another text.
    fn answered(pieces: &[&str], stop: StopReason) -> (String, bool) {
        let mut answer = JsonAnswer::default();
        let block_kind = BlockKind::Text;
        let mut events = vec![OutputEvent::Open {
            block: 0,
            block_kind,
        }];
        events.extend(pieces.iter().map(|piece| OutputEvent::Delta {
            block: 0,
            text: (*piece).to_owned(),
        }));
        events.extend([OutputEvent::Close { block: 0 }, OutputEvent::Stop(stop)]);
        let events: Vec<OutputEvent> = events
            .into_iter()
            .flat_map(|event| answer.translate(event))
            .collect();
        let opened = events
            .iter()
            .filter(|event| matches!(event, OutputEvent::Open { .. }));
        let closed = events
            .iter()
            .filter(|event| matches!(event, OutputEvent::Close { .. }));
        assert_eq!(opened.count(), closed.count());
        let texts = events.iter().filter_map(|event| match event {
            OutputEvent::Delta { text, .. } => Some(text.as_str()),
            _ => None,
        });
        (texts.collect(), answer.is_other_text())
    }

    #[test]
    fn text_around_the_object_is_left_out_wherever_it_is_cut() {
        for (text, object) in [
            ("{\"a\":1}", "{\"a\":1}"),
            (
                "```json\n{\"a\": {\"b\": [1, 2]}}\n```",
                "{\"a\": {\"b\": [1, 2]}}",
            ),
            (
                "Here it is: {\"a\":\"} \\\" {é\"} Anything else?",
                "{\"a\":\"} \\\" {é\"}",
            ),
        ] {
            assert_eq!(
                answered(&[text], StopReason::End),
                (object.to_owned(), false)
            );
            for (at, _) in text.char_indices() {
                let (head, tail) = text.split_at(at);
                let (said, is_other) = answered(&[head, tail], StopReason::End);
                assert_eq!(
                    (said.as_str(), is_other),
                    (object, false),
                    "{head} | {tail}"
                );
            }
        }
    }

    #[test]
    fn answer_without_a_whole_object_is_another_text() {
        for text in [
            "I cannot do that.",
            "",
            "[1, 2]",
            "{\"a\":",
            "{a: 1}",
            "{\"a\":]}",
        ] {
            assert!(answered(&[text], StopReason::End).1, "{text}");
        }
        assert!(
            !answered(&["{\"a\":"], StopReason::Length).1,
            "the cap cut it"
        );
        assert!(!answered(&["No."], StopReason::Filtered).1, "a refusal");
    }

    #[test]
    fn call_in_place_of_the_object_is_no_fault() {
        let mut answer = JsonAnswer::default();
        let (id, name) = ("c".to_owned(), "look".to_owned());
        let block_kind = BlockKind::Call { id, name };
        for event in [
            OutputEvent::Open {
                block: 1,
                block_kind,
            },
            OutputEvent::Close { block: 1 },
            OutputEvent::Stop(StopReason::Tool),
        ] {
            assert_eq!(answer.translate(event).len(), 1);
        }
        assert!(!answer.is_other_text());
    }
}
