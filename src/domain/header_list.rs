//! Headers of a response between upstream and client. The values share one buffer, so that a head takes two allocations however many
//! headers it has.

use std::borrow::Cow;
use std::fmt::{Display, Write};
use std::ops::Range;

/// Headers that a list has room for once it has one.
const USUAL_COUNT: usize = 16;
/// Bytes of header values that a list has room for once it has a header.
const USUAL_BYTES: usize = 320;

/// Header of a request whose name is one of few: a constant in lower case.
pub type KnownHeader = (&'static str, String);

/// Names with the places of their values.
type NamedPlaces = Vec<(Cow<'static, str>, Range<usize>)>;

/// Names in lower case, most of them constants, and values, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct HeaderList {
    names: NamedPlaces,
    values: String,
}

impl HeaderList {
    /// Adds a header.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: &str) {
        self.push_with(name, |values| values.push_str(value));
    }

    /// Adds a header whose value is written without an allocation of its own.
    pub fn push_display(&mut self, name: impl Into<Cow<'static, str>>, value: impl Display) {
        self.push_with(name, |values| {
            // writing to a String cannot fail
            let _ = write!(values, "{value}");
        });
    }

    /// Adds a header whose value `write` appends.
    pub fn push_with(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        write: impl FnOnce(&mut String),
    ) {
        if self.names.capacity() == 0 {
            self.names.reserve_exact(USUAL_COUNT);
            self.values.reserve_exact(USUAL_BYTES);
        }
        let start = self.values.len();
        write(&mut self.values);
        self.names.push((name.into(), start..self.values.len()));
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let value = |range: &Range<usize>| &self.values[range.clone()];
        self.names
            .iter()
            .map(move |(name, range)| (name.as_ref(), value(range)))
    }

    /// First value of a header.
    pub fn find(&self, name: &str) -> Option<&str> {
        let mut headers = self.iter();
        headers
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// Leaves out every header of this name.
    pub fn remove(&mut self, name: &str) {
        self.names.retain(|(known, _)| known != name);
    }

    /// Gives headers the names that `rename` returns for theirs.
    pub fn rename(&mut self, rename: impl Fn(&str) -> Option<String>) {
        for (name, _) in &mut self.names {
            if let Some(renamed) = rename(name) {
                *name = renamed.into();
            }
        }
    }

    /// Adds the headers of another list.
    pub fn append(&mut self, other: &HeaderList) {
        for (name, range) in &other.names {
            self.push(name.clone(), &other.values[range.clone()]);
        }
    }

    /// Names with the places of their values, and the values.
    pub fn into_parts(self) -> (NamedPlaces, String) {
        (self.names, self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_list_keeps_order_and_values_through_changes() {
        let mut headers = HeaderList::default();
        headers.push("content-type", "text/html");
        headers.push_display("x-count", 12);
        headers.push("x-count".to_owned(), "");
        headers.push("content-type", "application/json");
        assert_eq!(headers.find("content-type"), Some("text/html"));
        headers.remove("content-type");
        headers.rename(|name| name.strip_prefix("x-").map(str::to_owned));
        let mut other = HeaderList::default();
        other.push("b", "2");
        headers.append(&other);
        let all: Vec<(&str, &str)> = headers.iter().collect();
        assert_eq!(all, [("count", "12"), ("count", ""), ("b", "2")]);
        assert_eq!(headers.find("content-type"), None);
    }
}
