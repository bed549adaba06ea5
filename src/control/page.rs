//! Pages of lists: objects in the order of their ids, from a cursor on.

use crate::domain::api_error::ApiError;

/// Objects of a page, unless the query sets another limit.
pub const PAGE_DEFAULT: usize = 100;
pub const PAGE_MAX: usize = 1_000;

/// Start and length of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageQuery {
    /// number of the last id of the page before; 0: from the first
    pub after: u64,
    pub limit: usize,
}

impl Default for PageQuery {
    fn default() -> PageQuery {
        PageQuery {
            after: 0,
            limit: PAGE_DEFAULT,
        }
    }
}

/// Objects of one page.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// more objects follow
    pub more: bool,
}

impl PageQuery {
    pub fn limit_of(text: &str) -> Result<usize, ApiError> {
        text.parse()
            .ok()
            .filter(|limit| (1..=PAGE_MAX).contains(limit))
            .ok_or_else(|| {
                ApiError::invalid(format!("`limit` must be a number from 1 to {PAGE_MAX}"))
                    .with_param("limit")
            })
    }

    /// The page of a list that is in the order of ids.
    pub(super) fn of<T>(self, list: impl Iterator<Item = T>, id: impl Fn(&T) -> u64) -> Page<T> {
        let mut items: Vec<T> = list
            .filter(|item| id(item) > self.after)
            .take(self.limit + 1)
            .collect();
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        Page { items, more }
    }
}

impl<T> Page<T> {
    pub fn map<O>(self, render: impl FnMut(T) -> O) -> Page<O> {
        Page {
            items: self.items.into_iter().map(render).collect(),
            more: self.more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_follows_its_cursor_and_says_if_more_follow() {
        let page = |after, limit| PageQuery { after, limit }.of(1..=5u64, |id| *id);
        assert_eq!((page(0, 2).items, page(0, 2).more), (vec![1, 2], true));
        assert_eq!((page(3, 2).items, page(3, 2).more), (vec![4, 5], false));
        assert!(page(5, 2).items.is_empty());
        for text in ["0", "1001", "-1", "x", ""] {
            assert!(PageQuery::limit_of(text).is_err(), "{text}");
        }
    }
}
