//! Feeds a JSON value to a digest by its meaning: spaces, escapes and the spelling of numbers do not count, everything else does, the order
//! of nested members too, because a model may see it.

use std::fmt;

use ring::hmac;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Feeds the value; an error for a text that is not JSON.
pub(super) fn feed(json: &str, digest: &mut hmac::Context) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Feed(digest).deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Feeds a text with its length, so that neighbors cannot be told differently apart.
pub(super) fn feed_text(text: &str, digest: &mut hmac::Context) {
    feed_bytes(b's', text.as_bytes(), digest);
}

pub(super) fn feed_bytes(tag: u8, bytes: &[u8], digest: &mut hmac::Context) {
    digest.update(&[tag]);
    digest.update(&(bytes.len() as u64).to_le_bytes());
    digest.update(bytes);
}

struct Feed<'d>(&'d mut hmac::Context);

impl Feed<'_> {
    fn integer(self, number: i128) {
        self.0.update(b"i");
        self.0.update(&number.to_le_bytes());
    }
}

impl<'de> DeserializeSeed<'de> for Feed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Feed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.update(b"n");
        Ok(())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        self.0.update(if flag { b"t" } else { b"f" });
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.integer(number.into());
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.integer(number.into());
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        // one SDK writes 1.0, another 1
        if number.fract() == 0.0 && number.abs() < 9e15 {
            self.integer(number as i128);
        } else {
            self.0.update(b"d");
            self.0.update(&number.to_bits().to_le_bytes());
        }
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        feed_text(text, self.0);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.update(b"[");
        while items.next_element_seed(Feed(&mut *self.0))?.is_some() {}
        self.0.update(b"]");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.0.update(b"{");
        while members.next_key_seed(Feed(&mut *self.0))?.is_some() {
            members.next_value_seed(Feed(&mut *self.0))?;
        }
        self.0.update(b"}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(json: &str) -> Vec<u8> {
        let mut digest = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, b"k"));
        feed(json, &mut digest).expect("JSON");
        digest.sign().as_ref().to_vec()
    }

    #[test]
    fn spelling_of_a_value_does_not_count() {
        for (one, other) in [
            (r#"{"a":[1,2.0]}"#, "{ \"a\" : [1.0,\n2] }"),
            (r#""é\n""#, r#""\u00e9\u000a""#),
            ("0.10", "0.1"),
            ("1e2", "100"),
        ] {
            assert_eq!(digest(one), digest(other), "{one}");
        }
    }

    #[test]
    fn different_values_have_different_digests() {
        let values = [
            "null",
            "true",
            "false",
            "0",
            "1",
            "-1",
            "0.5",
            "\"\"",
            "\"1\"",
            "\"null\"",
            "[]",
            "{}",
            "[[]]",
            "[1,2]",
            "[2,1]",
            "[12]",
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"b":1}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"b":2,"a":1}"#,
            r#"["a","b"]"#,
            r#"["ab"]"#,
            r#"["","ab"]"#,
            "18446744073709551615",
            "9007199254740993",
            "9007199254740992",
        ];
        for (at, one) in values.iter().enumerate() {
            for other in &values[at + 1..] {
                assert_ne!(digest(one), digest(other), "{one} {other}");
            }
        }
    }
}
