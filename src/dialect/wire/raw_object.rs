//! Positions of the fields of one JSON object in its bytes: names and spans. The whole text is validated. Two parsers must never see
//! two values: a duplicate field in any spelling is an error.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::dialect::wire::json::Name;
use crate::dialect::wire::scanner::{DEPTH_MAX, Scanner};

/// Several times the number of top-level fields of any dialect.
const MEMBERS_MAX: usize = 512;

/// Fields of an object in their order.
#[derive(Clone, Debug)]
pub(crate) struct RawObject {
    /// position of the `{`
    pub(crate) open: usize,
    pub(crate) list: Vec<RawField>,
}

#[derive(Clone, Debug)]
pub(crate) struct RawField {
    name: FieldName,
    /// span of its value
    pub(crate) value: Range<usize>,
}

#[derive(Clone, Debug)]
enum FieldName {
    /// span of the name in the text
    Plain(Range<usize>),
    /// decoded name of a name with escapes
    Escaped(Box<str>),
}

/// Reason why a text is not an object without duplicate fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RawObjectError {
    #[error("it is empty")]
    Empty,
    #[error("it is not a JSON object: its first character is not `{{`")]
    NotAnObject,
    #[error("it is not UTF-8 at byte {0}")]
    NotUtf8(usize),
    #[error("it is not valid JSON at line {line}, column {column}")]
    NotJson { line: usize, column: usize },
    #[error("its JSON ends too early, at line {line}, column {column}")]
    CutOff { line: usize, column: usize },
    #[error("a member of it is given more than once: {0}")]
    Duplicate(String),
    #[error("it has more than {MEMBERS_MAX} members")]
    TooMany,
}

impl RawObject {
    pub(crate) fn read(bytes: &[u8]) -> Result<RawObject, RawObjectError> {
        RawObject::read_text(bytes).map(|(object, _)| object)
    }

    /// Reads the object, and returns its text, which is UTF-8.
    pub(crate) fn read_text(bytes: &[u8]) -> Result<(RawObject, &str), RawObjectError> {
        let open = match bytes
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
        {
            None => return Err(RawObjectError::Empty),
            Some(open) if bytes[open] == b'{' => open,
            Some(_) => return Err(RawObjectError::NotAnObject),
        };
        let text = std::str::from_utf8(bytes)
            .map_err(|flaw| RawObjectError::NotUtf8(flaw.valid_up_to()))?;
        let list = match scanned(text, open) {
            Some(list) => list,
            None => judged(text)?,
        };
        let members = RawObject { open, list };
        members
            .duplicate(text)
            .map_or(Ok(()), |name| Err(RawObjectError::Duplicate(name)))?;
        Ok((members, text))
    }

    /// Raw value of a field.
    pub(crate) fn value<'t>(&self, text: &'t [u8], name: &str) -> Option<&'t str> {
        std::str::from_utf8(&text[self.span(text, name)?]).ok()
    }

    /// Raw value of a field of a text that is known to be UTF-8.
    pub(crate) fn value_in<'t>(&self, text: &'t str, name: &str) -> Option<&'t str> {
        text.get(self.span(text.as_bytes(), name)?)
    }

    fn span(&self, text: &[u8], name: &str) -> Option<Range<usize>> {
        let mut members = self.list.iter();
        let member = members.find(|member| member.name(text) == name.as_bytes())?;
        Some(member.value.clone())
    }

    fn duplicate(&self, text: &str) -> Option<String> {
        let mut names: Vec<&[u8]> = self
            .list
            .iter()
            .map(|member| member.name(text.as_bytes()))
            .collect();
        names.sort_unstable();
        let twice = names.windows(2).find(|pair| pair[0] == pair[1])?[0];
        Some(printable_name(&String::from_utf8_lossy(twice)))
    }
}

/// Fields of an object as the scanner finds them; `None` leaves the text to serde_json.
fn scanned(text: &str, open: usize) -> Option<Vec<RawField>> {
    let mut scanner = Scanner::new(text.as_bytes(), open + 1);
    let mut list = Vec::with_capacity(16);
    if scanner.peek()? == b'}' {
        scanner.token();
        return scanner.end().map(|()| list);
    }
    loop {
        let name = scanned_name(&mut scanner, text)?;
        scanner.peek()?;
        let start = scanner.at();
        scanner.skip_value(DEPTH_MAX)?;
        let value = start..scanner.at();
        list.push(RawField { name, value });
        match scanner.token()? {
            b',' if list.len() < MEMBERS_MAX => {}
            b'}' => return scanner.end().map(|()| list),
            _ => return None,
        }
    }
}

/// A name and its colon.
fn scanned_name(scanner: &mut Scanner<'_>, text: &str) -> Option<FieldName> {
    scanner.expect(b'"')?;
    let span = scanner.string()?;
    scanner.expect(b':')?;
    if !span.has_escapes {
        return Some(FieldName::Plain(span.start..span.end));
    }
    let quoted = text.get(span.start - 1..=span.end)?;
    serde_json::from_str(quoted).ok().map(FieldName::Escaped)
}

