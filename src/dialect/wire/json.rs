//! Visitor for JSON texts: reads selected fields, whatever the shape of the rest. Borrows where possible, treats a value of the wrong
//! shape as absent, and must never fail on a field that was not selected.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};
use serde_json::value::RawValue;

use crate::dialect::wire::reader::Reader;

/// Reader of selected fields of an object.
pub(crate) trait FieldVisitor {
    /// Takes exactly one value from `map`: the field's. Called twice for a duplicate field.
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;

    /// A text in place of an object.
    fn text(&mut self, _text: &str) {
        self.other();
    }

    /// Another value in place of an object, except null.
    fn other(&mut self) {}

    /// End of the object.
    fn end(&mut self) {}
}

/// Reads a complete JSON text: an object, or each object of an array. What the scanner does not take is for serde_json to judge. On an
/// error starts again from `start` with half surrogates (`"\ud83d"`, left by truncated emoji and accepted by most parsers) replaced
/// by spaces.
pub(crate) fn read<R: FieldVisitor + Clone>(
    start: &R,
    text: &[u8],
) -> Result<R, serde_json::Error> {
    match std::str::from_utf8(text) {
        Ok(text) => read_text(start, text),
        Err(_) => judge(start, text),
    }
}

/// As [`read`], for bytes that are known to be UTF-8.
pub(crate) fn read_text<R: FieldVisitor + Clone>(
    start: &R,
    text: &str,
) -> Result<R, serde_json::Error> {
    read_scanned(start.clone(), text).or_else(|_| judge(start, text.as_bytes()))
}

/// Reads a text as serde_json does.
fn judge<R: FieldVisitor + Clone>(start: &R, text: &[u8]) -> Result<R, serde_json::Error> {
    read_strictly(start.clone(), text).or_else(|flaw| match without_surrogates(text) {
        Some(mended) => read_strictly(start.clone(), &mended),
        None => Err(flaw),
    })
}

pub(super) fn read_scanned<R: FieldVisitor>(
    mut reader: R,
    text: &str,
) -> Result<R, serde_json::Error> {
    let mut json = Reader::new(text);
    ElementsSeed(&mut reader).deserialize(&mut json)?;
    json.end()?;
    Ok(reader)
}

pub(super) fn read_strictly<R: FieldVisitor>(
    mut reader: R,
    text: &[u8],
) -> Result<R, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(text);
    ElementsSeed(&mut reader).deserialize(&mut json)?;
    json.end()?;
    Ok(reader)
}

/// A copy in which every `\uD8xx`…`\uDFxx` is `\u0020`; `None` if there is none. Also replaces after an escaped backslash, which
/// only turns text into other text of the same length.
fn without_surrogates(text: &[u8]) -> Option<Vec<u8>> {
    let mut mended: Option<Vec<u8>> = None;
    for at in memchr::memmem::find_iter(text, b"\\u") {
        let Some([b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', _, _]) =
            text.get(at + 2..at + 6)
        else {
            continue;
        };
        mended.get_or_insert_with(|| text.to_vec())[at + 2..at + 6].copy_from_slice(b"0020");
    }
    mended
}

/// A JSON text as a value of an owned type; half surrogates are read as spaces.
pub(crate) fn lenient<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(text).or_else(|flaw| match without_surrogates(text) {
        Some(mended) => serde_json::from_slice(&mended),
        None => Err(flaw),
    })
}

/// A JSON text without white space between its tokens, otherwise unchanged.
pub(crate) fn compact(json: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    let kept = json.chars().filter(|letter| {
        let is_space = !in_text && letter.is_ascii_whitespace();
        match letter {
            '"' if !escaped => in_text = !in_text,
            _ => {}
        }
        escaped = in_text && !escaped && *letter == '\\';
        !is_space
    });
    kept.collect()
}

/// Serializes a value that has only texts and numbers.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers are always JSON")
}

/// An optional field: a value of another type counts as absent.
pub(crate) fn if_it_fits<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    json: D,
) -> Result<T, D::Error> {
    let written = Box::<RawValue>::deserialize(json)?;
    Ok(serde_json::from_str(written.get()).unwrap_or_default())
}

/// Arguments of a call, as text: most dialects send JSON in a string, some the JSON itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments(pub String);

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(json)?;
        Ok(Arguments(match raw.get() {
            "null" => String::new(),
            text if text.starts_with('"') => {
                serde_json::from_str(text).map_err(serde::de::Error::custom)?
            }
            json => json.to_owned(),
        }))
    }
}

/// Reads one object; passes a text to `text`, any other value to `other`.
pub(crate) struct ObjectSeed<'r, R>(pub &'r mut R);

/// Reads an array of objects or texts, or a single one; passes any other value to `other`.
pub(crate) struct ElementsSeed<'r, R>(pub &'r mut R);

/// Visits of scalars in place of an object.
macro_rules! pass_over_scalars {
    () => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any value")
        }

        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            self.0.other();
            Ok(())
        }

        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            self.0.other();
            Ok(())
        }

        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            self.0.other();
            Ok(())
        }

        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            self.0.other();
            Ok(())
        }

        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }

        fn visit_str<E>(self, text: &str) -> Result<(), E> {
            self.0.text(text);
            Ok(())
        }
    };
}

