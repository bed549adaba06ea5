//! A JSON object taken apart member by member, so that every fault is named with its member. Never repeats a value in a
//! message: it may be a secret.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::domain::api_error::ApiError;
use crate::domain::money::{Money, MoneyError};

/// Members that a later release will know: refused by name rather than ignored, because ignoring a limit is dangerous.
const NOT_YET: [&str; 1] = ["metadata"];

/// The members of one object that nobody has taken yet.
pub struct Fields {
    /// where the object stands in the body: empty, or `budgets[0].`
    at: String,
    members: Vec<(String, Box<RawValue>)>,
    known: Vec<&'static str>,
}

impl Fields {
    pub fn of_body(body: &[u8]) -> Result<Fields, ApiError> {
        let members: Members = serde_json::from_slice(body).map_err(|error| {
            ApiError::invalid(format!(
                "the body must be a JSON object with unique members: {error}"
            ))
        })?;
        Fields::of(String::new(), members)
    }

    fn of_value(at: String, value: &RawValue) -> Result<Fields, ApiError> {
        let members: Members = serde_json::from_str(value.get()).map_err(|_| {
            ApiError::invalid(format!("`{at}` must be a JSON object with unique members"))
                .with_param(at.clone())
        })?;
        Fields::of(format!("{at}."), members)
    }

    fn of(at: String, Members(members): Members) -> Result<Fields, ApiError> {
        Ok(Fields {
            at,
            members,
            known: Vec::new(),
        })
    }

    /// Takes a member; absent and null are alike.
    pub fn take<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        wanted: &str,
    ) -> Result<Option<T>, ApiError> {
        match self.take_even_null::<T>(name, wanted)? {
            Some(value) => Ok(value),
            None => Ok(None),
        }
    }

    /// Takes a member; `Some(None)` where it is null.
    pub fn take_even_null<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        wanted: &str,
    ) -> Result<Option<Option<T>>, ApiError> {
        let Some(value) = self.take_raw(name) else {
            return Ok(None);
        };
        serde_json::from_str(value.get())
            .map(Some)
            .map_err(|_| self.fault(name, format!("must be {wanted}")))
    }

    /// Takes a member that the call cannot do without.
    pub fn require<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        wanted: &str,
    ) -> Result<T, ApiError> {
        self.take(name, wanted)?
            .ok_or_else(|| self.fault(name, format!("is missing; it must be {wanted}")))
    }

    /// Takes an amount of dollars from its own digits, whether they stand in quotes or not: never through a float.
    pub fn take_money(&mut self, name: &'static str) -> Result<Option<Money>, ApiError> {
        self.take_amount(name, "an amount of dollars like \"10.50\"", Money::parse)
    }

    /// The same for what may be negative.
    pub fn take_signed_money(&mut self, name: &'static str) -> Result<Option<Money>, ApiError> {
        self.take_amount(
            name,
            "an amount of dollars like \"-0.12\"",
            Money::parse_signed,
        )
    }

    fn take_amount(
        &mut self,
        name: &'static str,
        wanted: &str,
        parse: fn(&str) -> Result<Money, MoneyError>,
    ) -> Result<Option<Money>, ApiError> {
        let Some(value) = self.take_raw(name).filter(|value| value.get() != "null") else {
            return Ok(None);
        };
        let text = match value.get() {
            quoted if quoted.starts_with('"') => serde_json::from_str(quoted).ok(),
            number => Some(number.to_owned()),
        };
        let text: String = text.ok_or_else(|| self.fault(name, format!("must be {wanted}")))?;
        parse(&text).map(Some).map_err(|error| match text.len() {
            0..=40 => self.fault(name, format!("is not right: {error}")),
            _ => self.fault(name, format!("must be {wanted}")),
        })
    }

    /// Takes a list of objects.
    pub fn take_objects(&mut self, name: &'static str) -> Result<Option<Vec<Fields>>, ApiError> {
        let Some(values) = self.take::<Vec<Box<RawValue>>>(name, "a list of objects")? else {
            return Ok(None);
        };
        let object = |(place, value): (usize, Box<RawValue>)| {
            Fields::of_value(format!("{}{name}[{place}]", self.at), &value)
        };
        values
            .into_iter()
            .enumerate()
            .map(object)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// A 400 that names the member.
    pub fn fault(&self, name: &str, says: impl AsRef<str>) -> ApiError {
        let path = format!("{}{name}", self.at);
        ApiError::invalid(format!("`{path}` {}", says.as_ref())).with_param(path)
    }

    /// Gives a fault found deeper down the member's name.
    pub fn placed<T>(&self, name: &str, outcome: Result<T, ApiError>) -> Result<T, ApiError> {
        outcome.map_err(|problem| {
            let path = format!("{}{}", self.at, problem.param.as_deref().unwrap_or(name));
            ApiError {
                message: format!("`{path}` {}", problem.message),
                ..problem
            }
            .with_param(path)
        })
    }

    /// What is left over is a fault.
    pub fn finish(self) -> Result<(), ApiError> {
        let Some((name, _)) = self.members.first() else {
            return Ok(());
        };
        if NOT_YET.contains(&name.as_str()) {
            return Err(self.fault(name, "is not supported by this release yet; leave it out"));
        }
        let name: String = name.chars().take(64).collect();
        Err(self.fault(
            &name,
            format!(
                "is not a member that this call knows; it takes {}",
                self.known.join(", ")
            ),
        ))
    }

    fn take_raw(&mut self, name: &'static str) -> Option<Box<RawValue>> {
        self.known.push(name);
        let place = self.members.iter().position(|(known, _)| known == name)?;
        Some(self.members.swap_remove(place).1)
    }
}

/// An object's members as they stand, each name once.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

/// No call takes so many members.
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
                return Err(serde::de::Error::custom("a member stands there twice"));
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
    fn money_is_read_from_its_digits() {
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
            let problem = fields(body).take_money("limit").expect_err(body);
            assert_eq!(problem.param.as_deref(), Some("limit"), "{problem}");
        }
    }

    #[test]
    fn a_body_is_one_object_with_unique_members() {
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
    fn what_nobody_took_is_named_with_what_is_known() {
        let mut taken = fields(r#"{"nmae": "x"}"#);
        assert_eq!(
            taken.take::<String>("name", "a text").expect("absent"),
            None
        );
        let problem = taken.finish().expect_err("left over");
        assert_eq!(problem.param.as_deref(), Some("nmae"));
        assert!(problem.message.contains("it takes name"), "{problem}");
        let problem = fields(r#"{"metadata": {}}"#)
            .finish()
            .expect_err("left over");
        assert!(
            problem
                .message
                .contains("not supported by this release yet"),
            "{problem}"
        );
    }

    #[test]
    fn a_fault_in_a_list_names_its_place() {
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
    fn no_value_is_repeated() {
        let problem = fields(r#"{"key": ["sk-gk-secret"]}"#)
            .require::<String>("key", "a text")
            .expect_err("a list");
        assert!(!problem.message.contains("secret"), "{problem}");
    }
}
