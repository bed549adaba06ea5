//! Fitting a body to the rules of one target, and the refusal of what cannot be fitted.

use super::judge;
use super::remedy;
use super::rule::{Limit, Rule};
use super::tree::Node;

/// Remedies can make others necessary: a tool choice without tools.
const PASSES_MAX: usize = 4;

/// A fitted body.
#[derive(Debug, Default)]
pub struct Fit {
    /// the body as the target takes it; `None`: unchanged
    pub body: Option<String>,
    /// paths of the changed values
    pub changed: Vec<String>,
    /// a sourced rule that no remedy satisfies
    pub refusal: Option<Violation>,
}

/// Rule that refuses a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// path of the value, without brackets
    pub path: String,
    /// words that follow the path in a message
    pub reason: String,
    /// the vendor's status
    pub status: u16,
}

impl Violation {
    pub(super) fn wrong_endpoint() -> Violation {
        Violation {
            path: "model".to_owned(),
            reason: "is not served at this endpoint".to_owned(),
            status: 404,
        }
    }

    fn of(rule: &Rule) -> Violation {
        Violation {
            path: rule.field.dotted(),
            reason: reason(&rule.limit),
            status: rule.status,
        }
    }
}

pub(super) fn fit(rules: &[&Rule], text: &str) -> Fit {
    let Some(mut body) = Node::read(text) else {
        return Fit::default();
    };
    let (mut changed, mut is_changed) = (Vec::new(), false);
    for _ in 0..PASSES_MAX {
        let mut is_mended = false;
        for rule in rules {
            for trail in judge::violations(rule, &body).iter().rev() {
                is_mended |= remedy::mend(rule, &mut body, trail, &mut changed);
            }
        }
        is_changed |= is_mended;
        if !is_mended {
            break;
        }
    }
    let fitted = is_changed.then(|| {
        let mut out = String::with_capacity(text.len());
        body.write(&mut out);
        out
    });
    let refusal = fitted.as_deref().unwrap_or(text);
    Fit {
        refusal: self::refusal(rules, refusal),
        changed,
        body: fitted,
    }
}

/// The first sourced rule that a body violates.
pub(super) fn refusal(rules: &[&Rule], text: &str) -> Option<Violation> {
    let body = Node::read(text)?;
    let mut sourced = rules.iter().filter(|rule| !rule.is_believed);
    let violated = sourced.find(|rule| !judge::violations(rule, &body).is_empty())?;
    Some(Violation::of(violated))
}

/// Endpoint that takes a body which a rule refuses as a whole.
pub(super) fn served_at<'r>(rules: &[&'r Rule], text: &str) -> Option<&'r str> {
    let mut elsewhere = rules
        .iter()
        .filter(|rule| rule.served_at.is_some())
        .peekable();
    elsewhere.peek()?;
    let body = Node::read(text)?;
    let violated = elsewhere.find(|rule| !judge::violations(rule, &body).is_empty())?;
    violated.served_at.as_deref()
}

/// The limit in words.
fn reason(limit: &Limit) -> String {
    let list = |names: &[String]| names.join(", ");
    match limit {
        Limit::KnownFields(_) => "has a member that is not known there".to_owned(),
        Limit::RefusedFields(names) => format!("must not have {}", list(names)),
        Limit::Required(names) => format!("needs {}", list(names)),
        Limit::Types(kinds) => format!("must be of the type {}", list(kinds)),
        Limit::MaxChars(max) => format!("has more than {max} characters"),
        Limit::MinChars(min) => format!("has fewer than {min} characters"),
        Limit::MaxKeyChars(max) => format!("has a name of more than {max} characters"),
        Limit::Pattern(pattern) => format!("does not match {pattern}"),
        Limit::NotBlank => "is blank".to_owned(),
        Limit::Min(min) => format!("is below {min}"),
        Limit::Max(max) => format!("is above {max}"),
        Limit::LessThan(other) => format!("must be below {}", other.dotted()),
        Limit::MaxItems(max) => format!("has more than {max} entries"),
        Limit::MinItems(min) => format!("has fewer than {min} entries"),
        Limit::MaxCount { max, .. } => format!("occurs more than {max} times"),
        Limit::OneOf(values) => {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            format!("must be one of {}", values.join(", "))
        }
        Limit::MediaTypes(types) => format!("must be one of {}", list(types)),
        Limit::MaxBytes(max) => format!("has more than {max} bytes"),
        Limit::NotWith(conditions) => {
            let fields = conditions.iter().map(|condition| condition.field.dotted());
            let fields: Vec<String> = fields.collect();
            format!("does not go together with this {}", fields.join(", "))
        }
        Limit::FirstOneOf(roles) => format!("must begin with the role {}", list(roles)),
        Limit::LastOneOf(roles) => format!("must end with the role {}", list(roles)),
        Limit::NotAfter(_) => "has a role directly after one that it must not follow".to_owned(),
        Limit::SchemaKeywords { .. } => "has a keyword that is not taken there".to_owned(),
        Limit::AllRequired => "has a property that is not required".to_owned(),
        Limit::AdditionalPropertiesFalse => {
            "has an object that allows further properties".to_owned()
        }
        Limit::MaxDepth(max) => format!("is nested deeper than {max} levels"),
        Limit::MaxProperties(max) => format!("has more than {max} properties"),
        Limit::Betas(_) => "names a beta that is not taken there".to_owned(),
        Limit::IgnoredFields | Limit::OnlyAt(_) => "is not taken there".to_owned(),
    }
}
