//! Reads the few members of a JSON text that somebody asked for, whatever shape the rest has. It copies nothing that
//! it can borrow, takes a value of the wrong shape for an absent one, and must never fail on what it was not asked for.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};
use serde_json::value::RawValue;

use crate::dialect::Request;
use crate::domain::api_error::ApiError;

/// Somebody who wants members of an object.
pub(crate) trait FieldVisitor {
    /// Takes exactly one value from `map`: the member's. A member may come twice; it is shown twice.
    fn member<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;

    /// A text stands where an object could.
    fn text(&mut self, _text: &str) {
        self.other();
    }

    /// Something else stands where an object could; null is nothing.
    fn other(&mut self) {}

    /// The object is over.
    fn end(&mut self) {}
}

/// Reads a whole JSON text: an object, or an array of objects one after the other. Starts again from `start` with
/// half surrogates (`"\ud83d"`, which cut emoji leave behind and most parsers let through) replaced by spaces.
pub(crate) fn read<R: FieldVisitor + Clone>(
    start: &R,
    text: &[u8],
) -> Result<R, serde_json::Error> {
    read_strictly(start.clone(), text).or_else(|flaw| match without_surrogates(text) {
        Some(mended) => read_strictly(start.clone(), &mended),
        None => Err(flaw),
    })
}

fn read_strictly<R: FieldVisitor>(mut reader: R, text: &[u8]) -> Result<R, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(text);
    ElementsSeed(&mut reader).deserialize(&mut json)?;
    json.end()?;
    Ok(reader)
}

/// A copy in which every `\uD8xx`…`\uDFxx` is `\u0020`; `None` if there is none. An escaped backslash before a `u`
/// is hit too, which only turns text into other text of the same length.
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

/// A JSON text as a value of a type that copies; half surrogates are read as spaces.
pub(crate) fn lenient<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(text).or_else(|flaw| match without_surrogates(text) {
        Some(mended) => serde_json::from_slice(&mended),
        None => Err(flaw),
    })
}

/// A JSON text without the white space between its tokens, which some who write for the eye put there; the rest as it stands.
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

/// A member of a request as a value of a type; `None` if it is not there or null. A refusal names the member and the place, never
/// what stands there.
pub(crate) fn typed<T: DeserializeOwned>(
    request: &Request,
    member: &str,
) -> Result<Option<T>, ApiError> {
    let Some(json) = request.member(member).filter(|json| *json != "null") else {
        return Ok(None);
    };
    lenient(json.as_bytes()).map(Some).map_err(|flaw| {
        let (line, column) = (flaw.line(), flaw.column());
        let message =
            format!("`{member}` has a value of another kind than this endpoint takes, near its line {line}, column {column}");
        ApiError::invalid(message).with_param(member)
    })
}

/// A member that an answer can do without: of another kind than it should be it is as good as absent.
pub(crate) fn if_it_fits<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    json: D,
) -> Result<T, D::Error> {
    let written = Box::<RawValue>::deserialize(json)?;
    Ok(serde_json::from_str(written.get()).unwrap_or_default())
}

/// The arguments of a call: a text that is JSON, as most dialects have it, or the JSON itself; as the text either way.
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

/// One object; a text is handed on, that something else stands there is said.
pub(crate) struct ObjectSeed<'r, R>(pub &'r mut R);

/// An array of objects or texts, or one of them; that something else stands there is said.
pub(crate) struct ElementsSeed<'r, R>(pub &'r mut R);

/// The visits that mean nothing to a reader of objects.
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
        pass_over(seq)
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

fn pass_over<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Passes over the value of a member.
pub(crate) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

/// A member's name: borrowed unless it is written with escapes.
pub(crate) struct Name<'de>(pub Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
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

/// One value, as far as a reader of single values needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leaf<'de> {
    Null,
    Bool(bool),
    /// a whole number, zero or more
    Whole(u64),
    /// any other number
    Number,
    Text(Cow<'de, str>),
    /// an array or object that has nothing in it
    Empty,
    /// an array or object
    Nested,
}

impl<'de> Leaf<'de> {
    /// Reads a JSON text that is one value; `None` if it cannot be read.
    pub(crate) fn of(json: &'de str) -> Option<Leaf<'de>> {
        serde_json::from_str(json).ok()
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Leaf::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Says something: not null, not an empty array or object.
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
        pass_over(seq)?;
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
    fn only_what_was_asked_for_is_read_whatever_its_shape() {
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
    fn white_space_is_only_left_out_between_tokens() {
        assert_eq!(
            compact("{\n \"a b\" : [1.0,\t\"\\\" c \\\\\" ] }"),
            r#"{"a b":[1.0,"\" c \\"]}"#
        );
    }

    #[test]
    fn half_an_emoji_does_not_stop_the_reading() {
        assert_eq!(texts(r#"{"a":"x\ud83d"}"#).as_deref(), Some("x "));
        assert_eq!(
            texts(r#"{"a":["x\ud83d\ude00", "\uDE00"]}"#).as_deref(),
            Some("x   ")
        );
    }

    #[test]
    fn leaves_tell_whole_numbers_from_the_rest() {
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
