//! Template of an event: most events of a stream differ from the one before in one text alone. They are compared with it instead of
//! read. Must never match an event that its reader would take otherwise than as another text.

use std::borrow::Cow;
use std::ops::Range;

use crate::dialect::wire::scanner::Scanner;

/// Place of a text in memory, by which the reader of an event says where the text is without knowing the event's other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextPlace {
    address: usize,
    len: usize,
}

/// Texts of an event that may differ without changing its meaning: one that is counted, and one that nobody reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VariableTexts {
    pub counted: TextPlace,
    pub ignored: Option<TextPlace>,
}

/// Bytes of an event around its variable texts.
#[derive(Debug, Default)]
pub(crate) struct EventTemplate {
    event: Vec<u8>,
    /// places of the variable texts, in order
    holes: [Option<Hole>; 2],
}

#[derive(Clone, Debug)]
struct Hole {
    range: Range<usize>,
    is_counted: bool,
}

impl TextPlace {
    pub fn of(text: &str) -> TextPlace {
        TextPlace {
            address: text.as_ptr() as usize,
            len: text.len(),
        }
    }

    /// Range in an event, if the text is a string of it between quotes.
    fn within(self, event: &[u8]) -> Option<Range<usize>> {
        let start = self.address.checked_sub(event.as_ptr() as usize)?;
        let end = start.checked_add(self.len)?;
        let is_quoted = event.get(start.checked_sub(1)?) == Some(&b'"') && event.get(end)? == &b'"';
        is_quoted.then_some(start..end)
    }
}

impl EventTemplate {
    /// Takes the last event as the template of the next ones; an event without variable texts is none.
    pub fn learn(&mut self, event: &[u8], texts: Option<VariableTexts>) {
        self.holes = [None, None];
        let Some(texts) = texts else { return };
        let Some(range) = texts.counted.within(event) else {
            return;
        };
        let counted = Some(Hole {
            range,
            is_counted: true,
        });
        let ignored = texts.ignored.and_then(|text| text.within(event));
        let ignored = ignored.map(|range| Hole {
            range,
            is_counted: false,
        });
        let start = |hole: &Option<Hole>| hole.as_ref().map_or(usize::MAX, |hole| hole.range.start);
        self.holes = match start(&counted) < start(&ignored) {
            true => [counted, ignored],
            false => [ignored, counted],
        };
        self.event.clear();
        self.event.extend_from_slice(event);
    }

    /// The counted text of an event that differs from the template in its variable texts alone.
    pub fn text_of<'e>(&self, event: &'e [u8]) -> Option<Cow<'e, str>> {
        let (mut learned, mut read, mut counted) = (0, 0, None);
        for Hole { range, is_counted } in self.holes.iter().flatten() {
            let fixed = &self.event[learned..range.start];
            if !event.get(read..)?.starts_with(fixed) {
                return None;
            }
            let mut scanner = Scanner::new(event, read + fixed.len());
            let span = scanner.string()?;
            let text = &event[span.start..span.end];
            match (is_counted, span.has_escapes) {
                (true, true) => {
                    let quoted = &event[span.start - 1..=span.end];
                    counted = Some(Cow::Owned(serde_json::from_slice(quoted).ok()?));
                }
                (true, false) => counted = Some(Cow::Borrowed(std::str::from_utf8(text).ok()?)),
                (false, has_escapes) => {
                    if has_escapes || !text.is_ascii() {
                        return None;
                    }
                }
            }
            (learned, read) = (range.end, span.end);
        }
        let counted = counted.filter(|text| !text.is_empty())?;
        (event.get(read..)? == &self.event[learned..]).then_some(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Learns `event`, whose texts are those given, and reads `next`.
    fn text_after(event: &str, counted: &str, ignored: Option<&str>, next: &str) -> Option<String> {
        let place = |text: &str| {
            let start = event.find(text).expect("a text of the event");
            TextPlace::of(&event[start..start + text.len()])
        };
        let mut template = EventTemplate::default();
        let texts = VariableTexts {
            counted: place(counted),
            ignored: ignored.map(place),
        };
        template.learn(event.as_bytes(), Some(texts));
        template.text_of(next.as_bytes()).map(Cow::into_owned)
    }

    #[test]
    fn event_that_differs_in_its_text_alone_has_that_text() {
        let event = r#"data: {"a":"one","b":2}"#;
        for (next, text) in [
            (r#"data: {"a":"one","b":2}"#, Some("one")),
            (
                r#"data: {"a":"a longer one, of 日本","b":2}"#,
                Some("a longer one, of 日本"),
            ),
            (r#"data: {"a":"a\nb\u65e5\"","b":2}"#, Some("a\nb日\"")),
            (r#"data: {"a":"","b":2}"#, None),
            (r#"data: {"a":"\ud83d","b":2}"#, None),
            (r#"data: {"a":"\q","b":2}"#, None),
            (r#"data: {"a":"one","b":3}"#, None),
            (r#"data: {"a":"one","c":"","b":2}"#, None),
            (r#"data: {"a":"one","b":2} "#, None),
            (r#"data: {"a":"one"#, None),
            (r#"data: {"a""#, None),
            ("data: {\"a\":\"o\tne\",\"b\":2}", None),
            ("", None),
        ] {
            let found = text_after(event, "one", None, next);
            assert_eq!(found.as_deref(), text, "{next}");
        }
    }

    #[test]
    fn event_may_differ_in_an_ignored_text_on_either_side() {
        for event in [
            r#"{"counted":"one","ignored":"x1"}"#,
            r#"{"ignored":"x1","counted":"one"}"#,
        ] {
            let next = event.replace("one", "two").replace("x1", "");
            let found = text_after(event, "one", Some("x1"), &next);
            assert_eq!(found.as_deref(), Some("two"), "{event}");
            let escaped = event.replace("x1", "\\u0041");
            assert_eq!(text_after(event, "one", Some("x1"), &escaped), None);
        }
    }

    #[test]
    fn text_outside_of_the_event_or_its_quotes_makes_no_template() {
        let event = br#"{"a":{"b":1}}"#;
        let mut template = EventTemplate::default();
        let elsewhere = String::from("a text");
        let inside = std::str::from_utf8(&event[5..12]).expect("ASCII");
        for text in [&elsewhere[..], inside] {
            let texts = VariableTexts {
                counted: TextPlace::of(text),
                ignored: None,
            };
            template.learn(event, Some(texts));
            assert_eq!(template.text_of(event), None, "{text}");
        }
    }
}
