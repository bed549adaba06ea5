//! JSON bodies of the control plane: an object is read member by member, so that each error names its member. No message
//! repeats a value, which may be a secret.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::api_error::ApiError;
use crate::domain::money::{Money, MoneyError};

/// Members of an object that were not taken yet.
pub struct Fields {
    /// path of the object in the body: empty, or `budgets[0].`
    prefix: String,
    members: Vec<(String, Box<RawValue>)>,
    known: Vec<&'static str>,
    taken: usize,
}

impl Fields {
    pub fn of_body(body: &[u8]) -> Result<Fields, ApiError> {
        let members: Members = serde_json::from_slice(body).map_err(|error| {
            ApiError::invalid(format!(
                "the body must be a JSON object with unique members: {error}"
            ))
        })?;
        Ok(Fields::of(String::new(), members))
    }

    fn of_value(path: String, value: &RawValue) -> Result<Fields, ApiError> {
        let members: Members = serde_json::from_str(value.get()).map_err(|_| {
            ApiError::invalid(format!(
                "`{path}` must be a JSON object with unique members"
            ))
            .with_param(path.clone())
        })?;
        Ok(Fields::of(format!("{path}."), members))
    }

    fn of(prefix: String, Members(members): Members) -> Fields {
        Fields {
            prefix,
            members,
            known: Vec::new(),
            taken: 0,
        }
    }

    /// Takes a member; null counts as absent.
    pub fn take<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, ApiError> {
        match self.take_nullable::<T>(name, expected)? {
            Some(value) => Ok(value),
            None => Ok(None),
        }
    }

    /// Takes a member; `Some(None)` where it is null.
    pub fn take_nullable<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<Option<T>>, ApiError> {
        let Some(value) = self.take_raw(name) else {
            return Ok(None);
        };
        serde_json::from_str(value.get())
            .map(Some)
            .map_err(|_| self.invalid(name, format!("must be {expected}")))
    }