/// Fields of an object as serde_json finds them.
fn judged(text: &str) -> Result<Vec<RawField>, RawObjectError> {
    let mut list = Vec::with_capacity(16);
    let mut json = serde_json::Deserializer::from_str(text);
    let collect = Collect {
        text,
        list: &mut list,
    };
    let read = json.deserialize_map(collect).and_then(|()| json.end());
    if list.len() > MEMBERS_MAX {
        return Err(RawObjectError::TooMany);
    }
    read.map_err(|flaw| RawObjectError::at(&flaw))?;
    Ok(list)
}

impl RawField {
    pub(crate) fn name<'t>(&'t self, text: &'t [u8]) -> &'t [u8] {
        match &self.name {
            FieldName::Plain(span) => &text[span.clone()],
            FieldName::Escaped(name) => name.as_bytes(),
        }
    }
}

impl RawObjectError {
    fn at(flaw: &serde_json::Error) -> RawObjectError {
        let (line, column) = (flaw.line(), flaw.column());
        if flaw.is_eof() {
            RawObjectError::CutOff { line, column }
        } else {
            RawObjectError::NotJson { line, column }
        }
    }
}

/// The name, if it looks like one: other content must not be quoted in an error.
fn printable_name(name: &str) -> String {
    let plain = name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if plain {
        format!("`{name}`")
    } else {
        "its name is not shown".to_owned()
    }
}

struct Collect<'t, 'l> {
    text: &'t str,
    list: &'l mut Vec<RawField>,
}

impl<'de> Visitor<'de> for Collect<'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            let name = match name {
                Cow::Borrowed(name) => FieldName::Plain(span(self.text, name)),
                Cow::Owned(name) => FieldName::Escaped(name.into_boxed_str()),
            };
            self.list.push(RawField {
                name,
                value: span(self.text, value.get()),
            });
            if self.list.len() > MEMBERS_MAX {
                return Err(A::Error::custom("too many members"));
            }
        }
        Ok(())
    }
}

/// Span of a borrowed part in its text.
fn span(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize)
        .checked_sub(text.as_ptr() as usize)
        .filter(|start| start + part.len() <= text.len())
        .expect("a part that serde_json lends lies in the text it reads");
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(text: &[u8]) -> RawObjectError {
        RawObject::read(text).expect_err("flawed")
    }

    #[test]
    fn fields_are_found_at_their_positions() {
        let text = br#" { "a" : 1.0 ,"mod\u0065l":"m","c":{"a":2} } "#;
        let members = RawObject::read(text).expect("an object");
        assert_eq!(members.open, 1);
        assert_eq!(members.value(text, "a"), Some("1.0"));
        assert_eq!(members.value(text, "model"), Some(r#""m""#));
        assert_eq!(members.value(text, "c"), Some(r#"{"a":2}"#));
        assert_eq!(members.value(text, "d"), None);
    }

    #[test]
    fn duplicate_field_is_an_error_in_any_spelling() {
        assert_eq!(
            flaw(br#"{"model":1,"b":2,"mod\u0065l":3}"#),
            RawObjectError::Duplicate("`model`".into())
        );
        assert_eq!(
            flaw(br#"{"my secret":1,"my secret":3}"#),
            RawObjectError::Duplicate("its name is not shown".into())
        );
        assert!(RawObject::read(br#"{"a":{"b":1,"b":2}}"#).is_ok());
    }

    #[test]
    fn text_that_is_not_one_object_is_an_error() {
        assert_eq!(flaw(b" \n"), RawObjectError::Empty);
        assert_eq!(flaw(b"[\"a\"]"), RawObjectError::NotAnObject);
        assert_eq!(flaw(b"\xef\xbb\xbf{}"), RawObjectError::NotAnObject);
        assert_eq!(flaw(b"{\"a\":\"\xff\"}"), RawObjectError::NotUtf8(6));
        assert_eq!(
            flaw(b"{} x"),
            RawObjectError::NotJson { line: 1, column: 4 }
        );
        assert_eq!(
            flaw(b"{\"a\":1,}"),
            RawObjectError::NotJson { line: 1, column: 8 }
        );
        assert!(matches!(flaw(b"{\"a\":"), RawObjectError::CutOff { .. }));
        let many = format!(
            "{{{}}}",
            (0..=MEMBERS_MAX)
                .map(|n| format!("\"{n}\":0"))
                .collect::<Vec<_>>()
                .join(",")
        );
        assert_eq!(flaw(many.as_bytes()), RawObjectError::TooMany);
    }

    #[test]
    fn scanned_fields_are_those_that_serde_json_finds() {
        for text in crate::dialect::wire::reader::samples() {
            let Ok(text) = std::str::from_utf8(&text) else {
                continue;
            };
            let is_blank = |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            let open = text.find('{');
            let open = open.filter(|open| text[..*open].bytes().all(is_blank));
            if let Some(scanned) = open.and_then(|open| scanned(text, open)) {
                let judged = judged(text).map(|list| format!("{list:?}"));
                assert_eq!(judged, Ok(format!("{scanned:?}")), "{text}");
            }
        }
    }

    #[test]
    fn deep_nesting_is_validated_without_recursion() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(RawObject::read(deep.as_bytes()).is_ok());
    }
}
