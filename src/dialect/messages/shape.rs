//! JSON shapes that requests and responses of this dialect share.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use crate::conversation::Cache;

/// A text or an array: content and system prompts have either shape. Null is an empty array.
pub(super) enum TextOr<T> {
    Text(String),
    Many(Vec<T>),
}

// not derived: an untagged enum cannot keep raw JSON
impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = TextOr<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or an array")
            }

            fn visit_str<E>(self, text: &str) -> Result<TextOr<T>, E> {
                Ok(TextOr::Text(text.to_owned()))
            }

            fn visit_unit<E>(self) -> Result<TextOr<T>, E> {
                Ok(TextOr::Many(Vec::new()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TextOr<T>, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = seq.next_element()? {
                    many.push(one);
                }
                Ok(TextOr::Many(many))
            }
        }
        json.deserialize_any(Either(PhantomData))
    }
}

/// A cache hint.
#[derive(Deserialize)]
pub(super) struct CacheControl {
    #[serde(default)]
    ttl: Option<String>,
}

impl CacheControl {
    pub(super) fn meaning(self) -> Cache {
        match self.ttl.as_deref() {
            Some("1h") => Cache::Hour,
            _ => Cache::FiveMinutes,
        }
    }
}
