//! Deserializer of JSON in bytes for the visitors of selected fields: strings end at the next quote instead of being decoded byte by
//! byte, and skipped values are scanned. Leaves to serde_json every number but short whole ones, every string with escapes, and types
//! that the visitors seldom ask for. Must never accept what serde_json rejects: on any error the caller asks serde_json.

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Error;

use crate::dialect::wire::scanner::{DEPTH_MAX, Scanner};

/// Digits that always fit 64 bits.
const SHORT_DIGITS: usize = 18;

/// One JSON text during its read.
pub(super) struct Reader<'t> {
    text: &'t str,
    scanner: Scanner<'t>,
    depth: u32,
}

impl<'t> Reader<'t> {
    pub fn new(text: &'t str) -> Reader<'t> {
        Reader {
            text,
            scanner: Scanner::new(text.as_bytes(), 0),
            depth: 0,
        }
    }

    /// Fails unless only white space is left.
    pub fn end(&mut self) -> Result<(), Error> {
        known(self.scanner.end())
    }

    /// Passes a string to the visitor, from behind its first quote.
    fn string<V: Visitor<'t>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let span = known(self.scanner.string())?;
        if span.has_escapes {
            let quoted = &self.scanner.text()[span.start - 1..=span.end];
            let decoded: String = serde_json::from_slice(quoted)?;
            return visitor.visit_str(&decoded);
        }
        visitor.visit_borrowed_str(known(self.text.get(span.start..span.end))?)
    }

    /// Passes a number to the visitor, from behind its first byte.
    fn number<V: Visitor<'t>>(&mut self, first: u8, visitor: V) -> Result<V::Value, Error> {
        let start = self.scanner.at() - 1;
        known(self.scanner.number(first))?;
        let text = &self.scanner.text()[start..self.scanner.at()];
        if text.len() > SHORT_DIGITS || !text.iter().all(u8::is_ascii_digit) {
            return serde_json::Deserializer::from_slice(text).deserialize_any(visitor);
        }
        let whole = |sum: u64, digit: &u8| sum * 10 + u64::from(digit - b'0');
        visitor.visit_u64(text.iter().fold(0, whole))
    }

    /// Passes the elements of an array or object to the visitor, from behind its opening to its closing bracket.
    fn nested<T>(
        &mut self,
        closing: u8,
        visit: impl FnOnce(Elements<'_, 't>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.depth == DEPTH_MAX {
            return Err(unknown());
        }
        self.depth += 1;
        let value = visit(Elements {
            reader: self,
            closing,
            is_first: true,
        })?;
        self.depth -= 1;
        known(self.scanner.expect(closing))?;
        Ok(value)
    }

    /// serde_json's reader of the next value.
    fn value(&mut self) -> Result<serde_json::Deserializer<serde_json::de::SliceRead<'t>>, Error> {
        known(self.scanner.peek())?;
        let start = self.scanner.at();
        known(self.scanner.skip_value(DEPTH_MAX - self.depth))?;
        let value = &self.scanner.text()[start..self.scanner.at()];
        Ok(serde_json::Deserializer::from_slice(value))
    }
}

fn known<T>(scanned: Option<T>) -> Result<T, Error> {
    scanned.ok_or_else(unknown)
}

/// Never shown: serde_json reads the text again.
fn unknown() -> Error {
    Error::custom("not scanned")
}

/// Methods that serde_json implements, for the next value.
macro_rules! leave_to_serde_json {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, Error> {
            self.value()?.$method($($argument,)* visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match known(self.scanner.token())? {
            b'"' => self.string(visitor),
            b'{' => self.nested(b'}', |members| visitor.visit_map(members)),
            b'[' => self.nested(b']', |elements| visitor.visit_seq(elements)),
            b'n' => known(self.scanner.literal(b"ull")).and_then(|()| visitor.visit_unit()),
            b't' => known(self.scanner.literal(b"rue")).and_then(|()| visitor.visit_bool(true)),
            b'f' => known(self.scanner.literal(b"alse")).and_then(|()| visitor.visit_bool(false)),
            byte => self.number(byte, visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        known(self.scanner.skip_value(DEPTH_MAX - self.depth))?;
        visitor.visit_unit()
    }

    leave_to_serde_json! {
        deserialize_bool()
        deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64() deserialize_i128()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_f32() deserialize_f64()
        deserialize_char() deserialize_str() deserialize_string()
        deserialize_bytes() deserialize_byte_buf()
        deserialize_option() deserialize_unit()
        deserialize_seq() deserialize_map() deserialize_identifier()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }
}

/// Elements of an array, or members of an object.
struct Elements<'r, 't> {
    reader: &'r mut Reader<'t>,
    closing: u8,
    is_first: bool,
}

impl Elements<'_, '_> {
    /// Moves to the next element; false at the closing bracket, which stays unread.
    fn has_next(&mut self) -> Result<bool, Error> {
        let scanner = &mut self.reader.scanner;
        if known(scanner.peek())? == self.closing {
            return Ok(false);
        }
        if !std::mem::take(&mut self.is_first) {
            known(scanner.expect(b','))?;
        }
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        if !self.has_next()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if !self.has_next()? {
            return Ok(None);
        }
        known(self.reader.scanner.expect(b'"'))?;
        seed.deserialize(NameReader(self.reader)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        known(self.reader.scanner.expect(b':'))?;
        seed.deserialize(&mut *self.reader)
    }
}

/// Reader of a name, from behind its first quote.
struct NameReader<'r, 't>(&'r mut Reader<'t>);

impl<'de> Deserializer<'de> for NameReader<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.0.string(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
pub(super) use tests::samples;

#[cfg(test)]
mod tests;