    /// True if the body names the member, and it was not taken yet.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(known, _)| known == name)
    }

    /// Takes a member of a change; null is invalid, because nothing can be taken away.
    pub fn take_not_null<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, ApiError> {
        match self.take_nullable::<T>(name, expected)? {
            Some(None) => Err(self.invalid(name, format!("must be {expected}, not null"))),
            Some(value) => Ok(value),
            None => Ok(None),
        }
    }

    /// Takes a required member.
    pub fn require<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        expected: &str,
    ) -> Result<T, ApiError> {
        self.take(name, expected)?
            .ok_or_else(|| self.invalid(name, format!("is missing; it must be {expected}")))
    }

    /// Takes an object as its text.
    pub fn take_object_text(
        &mut self,
        name: &'static str,
        bytes_max: usize,
    ) -> Result<Option<Option<String>>, ApiError> {
        let Some(value) = self.take_raw(name) else {
            return Ok(None);
        };
        let text = value.get();
        if text == "null" {
            return Ok(Some(None));
        }
        let is_object = serde_json::from_str::<Members>(text).is_ok();
        if !is_object || text.len() > bytes_max {
            let problem = format!("must be a JSON object of at most {bytes_max} bytes");
            return Err(self.invalid(name, problem));
        }
        Ok(Some(Some(text.to_owned())))
    }

    /// Takes an amount of dollars from its digits, a string or a number: never through a float.
    pub fn take_money(&mut self, name: &'static str) -> Result<Option<Money>, ApiError> {
        self.take_nullable_money(name).map(Option::flatten)
    }

    /// The same; `Some(None)` where the member is null.
    pub fn take_nullable_money(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Option<Money>>, ApiError> {
        self.take_amount(name, "an amount of dollars like \"10.50\"", Money::parse)
    }

    /// The same for an amount that may be negative.
    pub fn take_signed_money(&mut self, name: &'static str) -> Result<Option<Money>, ApiError> {
        self.take_amount(
            name,
            "an amount of dollars like \"-0.12\"",
            Money::parse_signed,
        )
        .map(Option::flatten)
    }

    fn take_amount(
        &mut self,
        name: &'static str,
        expected: &str,
        parse: fn(&str) -> Result<Money, MoneyError>,
    ) -> Result<Option<Option<Money>>, ApiError> {
        let Some(value) = self.take_raw(name) else {
            return Ok(None);
        };
        if value.get() == "null" {
            return Ok(Some(None));
        }
        let text = match value.get() {
            quoted if quoted.starts_with('"') => serde_json::from_str(quoted).ok(),
            number => Some(number.to_owned()),
        };
        let text: String = text.ok_or_else(|| self.invalid(name, format!("must be {expected}")))?;
        let amount = parse(&text).map(Some);
        amount.map(Some).map_err(|error| match text.len() {
            0..=40 => self.invalid(name, format!("is invalid: {error}")),
            _ => self.invalid(name, format!("must be {expected}")),
        })
    }

    /// Takes a list of objects; null is an empty list.
    pub fn take_objects(&mut self, name: &'static str) -> Result<Option<Vec<Fields>>, ApiError> {
        let expected = "a list of objects, or null for none";
        let Some(values) = self.take_nullable::<Vec<Box<RawValue>>>(name, expected)? else {
            return Ok(None);
        };
        let values = values.unwrap_or_default();
        let object = |(index, value): (usize, Box<RawValue>)| {
            Fields::of_value(format!("{}{name}[{index}]", self.prefix), &value)
        };
        values
            .into_iter()
            .enumerate()
            .map(object)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// The members that were not taken, for a call whose members another table lists.
    pub fn into_members(self) -> Result<Map<String, Value>, ApiError> {
        let member = |(name, value): (String, Box<RawValue>)| {
            let value = serde_json::from_str(value.get())
                .map_err(|error| ApiError::invalid(format!("`{name}` is invalid: {error}")))?;
            Ok((name, value))
        };
        self.members.into_iter().map(member).collect()
    }

    /// 400 that names the member; `problem` continues the name.
    pub fn invalid(&self, name: &str, problem: impl AsRef<str>) -> ApiError {
        let path = format!("{}{name}", self.prefix);
        ApiError::invalid(format!("`{path}` {}", problem.as_ref())).with_param(path)
    }

    /// Puts the name of the member before the error of a parser that does not know it.
    pub fn within<T>(&self, name: &str, result: Result<T, ApiError>) -> Result<T, ApiError> {
        result.map_err(|error| {
            let path = format!("{}{}", self.prefix, error.param.as_deref().unwrap_or(name));
            ApiError {
                message: format!("`{path}` {}", error.message),
                ..error
            }
            .with_param(path)
        })
    }

    /// The same for a partial update, which must have a member.
    pub fn finish_change(self) -> Result<(), ApiError> {
        if self.members.is_empty() && self.taken == 0 {
            let known = self.known.join("`, `");
            let message = format!("nothing to change; give at least one of `{known}`");
            return Err(ApiError::invalid(message));
        }
        self.finish()
    }

    /// Refuses members that were not taken.
    pub fn finish(self) -> Result<(), ApiError> {
        let Some((name, _)) = self.members.first() else {
            return Ok(());
        };
        let name: String = name.chars().take(64).collect();
        Err(self.invalid(
            &name,
            format!("is unknown; this call takes {}", self.known.join(", ")),
        ))
    }

    fn take_raw(&mut self, name: &'static str) -> Option<Box<RawValue>> {
        self.known.push(name);
        let index = self.members.iter().position(|(known, _)| known == name)?;
        self.taken += 1;
        Some(self.members.swap_remove(index).1)
    }
}

/// Unparsed members of an object, each name once.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

/// More members than any call takes.
const MEMBERS_MAX: usize = 64;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members, M::Error> {
        let mut members: Vec<(String, Box<RawValue>)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
            if members.iter().any(|(known, _)| *known == name) {
                return Err(serde::de::Error::custom("duplicate field"));
            }
            if members.len() == MEMBERS_MAX {
                return Err(serde::de::Error::custom("too many members"));
            }
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        Fields::of_body(body.as_bytes()).expect(body)
    }

    #[test]
    fn money_is_parsed_from_its_digits() {
        for (body, expected) in [
            (r#"{"limit": "12.50"}"#, Some("12.5")),
            (r#"{"limit": 0.1}"#, Some("0.1")),
            (r#"{"limit": 0.123456789012}"#, Some("0.123456789012")),
            (r#"{"limit": "$3"}"#, Some("3")),
            (r#"{"limit": null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(
                fields(body)
                    .take_money("limit")
                    .expect(body)
                    .map(|money| money.to_string())
                    .as_deref(),
                expected
            );
        }
        for body in [
            r#"{"limit": -1}"#,
            r#"{"limit": 1e3}"#,
            r#"{"limit": true}"#,
            r#"{"limit": [1]}"#,
            r#"{"limit": ""}"#,
        ] {
            let error = fields(body).take_money("limit").expect_err(body);
            assert_eq!(error.param.as_deref(), Some("limit"), "{error}");
        }
    }

    #[test]
    fn body_must_be_one_object_with_unique_members() {
        for body in [
            "",
            "[]",
            "[1]",
            "1",
            "{",
            r#"{"a":1,"a":2}"#,
            r#"{"a":1} x"#,
            "\u{feff}{}",
        ] {
            assert!(Fields::of_body(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn unknown_member_error_names_it_and_the_known_ones() {
        let mut taken = fields(r#"{"nmae": "x"}"#);
        assert_eq!(
            taken.take::<String>("name", "a text").expect("absent"),
            None
        );
        let error = taken.finish().expect_err("left over");
        assert_eq!(error.param.as_deref(), Some("nmae"));
        assert!(error.message.contains("this call takes name"), "{error}");
    }

    #[test]
    fn list_element_error_names_its_index() {
        let mut outer = fields(r#"{"budgets": [{"limit": 1}, {"limit": "x"}]}"#);
        let mut inner = outer
            .take_objects("budgets")
            .expect("a list")
            .expect("there");
        assert!(inner[0].take_money("limit").is_ok());
        assert_eq!(
            inner[1]
                .take_money("limit")
                .expect_err("no amount")
                .param
                .as_deref(),
            Some("budgets[1].limit")
        );
    }

    #[test]
    fn error_does_not_repeat_a_value() {
        let error = fields(r#"{"key": ["sk-gk-secret"]}"#)
            .require::<String>("key", "a text")
            .expect_err("a list");
        assert!(!error.message.contains("secret"), "{error}");
    }
}
