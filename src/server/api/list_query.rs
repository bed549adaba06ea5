//! Query string of a list: `after`, `limit`, and the filters of the resource. An unknown parameter is refused, because an ignored
//! filter would show too much.

use crate::control::page::{Page, PageQuery};
use crate::domain::api_error::ApiError;
use crate::server::api::query::{parameters, unknown_parameter};

/// Parameters of a list that were not taken yet.
pub(super) struct ListQuery {
    pub page: PageQuery,
    filters: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl ListQuery {
    /// Reads `after` and `limit`; `number` reads the number of an id of the list.
    pub fn parse(query: &str, number: impl Fn(&str) -> Option<u64>) -> Result<ListQuery, ApiError> {
        let mut list = ListQuery {
            page: PageQuery::default(),
            filters: parameters(query)?,
            known: vec!["after", "limit"],
        };
        if let Some(after) = list.take_known("after") {
            list.page.after = number(&after).ok_or_else(|| {
                ApiError::invalid("`after` must be the `next` of the page before")
                    .with_param("after")
            })?;
        }
        if let Some(limit) = list.take_known("limit") {
            list.page.limit = PageQuery::limit_of(&limit)?;
        }
        Ok(list)
    }

    /// Takes a filter.
    pub fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        self.take_known(name)
    }

    /// Takes a filter that is `true` or `false`.
    pub fn take_bool(&mut self, name: &'static str) -> Result<Option<bool>, ApiError> {
        self.take(name)
            .map(|word| parse_bool(name, &word))
            .transpose()
    }

    /// Refuses parameters that were not taken.
    pub fn finish(self, list: &str) -> Result<PageQuery, ApiError> {
        match self.filters.first() {
            None => Ok(self.page),
            Some((name, _)) => Err(unknown_parameter(name, list, &self.known.join(", "))),
        }
    }

    fn take_known(&mut self, name: &str) -> Option<String> {
        let index = self.filters.iter().position(|(known, _)| known == name)?;
        Some(self.filters.swap_remove(index).1)
    }
}

pub(super) fn parse_bool(name: &str, word: &str) -> Result<bool, ApiError> {
    match word {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ApiError::invalid(format!("`{name}` must be true or false")).with_param(name)),
    }
}

/// Parameters of a deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deletion {
    /// dependents are deleted with the object
    pub cascade: bool,
    /// running calls of a key end
    pub now: bool,
}

/// `?cascade=true` and `?now=true`.
pub(super) fn parse_deletion(query: &str) -> Result<Deletion, ApiError> {
    let mut deletion = Deletion::default();
    for (name, word) in parameters(query)? {
        match name.as_str() {
            "cascade" => deletion.cascade = parse_bool("cascade", &word)?,
            "now" => deletion.now = parse_bool("now", &word)?,
            _ => return Err(unknown_parameter(&name, "a deletion", "cascade, now")),
        }
    }
    Ok(deletion)
}

/// `?cascade=true` of a deletion; its only parameter.
pub(super) fn parse_cascade(query: &str) -> Result<bool, ApiError> {
    match parse_deletion(query)? {
        Deletion { now: true, .. } => Err(unknown_parameter("now", "this deletion", "cascade")),
        deletion => Ok(deletion.cascade),
    }
}

/// Cursor of the next page: the id of the last object, if more follow.
pub(super) fn next<T, I: ToString>(page: &Page<T>, id: impl Fn(&T) -> I) -> Option<String> {
    let last = page.items.last().filter(|_| page.more);
    last.map(|item| id(item).to_string())
}
