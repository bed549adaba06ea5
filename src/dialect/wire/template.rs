//! Template of an event: most events of a stream differ from the one before in a text and a number alone. They are compared with it instead of
//! read. Must never match an event that its reader would take otherwise than as another text.

use std::borrow::Cow;
use std::ops::Range;

use crate::dialect::wire::scanner::Scanner;

/// Digits that always fit 64 bits.
const DIGITS_MAX: usize = 18;

/// Place of a text in memory, by which the reader of an event says where the text is without knowing the event's other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextPlace {
    address: usize,
    len: usize,
}

/// Parts of an event that may differ without changing its meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VariableParts {
    /// text that is counted
    pub counted: TextPlace,
    /// text that nobody reads
    pub ignored: Option<TextPlace>,
    pub number: Option<EventNumber>,
}

/// Number of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventNumber {
    /// beginning of its member: the quoted name and a colon
    pub member: &'static str,
    pub value: u64,
}

/// Variable parts of an event that repeats the template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repetition<'e> {
    pub text: Cow<'e, str>,
    pub number: Option<u64>,
}

/// Bytes of an event around its variable parts.
#[derive(Debug, Default)]
pub(crate) struct EventTemplate {
    event: Vec<u8>,
    /// places of the variable parts, in order
    holes: [Option<Hole>; 3],
}

#[derive(Clone, Debug)]
struct Hole {
    range: Range<usize>,
    part: Part,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Counted,
    Ignored,
    Number,
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

impl EventNumber {
    /// Range of its digits in an event that has its member once.
    fn within(self, event: &[u8]) -> Option<Range<usize>> {
        let mut members = memchr::memmem::find_iter(event, self.member);
        let start = members.next()? + self.member.len();
        let (value, end) = digits(event, start)?;
        (members.next().is_none() && value == self.value).then_some(start..end)
    }
}

/// The whole number that begins at an offset, and its end.
fn digits(event: &[u8], start: usize) -> Option<(u64, usize)> {
    let rest = event.get(start..)?;
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let has_leading_zero = length > 1 && rest[0] == b'0';
    if length == 0 || length > DIGITS_MAX || has_leading_zero {
        return None;
    }
    let add = |sum: u64, digit: &u8| sum * 10 + u64::from(digit - b'0');
    Some((rest[..length].iter().fold(0, add), start + length))
}

impl EventTemplate {
    /// Takes the last event as the template of the next ones; an event without variable parts is none.
    pub fn learn(&mut self, event: &[u8], parts: Option<VariableParts>) {
        self.holes = parts
            .and_then(|parts| holes(event, parts))
            .unwrap_or_default();
        if self.holes[0].is_some() {
            self.event.clear();
            self.event.extend_from_slice(event);
        }
    }

    /// The variable parts of an event that differs from the template in them alone.
    pub fn repetition<'e>(&self, event: &'e [u8]) -> Option<Repetition<'e>> {
        let (mut learned, mut read) = (0, 0);
        let (mut counted, mut number) = (None, None);
        for Hole { range, part } in self.holes.iter().flatten() {
            let fixed = &self.event[learned..range.start];
            if !event.get(read..)?.starts_with(fixed) {
                return None;
            }
            let start = read + fixed.len();
            read = match part {
                Part::Counted => {
                    let (text, end) = counted_text(event, start)?;
                    counted = Some(text);
                    end
                }
                Part::Ignored => ignored_text(event, start)?,
                Part::Number => {
                    let (value, end) = digits(event, start)?;
                    number = Some(value);
                    end
                }
            };
            learned = range.end;
        }
        let text = counted.filter(|text: &Cow<'_, str>| !text.is_empty())?;
        let is_equal = event.get(read..)? == &self.event[learned..];
        is_equal.then_some(Repetition { text, number })
    }
}

/// Places of the parts in an event, in order; `None` if one that is read is not found.
fn holes(event: &[u8], parts: VariableParts) -> Option<[Option<Hole>; 3]> {
    let hole = |part| move |range| Hole { range, part };
    let number = match parts.number {
        Some(number) => Some(number.within(event).map(hole(Part::Number))?),
        None => None,
    };
    let ignored = parts.ignored.and_then(|text| text.within(event));
    let mut holes = [
        parts.counted.within(event).map(hole(Part::Counted)),
        ignored.map(hole(Part::Ignored)),
        number,
    ];
    holes[0].as_ref()?;
    holes.sort_by_key(|hole| {
        let start = hole.as_ref().map(|hole| hole.range.start);
        start.unwrap_or(usize::MAX)
    });
    Some(holes)
}

/// The text of a string from behind its first quote, and the offset of its last.
fn counted_text(event: &[u8], start: usize) -> Option<(Cow<'_, str>, usize)> {
    let span = Scanner::new(event, start).string()?;
    let text = match span.has_escapes {
        true => {
            let quoted = &event[span.start - 1..=span.end];
            Cow::Owned(serde_json::from_slice(quoted).ok()?)
        }
        false => Cow::Borrowed(std::str::from_utf8(&event[span.start..span.end]).ok()?),
    };
    Some((text, span.end))
}

/// The offset of the last quote of a plain string, from behind its first one.
fn ignored_text(event: &[u8], start: usize) -> Option<usize> {
    let span = Scanner::new(event, start).string()?;
    let is_plain = !span.has_escapes && event[span.start..span.end].is_ascii();
    is_plain.then_some(span.end)
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
        let texts = VariableParts {
            counted: place(counted),
            ignored: ignored.map(place),
            number: None,
        };
        template.learn(event.as_bytes(), Some(texts));
        let repetition = template.repetition(next.as_bytes())?;
        Some(repetition.text.into_owned())
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
            let texts = VariableParts {
                counted: TextPlace::of(text),
                ignored: None,
                number: None,
            };
            template.learn(event, Some(texts));
            assert_eq!(template.repetition(event), None, "{text}");
        }
    }

    #[test]
    fn number_of_an_event_may_differ_and_must_be_found_once() {
        let member = "\"n\":";
        let learned = |event: &str, value| {
            let start = event.find("one").expect("its text");
            let parts = VariableParts {
                counted: TextPlace::of(&event[start..start + 3]),
                ignored: None,
                number: Some(EventNumber { member, value }),
            };
            let mut template = EventTemplate::default();
            template.learn(event.as_bytes(), Some(parts));
            template
        };
        let template = learned(r#"{"n":9,"a":"one"}"#, 9);
        for (next, number) in [
            (r#"{"n":10,"a":"one"}"#, Some(10)),
            (r#"{"n":0,"a":"one"}"#, Some(0)),
            (r#"{"n":-1,"a":"one"}"#, None),
            (r#"{"n":1.5,"a":"one"}"#, None),
            (r#"{"n":01,"a":"one"}"#, None),
            (r#"{"n":1234567890123456789,"a":"one"}"#, None),
            (r#"{"n":"9","a":"one"}"#, None),
        ] {
            let found = template.repetition(next.as_bytes());
            assert_eq!(found.and_then(|found| found.number), number, "{next}");
        }
        for event in [
            r#"{"n":9,"a":"one","b":{"n":9}}"#,
            r#"{"n":8,"a":"one"}"#,
            r#"{"a":"one"}"#,
        ] {
            let found = learned(event, 9).repetition(event.as_bytes()).is_some();
            assert!(!found, "{event}");
        }
    }
}
