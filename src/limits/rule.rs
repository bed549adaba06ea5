//! One rule of the table: the value that it judges, its conditions, its limit, and the power of its source.

use std::collections::HashMap;

use regex_lite::Regex;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::path::Path;

/// A rule as the file states it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RuleRow {
    pub(super) vendor: String,
    pub(super) endpoint: String,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    but_models: Vec<String>,
    pub(super) field: String,
    #[serde(default)]
    when: Vec<ConditionRow>,
    #[serde(default)]
    which: Option<String>,
    #[serde(default)]
    per: String,
    #[serde(default)]
    scope: Option<String>,
    /// endpoint that takes what this rule refuses
    #[serde(default)]
    served_at: Option<String>,
    #[serde(flatten)]
    limit: LimitRow,
    #[serde(default)]
    status: Option<u16>,
    source: Source,
}

#[derive(Clone, Debug, Deserialize)]
struct Source {
    kind: String,
}

#[derive(Clone, Debug, Deserialize)]
struct ConditionRow {
    field: String,
    #[serde(default)]
    values: Option<Vec<Value>>,
    #[serde(default)]
    absent: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "limit", content = "value", rename_all = "snake_case")]
enum LimitRow {
    KnownFields(Vec<String>),
    RefusedFields(Vec<String>),
    IgnoredFields(IgnoredAny),
    Required(Vec<String>),
    Types(Vec<String>),
    MaxChars(usize),
    MinChars(usize),
    MaxKeyChars(usize),
    Pattern(String),
    NotBlank(IgnoredAny),
    Min(f64),
    Max(f64),
    LessThan(String),
    MaxItems(usize),
    MinItems(usize),
    MaxCount(usize),
    OneOf(Vec<Value>),
    MediaTypes(Vec<String>),
    MaxBytes(usize),
    NotWith(Vec<ConditionRow>),
    FirstOneOf(Vec<String>),
    LastOneOf(Vec<String>),
    NotAfter(HashMap<String, Vec<String>>),
    SchemaKeywords(Vec<String>),
    AllRequired(IgnoredAny),
    AdditionalPropertiesFalse(IgnoredAny),
    MaxDepth(usize),
    MaxProperties(usize),
    Betas(Vec<String>),
    OnlyAt(Vec<String>),
}

/// A rule that is ready to judge.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    models: Vec<String>,
    but_models: Vec<String>,
    pub(super) field: Path,
    pub(super) when: Vec<Condition>,
    /// only the first value in each array is judged
    pub(super) first_only: bool,
    pub(super) served_at: Option<String>,
    pub(super) limit: Limit,
    pub(super) status: u16,
    /// a believed rule changes a request but never refuses it
    pub(super) is_believed: bool,
}

/// A value that must be present, absent, or one of several.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) field: Path,
    pub(super) values: Option<Vec<Value>>,
    pub(super) absent: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Limit {
    KnownFields(Vec<String>),
    RefusedFields(Vec<String>),
    /// accepted without effect
    IgnoredFields,
    Required(Vec<String>),
    Types(Vec<String>),
    MaxChars(usize),
    MinChars(usize),
    MaxKeyChars(usize),
    Pattern(Regex),
    NotBlank,
    Min(f64),
    Max(f64),
    LessThan(Path),
    MaxItems(usize),
    MinItems(usize),
    /// values at the path within each element of so many steps
    MaxCount {
        max: usize,
        per: usize,
    },
    OneOf(Vec<Value>),
    MediaTypes(Vec<String>),
    MaxBytes(usize),
    NotWith(Vec<Condition>),
    FirstOneOf(Vec<String>),
    LastOneOf(Vec<String>),
    NotAfter(HashMap<String, Vec<String>>),
    SchemaKeywords {
        words: Vec<String>,
        top_only: bool,
    },
    AllRequired,
    AdditionalPropertiesFalse,
    MaxDepth(usize),
    MaxProperties(usize),
    Betas(Vec<String>),
    OnlyAt(Vec<String>),
}

impl RuleRow {
    /// Rows of one name limit the same thing of the same models: one bar, or one list.
    pub(super) fn name(&self) -> (String, String, String, Vec<String>) {
        let limit = match &self.limit {
            LimitRow::Min(_)
            | LimitRow::Max(_)
            | LimitRow::MinChars(_)
            | LimitRow::MaxChars(_)
            | LimitRow::MinItems(_)
            | LimitRow::MaxItems(_) => format!("{:?}", std::mem::discriminant(&self.limit)),
            other => format!("{other:?}"),
        };
        (
            self.endpoint.clone(),
            self.field.clone(),
            limit,
            self.models.clone(),
        )
    }

