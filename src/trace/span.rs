//! Span: one timed operation of a trace with its attributes.

/// Part of the call that a span measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// a request of a client
    Server,
    /// an attempt at an upstream
    Client,
}

/// Value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    Text(String),
    Integer(i64),
}

pub type Attribute = (&'static str, AttributeValue);

/// A finished span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub trace_id: u128,
    pub span_id: u64,
    pub parent: Option<u64>,
    pub name: String,
    pub kind: SpanKind,
    /// nanoseconds since 1970
    pub start_ns: u64,
    pub end_ns: u64,
    pub attributes: Vec<Attribute>,
    /// class of the failure; `None`: it ended well
    pub error: Option<&'static str>,
}

/// Longest text of an attribute, in characters: clients choose the names of models.
const TEXT_CHARS_MAX: usize = 128;

/// Attributes in the order in which they are added.
#[derive(Debug, Default)]
pub struct Attributes(pub Vec<Attribute>);

impl Attributes {
    pub fn text(&mut self, name: &'static str, text: &str) {
        let text = text.chars().take(TEXT_CHARS_MAX).collect();
        self.0.push((name, AttributeValue::Text(text)));
    }

    pub fn integer(&mut self, name: &'static str, number: impl TryInto<i64>) {
        let number = number.try_into().unwrap_or(i64::MAX);
        self.0.push((name, AttributeValue::Integer(number)));
    }
}