impl<'de, R: FieldVisitor> Visitor<'de> for ObjectSeed<'_, R> {
    type Value = ();

    pass_over_scalars!();

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            self.0.member(&name, &mut map)?;
        }
        self.0.end();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        self.0.other();
        skip_elements(seq)
    }
}

impl<'de, R: FieldVisitor> Visitor<'de> for ElementsSeed<'_, R> {
    type Value = ();

    pass_over_scalars!();

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        ObjectSeed(self.0).visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(ObjectSeed(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

impl<'de, R: FieldVisitor> DeserializeSeed<'de> for ObjectSeed<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, R: FieldVisitor> DeserializeSeed<'de> for ElementsSeed<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

fn skip_elements<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Skips the value of a field.
pub(crate) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

/// Name of a field: borrowed unless it has escapes.
pub(crate) struct Name<'de>(pub Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        json.deserialize_str(Text)
    }
}

/// One value, without the content of arrays and objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leaf<'de> {
    Null,
    Bool(bool),
    /// a whole number, zero or more
    Whole(u64),
    /// any other number
    Number,
    Text(Cow<'de, str>),
    /// an empty array or object
    Empty,
    /// an array or object
    Nested,
}

impl<'de> Leaf<'de> {
    /// Reads a JSON text that is one value; `None` if it is invalid.
    pub(crate) fn of(json: &'de str) -> Option<Leaf<'de>> {
        serde_json::from_str(json).ok()
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Leaf::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value is neither null nor an empty array or object.
    pub(crate) fn says_something(&self) -> bool {
        !matches!(self, Leaf::Null | Leaf::Empty)
    }
}

impl<'de> Deserialize<'de> for Leaf<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(AnyLeaf)
    }
}

struct AnyLeaf;

impl<'de> Visitor<'de> for AnyLeaf {
    type Value = Leaf<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Whole(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Leaf<'de>, E> {
        Ok(u64::try_from(value).map_or(Leaf::Number, Leaf::Whole))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Number)
    }

    fn visit_unit<E>(self) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Null)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Leaf<'de>, A::Error> {
        if seq.next_element::<IgnoredAny>()?.is_none() {
            return Ok(Leaf::Empty);
        }
        skip_elements(seq)?;
        Ok(Leaf::Nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Leaf<'de>, A::Error> {
        if map.next_entry::<IgnoredAny, IgnoredAny>()?.is_none() {
            return Ok(Leaf::Empty);
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Leaf::Nested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Texts(String);

    impl FieldVisitor for Texts {
        fn member<'de, A: MapAccess<'de>>(
            &mut self,
            name: &str,
            map: &mut A,
        ) -> Result<(), A::Error> {
            match name {
                "a" => map.next_value_seed(ElementsSeed(self)),
                _ => skip(map),
            }
        }

        fn text(&mut self, text: &str) {
            self.0.push_str(text);
        }
    }

    fn texts(json: &str) -> Option<String> {
        read(&Texts::default(), json.as_bytes())
            .ok()
            .map(|texts| texts.0)
    }

    #[test]
    fn selected_fields_are_read_in_any_shape() {
        for (json, expected) in [
            (r#"{"a":"x","b":"y"}"#, "x"),
            (
                r#"{"a":["x",{"a":"y","c":[[["z"]]]},3,null,[["q"]]]}"#,
                "xy",
            ),
            (r#"{"a":1.5,"b":{"a":"z"}}"#, ""),
            (r#"{"\u0061":"x"}"#, "x"),
            ("7", ""),
        ] {
            assert_eq!(texts(json).as_deref(), Some(expected), "{json}");
        }
        assert_eq!(texts(r#"{"a":"x"} x"#), None);
        assert_eq!(texts(r#"{"a":"x""#), None);
    }

    #[test]
    fn white_space_is_removed_between_tokens_only() {
        assert_eq!(
            compact("{\n \"a b\" : [1.0,\t\"\\\" c \\\\\" ] }"),
            r#"{"a b":[1.0,"\" c \\"]}"#
        );
    }

    #[test]
    fn half_surrogate_is_read_as_space() {
        assert_eq!(texts(r#"{"a":"x\ud83d"}"#).as_deref(), Some("x "));
        assert_eq!(
            texts(r#"{"a":["x\ud83d\ude00", "\uDE00"]}"#).as_deref(),
            Some("x   ")
        );
    }

    #[test]
    fn leaf_distinguishes_whole_numbers() {
        for (json, expected) in [
            ("null", Leaf::Null),
            ("true", Leaf::Bool(true)),
            ("12", Leaf::Whole(12)),
            ("-1", Leaf::Number),
            ("1.0", Leaf::Number),
            ("1e3", Leaf::Number),
            ("99999999999999999999999", Leaf::Number),
            (r#""12""#, Leaf::Text("12".into())),
            ("[ ]", Leaf::Empty),
            ("{}", Leaf::Empty),
            ("[[]]", Leaf::Nested),
        ] {
            assert_eq!(Leaf::of(json), Some(expected), "{json}");
        }
        assert_eq!(Leaf::of("1 2"), None);
    }
}