    /// The rule; `None` if its pattern is not a regular expression. `is_borrowed`: stated for another vendor.
    pub(super) fn rule(&self, is_borrowed: bool) -> Option<Rule> {
        let limit = self
            .limit
            .limit(&self.per, self.scope.as_deref() == Some("top"))?;
        Some(Rule {
            models: self.models.clone(),
            but_models: self.but_models.clone(),
            field: Path::parse(&self.field),
            when: self.when.iter().map(ConditionRow::condition).collect(),
            first_only: self.which.as_deref() == Some("first"),
            served_at: self.served_at.clone(),
            limit,
            status: self.status.unwrap_or(400),
            is_believed: is_borrowed || self.source.kind == "believed",
        })
    }
}

impl ConditionRow {
    fn condition(&self) -> Condition {
        Condition {
            field: Path::parse(&self.field),
            values: self.values.clone(),
            absent: self.absent,
        }
    }
}

impl LimitRow {
    fn limit(&self, per: &str, top_only: bool) -> Option<Limit> {
        Some(match self.clone() {
            LimitRow::KnownFields(names) => Limit::KnownFields(names),
            LimitRow::RefusedFields(names) => Limit::RefusedFields(names),
            LimitRow::IgnoredFields(_) => Limit::IgnoredFields,
            LimitRow::Required(names) => Limit::Required(names),
            LimitRow::Types(kinds) => Limit::Types(kinds),
            LimitRow::MaxChars(max) => Limit::MaxChars(max),
            LimitRow::MinChars(min) => Limit::MinChars(min),
            LimitRow::MaxKeyChars(max) => Limit::MaxKeyChars(max),
            LimitRow::Pattern(pattern) => {
                Limit::Pattern(Regex::new(&format!("^(?:{pattern})$")).ok()?)
            }
            LimitRow::NotBlank(_) => Limit::NotBlank,
            LimitRow::Min(min) => Limit::Min(min),
            LimitRow::Max(max) => Limit::Max(max),
            LimitRow::LessThan(path) => Limit::LessThan(Path::parse(&path)),
            LimitRow::MaxItems(max) => Limit::MaxItems(max),
            LimitRow::MinItems(min) => Limit::MinItems(min),
            LimitRow::MaxCount(max) => Limit::MaxCount {
                max,
                per: Path::parse(per).0.len(),
            },
            LimitRow::OneOf(values) => Limit::OneOf(values),
            LimitRow::MediaTypes(types) => Limit::MediaTypes(types),
            LimitRow::MaxBytes(max) => Limit::MaxBytes(max),
            LimitRow::NotWith(conditions) => {
                Limit::NotWith(conditions.iter().map(ConditionRow::condition).collect())
            }
            LimitRow::FirstOneOf(roles) => Limit::FirstOneOf(roles),
            LimitRow::LastOneOf(roles) => Limit::LastOneOf(roles),
            LimitRow::NotAfter(order) => Limit::NotAfter(order),
            LimitRow::SchemaKeywords(words) => Limit::SchemaKeywords { words, top_only },
            LimitRow::AllRequired(_) => Limit::AllRequired,
            LimitRow::AdditionalPropertiesFalse(_) => Limit::AdditionalPropertiesFalse,
            LimitRow::MaxDepth(max) => Limit::MaxDepth(max),
            LimitRow::MaxProperties(max) => Limit::MaxProperties(max),
            LimitRow::Betas(betas) => Limit::Betas(betas),
            LimitRow::OnlyAt(endpoints) => Limit::OnlyAt(endpoints),
        })
    }
}

impl Rule {
    /// The rule speaks of one of these names of a model.
    pub(super) fn serves(&self, models: &[&str]) -> bool {
        let names = |patterns: &[String]| {
            patterns
                .iter()
                .any(|pattern| models.iter().any(|model| matches(pattern, model)))
        };
        (self.models.is_empty() || names(&self.models)) && !names(&self.but_models)
    }

    /// The condition that a schema or tool is strict: without it the rule does not hold.
    pub(super) fn strict_switch(&self) -> Option<&Path> {
        let mut conditions = self.when.iter().map(|condition| &condition.field);
        conditions.find(|field| field.leaf() == "strict")
    }
}

/// A pattern with `*` as its only wildcard matches the whole name.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return name.ends_with(part);
        }
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    true
}
